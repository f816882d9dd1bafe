//! Where a webhook is: the `clientConfig` of admission webhooks and of conversions, read and checked (apiserver
//! `pkg/util/webhook`). Must not connect to anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::field::FieldError;
use crate::names;

/// Port of a service that names none.
const PORT: u16 = 443;

/// A webhook's place and the authorities that its certificate is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Where it is.
    pub place: Place,
    /// PEM; empty: the machine's own authorities.
    pub authorities: Vec<u8>,
}

/// Where a webhook is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Anywhere.
    Url {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
        /// Host and port as they are written.
        authority: String,
        /// From the first slash on; may be empty.
        path: String,
    },
    /// Behind a Service.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Port of the Service.
        port: u16,
        /// From the first slash on; may be empty.
        path: String,
    },
}

impl Remote {
    /// Reads a `clientConfig`.
    ///
    /// # Errors
    /// It names no place.
    pub fn read(config: &Value) -> Result<Self, String> {
        let authorities = STANDARD.decode(config["caBundle"].as_str().unwrap_or_default()).unwrap_or_default();
        let authorities = if authorities.trim_ascii().is_empty() { Vec::new() } else { authorities };
        let service = &config["service"];
        let text = |key: &str| service[key].as_str().unwrap_or_default().to_owned();
        let place = match config["url"].as_str() {
            _ if service.is_object() => Place::Service {
                namespace: text("namespace"),
                name: text("name"),
                port: service["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(PORT),
                path: text("path"),
            },
            Some(url) => {
                let parts = Url::split(url);
                let (host, port) = parts.host_and_port()?;
                Place::Url { host, port, authority: parts.authority.to_owned(), path: parts.path.to_owned() }
            }
            None => return Err("webhook configuration must have either service or URL".to_owned()),
        };
        Ok(Self { place, authorities })
    }

    /// The name that the certificate must be for.
    pub fn server_name(&self) -> String {
        match &self.place {
            Place::Url { host, .. } => host.clone(),
            Place::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
        }
    }

    /// What `Host` says.
    pub fn authority(&self) -> String {
        match &self.place {
            Place::Url { authority, .. } => authority.clone(),
            Place::Service { port, .. } => format!("{}:{port}", self.server_name()),
        }
    }

    /// Path and query of a call that may take this many seconds.
    pub fn target(&self, seconds: u64) -> String {
        let (Place::Url { path, .. } | Place::Service { path, .. }) = &self.place;
        let path = path.trim_start_matches('/');
        format!("/{path}?timeout={seconds}s")
    }
}

/// A URL taken apart as far as webhooks need it.
struct Url<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    authority: &'a str,
    path: &'a str,
    query: &'a str,
    fragment: &'a str,
}

impl<'a> Url<'a> {
    fn split(text: &'a str) -> Self {
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        let (scheme, rest) = text.split_once("://").unwrap_or(("", ""));
        let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, authority) = match place.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, place),
        };
        Self { scheme, user, authority, path, query, fragment }
    }

    fn host_and_port(&self) -> Result<(String, u16), String> {
        let unreadable = || format!("Unparsable URL: parse {:?}: invalid port", self.authority);
        let (host, port) = match self.authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match self.authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (self.authority, None),
            },
        };
        let port = port.filter(|port| !port.is_empty()).map_or(Ok(PORT), str::parse).map_err(|_| unreadable())?;
        Ok((host.to_owned(), port))
    }
}

/// Everything wrong with the `clientConfig` at this path.
pub(crate) fn check_client(config: &Value, path: &str) -> Vec<FieldError> {
    match (config["url"].as_str(), config["service"].is_object()) {
        (Some(url), false) => check_url(url, &format!("{path}.url")),
        (None, true) => check_service(&config["service"], &format!("{path}.service")),
        _ => vec![FieldError::required(path, "exactly one of url or service is required")],
    }
}

fn check_url(text: &str, path: &str) -> Vec<FieldError> {
    const FORM: &str = "; desired format: https://host[/path]";
    let url = Url::split(text);
    let mut errors = Vec::new();
    if let Err(why) = url.host_and_port() {
        return vec![FieldError::required(path, format!("url must be a valid URL: {why}{FORM}"))];
    }
    if url.scheme != "https" {
        let detail = format!("'https' is the only allowed URL scheme{FORM}");
        errors.push(FieldError::invalid(path, url.scheme, detail));
    }
    if url.authority.is_empty() {
        errors.push(FieldError::invalid(path, "", format!("host must be specified{FORM}")));
    }
    if let Some(user) = url.user {
        errors.push(FieldError::invalid(path, user, "user information is not permitted in the URL"));
    }
    if !url.fragment.is_empty() {
        errors.push(FieldError::invalid(path, url.fragment, "fragments are not permitted in the URL"));
    }
    if !url.query.is_empty() {
        errors.push(FieldError::invalid(path, url.query, "query parameters are not permitted in the URL"));
    }
    errors
}

fn check_service(service: &Value, path: &str) -> Vec<FieldError> {
    let text = |key: &str| service[key].as_str().unwrap_or_default();
    let mut errors = Vec::new();
    // Kubernetes hands the two over in the other order, so each is missed under the other's name.
    for (given, told) in [("namespace", "name"), ("name", "namespace")] {
        if text(given).is_empty() {
            errors.push(FieldError::required(format!("{path}.{told}"), ""));
        }
    }
    let port = service["port"].as_i64().unwrap_or(PORT.into());
    let complaints = names::port_number(port);
    if !complaints.is_empty() {
        let detail = format!("port is not valid: {}", complaints.join(", "));
        errors.push(FieldError::invalid(format!("{path}.port"), port, detail));
    }
    let given = text("path");
    let mut refuse = |detail: String| errors.push(FieldError::invalid(format!("{path}.path"), given, detail));
    if matches!(given, "" | "/") {
        return errors;
    }
    if given == "//" {
        refuse("segment[0] may not be empty".to_owned());
        return errors;
    }
    if !given.starts_with('/') {
        refuse("must start with a '/'".to_owned());
    }
    let rest = given.char_indices().nth(1).map_or("", |(at, _)| &given[at..]);
    for (index, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            refuse(format!("segment[{index}] may not be empty"));
        } else {
            names::subdomain(step).into_iter().for_each(|complaint| refuse(format!("segment[{index}]: {complaint}")));
        }
    }
    errors
}
