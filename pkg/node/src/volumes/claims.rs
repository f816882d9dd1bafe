//! Volumes of claims: what of the volume behind a claim this node can show. Pure.

use k8s_openapi::api::core::v1::PersistentVolume;

use super::Content;

/// What the claim's volume shows.
///
/// # Errors
/// The claim has no volume, or one that lies where this node cannot reach: on a network, on a device.
pub(super) fn content(
    claim: &str,
    volume: Option<&Result<PersistentVolume, String>>,
    read_only: bool,
) -> Result<Content, String> {
    let volume =
        volume.cloned().unwrap_or_else(|| Err(format!("persistentvolumeclaim {claim:?} not looked at yet")))?;
    let name = volume.metadata.name.clone().unwrap_or_default();
    let spec = volume.spec.unwrap_or_default();
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err(format!("volume {name:?} is a block device; minisvc's nodes show file systems only"));
    }
    // A volume that is mounted read-only by all its modes.
    let modes = spec.access_modes.unwrap_or_default();
    let read_only = read_only || (!modes.is_empty() && modes.iter().all(|mode| mode == "ReadOnlyMany"));
    match (spec.host_path, spec.local) {
        (Some(host), _) => {
            Ok(Content::Host { path: host.path.into(), kind: host.type_.unwrap_or_default(), read_only })
        }
        (None, Some(local)) => Ok(Content::Host { path: local.path.into(), kind: "Directory".into(), read_only }),
        (None, None) => Err(format!(
            "no volume plugin matched: volume {name:?} is neither hostPath nor local, which are what minisvc's nodes can show"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(spec: serde_json::Value) -> Result<Content, String> {
        let volume = serde_json::from_value(json!({"metadata": {"name": "pv1"}, "spec": spec})).unwrap();
        content("data", Some(&Ok(volume)), false)
    }

    #[test]
    fn folders_of_the_node_are_shown_and_all_else_is_named() {
        let host =
            |path: &str, kind: &str, read_only| Content::Host { path: path.into(), kind: kind.into(), read_only };
        assert_eq!(shown(json!({"hostPath": {"path": "/data/x"}})).unwrap(), host("/data/x", "", false));
        assert_eq!(
            shown(json!({"local": {"path": "/mnt/d"}, "accessModes": ["ReadOnlyMany"]})).unwrap(),
            host("/mnt/d", "Directory", true)
        );
        assert!(
            shown(json!({"nfs": {"server": "s", "path": "/"}})).unwrap_err().contains("neither hostPath nor local")
        );
        let block = shown(json!({"local": {"path": "/dev/x"}, "volumeMode": "Block"})).unwrap_err();
        assert!(block.contains("block device"), "{block}");
        let none = content("data", Some(&Err("PVC is not bound".into())), false).unwrap_err();
        assert_eq!(none, "PVC is not bound");
    }
}
