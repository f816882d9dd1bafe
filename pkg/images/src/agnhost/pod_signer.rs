//! `agnhost podcertificatesigner`: signs what nodes ask for pods (PodCertificateRequests) in the name of one signer, with an
//! authority made at the start, and publishes that authority as a ClusterTrustBundle while it runs. Certificates carry the
//! pod's service account as a SPIFFE URI. For tests: it signs whatever is asked.

use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateSigningRequestDer;
use serde_json::{Value, json};
use tokio_rustls::TlsConnector;

use super::Mode;
use crate::flags::{Flag, Flags};
use crate::{client, go, tls};

/// Where a pod finds its own token and the cluster's authority.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How often requests are looked for, and how often the trust bundle is put right.
const LOOK: Duration = Duration::from_secs(1);
const PUBLISH: Duration = Duration::from_secs(60);
/// Time for each question.
const LIMIT: Duration = Duration::from_secs(30);
/// The longest life of a certificate, seconds, and how long before its end it is to be renewed.
const LONGEST: i64 = 24 * 3600;
const RENEWAL: i64 = 30 * 60;
/// How far clocks may differ, seconds.
const BACKDATED: i64 = 120;
/// A pod's own wish for the path of its URI.
const PATH: &str = "spiffe/path-overriding";

const API: &str = "apis/certificates.k8s.io/v1";

pub(super) const MODE: Mode = Mode {
    name: "podcertificatesigner",
    about: "Sign PodCertificateRequests addressed to a given signer",
    flags: &[Flag::text("kubeconfig", ""), Flag::text("signer-name", ""), Flag::text("cluster-dns-domain", "")],
    words: Some(0),
    run: |flags| match super::block_on(run(&flags)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => super::fails(&reason),
    },
};

async fn run(flags: &Flags) -> Result<(), String> {
    if !flags.text("kubeconfig").is_empty() {
        return Err(
            "minisvc's podcertificatesigner knows its pod's own service account alone: leave --kubeconfig out".into()
        );
    }
    let api = Api::of_pod().map_err(|why| format!("while building client config: {why}"))?;
    let authority = Authority::new().map_err(|why| format!("while generating CA hierarchy: {why}"))?;
    let signer = Signer {
        name: flags.text("signer-name").to_owned(),
        domain: flags.text("cluster-dns-domain").to_owned(),
        authority,
        api,
    };
    tokio::select! {
        () = signer.sign_for_ever() => {}
        () = signer.publish_for_ever() => {}
        () = super::terminated() => {}
    }
    let bundle = signer.bundle();
    go::log(format_args!("Deleting ClusterTrustBundle {bundle}"));
    if let Err(why) = signer.api.ask(Method::DELETE, &format!("{API}/clustertrustbundles/{bundle}"), None).await {
        go::log(format_args!("Failed to delete ClusterTrustBundle {bundle}: {why}"));
    }
    Ok(())
}

/// The API server as a pod reaches it.
struct Api {
    url: String,
    tls: TlsConnector,
}

impl Api {
    fn of_pod() -> Result<Api, String> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let place = variable("KUBERNETES_SERVICE_HOST").zip(variable("KUBERNETES_SERVICE_PORT"));
        let (host, port) = place.ok_or(
            "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined",
        )?;
        Ok(Api { url: format!("https://{host}:{port}"), tls: tls::connector(&read("ca.crt")?)? })
    }

    /// What the server answers; none for 404.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Option<Value>, String> {
        // The token is renewed while the program runs.
        let token = read("token")?;
        let body = body.map(|body| Bytes::from(body.to_string()));
        let url = format!("{}/{path}", self.url);
        let got = client::send_over_tls(method, &url, &self.tls, Some(token.trim()), body, LIMIT).await?;
        if got.status.as_u16() == 404 {
            return Ok(None);
        }
        let answer: Value = serde_json::from_slice(&got.body).unwrap_or_default();
        match got.status.is_success() {
            true => Ok(Some(answer)),
            false => Err(answer["message"].as_str().unwrap_or(got.status.as_str()).to_owned()),
        }
    }
}

fn read(name: &str) -> Result<String, String> {
    let path = format!("{ACCOUNT}/{name}");
    std::fs::read_to_string(&path).map_err(|error| format!("open {path}: {}", go::errno(&error)))
}

/// A root that is trusted, and one below it that signs.
struct Authority {
    root: String,
    between: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Result<Authority, String> {
        let text = |error: rcgen::Error| error.to_string();
        let params = |name: &str| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let key = || KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(text);
        let (root, root_key) = (params("root"), key()?);
        let root_pem = root.self_signed(&root_key).map_err(text)?.pem();
        let (between, between_key) = (params("intermediate"), key()?);
        let between_pem = between.signed_by(&between_key, &Issuer::new(root, root_key)).map_err(text)?.pem();
        Ok(Authority { root: root_pem, between: between_pem, issuer: Issuer::new(between, between_key) })
    }
}

struct Signer {
    name: String,
    domain: String,
    authority: Authority,
    api: Api,
}

impl Signer {
    /// The name of the trust bundle.
    fn bundle(&self) -> String {
        format!("{}:primary-bundle", self.name.replacen('/', ":", 1))
    }

    async fn sign_for_ever(&self) {
        let mine = format!("{API}/podcertificaterequests?fieldSelector=spec.signerName%3D{}", escaped(&self.name));
        loop {
            match self.api.ask(Method::GET, &mine, None).await {
                Ok(found) => {
                    let found = found.unwrap_or_default();
                    for request in found["items"].as_array().into_iter().flatten().filter(|request| is_open(request)) {
                        self.answer(request).await;
                    }
                }
                Err(why) => go::log(format_args!("Error while listing PodCertificateRequests: {why}")),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn answer(&self, request: &Value) {
        let word = |field: &str| request["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (word("namespace"), word("name"));
        go::log(format_args!("Processing PCR key=\"{namespace}/{name}\""));
        let answered = async {
            let mut request = request.clone();
            request["status"] = sign(&self.authority, &self.domain, &request, Timestamp::now())?;
            // A list's items say neither.
            request["apiVersion"] = "certificates.k8s.io/v1".into();
            request["kind"] = "PodCertificateRequest".into();
            let path = format!("{API}/namespaces/{namespace}/podcertificaterequests/{name}/status");
            self.api
                .ask(Method::PUT, &path, Some(&request))
                .await
                .map_err(|why| format!("while updating PodCertificateRequest: {why}"))
        };
        if let Err(why) = answered.await {
            go::log(format_args!("Error while handling PodCertificateRequest key=\"{namespace}/{name}\": {why}"));
        }
    }

    async fn publish_for_ever(&self) {
        loop {
            if let Err(why) = self.publish().await {
                go::log(format_args!("Failed to publish ClusterTrustBundle {}: {why}", self.bundle()));
            }
            tokio::time::sleep(PUBLISH).await;
        }
    }

    async fn publish(&self) -> Result<(), String> {
        let name = self.bundle();
        go::log(format_args!("Getting ClusterTrustBundle {name}"));
        let spec = json!({"signerName": self.name, "trustBundle": self.authority.root});
        let (all, one) = (format!("{API}/clustertrustbundles"), format!("{API}/clustertrustbundles/{name}"));
        match self.api.ask(Method::GET, &one, None).await? {
            Some(found) if found["spec"] == spec => go::log("ClusterTrustBundle already in correct state"),
            Some(mut found) => {
                found["spec"] = spec;
                self.api.ask(Method::PUT, &one, Some(&found)).await?;
            }
            None => {
                let bundle = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle",
                    "metadata": {"name": name}, "spec": spec});
                self.api.ask(Method::POST, &all, Some(&bundle)).await?;
            }
        }
        Ok(())
    }
}

fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Whether nobody has answered a request.
fn is_open(request: &Value) -> bool {
    request["status"]["conditions"].as_array().is_none_or(Vec::is_empty)
}

/// The status of a request that is granted.
fn sign(authority: &Authority, domain: &str, request: &Value, now: Timestamp) -> Result<Value, String> {
    let (spec, namespace) = (&request["spec"], request["metadata"]["namespace"].as_str().unwrap_or_default());
    let stub = STANDARD.decode(spec["stubPKCS10Request"].as_str().unwrap_or_default());
    let stub = CertificateSigningRequestDer::from(stub.map_err(|error| error.to_string())?);
    let parsed = CertificateSigningRequestParams::from_der(&stub);
    let mut asked = parsed.map_err(|error| format!("while parsing PKCS#10 request: {error}"))?;
    let wanted = spec["unverifiedUserAnnotations"][PATH].as_str().map(str::to_owned);
    let account = spec["serviceAccountName"].as_str().unwrap_or_default();
    let path = wanted.unwrap_or_else(|| format!("ns/{namespace}/sa/{account}"));
    let uri = format!("spiffe://cluster.local/{}", path.trim_start_matches('/'));
    let mut names = vec![format!("server.{namespace}.svc")];
    if !domain.is_empty() {
        names.push(format!("server.{namespace}.svc.{domain}"));
    }
    let life = LONGEST.min(spec["maxExpirationSeconds"].as_i64().unwrap_or(LONGEST));
    let begin = now.as_second() - BACKDATED;
    let end = begin + life;

    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = IsCa::NoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let text = |error: rcgen::Error| format!("while signing subject cert: {error}");
    params.subject_alt_names.push(SanType::URI(uri.try_into().map_err(text)?));
    for name in names {
        params.subject_alt_names.push(SanType::DnsName(name.try_into().map_err(text)?));
    }
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |second: i64| epoch + Duration::from_secs(u64::try_from(second).unwrap_or(0));
    (params.not_before, params.not_after) = (at(begin), at(end));
    asked.params = params;
    let leaf = asked.signed_by(&authority.issuer).map_err(text)?.pem();

    let time = |second: i64| Timestamp::from_second(second).unwrap_or(now).to_string();
    let condition = json!({"type": "Issued", "status": "True", "reason": "Reason", "message": "Issued",
        "lastTransitionTime": time(now.as_second())});
    Ok(json!({
        "conditions": [condition],
        "certificateChain": leaf + &authority.between,
        "notBefore": time(begin),
        "beginRefreshAt": time(end - RENEWAL),
        "notAfter": time(end),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(more: Value) -> Value {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let stub = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
        let mut request = json!({"metadata": {"namespace": "n", "name": "r"}, "spec": {"serviceAccountName": "s",
            "maxExpirationSeconds": 7200, "stubPKCS10Request": STANDARD.encode(stub.der())}});
        request["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    }

    #[test]
    fn a_certificate_names_the_account_and_leads_to_the_authority() {
        use rustls::pki_types::UnixTime;
        use rustls::server::WebPkiClientVerifier;
        let authority = Authority::new().unwrap();
        let status = sign(&authority, "cluster.local", &request(json!({})), Timestamp::now()).unwrap();
        let pem = status["certificateChain"].as_str().unwrap().as_bytes();
        let chain = tls::certificates(pem);
        assert_eq!(chain.len(), 2);
        let roots = std::sync::Arc::new(tls::roots(authority.root.as_bytes()));
        let judge = WebPkiClientVerifier::builder_with_provider(roots, tls::provider()).build().unwrap();
        judge.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap().value.general_names.clone();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let expected = ["spiffe://cluster.local/ns/n/sa/s", "server.n.svc", "server.n.svc.cluster.local"];
        assert!(expected.iter().all(|name| names.iter().any(|found| found.contains(name))), "{names:?}");
        let validity = leaf.validity();
        assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 7200);
        assert!(is_open(&json!({})) && !is_open(&json!({"status": status})));
    }

    #[test]
    fn a_pod_may_wish_for_a_path() {
        let authority = Authority::new().unwrap();
        let wish = request(json!({"unverifiedUserAnnotations": {PATH: "/custom"}}));
        let status = sign(&authority, "", &wish, Timestamp::now()).unwrap();
        let chain = tls::certificates(status["certificateChain"].as_str().unwrap().as_bytes());
        let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
        let names = format!("{:?}", leaf.subject_alternative_name().unwrap().unwrap().value.general_names);
        assert!(names.contains("spiffe://cluster.local/custom") && !names.contains("svc."), "{names}");
        let wrong = sign(&authority, "", &json!({"spec": {"stubPKCS10Request": "QQ=="}}), Timestamp::now());
        assert!(wrong.unwrap_err().starts_with("while parsing PKCS#10 request: "));
    }
}
