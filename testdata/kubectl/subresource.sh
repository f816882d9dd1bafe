# The flag --subresource, which kubectl has since 1.24.
#versions 1.33 1.34 1.35 1.36 1.37
$ kubectl create deployment web --image=nginx --replicas=0
% kubectl rollout status deployment web
$ kubectl get deployment web --subresource=scale
$ kubectl get deployment web --subresource=status -o jsonpath='{.metadata.name}'
$ kubectl patch deployment web --subresource=scale --type=merge -p '{"spec":{"replicas":1}}'
$ kubectl get deployment web -o jsonpath='{.spec.replicas}'
$ kubectl create service loadbalancer lb --tcp=80
% kubectl get service lb -o 'jsonpath={.status.loadBalancer.ingress}' | grep -q ip
$ kubectl patch service lb --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"Mine","status":"True","reason":"R","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]},"spec":{"externalName":"ignored"}}'
$ kubectl get service lb -o jsonpath='{.status.conditions[0].type} {.spec.externalName}'
$ kubectl patch configmap kube-root-ca.crt --subresource=status --type=merge -p '{}'
$ kubectl get pod nosuch --subresource=status
