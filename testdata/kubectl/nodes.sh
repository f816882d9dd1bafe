# cordon, uncordon, taint, drain: one client after the other, since all share the nodes.
$ kubectl create deployment blue --image=jpetazzo/color --replicas=6
$ kubectl run bare --image=alpine --overrides='{"spec":{"nodeName":"node3","terminationGracePeriodSeconds":1}}' -- sleep 1000
% kubectl rollout status deployment/blue && kubectl wait --for=condition=Ready pod/bare
$ kubectl cordon node3
$ kubectl cordon node3
$ kubectl get nodes
$ kubectl get nodes --field-selector=spec.unschedulable=true -o name
$ kubectl drain node3 2>&1
$ kubectl drain node3 --ignore-daemonsets --force --delete-emptydir-data --timeout=50s 2>&1 | sed -E '/coredns/d; s/[Ww][Aa][Rr][Nn][Ii][Nn][Gg]: .*/WARNED/; s/blue-[a-z0-9]+-[a-z0-9]+/blue-HASH-RANDOM/' | sort -u
$ kubectl get pods -o wide --field-selector=spec.nodeName=node3
% kubectl rollout status deployment/blue
$ kubectl get pods -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort -u
$ kubectl uncordon node3
$ kubectl uncordon node3
$ kubectl get nodes
$ kubectl taint node node2 key=value:NoSchedule
$ kubectl taint node node2 key=value:NoSchedule
$ kubectl taint node node2 key=other:NoSchedule
$ kubectl taint node node2 key=other:NoSchedule --overwrite
$ kubectl taint nodes node1 node2 evil=true:NoExecute
% kubectl get pods -o 'jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}' | grep -c node3 | grep -x 6 && kubectl get pods -o name | grep -c . | grep -x 6
$ kubectl get pods --field-selector=spec.nodeName=node1
$ kubectl get pods --field-selector=spec.nodeName=node2
$ kubectl taint nodes node1 node2 evil:NoExecute-
$ kubectl taint node node2 key-
$ kubectl taint node node2 key-
$ kubectl taint node node2 'bad key=x:NoSchedule'
$ kubectl taint node node2 key=x:Nosuch
$ kubectl taint node nosuch key=x:NoSchedule
$ kubectl get node node2 -o jsonpath='{.spec.taints}'
$ kubectl label node node1 zone=a && kubectl get nodes -L zone && kubectl label node node1 zone-
$ kubectl cordon nosuch
$ kubectl delete deployment blue
