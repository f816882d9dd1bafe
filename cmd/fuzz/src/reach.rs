//! Target: any request line and headers, by somebody who may read one namespace only. Whatever it is, it never gets at
//! another namespace's secrets and never changes anything.

use std::sync::LazyLock;

use kube::client::Body;
use minisvc_store::Store as _;
use serde_json::json;

use super::api::BED;

/// What nobody but administrators may see.
const SECRET: &str = "VE9QLVNFQ1JFVC1NQVJL";

static VISITOR: LazyLock<kube::Client> = LazyLock::new(|| {
    let bed = &*BED;
    let must = |uri: &str, body: serde_json::Value| {
        let answer = bed.ask("POST", uri, "application/json", body.to_string().into_bytes());
        assert!(answer.code < 300, "{uri}: {}", String::from_utf8_lossy(&answer.body));
    };
    must("/api/v1/namespaces", json!({"metadata": {"name": "vault"}}));
    must("/api/v1/namespaces/vault/secrets", json!({"metadata": {"name": "hidden"}, "data": {"k": SECRET}}));
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let rules = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]);
    must(&format!("{rbac}/roles"), json!({"metadata": {"name": "visitor"}, "rules": rules}));
    let subject = json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "visitor"});
    let role = json!({"kind": "Role", "apiGroup": "rbac.authorization.k8s.io", "name": "visitor"});
    must(
        &format!("{rbac}/rolebindings"),
        json!({"metadata": {"name": "visitor"}, "roleRef": role, "subjects": [subject]}),
    );
    bed.client("visitor", &[])
});

/// Lines: method and target, then headers. What no HTTP library would pass on is skipped.
pub(crate) fn request(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let Some((method, target)) = lines.next().and_then(|line| line.split_once(' ')) else { return };
    let Ok(uri) = target.parse::<http::Uri>() else { return };
    let mut request = http::Request::builder().method(method).uri(uri);
    let mut watches = target.contains("watch") || target.contains("follow");
    for line in lines.by_ref().take_while(|line| !line.is_empty()).take(16) {
        let Some((name, value)) = line.split_once(':') else { continue };
        watches |= name.eq_ignore_ascii_case("upgrade");
        request = request.header(name.trim(), value.trim());
    }
    // Those may last for ever.
    if watches {
        return;
    }
    let visitor = &*VISITOR;
    let body: Vec<u8> = lines.collect::<Vec<_>>().join("\n").into_bytes();
    let Ok(request) = request.body(Body::from(body)) else { return };
    let before = BED.store.revision();
    let answer = BED.send(visitor, request);
    let text = String::from_utf8_lossy(&answer.body);
    assert!(answer.code >= 100 && answer.code != 500, "{}: {text}", answer.code);
    assert!(!text.contains(SECRET), "{text}");
    assert_eq!(BED.store.revision(), before, "a reader changed something: {text}");
}
