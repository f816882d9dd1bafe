# Rights and tokens.
#hide joe-\d+ => joe
#hide [EWI]\d{4} \d\d:[^\n]*\n => 
#hide eyJ[A-Za-z0-9._-]+ => TOKEN
$ kubectl auth can-i create pods
$ kubectl auth can-i '*' '*'
$ kubectl auth can-i get /metrics
$ kubectl auth can-i list pods --as=joe
$ kubectl auth can-i list pods --as=joe -q
$ kubectl auth can-i list nosuch --as=joe
$ kubectl create role reader --verb=get,list --resource=pods
$ kubectl create rolebinding reader --role=reader --user=joe-$V
$ kubectl auth can-i list pods --as=joe-$V
$ kubectl auth can-i get pods/log --as=joe-$V
$ kubectl auth can-i list pods --as=joe-$V -A
$ kubectl auth can-i list pods --as=ann --as-group=system:masters
$ kubectl get pods --as=joe-$V
$ kubectl get services --as=joe-$V
$ kubectl get nodes --as=joe-$V
$ kubectl create configmap x --as=joe-$V
$ kubectl delete pod x --as=joe-$V
$ kubectl create serviceaccount robot
$ kubectl auth can-i list pods --as=system:serviceaccount:$NS:robot
$ kubectl auth reconcile -f - <<END
> apiVersion: rbac.authorization.k8s.io/v1
> kind: Role
> metadata: {name: made, namespace: $NS}
> rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
> ---
> apiVersion: rbac.authorization.k8s.io/v1
> kind: RoleBinding
> metadata: {name: made, namespace: $NS}
> roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: made}
> subjects: [{kind: ServiceAccount, name: robot, namespace: $NS}]
> END
$ kubectl auth reconcile -f - <<END
> apiVersion: rbac.authorization.k8s.io/v1
> kind: Role
> metadata: {name: made, namespace: $NS}
> rules: [{apiGroups: [""], resources: [pods, services], verbs: [get]}]
> END
$ kubectl get role made -o jsonpath='{.rules}'
$ kubectl patch rolebinding made -p '{"roleRef":{"name":"other"}}'
$ kubectl auth can-i get services --as=system:serviceaccount:$NS:robot
$ kubectl get pods --token=wrong --kubeconfig=/dev/null --server=https://172.30.0.2:6443 --insecure-skip-tls-verify
$ curl -sk https://10.96.0.1/ | grep message
$ curl -sk https://10.96.0.1/version | grep -c gitVersion
