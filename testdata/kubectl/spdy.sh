# The older way of streams with a newer kubectl.
#versions 1.33 1.37
#hide (\^@|\x00) => 
$ kubectl run a --image=archlinux -- sleep 1000
$ kubectl create deployment blue --image=jpetazzo/color
% kubectl wait --for=condition=Ready pod/a --timeout=30s && kubectl rollout status deployment/blue
% export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false; kubectl exec a -- true
$ export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false; printf 'some words' | kubectl exec -i a -- wc -c
$ export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false; kubectl exec a -- sh -c 'echo err >&2; exit 3'
$ export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false; head -c 3000000 /dev/zero | kubectl exec -i a -- cat | cksum
$ export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false; head -c 100000 /dev/urandom > big; kubectl cp big a:/tmp/copy && kubectl cp a:/tmp/copy back >/dev/null 2>&1 && cmp big back
$ export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false; script -qec "stty rows 33 cols 77; env kubectl exec -it a -- sh -c 'sleep 2; stty size'" /dev/null | tr -d '\r'
$ export KUBECTL_PORT_FORWARD_WEBSOCKETS=false; kubectl port-forward deploy/blue 5$V:80 >/dev/null 2>&1 & until curl -s -m 5 http://127.0.0.1:5$V/ >page; do sleep 0.2; done; { kill $!; wait; } 2>/dev/null; tr '\r' '\n' <page | grep -o 'This is pod ns-[a-z0-9]*/blue'
