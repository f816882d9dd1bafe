# The other kinds: create, get, describe. What their controllers do is not compared here.
#hide node[123] => NODE
#hide (Start Time|Pods Statuses|Last Schedule Time|Active Deadline Seconds): .*\n => 
$ kubectl create job once --image=alpine -- true
$ kubectl create cronjob often --image=alpine --schedule='0 0 1 1 *' -- true
$ kubectl create job manual --from=cronjob/often
$ kubectl get job manual -o jsonpath='{.metadata.annotations} {.spec.template.spec.containers[0].command}'
$ kubectl get cronjobs
$ kubectl describe cronjob often | sed '/^Events:/,$d'
$ kubectl create cronjob wrong --image=alpine --schedule='every day'
$ kubectl create poddisruptionbudget budget --selector=app=x --min-available=1
$ kubectl create pdb wrong --selector=app=x
$ kubectl get pdb budget -o jsonpath='{.spec}'
$ kubectl create priorityclass $NS-high --value=1000 --description='for tests'
$ kubectl get priorityclass $NS-high -o jsonpath='{.value} {.globalDefault} {.preemptionPolicy}'
$ kubectl describe priorityclass $NS-high
$ kubectl delete priorityclass $NS-high
$ kubectl create quota few --hard=count/secrets=1,configmaps=10
$ kubectl get quota few -o jsonpath='{.spec.hard}'
$ kubectl create deployment web --image=nginx --replicas=0
$ kubectl autoscale deployment web --max=3 2>&1 | grep -v -i -E 'deprecat'
$ kubectl get hpa web -o jsonpath='{.spec.minReplicas} {.spec.maxReplicas} {.spec.scaleTargetRef.name}'
$ kubectl get hpa
$ kubectl autoscale deployment web --max=3 2>&1 | grep -v -i -E 'deprecat'
$ kubectl autoscale deployment web --name=wrong --min=4 --max=3
$ kubectl create -f - <<'END'
> apiVersion: apps/v1
> kind: StatefulSet
> metadata: {name: named}
> spec:
>   serviceName: named
>   replicas: 0
>   selector: {matchLabels: {a: b}}
>   template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}
> ---
> apiVersion: v1
> kind: ReplicationController
> metadata: {name: old}
> spec: {replicas: 0, selector: {a: c}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: nginx}]}}}
> ---
> apiVersion: v1
> kind: LimitRange
> metadata: {name: limits}
> spec: {limits: [{type: Container, default: {cpu: 2}, defaultRequest: {cpu: 1}}]}
> ---
> apiVersion: networking.k8s.io/v1
> kind: NetworkPolicy
> metadata: {name: deny}
> spec: {podSelector: {matchLabels: {run: x}}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {matchLabels: {run: z}}}], ports: [{port: 80}]}]}
> ---
> apiVersion: v1
> kind: PersistentVolumeClaim
> metadata: {name: claim}
> spec: {accessModes: [ReadWriteOnce], storageClassName: "", resources: {requests: {storage: 1Gi}}}
> END
$ kubectl get sts,rc,limits,netpol,pvc
$ kubectl get sts named -o wide
$ kubectl describe sts named
$ kubectl describe limitrange limits
$ kubectl describe networkpolicy deny
$ kubectl scale statefulset named --replicas=0 --current-replicas=0
$ kubectl scale rc old --replicas=0
$ kubectl set image sts/named c=httpd
$ kubectl delete sts,rc,limits,netpol,pvc --all
$ kubectl get networkpolicies
