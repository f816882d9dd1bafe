//! validation placeholder
use serde_json::Value;
use crate::field::FieldError;
macro_rules! later { ($($n:ident)*) => { $(
    /// Validation of this kind.
    pub fn $n(_new: &Value, _old: Option<&Value>) -> Vec<FieldError> { Vec::new() } )* } }
later!(config_map endpoints event namespace node pod secret service daemon_set deployment replica_set endpoint_slice lease ingress ingress_class network_policy);
/// Role.
pub fn role(_new: &Value, _namespaced: bool) -> Vec<FieldError> { Vec::new() }
/// RoleBinding.
pub fn role_binding(_new: &Value, _old: Option<&Value>, _n: bool) -> Vec<FieldError> { Vec::new() }
