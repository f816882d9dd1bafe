//! Lessons of others, word for word where they have words: Kubernetes' own tutorials and what Ingress and proxy examples
//! send their requests to, on the images that they name. Run through `cargo xtask test`.

mod lab;

use lab::Lab;

/// Asks until the answer is good.
fn says(lab: &Lab, url: &str, good: impl Fn(&str) -> bool) -> String {
    lab.until(&format!("curl -s -m 10 {url}"), good)
}

/// "Learn Kubernetes Basics", modules 2 to 6.
fn basics(lab: &Lab) {
    lab.ok("kubectl create deployment kubernetes-bootcamp --image=gcr.io/google-samples/kubernetes-bootcamp:v1");
    lab.ok("kubectl wait --for=condition=Available deployment/kubernetes-bootcamp --timeout=90s");
    let pod = lab.ok(
        "kubectl get pods -o go-template --template '{{range .items}}{{.metadata.name}}{{\"\\n\"}}{{end}}' | head -1",
    );
    let pod = pod.trim();
    let greeting = format!("Hello Kubernetes bootcamp! | Running on: {pod} | v=1\n");
    assert_eq!(lab.ok(&format!("kubectl get --raw /api/v1/namespaces/default/pods/{pod}:8080/proxy/")), greeting);
    assert_eq!(lab.ok(&format!("kubectl exec {pod} -- curl -s http://localhost:8080")), greeting);
    assert!(lab.ok(&format!("kubectl exec {pod} -- env")).contains(&format!("HOSTNAME={pod}\n")));
    assert!(lab.ok(&format!("kubectl exec {pod} -- cat server.js")).contains("8080"));
    let log = lab.ok(&format!("kubectl logs {pod}"));
    assert!(log.starts_with("Kubernetes Bootcamp App Started At: "), "{log}");
    assert!(log.contains(&format!("Running On: {pod} | Total Requests: 2 | App Uptime: ")), "{log}");

    lab.ok("kubectl expose deployment/kubernetes-bootcamp --type=NodePort --port 8080");
    let port = lab.ok("kubectl get services/kubernetes-bootcamp -o go-template='{{(index .spec.ports 0).nodePort}}'");
    let node = lab.ok("kubectl get nodes -o jsonpath={.items[0].status.addresses[0].address}");
    let url = format!("http://{node}:{port}");
    says(lab, &url, |text| text == greeting);

    lab.ok("kubectl scale deployments/kubernetes-bootcamp --replicas=4");
    lab.ok("kubectl rollout status deployments/kubernetes-bootcamp --timeout=90s");
    let set =
        |image: &str| lab.ok(&format!("kubectl set image deployments/kubernetes-bootcamp kubernetes-bootcamp={image}"));
    set("docker.io/jocatalin/kubernetes-bootcamp:v2");
    lab.ok("kubectl rollout status deployments/kubernetes-bootcamp --timeout=90s");
    says(lab, &url, |text| text.ends_with("| v=2\n"));
    set("gcr.io/google-samples/kubernetes-bootcamp:v10");
    lab.until("kubectl get pods", |text| text.contains("ImagePullBackOff"));
    says(lab, &url, |text| text.ends_with("| v=2\n"));
    lab.ok("kubectl rollout undo deployments/kubernetes-bootcamp");
    lab.ok("kubectl rollout status deployments/kubernetes-bootcamp --timeout=90s");
    lab.until("kubectl get pods --no-headers", |text| text.lines().count() == 4 && !text.contains("ImagePull"));
    lab.ok("kubectl delete deployments/kubernetes-bootcamp services/kubernetes-bootcamp");
}

/// A deployment of `replicas` pods of this image, and a service that the outside reaches; answers its address.
fn exposed(lab: &Lab, name: &str, image: &str, replicas: usize, port: u16) -> String {
    lab.ok(&format!("kubectl create deployment {name} --image={image} --replicas={replicas} --port={port}"));
    lab.ok(&format!("kubectl expose deployment {name} --type=LoadBalancer --port=80 --target-port={port}"));
    lab.ok(&format!("kubectl rollout status deployment/{name} --timeout=90s"));
    lab.until(&format!("kubectl get service {name} -o jsonpath={{.status.loadBalancer.ingress[0].ip}}"), |ip| {
        !ip.is_empty()
    })
}

/// "Exposing an External IP Address" and "Connect a Frontend to a Backend Using Services".
fn services(lab: &Lab) {
    let ip = exposed(lab, "hello-world", "gcr.io/google-samples/hello-app:2.0", 5, 8080);
    let text =
        says(lab, &format!("http://{ip}/"), |text| text.starts_with("Hello, world!\nVersion: 2.0.0\nHostname: "));
    assert!(text.contains("Hostname: hello-world-"), "{text}");
    let ip = exposed(lab, "hello", "gcr.io/google-samples/hello-go-gke:1.0", 3, 80);
    says(lab, &format!("http://{ip}/"), |text| text == "{\"message\":\"Hello\"}\n");
    let ip = exposed(lab, "frontend", "gcr.io/google-samples/hello-frontend:1.0", 1, 80);
    says(lab, &format!("http://{ip}/"), |text| text == "{\"message\":\"Hello\"}\n");
    let ip = exposed(lab, "php-apache", "registry.k8s.io/hpa-example", 1, 80);
    says(lab, &format!("http://{ip}/"), |text| text == "OK!");
}

/// Who is asked in the examples of minikube, kind, Traefik and NGINX.
fn examples(lab: &Lab) {
    let ip = exposed(lab, "hello-minikube", "kicbase/echo-server:1.0", 1, 8080);
    says(lab, &format!("http://{ip}/x"), |text| {
        text.starts_with("Request served by hello-minikube-") && text.contains("\n\nGET /x HTTP/1.1\n\nHost: ")
    });
    lab.ok("kubectl run apple --image=hashicorp/http-echo --port=5678 --expose -- -text=apple");
    lab.ok("kubectl wait --for=condition=Ready pod/apple --timeout=90s");
    let ip = lab.ok("kubectl get service apple -o jsonpath={.spec.clusterIP}");
    says(lab, &format!("http://{ip}:5678/any"), |text| text == "apple\n");
    let ip = exposed(lab, "whoami", "traefik/whoami", 2, 80);
    let pods = lab.ok("kubectl get pods -l app=whoami -o jsonpath={.items[*].status.podIP}");
    let text = says(lab, &format!("http://{ip}/"), |text| text.starts_with("Hostname: whoami-"));
    assert!(pods.split(' ').any(|pod| text.contains(&format!("\nIP: {pod}\n"))), "{pods} {text}");
    assert!(text.contains("\nGET / HTTP/1.1\r\nHost: "), "{text}");
    let ip = exposed(lab, "nginx", "nginxdemos/hello:plain-text", 1, 80);
    let pod = lab.ok("kubectl get pods -l app=nginx -o jsonpath={.items[0].status.podIP}");
    says(lab, &format!("http://{ip}/"), |text| {
        text.starts_with(&format!("Server address: {pod}:80\nServer name: nginx-"))
    });
}

#[test]
fn lessons_of_others() {
    minisvc_testkit::isolated(|| {
        let lab = Lab::started("1.37");
        basics(&lab);
        services(&lab);
        examples(&lab);
    });
}
