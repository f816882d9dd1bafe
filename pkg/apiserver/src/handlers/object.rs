//! Bodies to objects of a row: type checks, unknown and duplicate fields, validation. Must not write.

use bytes::Bytes;
use http::HeaderMap;
use minisvc_api::apply;
use minisvc_api::field::{FieldError, quote};
use minisvc_api::meta;
use minisvc_api::registry::Row;
use minisvc_api::status::Status;
use serde_json::Value;

use crate::call::Call;
use crate::http::body::{self, Decoded};
use crate::http::query::FieldValidation;
use crate::http::strict;

/// An object as its type has it, and what to warn about.
pub(crate) struct Cleaned {
    pub(crate) value: Value,
    pub(crate) warnings: Vec<String>,
}

/// Decodes the body of a create or update as an object of the call's kind.
pub(crate) fn decode(call: &Call, validation: FieldValidation) -> Result<Cleaned, Status> {
    let view = call.view;
    let decoded = decode_as(&call.headers, &call.body, &view.api_version(), view.kind)?;
    clean(view, decoded, validation)
}

/// Decodes a body that must be of this type; `apiVersion` and `kind` may be missing.
pub(crate) fn decode_as(headers: &HeaderMap, bytes: &Bytes, version: &str, kind: &str) -> Result<Decoded, Status> {
    let unrecognized = |cause: &str| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; json parse \
             error: {cause} ({})",
            summary(bytes)
        ))
    };
    let decoded = body::decode(headers, bytes).map_err(|status| match status.code {
        400 if status.message.starts_with("EOF while parsing") => unrecognized("unexpected end of JSON input"),
        400 => unrecognized(&status.message),
        _ => status,
    })?;
    if !decoded.value.is_object() {
        return Err(unrecognized("json: cannot unmarshal into an object"));
    }
    let given = |field: &str| decoded.value[field].as_str().unwrap_or_default();
    let (given_version, given_kind) = (given("apiVersion"), given("kind"));
    if !given_version.is_empty() && given_version != version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({version})"
        )));
    }
    if !given_kind.is_empty() && given_kind != kind {
        let (group, version) = version.rsplit_once('/').unwrap_or(("core", version));
        // Upstream's own types are in packages named after the beginning of the group's name.
        let package = group.split('.').next().unwrap_or_default();
        return Err(Status::bad_request(format!(
            "{given_kind} in version {} cannot be handled as a {kind}: converting ({version}.{given_kind}) to \
             ({package}.{kind}): unknown conversion",
            quote(version)
        )));
    }
    Ok(decoded)
}

/// The typed form as it is stored, with unknown and duplicate fields treated as the client asked.
pub(crate) fn clean(row: &'static Row, decoded: Decoded, validation: FieldValidation) -> Result<Cleaned, Status> {
    let (mut complaints, mut summary) = (Vec::new(), None);
    if validation != FieldValidation::Ignore {
        let mut unknown = row.unknown_fields(&decoded.value);
        if row.custom.is_some() {
            // Decoded without a schema, which looks at the outcome.
            unknown.sort();
            complaints = strict::complaints(&decoded, &[]);
            complaints.extend(unknown.iter().map(|path| format!("unknown field {}", quote(path))));
        } else {
            complaints = strict::complaints(&decoded, &unknown);
        }
        if !decoded.repeated.is_empty() {
            // YAML is read in two steps: repeated keys first.
            let lines = format!("yaml: unmarshal errors:\n  {}", decoded.repeated.join("\n  "));
            summary = Some(std::iter::once(lines).chain(complaints.iter().cloned()).collect::<Vec<_>>().join(", "));
            complaints.splice(0..0, decoded.repeated.iter().cloned());
        }
    }
    let undecodable = |why: &str| Status::undecodable(row.kind, row.version, why);
    let mut value = row.pruned(&decoded.value).map_err(|cause| undecodable(&cause))?;
    let owners = &decoded.value["metadata"]["managedFields"];
    if apply::is_reset(owners) {
        // Typed objects have no empty lists; this one asks for owners to be forgotten.
        meta::metadata_mut(&mut value).insert("managedFields".into(), owners.clone());
    }
    if validation == FieldValidation::Strict && !complaints.is_empty() {
        let all = summary.unwrap_or_else(|| complaints.join(", "));
        return Err(undecodable(&format!("strict decoding error: {all}")));
    }
    let value = row.kept(&value);
    Ok(Cleaned { value, warnings: complaints })
}

/// The stored form of an object of the call's view that an admission policy has changed, typed and filled in anew.
pub(crate) fn retyped(call: &Call, shown: Value) -> Result<Value, Status> {
    let cleaned = clean(call.view, Decoded::of(shown), FieldValidation::Ignore)?;
    let mut value = cleaned.value;
    call.rules().fill_defaults(&mut value, None);
    Ok(value)
}

/// 422 unless metadata and content are right.
pub(crate) fn validate(row: &Row, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    let mut errors: Vec<FieldError> = meta::validate(row, new, old);
    errors.extend(row.complaints(new, old));
    if errors.is_empty() {
        return Ok(());
    }
    let name = match meta::name(new) {
        "" => new["metadata"]["generateName"].as_str().unwrap_or_default(),
        name => name,
    };
    Err(Status::invalid(row.kind, row.group, name, errors))
}

/// The body's beginning for error messages (apiserver `summarizeData`).
fn summary(bytes: &[u8]) -> String {
    const MAX: usize = 30;
    let cut = &bytes[..bytes.len().min(MAX)];
    let more = if bytes.len() > MAX { " ..." } else { "" };
    match bytes.first() {
        None => "<empty>".into(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(cut)),
        Some(_) => {
            let hex: String = cut.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{hex}{more}")
        }
    }
}
