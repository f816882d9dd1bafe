"""The Python member of the client matrix: each check is one way a program uses the `kubernetes` package.

Run as `checks.py NAMESPACE CHECK...` with KUBECONFIG set; prints `ok CHECK` for each that holds and stops at the first
that does not. The pods `shell` (a shell and cat) and `web` (a page at port 80) are made by whoever runs this.
"""

import datetime
import os
import sys
import threading
import time
import uuid

import yaml
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.informer import SharedInformer
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from kubernetes.stream import portforward, stream

NAMESPACE = sys.argv[1]


def refused(code, call):
    """The body of the refusal that the call must meet."""
    try:
        answer = call()
    except ApiException as error:
        assert error.status == code, error
        return error.body
    raise AssertionError(f"not refused: {answer}")


def until(condition, state):
    """Waits at most 15 s."""
    for _ in range(150):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError(state())


def config_map(name, data=None, labels=None):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data)


def typed(api):
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    made = core.create_namespaced_config_map(NAMESPACE, config_map("typed", {"a": "1"}))
    assert made.metadata.uid and isinstance(made.metadata.creation_timestamp, datetime.datetime)
    refused(409, lambda: core.create_namespaced_config_map(NAMESPACE, config_map("typed")))
    made.data["a"] = "2"
    changed = core.replace_namespaced_config_map("typed", NAMESPACE, made)
    assert changed.data == {"a": "2"} and changed.metadata.resource_version != made.metadata.resource_version
    refused(409, lambda: core.replace_namespaced_config_map("typed", NAMESPACE, made))
    labels = {"app": "typed"}
    container = client.V1Container(name="c", image="nginx", ports=[client.V1ContainerPort(container_port=80)])
    deployment = client.V1Deployment(
        metadata=client.V1ObjectMeta(name="typed"),
        spec=client.V1DeploymentSpec(
            replicas=1,
            selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
            ),
        ),
    )
    apps.create_namespaced_deployment(NAMESPACE, deployment)
    status = lambda: apps.read_namespaced_deployment_status("typed", NAMESPACE).status
    until(lambda: status().ready_replicas == 1, status)
    scale = apps.read_namespaced_deployment_scale("typed", NAMESPACE)
    scale.spec.replicas = 0
    # Go leaves a zero out.
    assert not apps.replace_namespaced_deployment_scale("typed", NAMESPACE, scale).spec.replicas
    # Every kind that a program commonly lists can be read into its type.
    for listing in [
        core.list_node, core.list_namespace, core.list_pod_for_all_namespaces, core.list_service_for_all_namespaces,
        core.list_endpoints_for_all_namespaces, core.list_event_for_all_namespaces,
        core.list_secret_for_all_namespaces, core.list_service_account_for_all_namespaces,
        apps.list_deployment_for_all_namespaces, apps.list_replica_set_for_all_namespaces,
        apps.list_daemon_set_for_all_namespaces, client.CoordinationV1Api(api).list_lease_for_all_namespaces,
        client.DiscoveryV1Api(api).list_endpoint_slice_for_all_namespaces,
        client.NetworkingV1Api(api).list_ingress_for_all_namespaces, client.RbacAuthorizationV1Api(api).list_cluster_role,
    ]:
        assert listing().metadata.resource_version, listing
    apps.delete_namespaced_deployment("typed", NAMESPACE, propagation_policy="Foreground")
    core.delete_namespaced_config_map("typed", NAMESPACE)
    assert '"reason":"NotFound"' in refused(404, lambda: core.read_namespaced_config_map("typed", NAMESPACE))
    assert client.VersionApi(api).get_code().major == "1"


def paging(api):
    core = client.CoreV1Api(api)
    for number in range(7):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"page-{number}", labels={"set": "page"}))
    names, token, pages = [], None, 0
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="set=page", limit=3, _continue=token)
        names += [item.metadata.name for item in page.items]
        pages, token = pages + 1, page.metadata._continue
        if not token:
            break
    assert names == [f"page-{number}" for number in range(7)] and pages == 3, (names, pages)
    refused(400, lambda: core.list_namespaced_config_map(NAMESPACE, limit=3, _continue="nonsense"))
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="set=page")
    assert not core.list_namespaced_config_map(NAMESPACE, label_selector="set=page").items


def watching(api):
    core = client.CoreV1Api(api)
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    selector = "metadata.name=watched"
    core.create_namespaced_config_map(NAMESPACE, config_map("watched"))
    core.patch_namespaced_config_map("watched", NAMESPACE, {"data": {"a": "1"}})
    first = watch.Watch()
    events = []
    for event in first.stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=start, field_selector=selector, timeout_seconds=10
    ):
        events.append((event["type"], event["object"].data))
        if len(events) == 2:
            first.stop()
    core.delete_namespaced_config_map("watched", NAMESPACE)
    # Taken up again where the first one stood: only what is new.
    for event in watch.Watch().stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=first.resource_version, field_selector=selector,
        timeout_seconds=1,
    ):
        events.append((event["type"], event["object"].data))
    assert events == [("ADDED", None), ("MODIFIED", {"a": "1"}), ("DELETED", {"a": "1"})], events


def informing(api):
    core = client.CoreV1Api(api)
    told = []
    informer = SharedInformer(core.list_namespaced_config_map, NAMESPACE, label_selector="set=informed")
    for kind in ("ADDED", "MODIFIED", "DELETED"):
        informer.add_event_handler(kind, lambda object, kind=kind: told.append((kind, object.metadata.name)))
    core.create_namespaced_config_map(NAMESPACE, config_map("early", labels={"set": "informed"}))
    informer.start()
    until(lambda: told == [("ADDED", "early")], lambda: told)
    core.create_namespaced_config_map(NAMESPACE, config_map("late", labels={"set": "informed"}))
    core.patch_namespaced_config_map("early", NAMESPACE, {"data": {"a": "1"}})
    core.delete_namespaced_config_map("early", NAMESPACE)
    rest = [("ADDED", "late"), ("MODIFIED", "early"), ("DELETED", "early")]
    until(lambda: told[1:] == rest, lambda: told)
    assert informer.cache.list_keys() == [NAMESPACE + "/late"], informer.cache.list_keys()
    informer.stop()
    core.delete_namespaced_config_map("late", NAMESPACE)


def patches(api):
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map(NAMESPACE, config_map("patched", {"a": "1", "b": "2"}))
    bodies = [
        ("application/json-patch+json", [{"op": "replace", "path": "/data/a", "value": "3"}]),
        ("application/merge-patch+json", {"data": {"b": None, "c": "4"}}),
        ("application/strategic-merge-patch+json", {"data": {"d": "5"}}),
    ]
    for kind, body in bodies:
        done = core.patch_namespaced_config_map("patched", NAMESPACE, body, _content_type=kind)
    assert done.data == {"a": "3", "c": "4", "d": "5"}, done.data
    core.delete_namespaced_config_map("patched", NAMESPACE)


def apply(api):
    core = client.CoreV1Api(api)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}

    def put(manager, value, force=None):
        text = {**body, "data": {"a": value}}
        return core.patch_namespaced_config_map(
            "applied", NAMESPACE, text, field_manager=manager, force=force, _content_type="application/apply-patch+yaml"
        )

    assert put("one", "1").metadata.managed_fields[0].operation == "Apply"
    assert "conflict" in refused(409, lambda: put("two", "2"))
    assert put("two", "2", True).data == {"a": "2"}
    core.delete_namespaced_config_map("applied", NAMESPACE)


def executing(api):
    core = client.CoreV1Api(api)

    def run(command, **options):
        return stream(
            core.connect_get_namespaced_pod_exec, "shell", NAMESPACE, command=command, stderr=True, stdin=False,
            stdout=True, tty=False, **options,
        )

    assert run(["sh", "-c", "echo out; echo err >&2"]) in ("out\nerr\n", "err\nout\n")
    answer = run(["sh", "-c", "echo out; exit 3"], _preload_content=False)
    answer.run_forever(timeout=10)
    assert answer.read_stdout() == "out\n" and answer.returncode == 3
    talk = stream(
        core.connect_get_namespaced_pod_exec, "shell", NAMESPACE, command=["sh"], stderr=True, stdin=True, stdout=True,
        tty=False, _preload_content=False,
    )
    talk.write_stdin("echo got $((6*7))\n")
    assert talk.readline_stdout(timeout=10) == "got 42"
    talk.write_stdin("exit\n")
    talk.run_forever(timeout=10)
    assert talk.returncode == 0
    talk.close()


def forwarding(api):
    core = client.CoreV1Api(api)
    for number in range(5):
        ports = portforward(core.connect_get_namespaced_pod_portforward, "web", NAMESPACE, ports="80")
        http_socket = ports.socket(80)
        http_socket.setblocking(True)
        http_socket.sendall(f"GET /{number} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n".encode())
        text = b""
        while chunk := http_socket.recv(1024):
            text += chunk
        http_socket.close()
        assert f"serving /{number} ".encode() in text and ports.error(80) is None, text


def logs(api):
    core = client.CoreV1Api(api)
    container = client.V1Container(
        name="c", image="alpine", command=["sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.3; done"]
    )
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(name="speaker-py"),
        spec=client.V1PodSpec(restart_policy="Never", containers=[container]),
    )
    core.create_namespaced_pod(NAMESPACE, pod)
    for event in watch.Watch().stream(
        core.list_namespaced_pod, NAMESPACE, field_selector="metadata.name=speaker-py", timeout_seconds=30
    ):
        if event["object"].status.phase != "Pending":
            break
    lines = list(watch.Watch().stream(core.read_namespaced_pod_log, "speaker-py", NAMESPACE))
    assert lines == ["line 1", "line 2", "line 3"], lines
    assert core.read_namespaced_pod_log("speaker-py", NAMESPACE, tail_lines=1) == "line 3\n"
    core.delete_namespaced_pod("speaker-py", NAMESPACE)


def dynamically(api):
    resources = dynamic.DynamicClient(api)
    services = resources.resources.get(api_version="v1", kind="Service")
    body = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "dynamic"},
        "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}},
    }
    made = services.create(body=body, namespace=NAMESPACE)
    assert made.spec.clusterIP.startswith("10.")
    services.patch(
        name="dynamic", namespace=NAMESPACE, body={"metadata": {"labels": {"x": "y"}}},
        content_type="application/merge-patch+json",
    )
    assert [item.metadata.name for item in services.get(namespace=NAMESPACE, label_selector="x=y").items] == ["dynamic"]
    deployments = resources.resources.get(api_version="apps/v1", kind="Deployment")
    assert "scale" in deployments.subresources
    for event in services.watch(namespace=NAMESPACE, field_selector="metadata.name=dynamic", timeout=5):
        assert event["type"] == "ADDED" and event["object"].metadata.name == "dynamic"
        break
    services.delete(name="dynamic", namespace=NAMESPACE)


MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: from-yaml}
data: {a: "1"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: from-yaml}
spec:
  replicas: 0
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {containers: [{name: c, image: nginx}]}
"""


def from_yaml(api):
    objects = list(yaml.safe_load_all(MANIFEST))
    utils.create_from_yaml(api, yaml_objects=objects, namespace=NAMESPACE)
    assert client.AppsV1Api(api).read_namespaced_deployment("from-yaml", NAMESPACE).spec.replicas == 0
    try:
        utils.create_from_yaml(api, yaml_objects=objects, namespace=NAMESPACE)
    except utils.FailToCreateError as error:
        assert [e.status for e in error.api_exceptions] == [409, 409] or error.api_exceptions[0].status == 409
    else:
        raise AssertionError("created twice")


def electing(api):
    led = []

    def stand(name):
        settings = electionconfig.Config(
            LeaseLock("leader-py", NAMESPACE, name), lease_duration=3, renew_deadline=2, retry_period=1,
            onstarted_leading=lambda: led.append(name), onstopped_leading=lambda: None,
        )
        threading.Thread(target=leaderelection.LeaderElection(settings).run, daemon=True).start()

    stand(str(uuid.UUID(int=1)))
    until(lambda: led, lambda: "nobody leads")
    stand(str(uuid.UUID(int=2)))
    time.sleep(4)
    assert led == [str(uuid.UUID(int=1))], led
    lease = client.CoordinationV1Api(api).read_namespaced_lease("leader-py", NAMESPACE)
    assert lease.spec.holder_identity == led[0], lease


CHECKS = {
    "typed": typed, "paging": paging, "watch": watching, "informer": informing, "patch": patches, "apply": apply, "exec": executing,
    "port-forward": forwarding, "logs": logs, "dynamic": dynamically, "create-from-yaml": from_yaml,
    "leader-election": electing,
}


def main():
    config.load_kube_config()
    api = client.ApiClient()
    for name in sys.argv[2:]:
        CHECKS[name](api)
        print("ok", name, flush=True)
    # Threads that still wait for the server must not meet an interpreter that is going away.
    sys.stderr.flush()
    os._exit(0)


main()
