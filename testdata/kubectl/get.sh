# Every way to print objects.
#hide node[123] => NODE
$ kubectl create deployment blue --image=jpetazzo/color --replicas=2
$ kubectl expose deployment blue --port=80
% kubectl rollout status deployment blue
% kubectl get endpoints blue -o 'jsonpath={.subsets[0].addresses[1].ip}' | grep -q .
% kubectl get endpointslices -l kubernetes.io/service-name=blue -o 'jsonpath={.items[0].endpoints[1].addresses[0]}' | grep -q .
% kubectl get deployment,rs -l app=blue -o 'jsonpath={.items[*].status.readyReplicas}' | grep -x '2 2'
$ kubectl get pods
$ kubectl get pods -o wide
$ kubectl get pods --show-labels
$ kubectl get pods -L app -L nosuch
$ kubectl get pods -l app=blue --no-headers
$ kubectl get pods -l 'app in (blue,green),pod-template-hash' -o name
$ kubectl get pods -l 'app notin (blue)'
$ kubectl get pods -l app!=blue -o name
$ kubectl get pods -l '!app' -o name
$ kubectl get pods -l 'app='
$ kubectl get pods -l 'a b'
$ kubectl get pods --field-selector=status.phase=Running -o name
$ kubectl get pods --field-selector=status.phase!=Running -o name
$ kubectl get pods --field-selector=spec.nosuch=1
$ kubectl get pods --field-selector=metadata.namespace=default
$ kubectl get pods -o jsonpath='{range .items[*]}{.metadata.labels.app}{"\t"}{.status.phase}{"\n"}{end}'
$ kubectl get pods -o custom-columns=APP:.metadata.labels.app,PHASE:.status.phase,NONE:.spec.nosuch
$ kubectl get pods -o custom-columns=APP:.metadata.labels.app --no-headers
$ kubectl get pods -o go-template='{{range .items}}{{.status.phase}}{{"\n"}}{{end}}'
$ kubectl get svc blue -o go-template --template '{{ .spec.clusterIP }}'
$ kubectl get svc blue
$ kubectl get svc blue -o wide
$ kubectl get svc blue -o yaml
$ kubectl get svc blue -o json
$ kubectl get svc -o json | grep -c '"kind": "Service"'
$ kubectl get svc,deploy,pods
$ kubectl get svc/blue deploy/blue
$ kubectl get all
$ kubectl get all -l app=blue -o name
$ kubectl get rs -o wide
$ kubectl get deploy -o wide
$ kubectl get ep blue
$ kubectl get endpointslices -l kubernetes.io/service-name=blue
$ kubectl get configmaps,secrets,serviceaccounts
$ kubectl get ingress
$ kubectl get pods nosuch
$ kubectl get svc blue nosuch
$ kubectl get nosuch
$ kubectl get endpoint
$ kubectl get pods --ignore-not-found nosuch
$ kubectl get nodes
$ kubectl get nodes --sort-by=.metadata.name -o name
$ kubectl get ns default kube-system kube-public kube-node-lease
$ kubectl get svc -A --field-selector=metadata.namespace=kube-system
$ kubectl get svc -n default kubernetes -o wide
$ kubectl get leases -n kube-node-lease -o name
$ kubectl get svc --sort-by=.metadata.name
$ kubectl get pods --sort-by='{.metadata.creationTimestamp}' -o custom-columns=APP:.metadata.labels.app
$ for i in 1 2 3 4 5; do kubectl create configmap c$i --from-literal=a=$i; done
$ kubectl get configmaps --chunk-size=2
$ kubectl get configmaps --chunk-size=2 -o name
$ kubectl get configmaps --chunk-size=0 --sort-by=.data.a -o name
$ kubectl get configmap c1 c2 -o jsonpath='{.items[*].data.a}'
$ kubectl get --raw "/api/v1/namespaces/$NS/configmaps/c1" | python3 -c 'import json,sys; print(json.load(sys.stdin)["data"])'
$ kubectl get --raw /healthz
$ kubectl get --raw /livez
$ kubectl get --raw /readyz
$ kubectl get --raw /nosuch
$ kubectl get configmaps --field-selector=metadata.name=c1 -w --show-labels >seen & until grep -qs c1 seen; do sleep 0.1; done; kubectl label configmap c1 b=c; kubectl delete configmap c1; until [ $(wc -l <seen) = 4 ]; do sleep 0.1; done; { kill $!; wait; } 2>/dev/null; cat seen
$ timeout -s INT 2 kubectl get configmaps c2 --watch-only; true
$ kubectl get configmap c2 -o yaml --show-managed-fields=false
$ kubectl get configmap c2 --server-print=false
$ kubectl get configmap c2 -o jsonpath-as-json='{.data}'
$ kubectl get -f - <<'END'
> apiVersion: v1
> kind: ConfigMap
> metadata: {name: c3}
> END
$ kubectl get componentstatuses
% kubectl get events --field-selector reason=Scheduled --no-headers | wc -l | grep -x 2
$ kubectl get events --field-selector reason=Scheduled -o 'jsonpath={range .items[*]}{.type} {.involvedObject.kind} {.source.component}{"\n"}{end}'
