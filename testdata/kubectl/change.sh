# set, label, annotate, patch.
#hide node[123] => NODE
$ kubectl create deployment web --image=nginx --replicas=0
$ kubectl create service clusterip web --tcp=80
$ kubectl set image deployment/web nginx=nginx:1.27
$ kubectl set image deployment/web '*=httpd'
$ kubectl set image deployment/web nosuch=httpd
$ kubectl set image deployment/web nginx=httpd
$ kubectl set env deployment/web A=1 B=two
$ kubectl set env deployment/web A-
$ kubectl set env deployment/web --list
$ kubectl create configmap vars --from-literal=x=1
$ kubectl set env deployment/web --from=configmap/vars --prefix=C_
$ kubectl set env deployment/web --list
$ kubectl set resources deployment web --limits=cpu=200m,memory=64Mi --requests=cpu=100m
$ kubectl set selector service web app=other
$ kubectl create serviceaccount robot
$ kubectl set serviceaccount deployment web robot
$ kubectl get deployment web -o jsonpath='{.spec.template.spec}'
$ kubectl get service web -o jsonpath='{.spec.selector}'
$ kubectl create rolebinding view --clusterrole=view --user=ann
$ kubectl set subject rolebinding view --user=joe --serviceaccount=$NS:robot
$ kubectl get rolebinding view -o jsonpath='{.subjects[*].name}'
$ kubectl label deployment web tier=front
$ kubectl label deployment web tier=front
$ kubectl label deployment web tier=back
$ kubectl label deployment web tier=back --overwrite
$ kubectl label deployment web tier-
$ kubectl label deployment web tier-
$ kubectl label deployment --all all=yes
$ kubectl label configmap vars bad/key/name=1
$ kubectl label configmap vars 'a=not valid'
$ kubectl label configmap vars a=b --dry-run=server
$ kubectl label configmap vars a=b --list
$ kubectl label configmaps -l nosuch=1 a=b
$ kubectl label configmap vars a=b --resource-version=1
$ kubectl annotate configmap vars note='a text with words'
$ kubectl annotate configmap vars note=other
$ kubectl annotate --overwrite configmap vars note=other
$ kubectl annotate configmap vars note-
$ kubectl annotate configmap vars --list
$ kubectl patch deployment web -p '{"spec":{"replicas":1,"template":{"spec":{"containers":[{"name":"nginx","image":"nginx"}]}}}}'
# The same again is no change once the status, too, has come to rest.
% kubectl rollout status deployment web --timeout=5s
% kubectl patch deployment web -p '{"spec":{"replicas":1}}' | grep 'no change'
$ kubectl patch deployment web -p '{"spec":{"replicas":1}}'
$ kubectl patch deployment web --type=merge -p '{"spec":{"replicas":0}}'
$ kubectl patch deployment web --type=json -p '[{"op":"replace","path":"/spec/replicas","value":2}]'
$ kubectl patch deployment web --type=json -p '[{"op":"test","path":"/spec/replicas","value":7}]'
$ kubectl patch deployment web --type=json -p '[{"op":"remove","path":"/spec/nosuch"}]'
$ kubectl patch deployment web -p '{"spec":{"replicas":"x"}}'
$ kubectl patch deployment web -p '{"spec":{"selector":{"matchLabels":{"app":"y"}}}}'
$ kubectl patch deployment web -p 'not json'
$ kubectl patch deployment nosuch -p '{}'
$ kubectl patch service web -p '{"spec":{"ports":[{"port":81,"name":"second"}]}}'
$ kubectl get service web -o jsonpath='{.spec.ports[*].port}'
$ kubectl patch service web -p '{"spec":{"ports":[{"port":80,"$patch":"delete"}]}}'
$ kubectl get service web -o jsonpath='{.spec.ports[*].port}'
$ kubectl patch service web -p '{"spec":{"clusterIP":"10.96.1.2"}}'
$ kubectl patch service web --type=merge -p '{"spec":{"type":"NodePort"}}'
$ kubectl patch service web --type=merge -p '{"spec":{"type":"ClusterIP"}}'
$ kubectl patch configmap vars -p '{"data":{"y":"2","x":null}}' -o jsonpath='{.data}'
$ kubectl patch configmap vars -p '{"data":{"z":"3"}}' --dry-run=server -o jsonpath='{.data}'
$ kubectl get configmap vars -o jsonpath='{.data}'
$ kubectl patch -f - --type=merge -p '{"data":{"f":"1"}}' <<'END'
> {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "vars"}}
> END
$ kubectl set image deployment/web nginx=nginx --local -o yaml --dry-run=client | grep -c image:
