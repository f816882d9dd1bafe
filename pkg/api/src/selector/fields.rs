//! Field selectors: `metadata.name=x,status.phase!=Running`. Which fields a kind offers is in its registry row.

use serde_json::Value;

use crate::field::quote;
use crate::meta;
use crate::registry::Row;

/// Terms that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    /// `(field, equal, value)`.
    pub terms: Vec<(String, bool, String)>,
}

impl FieldSelector {
    /// Reads the text of a `fieldSelector` parameter and checks its fields against the row's.
    ///
    /// # Errors
    /// The complaint, to be sent as 400 BadRequest.
    pub fn parse(text: &str, row: &Row) -> Result<Self, String> {
        let mut terms = Vec::new();
        for part in split_terms(text) {
            if part.is_empty() {
                continue;
            }
            let Some((field, equal, value)) = split_term(&part) else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            let value = unescape(value).ok_or_else(|| format!("invalid field selector: {}", quote(value)))?;
            let known = matches!(field, "metadata.name" | "metadata.namespace") || row.field_labels.contains(&field);
            if !known {
                return Err(if row.field_labels.is_empty() {
                    format!(
                        "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                        quote(field)
                    )
                } else {
                    format!("field label not supported: {field}")
                });
            }
            terms.push((field.to_owned(), equal, value));
        }
        Ok(Self { terms })
    }

    /// Whether an object of the row's kind satisfies every term.
    pub fn matches(&self, row: &Row, object: &Value) -> bool {
        self.terms.iter().all(|(field, equal, value)| {
            let found = match field.as_str() {
                "metadata.name" => meta::name(object) == value,
                "metadata.namespace" => meta::namespace(object) == value,
                other => row.label_value(object, other) == *value,
            };
            found == *equal
        })
    }

    /// Whether it has no terms.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The one name that `metadata.name=x` asks for, when it does.
    pub fn exact_name(&self) -> Option<&str> {
        self.terms.iter().find(|(f, equal, _)| f == "metadata.name" && *equal).map(|(_, _, v)| v.as_str())
    }
}

/// Splits at commas that no backslash escapes.
fn split_terms(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == ',' && !escaped {
            parts.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.find(['=', '!'])?;
    let (field, rest) = term.split_at(at);
    if let Some(value) = rest.strip_prefix("!=") {
        Some((field, false, value))
    } else if let Some(value) = rest.strip_prefix("==") {
        Some((field, true, value))
    } else {
        rest.strip_prefix('=').map(|value| (field, true, value))
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                _ => return None,
            },
            '=' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}
