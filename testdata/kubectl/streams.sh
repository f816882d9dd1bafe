# logs, exec, attach, cp, run -it, port-forward, proxy; each port of the VM is the version's own.
#hide 1\d\d80\b => PORT
#hide Defaulted container.*\n => 
#hide Defaulting container name to.*\n => 
#hide tar: [^\n]*\n => 
#hide (\^@|\x00) => 
#hide Use .kubectl describe.*\n => 
$ kubectl run a --image=archlinux -- sh -c 'echo first; echo second; exec sleep 1000'
$ kubectl create deployment blue --image=jpetazzo/color && kubectl expose deployment blue --port=80
$ kubectl create -f - <<'END'
> apiVersion: v1
> kind: Pod
> metadata: {name: two}
> spec:
>   initContainers: [{name: i, image: alpine, command: [sh, -c, "echo from i"]}]
>   containers:
>   - {name: a, image: alpine, command: [sh, -c, "echo from a; exec sleep 1000"]}
>   - {name: b, image: alpine, command: [sh, -c, "echo from b; exec sleep 1000"]}
> END
% kubectl wait --for=condition=Ready pod/a pod/two --timeout=30s && kubectl rollout status deployment/blue
% kubectl logs two -c b | grep from && kubectl logs two -c a | grep from && kubectl logs a | grep second
$ kubectl logs a
$ kubectl logs a --tail=1
$ kubectl logs a --limit-bytes=8
$ kubectl logs a --since=1h
$ kubectl logs a --since-time=2099-01-01T00:00:00Z
$ kubectl logs a --timestamps --tail=1
$ kubectl logs two -c b
$ kubectl logs two --all-containers | sort
$ kubectl logs two --all-containers --prefix | sort
$ kubectl logs two -c i
$ kubectl logs two -c nosuch
$ kubectl logs a --previous
$ kubectl logs -l run=a --tail=5
$ kubectl logs deploy/blue
$ kubectl logs nosuch
$ kubectl logs deploy/nosuch
$ kubectl logs -f a >seen & until grep -qs second seen; do sleep 0.1; done; { kill $!; wait; } 2>/dev/null; cat seen
$ kubectl exec a -- echo hello
$ kubectl exec a -- sh -c 'echo out; echo err >&2; exit 3' 2>/dev/null
$ kubectl exec a -- sh -c 'echo out; echo err >&2; exit 3' >/dev/null
$ printf 'some words' | kubectl exec -i a -- wc -c
$ head -c 3000000 /dev/zero | tr '\0' '\377' | kubectl exec -i a -- cat | cksum
$ kubectl exec a -- head -c 5000000 /dev/zero | wc -c
$ kubectl exec two -c a -- hostname
$ kubectl exec two -c nosuch -- ls
$ kubectl exec a -- nosuch
$ kubectl exec nosuch -- ls
$ kubectl exec deploy/blue -- ls
$ kubectl exec a
$ script -qec "env kubectl exec -it a -- sh -c 'test -t 0 && echo terminal; exit 4'" /dev/null | tr -d '\r'; echo ${PIPESTATUS[0]}
$ script -qec "stty rows 33 cols 77; env kubectl exec -it a -- sh -c 'sleep 2; stty size'" /dev/null | tr -d '\r'
$ kubectl exec -i a -- sh -c 'read x; echo got $x' <<< typed
$ for i in $(seq 10); do kubectl exec a -- echo $i & done | sort -n | tr '\n' ' '; wait
$ head -c 100000 /dev/urandom > big; kubectl cp big a:/tmp/copy && kubectl cp a:/tmp/copy back >/dev/null 2>&1 && cmp big back
$ mkdir -p tree/sub; echo 1 > tree/one; echo 2 > tree/sub/two; kubectl cp tree a:/tmp/tree && kubectl exec a -- find /tmp/tree -type f | sort
$ kubectl cp a:/tmp/tree copied >/dev/null 2>&1; find copied -type f | sort
$ kubectl cp two:/etc/hostname h -c a >/dev/null 2>&1; cat h
$ kubectl cp a:/nosuch x >/dev/null 2>&1; ls x
$ kubectl run once --rm -i --restart=Never --image=alpine --quiet -- sh -c 'cat; echo fast' 2>/dev/null </dev/null
$ echo typed in | kubectl run once --rm -i --restart=Never --image=alpine --quiet -- sh -c 'cat; exit 5' 2>&1 | grep -v "If you don't see"; echo ${PIPESTATUS[1]}
$ kubectl get pod once
$ kubectl run fed --image=alpine --stdin --leave-stdin-open --attach=false -- sh -c 'while read l; do echo got $l; done'
% kubectl wait --for=condition=Ready pod/fed --timeout=20s
$ (echo once; exec sleep 50 2>/dev/null) | kubectl attach -i fed >seen 2>/dev/null & until grep -qs 'got once' seen; do sleep 0.1; done; { kill $! $(jobs -p); wait; } 2>/dev/null; cat seen; kubectl logs fed
$ kubectl attach nosuch
$ kubectl port-forward pod/nosuch 8080:80
$ kubectl port-forward svc/nosuch 8080:80
$ kubectl port-forward svc/blue 8080:81
$ kubectl port-forward svc/blue 1$V:80 >/dev/null 2>&1 & until curl -s -m 5 http://127.0.0.1:1$V/ >page; do sleep 0.2; done; { kill $!; wait; } 2>/dev/null; tr '\r' '\n' <page | grep -o 'This is pod ns-[a-z0-9]*/blue'
$ kubectl port-forward deploy/blue 2$V:80 >/dev/null 2>&1 & until curl -s -m 5 http://127.0.0.1:2$V/ >page; do sleep 0.2; done; { kill $!; wait; } 2>/dev/null; tr '\r' '\n' <page | grep -o 'This is pod ns-[a-z0-9]*/blue'
$ kubectl port-forward pod/a 3$V:81 >forward.txt 2>&1 & until grep -qs Forwarding forward.txt; do sleep 0.2; done; curl -s -m 5 http://127.0.0.1:3$V/ || echo failed; { kill $!; wait; } 2>/dev/null
$ kubectl proxy --port=4$V >/dev/null 2>&1 & until curl -s -m 5 http://127.0.0.1:4$V/version >version; do sleep 0.2; done; curl -s -m 5 http://127.0.0.1:4$V/api/v1/namespaces/$NS/services/blue/proxy/x | tr '\r' '\n' | grep -o 'serving /x'; grep -c gitVersion version; { kill $!; wait; } 2>/dev/null
$ kubectl get --raw "/api/v1/namespaces/$NS/services/blue:80/proxy/raw" | tr '\r' '\n' | grep -o 'serving /raw'
$ kubectl get --raw /api/v1/nodes/node1/proxy/healthz
