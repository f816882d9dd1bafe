//! `agnhost no-snat-test` and `no-snat-test-proxy`: whether others see this pod under its own address.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use http::StatusCode;

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::{client, go, web};

/// Go's client waits without end; a test gives up long before this.
const LIMIT: Duration = Duration::from_secs(120);

pub(super) const MODE: Mode = Mode {
    name: "no-snat-test",
    about: "Creates the /checknosnat and /whoami endpoints",
    flags: &[Flag::text("port", "8080")],
    words: Some(0),
    run: |flags| super::block_on(serve(flags)),
};

pub(super) const PROXY: Mode = Mode {
    name: "no-snat-test-proxy",
    about: "Creates a proxy for the /checknosnat endpoint",
    flags: &[Flag::text("port", "31235")],
    words: Some(0),
    run: |flags| super::block_on(proxy(flags)),
};

fn listener(flags: &Flags) -> tokio::net::TcpListener {
    match flags.text("port").parse() {
        Ok(port) => super::listen(port),
        Err(_) => fails(&format!("listen tcp: lookup tcp/{}: unknown port", flags.text("port"))),
    }
}

fn fails(reason: &str) -> ! {
    eprintln!("{reason}");
    std::process::exit(1)
}

fn address(name: &str) -> String {
    let Ok(text) = std::env::var(name) else {
        fails(&format!("{name} env var was not present in the environment"));
    };
    if text.parse::<IpAddr>().is_err() {
        fails(&format!("{name} env var contained {}, which is not an IP address", go::quote(&text)));
    }
    text
}

async fn serve(flags: Flags) -> ExitCode {
    let (pod, node) = (address("POD_IP"), address("NODE_IP"));
    web::serve_forever(listener(&flags), None, move |asked| {
        let (pod, node) = (pod.clone(), node.clone());
        async move {
            match asked.path() {
                "/whoami" => web::ok(asked.peer.to_string()),
                "/checknosnat" => {
                    let mut errors = Vec::new();
                    for target in asked.query("ips").split(',') {
                        if let Err(error) = check(target, &pod, &node).await {
                            errors.push(error);
                        }
                    }
                    match errors.is_empty() {
                        true => web::ok(""),
                        false => web::answer(StatusCode::INTERNAL_SERVER_ERROR, errors.join(", ")),
                    }
                }
                _ => web::not_found(),
            }
        }
    })
    .await;
    ExitCode::SUCCESS
}

async fn check(target: &str, pod: &str, node: &str) -> Result<(), String> {
    let got = client::get(&format!("http://{target}/whoami"), LIMIT).await?;
    judge(&String::from_utf8_lossy(&got.body), pod, node)
}

/// What the other side saw, against what it should have seen.
fn judge(seen: &str, pod: &str, node: &str) -> Result<(), String> {
    let seen = seen.split(':').next().unwrap_or_default();
    let quote = go::quote;
    match seen {
        _ if seen == pod => Ok(()),
        _ if seen == node => Err(format!(
            "Returned ip {} != my Pod ip {}, == my Node ip {} - SNAT",
            quote(seen),
            quote(pod),
            quote(node)
        )),
        _ => Err(format!(
            "Returned ip {} != my Pod ip {} or my Node ip {} - SNAT to unexpected ip (possible SNAT through unexpected \
             interface on the way into another node)",
            quote(seen),
            quote(pod),
            quote(node)
        )),
    }
}

async fn proxy(flags: Flags) -> ExitCode {
    web::serve_forever(listener(&flags), None, |asked| async move {
        if asked.path() != "/checknosnat" {
            return web::not_found();
        }
        let url = format!("http://{}/checknosnat?ips={}", asked.query("target"), asked.query("ips"));
        match client::get(&url, LIMIT).await {
            Ok(got) => web::answer(got.status, got.body),
            Err(error) => {
                let text = format!("error querying {}, err: {error}", go::quote(&url));
                web::answer(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    })
    .await;
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn who_was_seen() {
        assert_eq!(judge("10.0.0.1:4000", "10.0.0.1", "10.0.0.2"), Ok(()));
        assert!(judge("10.0.0.2:4000", "10.0.0.1", "10.0.0.2").unwrap_err().ends_with("- SNAT"));
        assert!(judge("10.0.0.3:4000", "10.0.0.1", "10.0.0.2").unwrap_err().contains("unexpected ip"));
    }
}
