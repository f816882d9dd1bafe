//! Rows of admissionregistration.k8s.io/v1: admission policies and their bindings.

use super::{Row, Subresource, base};
use crate::{policy, shape, table};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] = &[
    &MUTATING_ADMISSION_POLICY,
    &MUTATING_ADMISSION_POLICY_BINDING,
    &VALIDATING_ADMISSION_POLICY,
    &VALIDATING_ADMISSION_POLICY_BINDING,
];

const fn admission() -> Row {
    Row {
        group: policy::GROUP,
        categories: &["api-extensions"],
        namespaced: false,
        generation: true,
        unconditional_update: false,
        default: policy::default,
        ..base()
    }
}

static VALIDATING_ADMISSION_POLICY: Row = Row {
    kind: "ValidatingAdmissionPolicy",
    list_kind: "ValidatingAdmissionPolicyList",
    plural: "validatingadmissionpolicies",
    singular: "validatingadmissionpolicy",
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
    prune: |o| shape::prune("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy", o),
    validate: policy::validate_validating,
    columns: table::VALIDATING_ADMISSION_POLICY,
    cells: |o, now| table::admission_policy(o, "validations", now),
    ..admission()
};

static VALIDATING_ADMISSION_POLICY_BINDING: Row = Row {
    kind: "ValidatingAdmissionPolicyBinding",
    list_kind: "ValidatingAdmissionPolicyBindingList",
    plural: "validatingadmissionpolicybindings",
    singular: "validatingadmissionpolicybinding",
    schema: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    prune: |o| shape::prune("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding", o),
    validate: |new, _| policy::validate_binding(new, true),
    columns: table::ADMISSION_POLICY_BINDING,
    cells: table::admission_policy_binding,
    ..admission()
};

static MUTATING_ADMISSION_POLICY: Row = Row {
    kind: "MutatingAdmissionPolicy",
    list_kind: "MutatingAdmissionPolicyList",
    plural: "mutatingadmissionpolicies",
    singular: "mutatingadmissionpolicy",
    schema: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
    prune: |o| shape::prune("io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy", o),
    validate: policy::validate_mutating,
    columns: table::MUTATING_ADMISSION_POLICY,
    cells: |o, now| table::admission_policy(o, "mutations", now),
    ..admission()
};

static MUTATING_ADMISSION_POLICY_BINDING: Row = Row {
    kind: "MutatingAdmissionPolicyBinding",
    list_kind: "MutatingAdmissionPolicyBindingList",
    plural: "mutatingadmissionpolicybindings",
    singular: "mutatingadmissionpolicybinding",
    schema: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
    prune: |o| shape::prune("io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding", o),
    validate: |new, _| policy::validate_binding(new, false),
    columns: table::ADMISSION_POLICY_BINDING,
    cells: table::admission_policy_binding,
    ..admission()
};
