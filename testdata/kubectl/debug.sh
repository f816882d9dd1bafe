# debug: a container beside those of a running pod, a changed copy of a pod, a pod at home on a node.
#versions 1.33 1.34 1.35 1.36 1.37
#hide node-debugger-node1-\w+ => node-debugger-node1-RANDOM
#hide debugger-\w{5}\b => debugger-RANDOM
#hide (Container ID|Image ID):.* => $1:  ID
$ kubectl run web --image=alpine --port=80 -- sleep 1001
% kubectl wait --for=condition=Ready pod/web --timeout=5s
$ kubectl debug web --image=busybox -c side --profile=general -- sh -c 'echo from the side; exec sleep 1000'
% kubectl get pod web -o 'jsonpath={.status.ephemeralContainerStatuses[0].state.running.startedAt}' | grep T && kubectl logs web -c side | grep side
$ kubectl logs web -c side
$ kubectl get pod web
$ kubectl get pod web -o jsonpath='{.spec.ephemeralContainers[*].name} {.spec.ephemeralContainers[0].image} {.spec.ephemeralContainers[0].command} {.spec.ephemeralContainers[0].args} {.spec.ephemeralContainers[0].terminationMessagePath} {.spec.ephemeralContainers[0].securityContext}'
$ kubectl describe pod web | sed -n '/^Ephemeral Containers:/,/^Conditions:/p' | grep -v -E 'Started:|Conditions'
$ kubectl exec web -c side -- hostname
$ kubectl exec web -c side -- sh -c 'exit 3'
$ kubectl debug web --image=busybox -c side --profile=general -- true
$ kubectl debug web --image=busybox -c web --profile=general -- true
$ kubectl debug web --image=busybox -c near --target=web --profile=general -- sleep 1000
% kubectl get pod web -o 'jsonpath={.status.ephemeralContainerStatuses[1].state.running.startedAt}' | grep T
$ kubectl get pod web -o jsonpath='{.spec.ephemeralContainers[1].targetContainerName}'
$ kubectl exec web -c near -- sh -c 'cat /proc/[0-9]*/cmdline' | tr '\0' ' ' | grep -o 'sleep 100[01]' | sort -u
$ kubectl exec web -c side -- sh -c 'cat /proc/[0-9]*/cmdline' | tr '\0' ' ' | grep -o 'sleep 100[01]' | sort -u
$ kubectl debug web --image=busybox -c far --target=nosuch --profile=general -- sleep 1000
$ kubectl debug web --image=busybox --profile=general --attach=false -q
$ mkfifo held; (echo words; exec sleep 50) >held & kubectl debug web --image=busybox -c talk --profile=general -i -q -- sh -c 'read x; echo got $x' <held 2>/dev/null; kill $!
$ kubectl debug web --copy-to=copy --image=busybox -c extra --share-processes --profile=general -- sleep 1000
% kubectl wait --for=condition=Ready pod/copy --timeout=5s
$ kubectl get pod copy
$ kubectl get pod copy -o jsonpath='{.spec.containers[*].name} {.spec.shareProcessNamespace} {.spec.ephemeralContainers} {.metadata.labels}'
$ kubectl exec copy -c extra -- sh -c 'cat /proc/[0-9]*/cmdline' | tr '\0' ' ' | grep -o 'sleep 100[01]' | sort -u
$ kubectl debug web --copy-to=changed --set-image='*=httpd' --profile=general
$ kubectl get pod changed -o jsonpath='{.spec.containers[*].image}'
$ kubectl debug web --copy-to=copy --set-image='*=httpd' --profile=general
$ kubectl debug node/node1 --image=busybox --profile=general -- sh -c 'ls -d /host/proc; echo on $(hostname); exec sleep 1000'
% kubectl logs $(kubectl get pods -o name | grep node-debugger) | grep 'on node'
$ kubectl logs $(kubectl get pods -o name | grep node-debugger)
$ kubectl get $(kubectl get pods -o name | grep node-debugger) -o jsonpath='{.spec.nodeName} {.spec.hostNetwork} {.spec.hostPID} {.spec.hostIPC} {.spec.tolerations[0]} {.spec.volumes[0]}'
$ kubectl debug nosuch --image=busybox --profile=general
$ kubectl debug node/nosuch --image=busybox --profile=general
$ kubectl debug web --profile=general
$ kubectl patch pod web --subresource=ephemeralcontainers -p '{"spec":{"ephemeralContainers":[{"$patch":"delete","name":"side"}]}}'
$ kubectl patch pod web -p '{"spec":{"ephemeralContainers":[{"name":"more","image":"busybox"}]}}' 2>&1 | head -n 1
