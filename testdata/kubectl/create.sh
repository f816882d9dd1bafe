# Every generator of `kubectl create`, and what the server says to bad ones.
$ kubectl create namespace $NS-x && kubectl delete namespace $NS-x
$ kubectl create namespace Bad_Name
$ kubectl create deployment web --image=nginx --image=alpine -o yaml --dry-run=client | grep -c 'image:'
$ kubectl create deployment web --image=nginx --port=80 --replicas=0
$ kubectl create deployment web --image=nginx
$ kubectl create deployment ping --image=alpine --replicas=0 -- ping 127.0.0.1
$ kubectl get deployment ping -o jsonpath='{.spec.template.spec.containers[0].command}'
$ kubectl create deployment dry --image=nginx --dry-run=server
$ kubectl create deployment dry --image=nginx --dry-run=server -o name
$ kubectl create deployment dry --image=nginx --dry-run=client -o yaml
$ kubectl get deployment dry
$ kubectl create service clusterip a --tcp=80 --tcp=443:8443
$ kubectl get svc a -o jsonpath='{range .spec.ports[*]}{.name} {.port} {.targetPort}{"\n"}{end}'
$ kubectl create service clusterip headless --clusterip=None
$ kubectl create service nodeport b --tcp=80:8080
$ kubectl create service loadbalancer c --tcp=80:8080
$ kubectl create service externalname d --external-name=kubernetes.io
$ kubectl get svc a b d headless
$ kubectl create service clusterip fixed --tcp=80 --clusterip=1.2.3.4
$ kubectl create service nodeport far --tcp=80 --node-port=80
$ kubectl create service externalname d --external-name=kubernetes.io
$ kubectl create configmap literal --from-literal=a=1 --from-literal=b=two
$ printf 'x=1\ny=2\n' > vars.env; printf 'text\n' > file.txt; printf '\000\377' > binary.bin
$ kubectl create configmap files --from-file=file.txt --from-file=other=file.txt --from-file=binary.bin
$ kubectl create configmap env --from-env-file=vars.env
$ kubectl get configmap files -o jsonpath='{.data} {.binaryData}'
$ kubectl get configmap literal files env
$ kubectl create secret generic plain --from-literal=user=me --from-literal=password=secret
$ kubectl get secret plain -o jsonpath='{.type} {.data.password}'
$ kubectl create secret docker-registry registry --docker-server=r.example --docker-username=u --docker-password=p --docker-email=e@example.com
$ openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 1 -subj /CN=hello.example.com 2>/dev/null
$ kubectl create secret tls pair --cert=cert.pem --key=key.pem
$ kubectl create secret tls broken --cert=file.txt --key=key.pem
$ kubectl create secret generic typed --type=example.com/mine --from-literal=a=b
$ kubectl get secrets
$ kubectl get secrets --field-selector=type=kubernetes.io/tls -o name
$ kubectl create serviceaccount robot
$ kubectl create role reader --verb=get,list,watch --resource=pods,services --resource=deployments.apps
$ kubectl get role reader -o jsonpath='{.rules}'
$ kubectl create role named --verb=get --resource=pods --resource-name=one
$ kubectl create rolebinding readers --role=reader --user=joe --group=team --serviceaccount=$NS:robot
$ kubectl create rolebinding viewers --clusterrole=view --user=ann
$ kubectl create clusterrole $NS-reader --verb=get --resource=nodes
$ kubectl create clusterrole $NS-urls --verb=get --non-resource-url=/metrics
$ kubectl create clusterrolebinding $NS-readers --clusterrole=$NS-reader --user=joe
$ kubectl get roles,rolebindings
$ kubectl get rolebindings -o wide
$ kubectl delete clusterrole $NS-reader $NS-urls && kubectl delete clusterrolebinding $NS-readers
$ kubectl create ingress simple --rule=host.example/path=svc:80
$ kubectl create ingress full --class=x --rule='a.example/*=svc:http,tls=pair' --rule='b.example/=svc:80' --annotation=k=v --default-backend=svc:80
$ kubectl get ingress
$ kubectl get ingress full -o jsonpath='{.spec.rules[*].http.paths[0].pathType} {.spec.tls}'
$ kubectl create -f - <<'END'
> apiVersion: v1
> kind: List
> items:
> - {apiVersion: v1, kind: ConfigMap, metadata: {name: l1}}
> - {apiVersion: v1, kind: ConfigMap, metadata: {name: l2}}
> END
$ kubectl create -f - <<'END'
> {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}}
> END
$ kubectl create -f - <<'END'
> apiVersion: v1
> kind: Service
> metadata: {name: wrong}
> spec: {ports: [{port: 80, nosuch: 1}], selector: {a: b}}
> END
$ kubectl create --validate=false -f - <<'END'
> apiVersion: v1
> kind: Service
> metadata: {name: loose}
> spec: {ports: [{port: 80, nosuch: 1}], selector: {a: b}}
> END
$ kubectl create -f - <<'END'
> apiVersion: v1
> kind: Service
> metadata: {name: noport}
> spec: {selector: {a: b}}
> END
$ kubectl create -f - <<'END'
> apiVersion: example.com/v1
> kind: Thing
> metadata: {name: unknown}
> END
$ kubectl create -f - <<'END'
> apiVersion: apps/v1
> kind: DaemonSet
> metadata: {name: ds}
> spec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}}
> END
$ kubectl create configmap in-nowhere --namespace=nowhere
$ kubectl create configmap saved --save-config --from-literal=a=b
$ kubectl get configmap saved -o jsonpath='{.metadata.annotations}'
$ kubectl create --edit -f /dev/null
$ kubectl create --raw "/api/v1/namespaces/$NS/configmaps" -f - <<'END' | python3 -c 'import json,sys; print(json.load(sys.stdin)["metadata"]["name"])'
> {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "raw"}}
> END
