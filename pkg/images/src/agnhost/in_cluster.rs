//! `agnhost inclusterclient`: asks the API server for `/healthz` now and then, as the pod's account, and says with which
//! credentials, as a salted hash. Shows that a renewed token is taken up.

use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::{client, go, tls};

/// Where a pod finds its account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const MODE: Mode = Mode {
    name: "inclusterclient",
    about: "Periodically poll the Kubernetes \"/healthz\" endpoint",
    flags: &[Flag::int("poll-interval", "30")],
    words: Some(0),
    run: |flags| super::block_on(poll(&flags)),
};

/// A line of Kubernetes' logger, to standard error; `severity` is `I` or `E`.
fn klog(severity: char, text: impl std::fmt::Display) {
    let now = jiff::Timestamp::now().strftime("%m%d %H:%M:%S.%6f");
    eprintln!("{severity}{now} {:>7} main.go] {text}", std::process::id());
}

async fn poll(flags: &Flags) -> ExitCode {
    klog('I', "started");
    let place = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some((host, port)) = place("KUBERNETES_SERVICE_HOST").zip(place("KUBERNETES_SERVICE_PORT")) else {
        go::fatal(
            "err: unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be \
             defined",
        );
    };
    let tls = match read("ca.crt").and_then(|trust| tls::connector(&trust)) {
        Ok(tls) => tls,
        Err(why) => go::fatal(format_args!("err: {why}")),
    };
    if let Err(why) = read("token") {
        go::fatal(format_args!("err: {why}"));
    }
    let Ok(seconds @ 1..) = u64::try_from(flags.int("poll-interval")) else {
        go::fatal("non-positive interval for NewTicker");
    };
    let url = format!("https://{host}:{port}/healthz");
    loop {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        klog('I', "calling /healthz");
        let answer = match read("token") {
            Ok(token) => {
                let token = token.trim();
                klog('I', format_args!("authz_header={}", hash(&format!("Bearer {token}"))));
                client::get_with_token(&url, &tls, token, PATIENCE).await
            }
            Err(why) => Err(why),
        };
        let wrong = match answer {
            Ok(got) if got.status.is_success() => continue,
            Ok(got) => format!("{}\n{}", got.status, String::from_utf8_lossy(&got.body)),
            Err(why) => why,
        };
        klog('E', "status=failed");
        klog('E', format_args!("error checking /healthz: {wrong}"));
    }
}

/// A header's hash, so that logs can be compared and give nothing away.
fn hash(header: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("salt|{header}").as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

fn read(name: &str) -> Result<String, String> {
    let path = format!("{ACCOUNT}/{name}");
    std::fs::read_to_string(&path).map_err(|error| format!("open {path}: {}", go::errno(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_what_the_original_logs() {
        // printf 'salt|Bearer a' | sha256sum, in URL-safe base64.
        assert_eq!(hash("Bearer a"), "pbAvnLV5FFJOT5y7J8iQTV0lKQ--XWAEbiN-XO9KtvE");
    }
}
