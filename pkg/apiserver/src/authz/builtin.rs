//! Rights that do not depend on objects in the store: of nodes, edge, cluster DNS, viewers, and everybody. A student who
//! deletes every ClusterRole still has a working lab. Data, not decisions.

use super::Attributes;
use crate::authn::VIEWERS;
use crate::identity::Identity;

/// Whom a policy is for.
pub(crate) enum Subject {
    /// Members of a group.
    Group(&'static str),
    /// One user.
    User(&'static str),
    /// Everybody, the anonymous user too.
    Everybody,
}

/// One rule: every list may hold `*`.
pub(crate) struct Rule {
    pub(crate) groups: &'static [&'static str],
    /// `pods`, `pods/log`.
    pub(crate) resources: &'static [&'static str],
    pub(crate) verbs: &'static [&'static str],
    /// Resources that `*` does not mean here.
    pub(crate) except: &'static [&'static str],
    /// Paths of non-resource requests; a trailing `*` matches any rest.
    pub(crate) paths: &'static [&'static str],
}

/// What one kind of subject may do.
pub(crate) struct Policy {
    pub(crate) subject: Subject,
    pub(crate) rules: &'static [Rule],
}

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "get", "list", "watch", "update", "patch", "delete"];

const fn on(
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
) -> Rule {
    Rule { groups, resources, verbs, except: &[], paths: &[] }
}

const fn at(paths: &'static [&'static str]) -> Rule {
    Rule { groups: &[], resources: &[], verbs: &["get", "head"], except: &[], paths }
}

/// Every built-in policy.
pub(crate) const POLICIES: &[Policy] = &[
    Policy {
        subject: Subject::Everybody,
        rules: &[at(&[
            "/version",
            "/version/",
            "/healthz",
            "/healthz/*",
            "/livez",
            "/livez/*",
            "/readyz",
            "/readyz/*",
        ])],
    },
    Policy {
        subject: Subject::Group("system:authenticated"),
        rules: &[
            at(&["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]),
            on(&["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"], &["create"]),
            on(&["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]),
        ],
    },
    Policy {
        subject: Subject::Group("system:serviceaccounts"),
        rules: &[at(&["/.well-known/openid-configuration", "/openid/v1/jwks"])],
    },
    Policy {
        subject: Subject::Group("system:nodes"),
        rules: &[
            on(
                &[""],
                &[
                    "services",
                    "endpoints",
                    "namespaces",
                    "configmaps",
                    "secrets",
                    "serviceaccounts",
                    "persistentvolumes",
                    "persistentvolumeclaims",
                ],
                READ,
            ),
            on(&["discovery.k8s.io"], &["endpointslices"], READ),
            on(&["networking.k8s.io"], &["networkpolicies"], READ),
            on(&["storage.k8s.io", "node.k8s.io"], &["*"], READ),
            on(&[""], &["nodes", "nodes/status", "pods", "pods/status", "pods/eviction"], WRITE),
            on(&["", "events.k8s.io"], &["events"], &["create", "update", "patch"]),
            on(&["coordination.k8s.io"], &["leases"], WRITE),
            on(&["certificates.k8s.io"], &["clustertrustbundles"], READ),
            on(&["certificates.k8s.io"], &["podcertificaterequests"], &["get", "list", "watch", "create"]),
            on(&[""], &["serviceaccounts/token"], &["create"]),
            on(&["authentication.k8s.io"], &["tokenreviews"], &["create"]),
            on(&["authorization.k8s.io"], &["subjectaccessreviews"], &["create"]),
        ],
    },
    Policy {
        subject: Subject::User("system:minisvc:edge"),
        rules: &[
            on(&[""], &["services", "endpoints", "namespaces", "nodes", "pods", "configmaps"], READ),
            on(&["discovery.k8s.io"], &["endpointslices"], READ),
            on(&["networking.k8s.io"], &["ingresses", "ingressclasses", "networkpolicies"], READ),
            on(&[""], &["services", "services/status", "nodes/status"], &["update", "patch"]),
            on(&["", "events.k8s.io"], &["events"], &["create", "update", "patch"]),
            on(&["coordination.k8s.io"], &["leases"], WRITE),
        ],
    },
    Policy {
        subject: Subject::User("system:serviceaccount:kube-system:coredns"),
        rules: &[
            on(&[""], &["services", "endpoints", "pods", "namespaces", "nodes"], READ),
            on(&["discovery.k8s.io"], &["endpointslices"], READ),
        ],
    },
    Policy {
        subject: Subject::Group(VIEWERS),
        rules: &[Rule { groups: &["*"], resources: &["*"], verbs: READ, except: &["secrets"], paths: &[] }],
    },
];

impl Policy {
    /// Whether it speaks of this identity.
    pub(crate) fn is_for(&self, identity: &Identity) -> bool {
        match self.subject {
            Subject::Group(group) => identity.is_member(group),
            Subject::User(user) => identity.user == user,
            Subject::Everybody => true,
        }
    }

    /// Whether this policy grants it.
    pub(crate) fn allows(&self, question: &Attributes<'_>) -> bool {
        self.is_for(question.identity) && self.rules.iter().any(|rule| rule.allows(question))
    }
}

impl Rule {
    fn allows(&self, question: &Attributes<'_>) -> bool {
        let has = |list: &[&str], wanted: &str| list.iter().any(|entry| *entry == "*" || *entry == wanted);
        if !has(self.verbs, question.verb) {
            return false;
        }
        if let Some(path) = question.path {
            return self.paths.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => path.starts_with(start),
                None => path == *pattern,
            });
        }
        let resource = match question.subresource {
            "" => question.resource.to_owned(),
            subresource => format!("{}/{subresource}", question.resource),
        };
        has(self.groups, question.group)
            && has(self.resources, &resource)
            && !self.except.contains(&question.resource)
            // Reading a stream into a container is doing, not looking.
            && !(self.resources.contains(&"*") && matches!(question.subresource, "exec" | "attach" | "portforward" | "proxy"))
    }
}
