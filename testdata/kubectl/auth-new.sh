# Rights and tokens, as kubectl since 1.28 asks.
#versions 1.33 1.34 1.35 1.36 1.37
#hide eyJ[A-Za-z0-9._-]+ => TOKEN
$ kubectl auth whoami
$ kubectl auth whoami --as=joe --as-group=team -o jsonpath='{.status.userInfo}'
$ kubectl create serviceaccount robot
$ kubectl create token robot
$ kubectl create token nosuch
$ kubectl create token robot --duration=10m --audience=mine -o jsonpath='{.spec.audiences} {.spec.expirationSeconds}'
$ kubectl create token robot --duration=1m
$ kubectl create rolebinding robot --clusterrole=view --serviceaccount=$NS:robot
$ T=$(kubectl create token robot); kubectl auth whoami --kubeconfig=/dev/null --server=https://172.30.0.2:6443 --insecure-skip-tls-verify --token=$T -o jsonpath='{.status.userInfo.username} {.status.userInfo.groups}'
$ T=$(kubectl create token robot); kubectl get configmaps --kubeconfig=/dev/null --server=https://172.30.0.2:6443 --insecure-skip-tls-verify --token=$T -n $NS
$ T=$(kubectl create token robot); kubectl get secrets --kubeconfig=/dev/null --server=https://172.30.0.2:6443 --insecure-skip-tls-verify --token=$T -n $NS
