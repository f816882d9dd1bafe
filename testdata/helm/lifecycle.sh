# A chart from install to uninstall: server-side apply, as helm 4 does unless told otherwise.
#hide v4\.\d+\.\d+ => v4
#hide [A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4} => TIME
#hide \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [+-]\d{4} UTC => TIME
$ helm lint "$TESTDATA/charts/rainbow" | tail -n 1
$ helm template r "$TESTDATA/charts/rainbow" | grep -c '^kind:'
$ helm install r "$TESTDATA/charts/rainbow" --dry-run=server | grep -E '^(NAME|STATUS|REVISION|kind):'
$ helm install r "$TESTDATA/charts/rainbow" --wait --timeout 60s
$ helm list
$ helm list -o json | python3 -c 'import json,sys; print([(r["name"], r["status"], r["chart"]) for r in json.load(sys.stdin)])'
$ helm status r | grep -E '^(NAME|STATUS|REVISION|DESCRIPTION|NAMESPACE):'
$ helm get manifest r | grep -E '^kind:' | sort
$ helm get values r --all -o json
$ helm get notes r
$ helm get hooks r | grep -E '^kind:' | sort
$ kubectl get deployment,service,ingress,configmap,secret,serviceaccount,paint -l app.kubernetes.io/instance=r -o name
$ kubectl get secrets -l owner=helm -o jsonpath='{range .items[*]}{.metadata.name} {.type}{"\n"}{end}'
$ helm test r --timeout 60s | grep -E '^(Phase|TEST SUITE):'
$ helm install r "$TESTDATA/charts/rainbow"
$ helm upgrade r "$TESTDATA/charts/rainbow" --set replicas=2 --wait --timeout 60s | grep -E '^(STATUS|REVISION):'
$ kubectl get deployment r-blue -o jsonpath='{.spec.replicas} {.status.readyReplicas}'
$ helm upgrade r "$TESTDATA/charts/rainbow" --set color=green --wait --timeout 60s | grep -E '^(STATUS|REVISION):'
$ kubectl get deployment -o name
$ kubectl get service r -o jsonpath='{.spec.selector.app}'
$ helm history r -o json | python3 -c 'import json,sys; print([(r["revision"], r["status"], r["description"]) for r in json.load(sys.stdin)])'
$ helm rollback r 2 --wait --timeout 60s
$ kubectl get deployment -o name
$ kubectl get configmap r-settings -o jsonpath='{.data}'
$ helm upgrade r "$TESTDATA/charts/rainbow" --set image=nosuch/image --rollback-on-failure --set prepare=false --wait --timeout 20s 2>&1 | grep -o -E 'UPGRADE FAILED|has been rolled back'
$ helm history r -o json | python3 -c 'import json,sys; print([(r["revision"], r["status"]) for r in json.load(sys.stdin)])'
$ kubectl get deployment r-blue -o jsonpath='{.spec.template.spec.containers[0].image}'
$ helm upgrade --install other "$TESTDATA/charts/rainbow" --set color=red --set host=red.example.com | grep -E '^(NAME|STATUS|REVISION):'
$ helm upgrade --install other "$TESTDATA/charts/rainbow" --set color=red --set host=red.example.com | grep -E '^(NAME|STATUS|REVISION):'
$ helm install bad "$TESTDATA/charts/rainbow" --set replicas=-1 2>&1 | tail -n 3
$ helm uninstall other --keep-history
$ helm list --uninstalled --deployed -o json | python3 -c 'import json,sys; print([(r["name"], r["status"]) for r in json.load(sys.stdin)])'
$ helm uninstall other r
$ helm uninstall r
$ kubectl get deployment,service,ingress,secret,configmap,paint -o name
$ helm list
