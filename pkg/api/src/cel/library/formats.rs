//! Named formats (apiserver `pkg/cel/library/format.go`): `format.dns1123Label().validate(text)`.

use base64::Engine as _;

use super::super::cost::tenth;
use super::super::eval::{Error, Run};
use super::super::value::Val;
use super::url::Url;
use super::{Answer, paid};
use crate::{names, time};

const NAMES: [&str; 13] = [
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
];

pub(super) fn apply(run: &mut Run<'_>, name: &str, args: &[Val]) -> Answer {
    match (name, args) {
        ("format.named", [Val::Str(wanted)]) => paid(run, 1, || {
            let found = NAMES.iter().find(|name| ***name == **wanted);
            Ok(found.map_or(Val::NONE, |name| Val::Format(name).some()))
        }),
        ("validate", [Val::Format(format), Val::Str(text)]) => {
            paid(run, tenth(text.len() as u64).saturating_mul(10), || {
                let complaints = complaints(format, text)?;
                if complaints.is_empty() {
                    return Ok(Val::NONE);
                }
                Ok(Val::list(complaints.into_iter().map(Val::text).collect()).some())
            })
        }
        (name, []) => {
            let wanted = name.strip_prefix("format.")?;
            let found = NAMES.iter().find(|name| **name == wanted)?;
            paid(run, 1, || Ok(Val::Format(found)))
        }
        _ => None,
    }
}

fn complaints(format: &str, text: &str) -> Result<Vec<String>, Error> {
    // A prefix may end where a name may not.
    let prefix = || text.strip_suffix('-').map_or_else(|| text.to_owned(), |start| format!("{start}a"));
    let good = |good: bool, what: &str| if good { Vec::new() } else { vec![what.to_owned()] };
    Ok(match format {
        "dns1123Label" => names::label(text),
        "dns1123Subdomain" => names::subdomain(text),
        "dns1035Label" => names::label_1035(text),
        "qualifiedName" => names::qualified_name(text),
        "dns1123LabelPrefix" => names::label(&prefix()),
        "dns1123SubdomainPrefix" => names::subdomain(&prefix()),
        "dns1035LabelPrefix" => names::label_1035(&prefix()),
        "labelValue" => names::label_value(text),
        "uri" => good(Url::parse(text).is_some(), "invalid URI"),
        "uuid" => good(crate::custom::is_format("uuid", text), "does not match the UUID format"),
        "byte" => good(base64::engine::general_purpose::STANDARD.decode(text).is_ok(), "invalid base64"),
        "date" => good(crate::custom::is_format("date", text), "invalid date"),
        "datetime" => good(time::parse(text).is_some(), "invalid datetime"),
        _ => return Err(Error::NoOverload),
    })
}
