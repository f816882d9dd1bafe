# The API with curl alone: the unix socket, TLS with a token, YAML, patches, tables, watches.
#hide eyJ[A-Za-z0-9._-]+ => TOKEN
#hide "continue":"[^"]+" => "continue":"TOKEN"
#hide remainingItemCount":\d+ => remainingItemCount":N
$ printf 'curl -sS --unix-socket %s/api.sock "$@"\n' "$MINISVC_RUN_DIR" > sock; chmod +x sock; printf 'http://minisvc/api/v1/namespaces/%s/configmaps' $NS > here
$ sh sock http://minisvc/healthz
$ sh sock http://minisvc/api/v1/namespaces/nosuch
$ sh sock -X POST -H 'Content-Type: application/json' -d '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one"},"data":{"a":"1"}}' $(cat here)
$ sh sock -X POST -H 'Content-Type: application/yaml' --data-binary 'metadata: {name: two, labels: {x: "y"}}' $(cat here) | python3 -c 'import json,sys; o=json.load(sys.stdin); print(o["kind"], o["metadata"]["name"])'
$ sh sock -X POST -H 'Content-Type:' -d '{"metadata":{"name":"three"}}' $(cat here) -o /dev/null -w '%{http_code} %{content_type}\n'
$ sh sock -X POST -H 'Content-Type: text/plain' -d 'x' $(cat here)
$ sh sock -X POST -H 'Content-Type: application/json' -d '{"metadata":{"name":"one"}}' $(cat here)
$ sh sock -X POST -H 'Content-Type: application/json' -d '{' $(cat here)
$ sh sock -X POST -H 'Content-Type: application/json' -d '{"kind":"Service","apiVersion":"v1","metadata":{"name":"x"}}' $(cat here)
$ sh sock -X POST -H 'Content-Type: application/json' -d '{"metadata":{"name":"dry"}}' "$(cat here)?dryRun=All" -o /dev/null -w '%{http_code}\n'; sh sock $(cat here)/dry -o /dev/null -w '%{http_code}\n'
$ sh sock -X POST -H 'Content-Type: application/json' -d '{"metadata":{"name":"dry"}}' "$(cat here)?dryRun=Some"
$ sh sock -X POST -D - -o /dev/null -H 'Content-Type: application/json' -d '{"metadata":{"name":"warned"},"nosuch":1}' "$(cat here)?fieldValidation=Warn" | grep -i -E '^(HTTP|warning)' | tr -d '\r'
$ sh sock -X POST -H 'Content-Type: application/json' -d '{"metadata":{"name":"strict"},"nosuch":1}' "$(cat here)?fieldValidation=Strict"
$ sh sock $(cat here)/one
$ sh sock -H 'Accept: application/yaml' $(cat here)/one
$ sh sock "$(cat here)/one?pretty=true" | head -n 4
$ sh sock -H 'Accept: application/json;as=Table;v=v1;g=meta.k8s.io' "$(cat here)?fieldSelector=metadata.name=one" | python3 -c 'import json,sys; t=json.load(sys.stdin); print(t["kind"], t["apiVersion"], [c["name"] for c in t["columnDefinitions"]], t["rows"][0]["cells"][:2], t["rows"][0]["object"]["kind"])'
$ sh sock -H 'Accept: application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io' $(cat here)/one | python3 -c 'import json,sys; t=json.load(sys.stdin); print(t["kind"], sorted(t))'
$ sh sock -H 'Accept: image/png' $(cat here)/one -o /dev/null -w '%{http_code}\n'
$ sh sock "$(cat here)?limit=2" | python3 -c 'import json,sys; t=json.load(sys.stdin); print(len(t["items"]), sorted(t["metadata"]))'
$ sh sock "$(cat here)?limit=2&continue=nonsense" | python3 -c 'import json,sys; t=json.load(sys.stdin); print(t["code"], t["reason"])'
$ sh sock "$(cat here)?labelSelector=x%3Dy" | python3 -c 'import json,sys; print([i["metadata"]["name"] for i in json.load(sys.stdin)["items"]])'
$ sh sock -X PATCH -H 'Content-Type: application/json-patch+json' -d '[{"op":"add","path":"/data/b","value":"2"}]' $(cat here)/one -o /dev/null -w '%{http_code}\n'
$ sh sock -X PATCH -H 'Content-Type: application/merge-patch+json' -d '{"data":{"c":"3"}}' $(cat here)/one -o /dev/null -w '%{http_code}\n'
$ sh sock -X PATCH -H 'Content-Type: application/strategic-merge-patch+json' -d '{"data":{"a":null}}' $(cat here)/one | python3 -c 'import json,sys; print(json.load(sys.stdin)["data"])'
$ sh sock -X PATCH -H 'Content-Type: application/json' -d '{}' $(cat here)/one
$ sh sock $(cat here)/one | sed 's/"c": "3"/"c": "4"/' | sh sock -X PUT -H 'Content-Type: application/json' -d @- $(cat here)/one | python3 -c 'import json,sys; print(json.load(sys.stdin)["data"])'
$ sh sock -X PUT -H 'Content-Type: application/json' -d '{"metadata":{"name":"other"}}' $(cat here)/one
$ sh sock -X PUT -H 'Content-Type: application/json' -d '{"metadata":{"name":"one","resourceVersion":"1"}}' $(cat here)/one
$ RV=$(sh sock $(cat here) | python3 -c 'import json,sys; print(json.load(sys.stdin)["metadata"]["resourceVersion"])'); sh sock -X POST -H 'Content-Type: application/json' -d '{"metadata":{"name":"seen"}}' $(cat here) >/dev/null; sh sock -X DELETE $(cat here)/seen >/dev/null; timeout 30 sh sock -N "$(cat here)?watch=1&resourceVersion=$RV&timeoutSeconds=1" | python3 -c 'import json,sys; print([(e["type"], e["object"]["metadata"]["name"]) for e in map(json.loads, sys.stdin)])'
$ timeout 30 sh sock -N "$(cat here)?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1&fieldSelector=metadata.name=one" | python3 -c 'import json,sys; print([(e["type"], e["object"]["metadata"].get("name"), e["object"]["metadata"].get("annotations")) for e in map(json.loads, sys.stdin)])'
$ timeout 30 sh sock -N "http://minisvc/api/v1/watch/namespaces/$NS/configmaps/one?timeoutSeconds=1" | python3 -c 'import json,sys; print([(e["type"], e["object"]["metadata"].get("name")) for e in map(json.loads, sys.stdin)])'
$ sh sock "$(cat here)?watch=1&sendInitialEvents=true"
$ sh sock "$(cat here)?resourceVersion=999999999&resourceVersionMatch=NotOlderThan" | python3 -c 'import json,sys; s=json.load(sys.stdin); print(s["code"], s["reason"], s["details"]["causes"][0]["reason"])'
$ sh sock -X DELETE $(cat here)/one
$ sh sock -X DELETE "$(cat here)?labelSelector=x%3Dy" | python3 -c 'import json,sys; t=json.load(sys.stdin); print(t["kind"], len(t["items"]))'
$ sh sock -X POST http://minisvc/api/v1/nodes/node1
$ sh sock http://minisvc/apis/nosuch
$ sh sock http://minisvc/apis/apps/v1/nosuch
$ sh sock http://minisvc/apis/apps/v1/namespaces/$NS/deployments?fieldSelector=spec.x%3D1
$ sh sock http://minisvc/version | python3 -c 'import json,sys; print(sorted(json.load(sys.stdin)))'
$ sh sock http://minisvc/api
$ sh sock http://minisvc/api/v1 | python3 -c 'import json,sys; print([r for r in json.load(sys.stdin)["resources"] if r["name"] == "configmaps"])'
$ sh sock -H 'Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList' -D - http://minisvc/apis -o /dev/null | grep -i '^content-type' | tr -d '\r'
$ sh sock -I http://minisvc/openapi/v3 | head -n 1 | tr -d '\r'
$ sh sock -D - --compressed http://minisvc/openapi/v2 -o /dev/null | head -n 1 | tr -d '\r'
$ kubectl get configmap kube-root-ca.crt -o jsonpath='{.data.ca\.crt}' > ca.crt; kubectl create serviceaccount robot && kubectl create rolebinding robot --clusterrole=view --serviceaccount=$NS:robot && kubectl create token robot > token
$ curl -sS --cacert ca.crt -H "Authorization: Bearer $(cat token)" https://172.30.0.2:6443/api/v1/namespaces/$NS/configmaps/kube-root-ca.crt -o /dev/null -w '%{http_code} %{http_version}\n'
$ curl -sS --cacert ca.crt -H "Authorization: Bearer $(cat token)" https://10.96.0.1/api/v1/namespaces/$NS/secrets
$ curl -sS --cacert ca.crt -H "Authorization: Bearer wrong" https://10.96.0.1/api/v1/namespaces/$NS/secrets
$ curl -sS --cacert ca.crt https://10.96.0.1/api/v1/namespaces
$ curl -sS --cacert ca.crt https://10.96.0.1/livez
$ curl -s https://10.96.0.1/livez; echo $?
