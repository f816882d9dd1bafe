# apply in the client's way, its annotation, prune, diff.
#hide /tmp/(LIVE|MERGED)-\d+ => TMP/$1
$ mkdir -p dir; printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, labels: {set: s}}\ndata: {a: "1", b: "2"}\n' > dir/one.yaml
$ printf 'apiVersion: v1\nkind: Service\nmetadata: {name: web, labels: {set: s}}\nspec: {ports: [{port: 80}], selector: {a: b}}\n' > dir/web.yaml
$ printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, labels: {set: s}}\nspec: {replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}}\n' > dir/deployment.yaml
$ kubectl diff -f dir | grep '^[+-]' | grep -v -E '^(\+\+\+|---)|creationTimestamp|uid|clusterIP|10\.'
$ kubectl apply -f dir
$ kubectl apply -f dir
% kubectl get deployment web -o 'jsonpath={.status.conditions[*].reason}' | grep NewReplicaSetAvailable
$ kubectl diff -f dir
$ kubectl apply view-last-applied configmap one
$ kubectl apply view-last-applied configmap one -o json
$ sed -i 's/, b: "2"/, c: "3"/' dir/one.yaml
$ kubectl diff -f dir/one.yaml | grep '^[+-] '
$ kubectl apply -f dir/one.yaml --dry-run=server
$ kubectl apply -f dir/one.yaml --dry-run=client
$ kubectl apply -f dir/one.yaml -o jsonpath='{.data}'
$ kubectl patch configmap one -p '{"data":{"manual":"kept"}}'
$ kubectl apply -f dir/one.yaml
$ kubectl get configmap one -o jsonpath='{.data}'
$ sed -i 's/port: 80/port: 81, name: x/' dir/web.yaml
$ kubectl apply -f dir/web.yaml
$ kubectl get svc web -o jsonpath='{.spec.ports}'
$ sed -i 's/image: nginx/image: httpd, env: [{name: A, value: "1"}]/' dir/deployment.yaml
$ kubectl apply -f dir/deployment.yaml
$ kubectl get deployment web -o jsonpath='{.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].env}'
$ kubectl create configmap bare --from-literal=a=1
$ kubectl create configmap bare --from-literal=a=2 --dry-run=client -o yaml | kubectl apply -f - 2>&1 | sed 's/Warning: resource.*/WARNED/'
$ kubectl create configmap bare2 --from-literal=a=1
$ kubectl create configmap bare2 --from-literal=a=1 --dry-run=client -o yaml | kubectl apply set-last-applied --create-annotation -f -
$ kubectl create configmap bare3 --dry-run=client -o yaml | kubectl apply set-last-applied -f -
$ KUBE_EDITOR='sed -i s/\"1\"/\"9\"/' kubectl apply edit-last-applied configmap bare2
$ kubectl apply view-last-applied configmap bare2
$ rm dir/web.yaml; kubectl apply --prune -l set=s -f dir 2>&1 | grep -v -i deprecat | grep -v 'DO NOT USE'
$ kubectl get configmaps,services,deployments -l set=s -o name
$ kubectl apply -f dir/nosuch.yaml
$ printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\nnosuch: 1\n' | kubectl apply -f -
$ printf 'apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {ports: [{port: 0}]}\n' | kubectl apply -f -
$ printf 'kind: ConfigMap\nmetadata: {name: one}\n' | kubectl apply -f -
$ mkdir -p kust; cp dir/one.yaml kust; printf 'resources: [one.yaml]\nnamePrefix: k-\nconfigMapGenerator: [{name: made, literals: [a=1]}]\ngeneratorOptions: {disableNameSuffixHash: true}\n' > kust/kustomization.yaml
$ kubectl kustomize kust
$ kubectl apply -k kust
$ kubectl diff -k kust
$ kubectl delete -k kust
$ kubectl delete -f dir
