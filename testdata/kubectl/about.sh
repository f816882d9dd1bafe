# What the cluster and the client say of themselves.
#hide v1\.\d+\.\d+(-\S+)? => vCLIENT
#hide kustomize/\S+ => kustomize
#hide (Client Version|Server Version): version.Info.* => $1
$ kubectl version 2>&1 | grep -v -i -E 'warning|kustomize'
$ kubectl version -o json 2>/dev/null | python3 -c 'import json,sys; v=json.load(sys.stdin)["serverVersion"]; print(v["major"], v["minor"], v["platform"][:5])'
$ kubectl cluster-info | sed 's/\x1b\[[0-9;]*m//g'
$ kubectl cluster-info dump --namespaces=$NS --output-directory=dump | sed "s/$NS/ns/"
$ find dump -type f | sort
$ kubectl cluster-info dump --namespaces=$NS | head -c 20
$ kubectl config current-context
$ kubectl config get-contexts
$ kubectl config get-clusters
$ kubectl config view | sed -E 's/(server: ).*/\1URL/'
$ kubectl config view --minify -o jsonpath='{..namespace}'
$ kubectl config set-context other --cluster=minisvc --user=minisvc --namespace=$NS
$ kubectl config use-context other
$ kubectl get configmaps -o name
$ kubectl config use-context minisvc
$ kubectl config delete-context other
$ kubectl explain service | sed -n '1,/FIELDS/p' | grep -v '^$'
$ kubectl explain service.spec.clusterIP
$ kubectl explain pods.spec.containers.livenessProbe.httpGet.port
$ kubectl explain deployment.spec.nosuch
$ kubectl explain nosuch
$ kubectl explain deployment --recursive | grep -c maxSurge
$ kubectl explain deploy.spec.strategy.rollingUpdate.maxSurge
$ kubectl top pods
$ kubectl top nodes
$ kubectl completion bash | grep -c '__start_kubectl kubectl'
$ kubectl __complete get pods --namespace nosuch '' 2>/dev/null
$ kubectl options | head -n 1
$ kubectl api-resources --api-group=apps --no-headers | tr -s ' '
$ kubectl api-resources --namespaced=false --api-group= --no-headers | tr -s ' '
$ kubectl api-resources -o name --api-group=networking.k8s.io
$ kubectl api-resources --verbs=list,get,delete --api-group=coordination.k8s.io -o wide | tr -s ' '
$ kubectl get services --kubeconfig=/nosuch
$ kubectl get services --server=https://127.0.0.1:1 2>&1 | tail -n 1
$ kubectl get services --context=nosuch
$ kubectl nosuch
$ kubectl certificate approve nosuch
