//! From method, path and query to what is asked for (apiserver `pkg/endpoints/request/requestinfo.go`).
//! Must not look at the registry: an unknown kind parses like a known one, so that authorization can speak first.

use http::Method;

use super::query::Query;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RequestInfo {
    /// False for `/version`, `/healthz` and the like.
    pub(crate) resource_request: bool,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for non-resource requests
    /// the method in lower case.
    pub(crate) verb: String,
    /// Group, empty for core.
    pub(crate) group: String,
    /// Version.
    pub(crate) version: String,
    /// Plural.
    pub(crate) resource: String,
    /// `status`, `log`, ... or empty.
    pub(crate) subresource: String,
    /// What follows a proxy subresource, without a leading slash.
    pub(crate) rest: String,
    /// Empty when the path names none.
    pub(crate) namespace: String,
    /// Empty when the path names none.
    pub(crate) name: String,
    /// Whole path.
    pub(crate) path: String,
}

/// Subresources of a namespace; any other word there is a resource inside it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl RequestInfo {
    /// Parses; path segments are percent-decoded.
    pub(crate) fn parse(method: &Method, path: &str, query: &Query) -> RequestInfo {
        let mut info =
            RequestInfo { verb: method.as_str().to_lowercase(), path: path.into(), ..RequestInfo::default() };
        let decoded: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let mut parts: &[String] = &decoded;
        match parts {
            [api, version, rest @ ..] if api == "api" && !rest.is_empty() => {
                info.version.clone_from(version);
                parts = rest;
            }
            [apis, group, version, rest @ ..] if apis == "apis" && !rest.is_empty() => {
                info.group.clone_from(group);
                info.version.clone_from(version);
                parts = rest;
            }
            _ => return info,
        }
        info.resource_request = true;
        let mut legacy_watch = false;
        if parts[0] == "watch" && parts.len() > 1 {
            legacy_watch = true;
            parts = &parts[1..];
        }
        if parts[0] == "namespaces" {
            if let [_, namespace, word, ..] = parts {
                info.namespace.clone_from(namespace);
                if !NAMESPACE_SUBRESOURCES.contains(&word.as_str()) {
                    parts = &parts[2..];
                }
            } else if let [_, namespace] = parts {
                info.namespace.clone_from(namespace);
            }
        }
        info.resource.clone_from(&parts[0]);
        if let Some(name) = parts.get(1) {
            info.name.clone_from(name);
        }
        if let Some(subresource) = parts.get(2) {
            info.subresource.clone_from(subresource);
        }
        if parts.len() > 3 {
            info.rest = parts[3..].join("/");
        }
        info.verb = info.verb_of(method, legacy_watch, query);
        info
    }

    fn verb_of(&mut self, method: &Method, legacy_watch: bool, query: &Query) -> String {
        let verb = match method.as_str() {
            "POST" => "create",
            "GET" | "HEAD" if !self.name.is_empty() && !legacy_watch => "get",
            "GET" | "HEAD" if legacy_watch || query.flag("watch") => "watch",
            "GET" | "HEAD" => "list",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" if self.name.is_empty() => "deletecollection",
            "DELETE" => "delete",
            _ => "",
        };
        verb.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, uri: &str, verb: &str, resource: &str, subresource: &str, namespace: &str, name: &str) {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let info = RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(query));
        let got = (&*info.verb, &*info.resource, &*info.subresource, &*info.namespace, &*info.name);
        assert_eq!(got, (verb, resource, subresource, namespace, name), "{method} {uri}");
    }

    #[test]
    fn paths_of_every_shape() {
        check("GET", "/api/v1/pods", "list", "pods", "", "", "");
        check("GET", "/api/v1/pods?watch=1", "watch", "pods", "", "", "");
        check("GET", "/api/v1/watch/namespaces/a/pods/b", "watch", "pods", "", "a", "b");
        check("GET", "/api/v1/namespaces", "list", "namespaces", "", "", "");
        check("GET", "/api/v1/namespaces/a", "get", "namespaces", "", "a", "a");
        check("PUT", "/api/v1/namespaces/a/finalize", "update", "namespaces", "finalize", "a", "a");
        check("POST", "/api/v1/namespaces/a/pods", "create", "pods", "", "a", "");
        check("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "patch", "deployments", "scale", "a", "d");
        check("DELETE", "/api/v1/namespaces/a/services", "deletecollection", "services", "", "a", "");
        check("DELETE", "/api/v1/nodes/n", "delete", "nodes", "", "", "n");
        check("GET", "/version", "get", "", "", "", "");
        check("GET", "/apis/apps/v1", "get", "", "", "", "");
    }
}
