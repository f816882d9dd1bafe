//! Rows of admissionregistration.k8s.io/v1: admission policies, their bindings and webhook configurations.

use super::{Row, Subresource, base};
use crate::{policy, shape, table, webhook};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] = &[
    &MUTATING_ADMISSION_POLICY,
    &MUTATING_ADMISSION_POLICY_BINDING,
    &MUTATING_WEBHOOK_CONFIGURATION,
    &VALIDATING_ADMISSION_POLICY,
    &VALIDATING_ADMISSION_POLICY_BINDING,
    &VALIDATING_WEBHOOK_CONFIGURATION,
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

static MUTATING_WEBHOOK_CONFIGURATION: Row = Row {
    kind: "MutatingWebhookConfiguration",
    list_kind: "MutatingWebhookConfigurationList",
    plural: "mutatingwebhookconfigurations",
    singular: "mutatingwebhookconfiguration",
    schema: "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    prune: |o| shape::prune("io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration", o),
    default: |new, _| webhook::default(new, true),
    validate: |new, old| webhook::validate(new, old, true),
    columns: table::WEBHOOK_CONFIGURATION,
    cells: table::webhook_configuration,
    ..admission()
};

static VALIDATING_WEBHOOK_CONFIGURATION: Row = Row {
    kind: "ValidatingWebhookConfiguration",
    list_kind: "ValidatingWebhookConfigurationList",
    plural: "validatingwebhookconfigurations",
    singular: "validatingwebhookconfiguration",
    schema: "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    prune: |o| shape::prune("io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration", o),
    default: |new, _| webhook::default(new, false),
    validate: |new, old| webhook::validate(new, old, false),
    columns: table::WEBHOOK_CONFIGURATION,
    cells: table::webhook_configuration,
    ..admission()
};
