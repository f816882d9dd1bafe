//! The text of a kubeconfig. Must not write files: the caller knows whose home it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{KeyedCertificate, PkiError};

/// A complete kubeconfig (JSON, which is YAML too) with one cluster, user and context, all named `name`; `server` is
/// a URL such as `https://127.0.0.1:6443`.
///
/// # Errors
/// When the client's key cannot be written in the form that clients read.
pub fn kubeconfig(name: &str, server: &str, ca_pem: &str, client: &KeyedCertificate) -> Result<String, PkiError> {
    let document = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {
            "server": server, "certificate-authority-data": STANDARD.encode(ca_pem),
        }}],
        "users": [{"name": name, "user": {
            "client-certificate-data": STANDARD.encode(&client.certificate_pem),
            "client-key-data": STANDARD.encode(client.ec_key_pem()?),
        }}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
        "preferences": {},
    });
    Ok(format!("{document:#}\n"))
}
