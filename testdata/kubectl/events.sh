# Events.
#versions 1.33 1.34 1.35 1.36 1.37
#hide node[123] => NODE
$ kubectl run web --image=nginx
% kubectl wait --for=condition=Ready pod/web --timeout=30s
% kubectl get events --field-selector involvedObject.name=web,reason=Started --no-headers | grep web
$ kubectl events --for pod/web | tr -s ' ' | sort -u | grep -E 'Scheduled|LAST'
$ kubectl events --types=Warning
$ kubectl events --for pod/nosuch
$ kubectl get events --field-selector reason=Scheduled -o jsonpath='{.items[0].involvedObject.kind} {.items[0].type} {.items[0].reportingComponent}'
$ kubectl get events --field-selector type=Normal,reason=Started | tr -s ' '
$ kubectl events -w --for pod/web --no-headers >seen & until grep -qs Scheduled seen; do sleep 0.1; done; { kill $!; wait; } 2>/dev/null; grep -c Scheduled seen
