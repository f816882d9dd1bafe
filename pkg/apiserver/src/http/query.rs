//! Query parameters: a multimap, and the typed options that handlers take from it.
//! Errors are worded as apimachinery's validation of `ListOptions`, `CreateOptions` and friends.

use std::borrow::Cow;
use std::time::Duration;

use minisvc_api::field::FieldError;
use minisvc_api::status::Status;

/// The parsed query string, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

/// How a list or the start of a watch treats `resourceVersion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// Unset: the newest state.
    Newest,
    /// `0`, or a revision with `NotOlderThan`: anything at least as new. Zero when any will do.
    NotOlderThan(u64),
    /// `resourceVersionMatch=Exact`.
    Exact(u64),
}

/// What to do with fields the schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and say so in `Warning` headers.
    Warn,
    /// 400.
    Strict,
}

/// Options of a list or watch.
#[derive(Debug, Clone)]
pub(crate) struct ListOptions {
    pub(crate) label_selector: String,
    pub(crate) field_selector: String,
    pub(crate) limit: usize,
    pub(crate) continue_token: String,
    pub(crate) at: At,
    /// The revision as given on a watch; `None` when unset.
    pub(crate) resource_version: Option<u64>,
    pub(crate) bookmarks: bool,
    pub(crate) send_initial_events: bool,
    pub(crate) timeout: Option<Duration>,
}

/// Options of a create, update or patch.
#[derive(Debug, Clone)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
    /// Apply takes over what others own.
    pub(crate) force: bool,
}

// === impl Query ===

impl Query {
    pub(crate) fn parse(text: &str) -> Query {
        let decode = |part: &str| {
            let plus: Cow<'_, str> = if part.contains('+') { part.replace('+', " ").into() } else { part.into() };
            percent_encoding::percent_decode_str(&plus).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Query(pairs.collect())
    }

    /// The first value, or the empty string.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str())
    }

    /// Whether a parameter is given at all.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }

    /// Every value of a repeated parameter.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// Kubernetes' booleans in queries: absent, `0` and `false` are false, all else (an empty value too) is true.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.has(key) && !matches!(self.get(key).to_lowercase().as_str(), "0" | "false")
    }

    /// Options of a list (`watch` false) or watch.
    pub(crate) fn list_options(&self, watch: bool) -> Result<ListOptions, Status> {
        let version = self.get("resourceVersion");
        let matching = self.get("resourceVersionMatch");
        let initial = self.has("sendInitialEvents").then(|| self.flag("sendInitialEvents"));
        let continued = !self.get("continue").is_empty();
        let mut errors = Vec::new();
        if watch {
            watch_rules(matching, initial, &mut errors);
        } else {
            list_rules(version, matching, initial, continued, &mut errors);
        }
        if !errors.is_empty() {
            return Err(Status::invalid("ListOptions", "meta.k8s.io", "", errors));
        }
        let resource_version = parse_version(version)?;
        let number = |key: &str| -> Result<u64, Status> {
            match self.get(key) {
                "" => Ok(0),
                text => text
                    .parse::<i64>()
                    .map(|n| u64::try_from(n).unwrap_or(0))
                    .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))),
            }
        };
        let at = match (resource_version, matching) {
            (None, _) => At::Newest,
            (Some(revision), "Exact") => At::Exact(revision),
            (Some(revision), "NotOlderThan") => At::NotOlderThan(revision),
            // Without a match, a limited list of a revision is exact, any other is "not older than".
            (Some(revision), _) if !watch && revision > 0 && number("limit")? > 0 => At::Exact(revision),
            (Some(revision), _) => At::NotOlderThan(revision),
        };
        let seconds = number("timeoutSeconds")?;
        Ok(ListOptions {
            label_selector: self.get("labelSelector").into(),
            field_selector: self.get("fieldSelector").into(),
            limit: usize::try_from(number("limit")?).unwrap_or(usize::MAX),
            continue_token: self.get("continue").into(),
            at,
            resource_version,
            bookmarks: self.flag("allowWatchBookmarks"),
            send_initial_events: initial == Some(true),
            timeout: (seconds > 0).then(|| Duration::from_secs(seconds)),
        })
    }

    /// Options of a create, update or patch; `kind` is `CreateOptions` and the like, for messages.
    pub(crate) fn write_options(&self, kind: &str) -> Result<WriteOptions, Status> {
        self.options(kind, Vec::new())
    }

    /// Options of a patch; `apply` when the patch is an applied configuration.
    pub(crate) fn patch_options(&self, apply: bool) -> Result<WriteOptions, Status> {
        let mut errors = Vec::new();
        if apply && self.get("fieldManager").is_empty() {
            errors.push(FieldError::required("fieldManager", "is required for apply patch"));
        }
        if !apply && self.has("force") {
            errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
        }
        self.options("PatchOptions", errors)
    }

    fn options(&self, kind: &str, mut errors: Vec<FieldError>) -> Result<WriteOptions, Status> {
        errors.extend(minisvc_api::apply::validate_manager(self.get("fieldManager")));
        let dry_run = dry_run(self.all("dryRun"), &mut errors);
        let validation = match self.get("fieldValidation") {
            "Strict" => FieldValidation::Strict,
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            other => {
                errors.push(FieldError::not_supported("fieldValidation", other, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        if !errors.is_empty() {
            return Err(Status::invalid(kind, "meta.k8s.io", "", errors));
        }
        Ok(WriteOptions { dry_run, validation, force: self.flag("force") })
    }
}

/// Whether the request is a dry run; pushes an error when anything but `All` is among the values.
pub(crate) fn dry_run<'a>(values: impl Iterator<Item = &'a str>, errors: &mut Vec<FieldError>) -> bool {
    let values: Vec<&str> = values.collect();
    if values.iter().any(|value| *value != "All") {
        errors.push(FieldError::not_supported("dryRun", values, &["All"]));
        return false;
    }
    !values.is_empty()
}

/// Parses a resource version.
fn parse_version(text: &str) -> Result<Option<u64>, Status> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!(
                "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
            ))
        }),
    }
}

fn watch_rules(matching: &str, initial: Option<bool>, errors: &mut Vec<FieldError>) {
    match initial {
        Some(_) if matching.is_empty() => errors.push(FieldError::forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )),
        Some(_) if matching != "NotOlderThan" => {
            errors.push(FieldError::not_supported("resourceVersionMatch", matching, &["NotOlderThan"]));
        }
        None if !matching.is_empty() => errors.push(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
        _ => {}
    }
}

fn list_rules(version: &str, matching: &str, initial: Option<bool>, continued: bool, errors: &mut Vec<FieldError>) {
    if initial.is_some() {
        errors.push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    if matching.is_empty() {
        return;
    }
    if continued {
        errors.push(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden when continue is provided",
        ));
    }
    if version.is_empty() {
        errors.push(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ));
    }
    match matching {
        "Exact" if version == "0" => errors.push(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        )),
        "Exact" | "NotOlderThan" => {}
        other => errors.push(FieldError::not_supported("resourceVersionMatch", other, &["Exact", "NotOlderThan"])),
    }
}
