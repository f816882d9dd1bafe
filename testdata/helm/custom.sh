# The chart's definition and its object: the definition comes with the first release and stays when the last one goes.
# One version after the other, since all share the definition.
#hide v4\.\d+\.\d+ => v4
#hide [A-Z][a-z]{2} [A-Z][a-z]{2} +\d+ \d\d:\d\d:\d\d \d{4} => TIME
$ kubectl get crd paints.rainbow.example.com
$ helm show crds "$TESTDATA/charts/rainbow" | grep -c '^kind: CustomResourceDefinition'
$ helm template r "$TESTDATA/charts/rainbow" --include-crds | grep '^kind:' | sort | uniq -c | tr -s ' '
$ helm install r "$TESTDATA/charts/rainbow" --skip-crds --set prepare=false,replicas=0 2>&1 | tail -n 2
$ helm install r "$TESTDATA/charts/rainbow" --set prepare=false,replicas=0 | grep -E '^(NAME|STATUS|REVISION):'
$ kubectl get paints
$ kubectl get pnt r -o jsonpath='{.spec}'
$ kubectl explain paint.spec | grep -v '^$'
$ helm upgrade r "$TESTDATA/charts/rainbow" --set prepare=false,replicas=0,color=red | grep -E '^(STATUS|REVISION):'
$ kubectl get paint r
$ helm upgrade r "$TESTDATA/charts/rainbow" --set prepare=false,replicas=0,color=red --dry-run=server | grep -E '^(STATUS|REVISION):'
$ helm upgrade r "$TESTDATA/charts/rainbow" --set prepare=false,replicas=0,color=red --set-string color=9 2>&1 | grep -v '^level=' | tail -n 2
$ kubectl get paint r -o jsonpath='{.spec}'
$ helm rollback r 1
$ kubectl get paint r -o jsonpath='{.spec}'
$ helm uninstall r
$ kubectl get paints
$ kubectl delete -f "$TESTDATA/charts/rainbow/crds"
$ kubectl get paints
