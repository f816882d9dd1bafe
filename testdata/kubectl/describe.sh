# describe, of each kind.
#hide node[123] => NODE
#hide 172\.30\.0\.1[123] => NODE-IP
#hide (Container ID:\s+)\S+ => ${1}ID
#hide \(\d+ms including waiting\) => (in time)
#hide minisvc pulls nothing[^\n]* => (why)
#hide (Image ID:\s+)\S+ => ${1}ID
$ kubectl create deployment blue --image=jpetazzo/color
% kubectl rollout status deployment/blue && kubectl get rs -l app=blue -o 'jsonpath={.items[0].status.readyReplicas}' | grep -x 1
% kubectl get deployment blue -o 'jsonpath={.status.conditions[*].reason}' | grep NewReplicaSetAvailable
% kubectl get events | grep SuccessfulCreate && kubectl get events | grep ScalingReplicaSet
$ kubectl expose deployment blue --port=80
% kubectl get endpoints blue -o 'jsonpath={.subsets[0].addresses[0].ip}' | grep -q .
% kubectl get endpointslices -l kubernetes.io/service-name=blue -o 'jsonpath={.items[0].endpoints[0].addresses[0]}' | grep -q .
$ kubectl describe deployment blue
$ kubectl describe rs -l app=blue
$ kubectl describe pod -l app=blue | sed -E 's/kube-api-access-[a-z0-9]+/kube-api-access-X/' | sed '/^Events:/,$d'
$ kubectl describe service blue
$ kubectl describe endpoints blue
$ kubectl describe endpointslices -l kubernetes.io/service-name=blue
$ kubectl create service externalname k8s --external-name=kubernetes.io && kubectl describe service k8s
$ kubectl create service clusterip hl --clusterip=None && kubectl describe service hl
$ kubectl expose deployment blue --name=np --port=80 --type=NodePort --session-affinity=ClientIP && until kubectl get endpointslices -l kubernetes.io/service-name=np -o 'jsonpath={.items[0].endpoints[0].addresses[0]}' 2>/dev/null | grep -q .; do sleep 0.1; done; kubectl describe service np
$ kubectl expose deployment blue --name=ext --port=80 --external-ip=1.2.3.4 && until kubectl get endpointslices -l kubernetes.io/service-name=ext -o 'jsonpath={.items[0].endpoints[0].addresses[0]}' 2>/dev/null | grep -q .; do sleep 0.1; done; kubectl describe service ext
$ kubectl create configmap c --from-literal=b=$'two\nlines' && kubectl describe configmap c
$ kubectl create secret generic s --from-literal=a=12345 && kubectl describe secret s
$ kubectl describe serviceaccount default
$ kubectl describe namespace $NS
$ kubectl create ingress i --rule='h.example/p=blue:80' --rule='h.example/none=nosuch:80' && kubectl describe ingress i
$ kubectl create role r --verb=get,list --resource=pods,deployments.apps --resource-name=x && kubectl describe role r
$ kubectl create rolebinding r --role=r --user=joe --serviceaccount=$NS:default && kubectl describe rolebinding r
$ kubectl describe lease -n kube-node-lease node1 | grep -v -E 'Renew Time|Lease Transitions'
$ kubectl describe node node1 | sed -E '/hugepages/d; s/(cpu|memory|ephemeral-storage|pods)( *[: ]).*/\1\2 .../' | sed '/^Non-terminated Pods:/,/^Allocated resources:/d; /^Events:/,$d' | grep -v -E '^  Ready|Machine ID|System UUID|Boot ID|Kernel Version|OS Image|AcquireTime|RenewTime'
$ kubectl describe svc nosuch
$ kubectl describe pods nosuch
$ kubectl describe nosuch x
$ kubectl describe svc bl --show-events=false | head -n 1
$ kubectl run bad --image=nosuch/image
% kubectl get events --field-selector involvedObject.name=bad -o 'jsonpath={.items[*].message}' | grep 'Error: ImagePullBackOff'
$ kubectl describe pod bad | grep -E '^  (Normal|Warning)' | sed -E 's/^  (\S+) +(\S+) +(<?[^ ]+>?)( \(x.*\))? +(\S+) +/\1 \2 \5: /' | sort -u
$ kubectl describe -f - <<'END' | head -n 3
> {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
> END
