# rollout.
#hide Waiting for deployment.*\n => 
#hide Waiting for daemon set.*\n => 
$ kubectl create deployment web --image=nginx --replicas=2
$ kubectl rollout status deployment/web
$ kubectl annotate deployment web kubernetes.io/change-cause='first'
% kubectl rollout history deployment/web | grep first
$ kubectl set image deployment/web nginx=httpd
$ kubectl annotate deployment web kubernetes.io/change-cause='second' --overwrite
$ kubectl rollout status deployment web --timeout=50s
% kubectl rollout history deployment/web | grep second
$ kubectl rollout history deployment/web
$ kubectl rollout history deployment/web --revision=1
$ kubectl rollout history deployment/web --revision=7
$ kubectl rollout undo deployment/web --dry-run=server
$ kubectl rollout undo deployment/web
$ kubectl rollout status deployment/web
$ kubectl rollout history deployment/web
$ kubectl rollout undo deployment/web --to-revision=2
$ kubectl rollout undo deployment/web --to-revision=9
$ kubectl rollout status deployment/web
$ kubectl rollout pause deployment/web
$ kubectl rollout pause deployment/web
$ kubectl set image deployment/web nginx=nginx
$ kubectl rollout undo deployment/web
$ kubectl rollout restart deployment/web
$ kubectl rollout resume deployment/web
$ kubectl rollout resume deployment/web
$ kubectl rollout status deployment/web
$ kubectl rollout restart deployment/web
$ kubectl rollout status deployment/web
$ kubectl get deployment web -o jsonpath='{.spec.template.spec.containers[0].image} {.spec.template.metadata.annotations}'
$ kubectl rollout status deployment/nosuch
$ kubectl rollout status configmap/kube-root-ca.crt
$ kubectl create deployment stuck --image=nosuch
$ kubectl rollout status deployment/stuck --timeout=1s
$ kubectl rollout status deployment/stuck --watch=false
$ kubectl create -f - <<'END'
> apiVersion: apps/v1
> kind: DaemonSet
> metadata: {name: each}
> spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}}
> END
$ kubectl rollout status daemonset/each
$ kubectl set image daemonset/each c=httpd
$ kubectl rollout status daemonset/each
$ kubectl rollout restart daemonset/each
$ kubectl rollout status daemonset/each
$ kubectl get daemonset each
