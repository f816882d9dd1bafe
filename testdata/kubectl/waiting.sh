# wait for values and for creation, which kubectl has since 1.23 and 1.31.
#versions 1.33 1.34 1.35 1.36 1.37
$ kubectl create deployment a --image=nginx
$ kubectl wait deployment/a --for=jsonpath='{.status.readyReplicas}'=1 --timeout=30s
$ kubectl wait deployment/a --for=jsonpath='{.spec.replicas}'=2 --timeout=1s
$ kubectl wait deployment/a --for=jsonpath='{.status.readyReplicas}' --timeout=30s
$ (sleep 1; kubectl create configmap late >/dev/null) & kubectl wait configmap/late --for=create --timeout=40s
$ kubectl wait configmap/never --for=create --timeout=1s
$ kubectl create service loadbalancer lb --tcp=80
$ kubectl wait service/lb --for=jsonpath='{.status.loadBalancer.ingress}' --timeout=30s
$ kubectl delete deployment a --wait=false; kubectl wait --for=delete deployment/a --timeout=40s
