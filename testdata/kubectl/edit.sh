# edit and replace.
#hide kubectl-edit-\S+\.yaml => kubectl-edit-N.yaml
#hide /tmp/\S+ => TMP
$ kubectl create configmap one --from-literal=a=1
$ KUBE_EDITOR='sed -i s/^..a:/\ \ b:/' kubectl edit configmap one
$ kubectl get configmap one -o jsonpath='{.data}'
$ KUBE_EDITOR=true kubectl edit configmap one
$ KUBE_EDITOR='sed -i s/name:.one/name:\ two/' kubectl edit configmap one
$ KUBE_EDITOR='sed -i s/^..b:/\ \ c:/' kubectl edit configmap one -o json | grep -A2 '"data"'
$ kubectl create service clusterip web --tcp=80
$ KUBE_EDITOR='sed -i "s/port: 80$/port: 81/"' kubectl edit service web
$ kubectl get service web -o jsonpath='{.spec.ports[0].port}'
$ KUBE_EDITOR='sed -i "s/port: 81$/port: 99999999/"' kubectl edit service web 2>&1 | grep -v '^A copy of' | grep -v '^error: Edit cancelled'
$ KUBE_EDITOR=true kubectl edit configmap nosuch
$ kubectl get configmap one -o yaml | sed 's/c: "1"/d: "2"/' | kubectl replace -f -
$ kubectl get configmap one -o jsonpath='{.data}'
$ kubectl get configmap one -o yaml | sed 's/resourceVersion: .*/resourceVersion: "1"/' | kubectl replace -f -
$ kubectl get service web -o yaml | kubectl replace -f -
$ kubectl create service clusterip web --tcp=82 --dry-run=client -o yaml | kubectl replace -f -
$ kubectl get service web -o jsonpath='{.spec.ports[0].port}'
$ kubectl create configmap nosuch --dry-run=client -o yaml | kubectl replace -f -
$ kubectl create configmap one --from-literal=forced=1 --dry-run=client -o yaml | kubectl replace --force -f -
$ kubectl get configmap one -o jsonpath='{.data}'
$ kubectl run p --image=alpine -- sleep 1000
$ kubectl get pod p -o json | sed 's/"sleep"/"ping"/; /"resourceVersion"/d' | kubectl replace -f -
$ kubectl get pod p -o json | sed 's/"sleep"/"ping"/' | kubectl replace --force --grace-period=0 -f - 2>&1 | grep -v -i warning
$ kubectl get pod p -o jsonpath='{.spec.containers[0].args}'
$ kubectl replace --raw "/api/v1/namespaces/$NS/configmaps/one" -f - <<'END' | python3 -c 'import json,sys; print(json.load(sys.stdin)["data"])'
> {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"raw": "1"}}
> END
