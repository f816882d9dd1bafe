# run, expose, scale, autoscale.
#hide node[123] => NODE
$ kubectl run web --image=nginx --port=80 --labels=app=web,tier=front --env=A=1
$ kubectl run web --image=nginx
$ kubectl run dry --image=nginx --dry-run=client -o yaml
$ kubectl run dry --image=nginx --dry-run=server -o name
$ kubectl run job --image=alpine --restart=Never --command -- sh -c 'exit 3'
$ kubectl run over --image=alpine --restart=OnFailure --overrides='{"spec":{"terminationGracePeriodSeconds":1}}' -- sleep 1000
% kubectl get pod job -o 'jsonpath={.status.phase}' | grep Failed
% kubectl wait --for=condition=Ready pod/web pod/over
$ kubectl get pods --show-labels
$ kubectl get pod over -o jsonpath='{.spec.terminationGracePeriodSeconds} {.spec.restartPolicy} {.spec.containers[0].args}'
$ kubectl run Bad_Name --image=nginx
$ kubectl run noimage
$ kubectl run exposed --image=nginx --port=80 --expose
$ kubectl get svc exposed -o jsonpath='{.spec.selector} {.spec.ports}'
$ kubectl expose pod web --name=web-svc --port=8080 --target-port=80
$ kubectl expose pod web
$ kubectl expose pod job
$ kubectl create deployment blue --image=jpetazzo/color --port=80
$ kubectl expose deployment blue
$ kubectl expose deployment blue
$ kubectl expose deployment blue --name=np --type=NodePort --port=80 --protocol=TCP
$ kubectl expose deployment blue --name=ext --port=80 --external-ip=1.2.3.4
$ kubectl expose deployment blue --name=hl --port=80 --cluster-ip=None
$ kubectl expose deployment blue --name=udp --port=53 --protocol=UDP --session-affinity=ClientIP
$ kubectl expose deployment blue --name=custom --port=80 --selector=app=other --labels=l=m
$ kubectl expose service np --name=again --port=81
$ kubectl expose deployment nosuch --port=80
$ kubectl expose configmap kube-root-ca.crt --port=80
$ kubectl get svc -o wide
$ kubectl get svc udp -o jsonpath='{.spec.sessionAffinityConfig}'
$ kubectl scale deployment blue --replicas=3
$ kubectl scale deployment blue --replicas=3 --current-replicas=1
$ kubectl scale deployment/blue --replicas=2 --current-replicas=3
$ kubectl scale --replicas=1 deploy -l app=blue
$ kubectl scale deployment blue --replicas=-1
$ kubectl scale pod web --replicas=2
$ kubectl scale deployment nosuch --replicas=2
% kubectl get deployment,rs -l app=blue -o 'jsonpath={range .items[*]}{.spec.replicas}{.status.replicas}{.status.readyReplicas}{end}' | grep -x 111111
$ kubectl get deployment blue
$ kubectl scale rs -l app=blue --replicas=2
# The Deployment takes its ReplicaSet back to one pod.
% kubectl get rs -l app=blue -o json | python3 -c 'import json,sys; rs=json.load(sys.stdin)["items"][0]; s=rs["status"]; sys.exit(not (rs["metadata"]["generation"] == s["observedGeneration"] and rs["spec"]["replicas"] == s["replicas"] == s["readyReplicas"] == 1))'
% kubectl get deployment blue -o 'jsonpath={.status.replicas}' | grep -x 1
$ kubectl get --raw "/apis/apps/v1/namespaces/$NS/deployments/blue/scale" | python3 -c 'import json,sys; s=json.load(sys.stdin); print(s["kind"], s["spec"], s["status"])'
