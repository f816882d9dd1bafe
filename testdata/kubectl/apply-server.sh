# Server-side apply: owners, conflicts, force, and the move from the client's way.
$ printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: "1", b: "2"}\n' > one.yaml
$ kubectl apply --server-side -f one.yaml
$ kubectl apply --server-side -f one.yaml
$ kubectl get configmap one -o jsonpath='{range .metadata.managedFields[*]}{.manager} {.operation} {.fieldsV1}{"\n"}{end}'
$ sed 's/a: "1"/a: "9"/' one.yaml | kubectl apply --server-side --field-manager=other -f -
$ sed 's/a: "1"/a: "9"/' one.yaml | kubectl apply --server-side --field-manager=other --force-conflicts -f -
$ kubectl get configmap one -o jsonpath='{.data} {range .metadata.managedFields[*]}{.manager}:{.fieldsV1} {end}'
$ kubectl apply --server-side -f one.yaml
$ printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {b: "2"}\n' | kubectl apply --server-side -f -
$ kubectl get configmap one -o jsonpath='{.data}'
$ printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n' | kubectl apply --server-side --field-manager=other -f -
$ kubectl get configmap one -o jsonpath='{.data}'
$ kubectl apply --server-side --dry-run=server -f one.yaml
$ kubectl get configmap one -o jsonpath='{.data}'
$ printf 'apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}], selector: {a: b}}\n' > web.yaml
$ kubectl apply -f web.yaml
$ kubectl apply --server-side -f web.yaml
$ kubectl get service web -o jsonpath='{range .metadata.managedFields[*]}{.manager} {.operation}{"\n"}{end}'
$ sed -i 's/port: 80/port: 81/' web.yaml; kubectl apply --server-side -f web.yaml
$ kubectl get service web -o jsonpath='{.spec.ports[*].port}'
$ kubectl create deployment web --image=nginx --replicas=0
$ printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 1}\n' | kubectl apply --server-side -f -
$ printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\nnosuch: 1\n' | kubectl apply --server-side --validate=false -f -
$ kubectl diff --server-side -f web.yaml
$ kubectl delete -f web.yaml
