//! Names as text: the form in which the zone looks them up. Pure.

use hickory_proto::rr::Name;

/// The name in lower case, without its last dot; `None` for labels that no Kubernetes name has.
pub(crate) fn lower(name: &Name) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        let label = std::str::from_utf8(label).ok().filter(|label| !label.contains('.'))?;
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(label);
    }
    text.make_ascii_lowercase();
    Some(text)
}

/// What stands before `domain` in `name`; empty for the domain itself.
pub(super) fn below<'a>(name: &'a str, domain: &str) -> Option<&'a str> {
    let rest = name.strip_suffix(domain)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_suffix('.') }
}
