//! Rows of discovery, coordination and networking.

use super::{Row, Subresource, base};
use crate::names::NameRule;
use crate::{defaults, shape, table, validate};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] =
    &[&ENDPOINT_SLICE, &LEASE, &INGRESS_CLASS, &INGRESS, &IP_ADDRESS, &NETWORK_POLICY, &SERVICE_CIDR];

static ENDPOINT_SLICE: Row = Row {
    group: "discovery.k8s.io",
    kind: "EndpointSlice",
    list_kind: "EndpointSliceList",
    plural: "endpointslices",
    singular: "endpointslice",
    generation: true,
    schema: "io.k8s.api.discovery.v1.EndpointSlice",
    prune: |o| shape::prune("io.k8s.api.discovery.v1.EndpointSlice", o),
    default: defaults::endpoint_slice,
    validate: validate::endpoint_slice,
    columns: table::ENDPOINT_SLICE,
    cells: table::endpoint_slice,
    ..base()
};

static LEASE: Row = Row {
    group: "coordination.k8s.io",
    kind: "Lease",
    list_kind: "LeaseList",
    plural: "leases",
    singular: "lease",
    unconditional_update: false,
    create_on_update: true,
    schema: "io.k8s.api.coordination.v1.Lease",
    prune: |o| shape::prune("io.k8s.api.coordination.v1.Lease", o),
    validate: validate::lease,
    columns: table::LEASE,
    cells: table::lease,
    ..base()
};

static INGRESS: Row = Row {
    group: "networking.k8s.io",
    kind: "Ingress",
    list_kind: "IngressList",
    plural: "ingresses",
    singular: "ingress",
    short_names: &["ing"],
    subresources: &[Subresource::Status],
    generation: true,
    schema: "io.k8s.api.networking.v1.Ingress",
    prune: |o| shape::prune("io.k8s.api.networking.v1.Ingress", o),
    validate: validate::ingress,
    columns: table::INGRESS,
    cells: table::ingress,
    ..base()
};

static INGRESS_CLASS: Row = Row {
    group: "networking.k8s.io",
    kind: "IngressClass",
    list_kind: "IngressClassList",
    plural: "ingressclasses",
    singular: "ingressclass",
    namespaced: false,
    generation: true,
    schema: "io.k8s.api.networking.v1.IngressClass",
    prune: |o| shape::prune("io.k8s.api.networking.v1.IngressClass", o),
    default: defaults::ingress_class,
    validate: validate::ingress_class,
    columns: table::INGRESS_CLASS,
    cells: table::ingress_class,
    ..base()
};

static NETWORK_POLICY: Row = Row {
    group: "networking.k8s.io",
    kind: "NetworkPolicy",
    list_kind: "NetworkPolicyList",
    plural: "networkpolicies",
    singular: "networkpolicy",
    short_names: &["netpol"],
    generation: true,
    schema: "io.k8s.api.networking.v1.NetworkPolicy",
    prune: |o| shape::prune("io.k8s.api.networking.v1.NetworkPolicy", o),
    default: defaults::network_policy,
    validate: validate::network_policy,
    columns: table::NETWORK_POLICY,
    cells: table::network_policy,
    ..base()
};

static SERVICE_CIDR: Row = Row {
    group: "networking.k8s.io",
    kind: "ServiceCIDR",
    list_kind: "ServiceCIDRList",
    plural: "servicecidrs",
    singular: "servicecidr",
    namespaced: false,
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.networking.v1.ServiceCIDR",
    prune: |o| shape::prune("io.k8s.api.networking.v1.ServiceCIDR", o),
    validate: validate::service_cidr,
    columns: table::SERVICE_CIDR,
    cells: table::service_cidr,
    ..base()
};

static IP_ADDRESS: Row = Row {
    group: "networking.k8s.io",
    kind: "IPAddress",
    list_kind: "IPAddressList",
    plural: "ipaddresses",
    singular: "ipaddress",
    short_names: &["ip"],
    namespaced: false,
    name_rule: NameRule::Address,
    schema: "io.k8s.api.networking.v1.IPAddress",
    prune: |o| shape::prune("io.k8s.api.networking.v1.IPAddress", o),
    validate: validate::ip_address,
    columns: table::IP_ADDRESS,
    cells: table::ip_address,
    ..base()
};
