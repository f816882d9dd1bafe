//! Columns of every kind's Table (upstream `printers.go`), with short descriptions of our own.

use crate::registry::Column;

pub(super) const fn column(name: &'static str, description: &'static str) -> Column {
    Column { name, kind: "string", format: "", priority: 0, description }
}

pub(super) const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { priority: 1, ..column(name, description) }
}

pub(super) const fn integer(name: &'static str, description: &'static str) -> Column {
    Column { kind: "integer", ..column(name, description) }
}

pub(super) const NAME: Column = Column { format: "name", ..column("Name", "Name must be unique within a namespace.") };
pub(super) const AGE: Column = column("Age", "How long ago the object was created.");
pub(super) const CONTAINERS: Column = wide("Containers", "Names of each container in the template.");
pub(super) const IMAGES: Column = wide("Images", "Images referenced by each container in the template.");
pub(super) const SELECTOR: Column = wide("Selector", "Labels of the pods that belong to it.");
const CREATED: Column = Column { kind: "date", ..column("Created At", "When the object was created.") };

/// Columns of Pod.
pub const POD: &[Column] = &[
    NAME,
    column("Ready", "How many of the containers are ready to serve, of how many."),
    column("Status", "What the containers are doing, taken together."),
    column("Restarts", "How often containers were restarted, and how long ago the last time."),
    AGE,
    wide("IP", "Address of the pod."),
    wide("Node", "Node that the pod runs on."),
    wide("Nominated Node", "Node that the pod may get once others are preempted."),
    wide("Readiness Gates", "How many of the extra conditions for readiness hold."),
];

/// Columns of Service.
pub const SERVICE: &[Column] = &[
    NAME,
    column("Type", "How the service is exposed."),
    column("Cluster-IP", "Virtual address inside the cluster."),
    column("External-IP", "Addresses at which traffic from outside is accepted."),
    column("Port(s)", "Ports that the service exposes."),
    AGE,
    wide("Selector", "Labels of the pods that traffic is sent to."),
];

/// Columns of Endpoints.
pub const ENDPOINTS: &[Column] = &[NAME, column("Endpoints", "Addresses and ports of the ready endpoints."), AGE];

/// Columns of EndpointSlice.
pub const ENDPOINT_SLICE: &[Column] = &[
    NAME,
    column("AddressType", "Kind of the addresses in this slice."),
    column("Ports", "Ports that each endpoint exposes."),
    column("Endpoints", "Addresses of the endpoints."),
    AGE,
];

/// Columns of Deployment.
pub const DEPLOYMENT: &[Column] = &[
    NAME,
    column("Ready", "Pods that are ready, of those wanted."),
    column("Up-to-date", "Pods that have the current template."),
    column("Available", "Pods that have been ready long enough."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

/// Columns of ReplicaSet.
pub const REPLICA_SET: &[Column] = &[
    NAME,
    integer("Desired", "Pods that are wanted."),
    integer("Current", "Pods that exist."),
    integer("Ready", "Pods that are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

/// Columns of DaemonSet.
pub const DAEMON_SET: &[Column] = &[
    NAME,
    integer("Desired", "Nodes that should run the pod."),
    integer("Current", "Nodes that run the pod."),
    integer("Ready", "Nodes on which the pod is ready."),
    integer("Up-to-date", "Nodes that run the current template."),
    integer("Available", "Nodes on which the pod has been ready long enough."),
    column("Node Selector", "Labels of the nodes that are chosen."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

/// Columns of Node.
pub const NODE: &[Column] = &[
    NAME,
    column("Status", "The status of the node."),
    column("Roles", "The roles of the node."),
    AGE,
    column("Version", "Version of the node agent."),
    wide("Internal-IP", "Address of the node inside the cluster."),
    wide("External-IP", "Address of the node outside the cluster."),
    wide("OS-Image", "Operating system of the node."),
    wide("Kernel-Version", "Kernel of the node."),
    wide("Container-Runtime", "Container runtime of the node."),
];

/// Columns of Namespace.
pub const NAMESPACE: &[Column] = &[NAME, column("Status", "The status of the namespace."), AGE];

/// Columns of Event.
pub const EVENT: &[Column] = &[
    column("Last Seen", "When it happened last."),
    column("Type", "Normal or Warning."),
    column("Reason", "Why, in one word."),
    column("Object", "What it is about."),
    wide("Subobject", "The part of the object."),
    wide("Source", "Who reported it."),
    column("Message", "What happened, in words."),
    wide("First Seen", "When it happened first."),
    wide("Count", "How often it happened."),
    Column { priority: 1, ..NAME },
];

/// Columns of Ingress.
pub const INGRESS: &[Column] = &[
    NAME,
    column("Class", "Class of the controller that implements it."),
    column("Hosts", "Host names that the rules are about."),
    column("Address", "Where the load balancer listens."),
    column("Ports", "Ports that are open."),
    AGE,
];

/// Columns of IngressClass.
pub const INGRESS_CLASS: &[Column] = &[
    NAME,
    column("Controller", "Controller that handles this class."),
    column("Parameters", "Object with further parameters."),
    AGE,
];

/// Columns of NetworkPolicy.
pub const NETWORK_POLICY: &[Column] =
    &[NAME, column("Pod-Selector", "Labels of the pods that the policy is about."), AGE];

/// Columns of ConfigMap.
pub const CONFIG_MAP: &[Column] = &[NAME, column("Data", "How many keys it has."), AGE];

/// Columns of Secret.
pub const SECRET: &[Column] =
    &[NAME, column("Type", "What the data is meant for."), column("Data", "How many keys it has."), AGE];

/// Columns of ServiceAccount.
pub const SERVICE_ACCOUNT: &[Column] = &[NAME, AGE];

/// Columns of Lease.
pub const LEASE: &[Column] = &[NAME, column("Holder", "Who holds the lease."), AGE];

/// Columns of RoleBinding.
pub const ROLE_BINDING: &[Column] = &[
    NAME,
    column("Role", "Role that is granted."),
    AGE,
    wide("Users", "Users who get it."),
    wide("Groups", "Groups that get it."),
    wide("ServiceAccounts", "Service accounts that get it."),
];

/// Columns of kinds without a printer of their own.
pub const CREATED_AT: &[Column] = &[NAME, CREATED];
