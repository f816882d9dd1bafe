# delete and wait.
#hide node[123] => NODE
$ for i in 1 2 3 4; do kubectl create configmap c$i; kubectl label configmap c$i n=$i; done
$ kubectl delete configmap c1
$ kubectl delete configmap c1
$ kubectl delete configmap c1 --ignore-not-found
$ kubectl delete configmap/c2 configmap/c3
$ kubectl delete configmaps -l n=4
$ kubectl delete configmaps -l n=4
$ kubectl create deployment a --image=alpine -- sleep 1000
$ kubectl create deployment b --image=alpine -- sleep 1000
$ kubectl create deployment c --image=alpine -- sleep 1000
% kubectl rollout status deployment/a && kubectl rollout status deployment/b && kubectl rollout status deployment/c
$ kubectl delete deployment a --cascade=orphan 2>&1 | grep -v 'unknown'
$ kubectl get rs -l app=a -o jsonpath='{.items[*].metadata.ownerReferences}'
$ kubectl delete deployment b --cascade=foreground --grace-period=1
$ kubectl get rs,pods -l app=b
$ kubectl delete rs -l app=a --wait=false
$ kubectl delete deployment c --dry-run=server
$ kubectl delete deployment c --dry-run=client -o name
$ kubectl get deployment c -o name
# A pod that does not end when it is asked to.
$ kubectl run p --image=alpine -- sh -c 'trap "" TERM; while :; do sleep 1; done'
$ kubectl run q --image=alpine -- sleep 1000
$ kubectl run r --image=alpine -- sleep 1000
$ kubectl wait --for=condition=Ready pod/p pod/q pod/r --timeout=50s
$ kubectl delete pod p --wait=false
$ kubectl get pod p
$ kubectl delete pod p q --force --grace-period=0 2>&1 | sed 's/arning: .*/arning/'
$ kubectl delete pod r --now
$ kubectl get pods p q r
$ kubectl delete pods --all --grace-period=1 >/dev/null; echo $?
$ kubectl wait --for=delete pod/r --timeout=50s
$ kubectl run s --image=alpine -- sh -c 'trap "" TERM; while :; do sleep 1; done'
$ kubectl wait --for=condition=Ready pod/s --timeout=50s
$ kubectl delete pod s --grace-period=12 --wait=false; kubectl wait --for=delete pod/s --timeout=50s
$ kubectl wait --for=condition=Ready pod/s
$ kubectl run t --image=alpine -- sleep 1000
$ kubectl wait --for=condition=Nosuch pod/t --timeout=1s
$ kubectl wait --for=condition=Ready pod -l run=t --timeout=50s
$ kubectl wait --for=condition=Ready=False pod/t --timeout=1s
$ kubectl wait --for=condition=available deploy/c
$ kubectl wait pods -l run=nothing --for=condition=Ready --timeout=1s
$ kubectl delete deploy,configmaps --all
% kubectl get configmap kube-root-ca.crt
$ kubectl get deploy,configmaps -o name
$ printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: f1}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: f2}\n' > f.yaml; kubectl create -f f.yaml && kubectl delete -f f.yaml && kubectl delete -f f.yaml
$ kubectl create configmap held && kubectl patch configmap held -p '{"metadata":{"finalizers":["example.com/hold"]}}'
$ kubectl delete configmap held --timeout=1s
$ kubectl get configmap held -o jsonpath='{.metadata.deletionGracePeriodSeconds}'
$ kubectl patch configmap held -p '{"metadata":{"finalizers":["example.com/hold","example.com/more"]}}'
$ kubectl patch configmap held --type=merge -p '{"metadata":{"finalizers":null}}'
$ kubectl get configmap held
$ kubectl delete service nosuch
$ kubectl delete nosuch x
$ kubectl delete pods
$ kubectl delete --raw "/api/v1/namespaces/$NS/configmaps/nosuch"
$ kubectl create namespace $NS-gone && kubectl create configmap in -n $NS-gone && kubectl delete namespace $NS-gone && kubectl get namespace $NS-gone
