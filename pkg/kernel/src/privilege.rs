//! Whether this machine and this user can carry a lab, tried out in throw-away namespaces. Must leave nothing behind.

use nix::sched::unshare;

use crate::{
    capability::Capability,
    error::Result,
    links::Links,
    namespace::{NamespaceKind, Netns, on_short_thread},
};

/// Something that the lab needs and does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What is missing, in a few words.
    pub what: String,
    /// What would help.
    pub remedy: String,
}

impl Missing {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// Everything that is missing; empty when a lab can run here. Without privilege the rest is not tried, since all of it
/// would fail for that reason.
pub fn missing() -> Vec<Missing> {
    let mut missing: Vec<Missing> = privileges().into_iter().collect();
    if !missing.is_empty() {
        return missing;
    }
    missing.extend(NamespaceKind::ALL.into_iter().filter(|kind| *kind != NamespaceKind::User).filter_map(namespace));
    if missing.is_empty() {
        missing.extend(links());
    }
    missing
}

fn privileges() -> Option<Missing> {
    let needed = [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN];
    let lacking: Vec<String> = needed
        .into_iter()
        .filter(|one| !caps::has_cap(None, caps::CapSet::Effective, *one).unwrap_or(false))
        .map(|one| one.to_string())
        .collect();
    (!lacking.is_empty()).then(|| Missing::new(format!("privilege: {}", lacking.join(" and ")), "run it with sudo"))
}

fn namespace(kind: NamespaceKind) -> Option<Missing> {
    let tried = on_short_thread(|| unshare(kind.flag()));
    let reason = match tried {
        Ok(Ok(())) => return None,
        Ok(Err(errno)) => errno.to_string(),
        Err(error) => error.to_string(),
    };
    let option = match kind {
        NamespaceKind::Net => "CONFIG_NET_NS",
        NamespaceKind::Mount => "mount namespaces",
        NamespaceKind::Pid => "CONFIG_PID_NS",
        NamespaceKind::Uts => "CONFIG_UTS_NS",
        NamespaceKind::Ipc => "CONFIG_IPC_NS",
        NamespaceKind::User => "CONFIG_USER_NS",
    };
    let remedy = if reason.contains("ENOSPC") {
        format!("raise /proc/sys/user/max_{}_namespaces", kind.file())
    } else {
        format!("use a kernel with {option}, and no container that forbids it")
    };
    Some(Missing::new(format!("{kind} namespaces ({reason})"), remedy))
}

fn links() -> Vec<Missing> {
    let tried = on_short_thread(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| crate::Error::new("start", "runtime", error))?;
        let (near, far) = (Netns::create()?, Netns::create()?);
        runtime.block_on(async {
            let links = Links::open(&near).await?;
            let veth = links.create_veth("probe0", "probe1", &far).await;
            Ok::<_, crate::Error>([("veth", veth), ("bridge", links.create_bridge("probe2").await)])
        })
    });
    let failed =
        |error: crate::Error| vec![Missing::new(format!("network namespaces ({error})"), "see the reason given")];
    let results: Result<[(&str, Result<()>); 2]> = match tried {
        Ok(results) => results,
        Err(error) => return failed(error),
    };
    match results {
        Err(error) => failed(error),
        Ok(results) => results
            .into_iter()
            .filter_map(|(kind, result)| {
                let error = result.err()?;
                Some(Missing::new(format!("{kind} links ({error})"), format!("modprobe {kind}")))
            })
            .collect(),
    }
}
