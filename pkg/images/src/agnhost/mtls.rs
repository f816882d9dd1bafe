//! `agnhost mtlsserver` and `agnhost mtlsclient`: two ends that show each other the certificates that pods were given. The
//! server tells clients the identity in theirs (its one URI name), once it has proven to be of the trusted authorities.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode, Uri};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::serve::Answer;
use crate::{client, go, tls, web};

/// How often the client asks.
const POLL: Duration = Duration::from_secs(10);
/// How long one question of the client may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const SERVER: Mode = Mode {
    name: "mtlsserver",
    about: "Server is configured to build mTLS with client and echo client's spiffe identity",
    flags: &[Flag::text("listen", ""), Flag::text("server-creds", ""), Flag::text("spiffe-trust-bundle", "")],
    words: Some(0),
    run: |flags| match super::block_on(serve(&flags)) {
        Ok(never) => match never {},
        Err(reason) => super::fails(&reason),
    },
};

pub(super) const CLIENT: Mode = Mode {
    name: "mtlsclient",
    about: "Client is configured to build mTLS with server",
    flags: &[Flag::text("fetch-url", ""), Flag::text("server-trust-bundle", ""), Flag::text("client-cred-bundle", "")],
    words: Some(0),
    run: |flags| match super::block_on(poll(&flags)) {
        Ok(never) => match never {},
        Err(reason) => super::fails(&reason),
    },
};

/// The values of the flags, none of which may be missing.
fn all<'a, const N: usize>(flags: &'a Flags, names: [&str; N]) -> Result<[&'a str; N], String> {
    let values = names.map(|name| flags.text(name));
    if values.contains(&"") { Err("missing required flags".to_owned()) } else { Ok(values) }
}

async fn serve(flags: &Flags) -> Result<Infallible, String> {
    let [listen, own, trusted] = all(flags, ["listen", "server-creds", "spiffe-trust-bundle"])?;
    let wrong = |why: String| format!("error while serving: {why}");
    let bundle = std::fs::read(trusted);
    let bundle = bundle
        .map_err(|error| wrong(format!("while reading SPIFFE trust anchors: open {trusted}: {}", go::errno(&error))))?;
    if tls::roots(&bundle).is_empty() {
        return Err(wrong("failed to append client certs from PEM".to_owned()));
    }
    let acceptor = tls::acceptor_of(own, own, None, Some(Arc::new(Anyone)));
    let acceptor = acceptor.map_err(|why| wrong(format!("while loading server key pair: {why}")))?;
    let listener = TcpListener::bind(listen).await;
    let listener = listener
        .map_err(|error| wrong(format!("while listening: listen tcp {listen}: bind: {}", go::errno(&error))))?;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => return Err(wrong(format!("while listening: {}", go::errno(&error)))),
        };
        let (acceptor, trusted) = (acceptor.clone(), trusted.to_owned());
        tokio::task::spawn_local(async move {
            let stream = match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    return go::log(format_args!("http: TLS handshake error from {peer}: {error}"));
                }
                Err(_) => return go::log(format_args!("http: TLS handshake error from {peer}: i/o timeout")),
            };
            let shown: Vec<CertificateDer<'static>> = stream
                .get_ref()
                .1
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|one| one.clone().into_owned())
                .collect();
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                let answer = match (request.method(), request.uri().path()) {
                    (&Method::GET | &Method::HEAD, "/spiffe-echo") => echo(&shown, &trusted),
                    (_, "/spiffe-echo") => web::failure(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
                    _ => web::not_found(),
                };
                std::future::ready(Ok::<_, Infallible>(answer))
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Who the client is, by the certificates that it showed.
fn echo(shown: &[CertificateDer<'static>], trusted: &str) -> Answer {
    const WANTED: &str = "SPIFFE client certificate authentication required";
    let Some((leaf, between)) = shown.split_first() else {
        return web::failure(StatusCode::UNAUTHORIZED, WANTED);
    };
    let bundle = match std::fs::read(trusted) {
        Ok(bundle) => bundle,
        Err(error) => {
            go::log(format_args!("Error while reading SPIFFE trust anchors: open {trusted}: {}", go::errno(&error)));
            return web::failure(StatusCode::INTERNAL_SERVER_ERROR, "Internal Error");
        }
    };
    if let Err(why) = verify(leaf, between, &bundle) {
        go::log(format_args!("Error while verifying SPIFFE client certificate: {why}"));
        return web::failure(StatusCode::UNAUTHORIZED, WANTED);
    }
    match names(leaf).as_slice() {
        [identity] => web::ok(format!("Client Identity: {identity}")),
        other => {
            go::log(format_args!("SPIFFE client certificate did not have 1 URI SAN, count: {}", other.len()));
            web::failure(StatusCode::UNAUTHORIZED, "Malformed SPIFFE certificate")
        }
    }
}

/// Whether a certificate leads to one of the authorities in `bundle`.
fn verify(leaf: &CertificateDer<'_>, between: &[CertificateDer<'_>], bundle: &[u8]) -> Result<(), String> {
    let judge = WebPkiClientVerifier::builder_with_provider(Arc::new(tls::roots(bundle)), tls::provider()).build();
    let judge = judge.map_err(|error| error.to_string())?;
    judge.verify_client_cert(leaf, between, UnixTime::now()).map(drop).map_err(|error| error.to_string())
}

/// The URI names of a certificate.
fn names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let names = leaf.subject_alternative_name().ok().flatten().map(|names| names.value.general_names.clone());
    let uris = names.into_iter().flatten().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(uri.to_owned()),
        _ => None,
    });
    uris.collect()
}

/// Lets every client in with whatever certificate it can prove to own, or none: what it is worth is asked per request.
#[derive(Debug)]
struct Anyone;

impl ClientCertVerifier for Anyone {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &tls::provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &tls::provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn poll(flags: &Flags) -> Result<Infallible, String> {
    let [url, trusted, own] = all(flags, ["fetch-url", "server-trust-bundle", "client-cred-bundle"])?;
    url.parse::<Uri>().map_err(|error| format!("invalid --fetch-url: parse {}: {error}", go::quote(url)))?;
    loop {
        tokio::time::sleep(POLL).await;
        match ask(url, trusted, own).await {
            Ok(body) => go::log(format_args!("Got response body: {body}")),
            Err(why) => go::log(format_args!("while sending requests to the server: {why}")),
        }
    }
}

/// One question; both bundles are read anew, for they are renewed while the client runs.
async fn ask(url: &str, trusted: &str, own: &str) -> Result<String, String> {
    let read = |path: &str, what: &str| {
        std::fs::read(path).map_err(|error| format!("while reading {what}: open {path}: {}", go::errno(&error)))
    };
    let bundle = read(trusted, "service trust bundle")?;
    let own = read(own, "client credential bundle")?;
    let (chain, key) = tls::parse(&own, &own).map_err(|_| "client credential bundle had no private key".to_owned())?;
    if chain.is_empty() {
        return Err("client credential bundle had no certificates".to_owned());
    }
    let wrong = |error: Error| format!("while getting URL: Get {}: tls: {error}", go::quote(url));
    let config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(tls::roots(&bundle))
        .with_client_auth_cert(chain, key)
        .map_err(wrong)?;
    let tls = TlsConnector::from(Arc::new(config));
    let got = client::get_over_tls(url, &tls, None, PATIENCE).await;
    let got = got.map_err(|why| format!("while getting URL: {why}"))?;
    if !got.status.is_success() {
        return Err(format!("non-2xx status {} {}", got.status.as_u16(), go::quote(&got.status.to_string())));
    }
    Ok(String::from_utf8_lossy(&got.body).into_owned())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

    use super::*;

    /// An authority, and a bundle of key and certificate that it made for a client of these URI names.
    fn made(names: &[&str]) -> (String, String) {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let root = authority.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(authority, key);
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.subject_alt_names.extend(names.iter().map(|name| SanType::URI((*name).try_into().unwrap())));
        let own = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&own, &issuer).unwrap();
        (root, own.serialize_pem() + &leaf.pem())
    }

    #[test]
    fn a_client_is_who_its_certificate_names() {
        let folder = tempfile::tempdir().unwrap();
        let trusted = folder.path().join("trusted").display().to_string();
        let (root, bundle) = made(&["spiffe://cluster.local/ns/a/sa/b"]);
        std::fs::write(&trusted, root).unwrap();
        let chain = tls::parse(bundle.as_bytes(), bundle.as_bytes()).unwrap().0;
        assert_eq!(names(&chain[0]), ["spiffe://cluster.local/ns/a/sa/b"]);
        assert_eq!(echo(&chain, &trusted).status(), StatusCode::OK);
        assert_eq!(echo(&[], &trusted).status(), StatusCode::UNAUTHORIZED);
        let (other, _) = made(&[]);
        std::fs::write(&trusted, other).unwrap();
        assert_eq!(echo(&chain, &trusted).status(), StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn every_flag_is_wanted() {
        let flags = Flags::parse(CLIENT.flags, &["--fetch-url=https://x".to_owned()]).unwrap();
        let reason = all(&flags, ["fetch-url", "client-cred-bundle"]).unwrap_err();
        assert_eq!(reason, "missing required flags");
    }
}
