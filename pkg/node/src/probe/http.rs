//! An HTTP or HTTPS request of a probe or a hook. Certificates are not looked at, redirects to the same host are
//! followed (kubelet's `probe/http`). Errors are kubelet's words, as Go's client says them.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

use super::check::{connect, port};

/// As much of an answer's body as is looked at (`maxRespBodyLength`).
const BODY_BYTES: usize = 10 * 1024;
/// Go's client follows so many redirects.
const REDIRECTS: usize = 10;

/// Who asks: the program's name in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    Probe,
    Lifecycle,
}

/// What an answer that is no failure said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Fine,
    /// A redirect that leads to another host is not followed; the words of the warning.
    Elsewhere(String),
}

/// One place to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Target {
    fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{scheme}://{host}:{}{}", self.port, self.path)
    }

    /// Where a `Location` leads from here.
    fn follow(&self, location: &str) -> Option<Target> {
        let uri: Uri = location.parse().ok()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let Some(host) = uri.host() else {
            let path = if path.starts_with('/') { path } else { format!("/{path}") };
            return Some(Target { path, ..self.clone() });
        };
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => self.tls,
        };
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Some(Target { tls, host: host.trim_matches(['[', ']']).to_owned(), port, path })
    }
}

/// Asks; 200 to 399 is fine.
pub(crate) async fn get(
    address: IpAddr,
    container: &Container,
    action: &HTTPGetAction,
    asker: Asker,
) -> Result<Answer, String> {
    let tls = action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let first = target(address, container, action, tls)?;
    match ask(&first, action, asker).await {
        // A hook's server that speaks plain HTTP is asked again in its words (`isHTTPResponseError`).
        Err(text) if tls && asker == Asker::Lifecycle && text.contains(PLAIN) => {
            ask(&Target { tls: false, ..first }, action, asker).await
        }
        other => other,
    }
}

/// What Go says where TLS meets a plain server.
const PLAIN: &str = "http: server gave HTTP response to HTTPS client";

fn target(address: IpAddr, container: &Container, action: &HTTPGetAction, tls: bool) -> Result<Target, String> {
    let port = port(container, &action.port)?;
    let path = action.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let host = action.host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| address.to_string());
    Ok(Target { tls, host, port, path: format!("{slash}{path}") })
}

async fn ask(first: &Target, action: &HTTPGetAction, asker: Asker) -> Result<Answer, String> {
    let mut target = first.clone();
    for _ in 0..=REDIRECTS {
        let fail = |text: String| format!("Get \"{}\": {text}", target.url());
        let response = send(&target, action, asker).await.map_err(fail)?;
        let status = response.status().as_u16();
        let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
        let next = location.filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308)).and_then(|l| target.follow(l));
        match (status, next) {
            (200..=299, _) => {
                tracing::trace!(status, url = target.url(), "asked");
                return Ok(Answer::Fine);
            }
            (_, Some(next)) if next.host == first.host => target = next,
            (300..=399, _) => {
                let body = String::from_utf8_lossy(&beginning(response).await).into_owned();
                return Ok(Answer::Elsewhere(format!("Probe terminated redirects, Response body: {body}")));
            }
            _ => return Err(format!("HTTP probe failed with statuscode: {status}")),
        }
    }
    Err(format!("Get \"{}\": stopped after {REDIRECTS} redirects", target.url()))
}

/// A connection, plain or not.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

async fn send(target: &Target, action: &HTTPGetAction, asker: Asker) -> Result<Response<Incoming>, String> {
    let address: IpAddr = match target.host.parse() {
        Ok(address) => address,
        Err(_) => {
            let mut found = tokio::net::lookup_host((target.host.as_str(), target.port))
                .await
                .map_err(|error| format!("dial tcp: lookup {}: {error}", target.host))?;
            found.next().ok_or_else(|| format!("dial tcp: lookup {}: no such host", target.host))?.ip()
        }
    };
    let stream = connect(address, target.port).await?;
    let wire: Box<dyn Wire> = if target.tls {
        let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
        let connector = tokio_rustls::TlsConnector::from(trusting());
        let stream = connector.connect(name, stream).await.map_err(|error| {
            let text = error.to_string();
            // An HTTP server answers the greeting with a line of text.
            if text.contains("InvalidContentType") { PLAIN.to_owned() } else { format!("remote error: tls: {text}") }
        })?;
        Box::new(stream)
    } else {
        Box::new(stream)
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(wire)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let request = request(target, action, asker)?;
    sender.send_request(request).await.map_err(|error| {
        if error.is_incomplete_message() {
            "EOF".to_owned()
        } else if error.is_parse() {
            "malformed HTTP response".to_owned()
        } else {
            error.to_string()
        }
    })
}

fn request(target: &Target, action: &HTTPGetAction, asker: Asker) -> Result<Request<Empty<Bytes>>, String> {
    let agent = match asker {
        Asker::Probe => "kube-probe/1.37",
        Asker::Lifecycle => "kube-lifecycle/1.37",
    };
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    let mut wanted: Vec<(&str, String)> = Vec::new();
    for own in action.http_headers.iter().flatten() {
        wanted.push((own.name.as_str(), own.value.clone()));
    }
    let has = |name: &str| action.http_headers.iter().flatten().any(|own| own.name.eq_ignore_ascii_case(name));
    for (name, value) in [
        ("Host", format!("{host}:{}", target.port)),
        ("User-Agent", agent.to_owned()),
        ("Accept", "*/*".to_owned()),
        ("Connection", "close".to_owned()),
    ] {
        if !has(name) {
            wanted.push((name, value));
        }
    }
    let mut builder = Request::get(target.path.as_str());
    for (name, value) in wanted.into_iter().filter(|(name, value)| {
        // An empty value takes a standard header away.
        !(value.is_empty() && ["user-agent", "accept"].contains(&name.to_ascii_lowercase().as_str()))
    }) {
        builder = builder.header(name, value);
    }
    builder.body(Empty::new()).map_err(|error| error.to_string())
}

/// The first bytes of an answer.
async fn beginning(response: Response<Incoming>) -> Vec<u8> {
    let mut body = response.into_body();
    let mut all = Vec::new();
    while all.len() < BODY_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        all.extend_from_slice(frame.data_ref().map(|data| &data[..]).unwrap_or_default());
    }
    all.truncate(BODY_BYTES);
    all
}

/// A client that takes any certificate.
fn trusting() -> Arc<rustls::ClientConfig> {
    static CONFIG: std::sync::OnceLock<Arc<rustls::ClientConfig>> = std::sync::OnceLock::new();
    CONFIG.get_or_init(|| Arc::new(super::tls::any_certificate())).clone()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn action(value: serde_json::Value) -> HTTPGetAction {
        serde_json::from_value(value).unwrap()
    }

    /// Serves each answer once, in this order; gives the port and what was asked.
    async fn server(answers: Vec<String>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut text = vec![0; 4096];
                let read = stream.read(&mut text).await.unwrap();
                asked.push(String::from_utf8_lossy(&text[..read]).into_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        (port, asked)
    }

    async fn ask_for(port: u16, more: serde_json::Value, asker: Asker) -> Result<Answer, String> {
        let mut all = json!({"port": port});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        get([127, 0, 0, 1].into(), &Container::default(), &action(all), asker).await
    }

    fn answer(status: &str, more: &str) -> String {
        format!("HTTP/1.1 {status}\r\n{more}Content-Length: 4\r\n\r\nbody")
    }

    #[tokio::test]
    async fn headers_are_the_probes_own_unless_it_names_them() {
        let (port, asked) = server(vec![answer("200 OK", "")]).await;
        let headers = json!([{"name": "Host", "value": "my.host"}, {"name": "X-Own", "value": "1"}, {"name": "Accept", "value": ""}]);
        let more = json!({"path": "healthz?x=1", "httpHeaders": headers});
        assert_eq!(ask_for(port, more, Asker::Probe).await, Ok(Answer::Fine));
        let asked = asked.await.unwrap().remove(0).to_ascii_lowercase();
        assert!(asked.starts_with("get /healthz?x=1 http/1.1\r\n"), "{asked}");
        assert!(asked.contains("\r\nhost: my.host\r\n") && asked.contains("\r\nx-own: 1\r\n"), "{asked}");
        assert!(asked.contains("\r\nuser-agent: kube-probe/1.37\r\n") && !asked.contains("\r\naccept:"), "{asked}");
    }

    #[tokio::test]
    async fn redirects_are_followed_on_the_same_host_alone() {
        let (port, asked) = server(vec![answer("302 Found", "Location: /there\r\n"), answer("200 OK", "")]).await;
        assert_eq!(ask_for(port, json!({}), Asker::Probe).await, Ok(Answer::Fine));
        assert!(asked.await.unwrap()[1].starts_with("GET /there "));
        let (port, _) = server(vec![answer("302 Found", "Location: http://0.0.0.0/x\r\n")]).await;
        let words = "Probe terminated redirects, Response body: body".to_owned();
        assert_eq!(ask_for(port, json!({}), Asker::Probe).await, Ok(Answer::Elsewhere(words)));
        let (port, _) = server(vec![answer("302 Found", "Location: /bad\r\n"), answer("500 Oh", "")]).await;
        let words = "HTTP probe failed with statuscode: 500".to_owned();
        assert_eq!(ask_for(port, json!({}), Asker::Probe).await, Err(words));
    }

    #[tokio::test]
    async fn failures_are_said_as_go_says_them() {
        let (port, _) = server(vec![String::new()]).await;
        let words = format!("Get \"http://127.0.0.1:{port}/\": EOF");
        assert_eq!(ask_for(port, json!({}), Asker::Probe).await, Err(words));
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let words = format!("Get \"http://127.0.0.1:{free}/\": dial tcp 127.0.0.1:{free}: connect: connection refused");
        assert_eq!(ask_for(free, json!({}), Asker::Probe).await, Err(words));
    }

    #[tokio::test]
    async fn a_hook_over_https_falls_back_to_a_plain_server_and_a_probe_does_not() {
        let plain = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request".to_owned();
        let (port, _) = server(vec![plain.clone(), answer("200 OK", "")]).await;
        assert_eq!(ask_for(port, json!({"scheme": "HTTPS"}), Asker::Lifecycle).await, Ok(Answer::Fine));
        let (port, _) = server(vec![plain]).await;
        let refused = ask_for(port, json!({"scheme": "HTTPS"}), Asker::Probe).await.unwrap_err();
        assert!(refused.ends_with(PLAIN), "{refused}");
    }
}
