//! A kubeconfig as text: the lab's entries as marked lines among those of others. Works on the block form that kubectl
//! writes; whether the outcome says what it should is for the caller to check. Pure.

use super::Access;

/// Ends the first and the last line of each piece of ours; a YAML comment.
const BEGIN: &str = "# minisvc: begin of";
const END: &str = "# minisvc: end of";
/// Before the context that was current, on a line of its own.
const BEFORE: &str = "# minisvc: before ";

/// The text with the access merged in and made current; nothing where the form is not one that takes lines.
pub(super) fn with(text: &str, access: &Access) -> Option<String> {
    let name = &access.context;
    let pieces = [
        (
            "clusters",
            vec![
                ("cluster", String::new()),
                ("  server", quoted(&access.server)),
                ("  certificate-authority-data", quoted(&access.ca)),
            ],
        ),
        (
            "users",
            vec![
                ("user", String::new()),
                ("  client-certificate-data", quoted(&access.certificate)),
                ("  client-key-data", quoted(&access.key)),
            ],
        ),
        ("contexts", vec![("context", String::new()), ("  cluster", scalar(name)), ("  user", scalar(name))]),
    ];
    // Only a single document whose top is a mapping in block form, with lines that end as ours do.
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#')).unwrap_or_default();
    let marks = ["---", "...", "%"];
    if text.contains('\r')
        || first.starts_with(['-', '{', '[', ' ', '\t', '!', '&', '*', '?', '"', '\''])
        || text.lines().any(|line| marks.iter().any(|mark| line.starts_with(mark)))
    {
        return None;
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (list, fields) in pieces {
        let (at, indent) = place(&mut lines, list)?;
        let pad = " ".repeat(indent);
        let mut piece = vec![format!("{pad}{BEGIN} {name}"), format!("{pad}- name: {}", scalar(name))];
        piece.extend(fields.into_iter().map(|(field, value)| format!("{pad}  {field}: {value}").trim_end().to_owned()));
        piece.push(format!("{pad}{END} {name}"));
        lines.splice(at..at, piece);
    }
    for (key, value) in [("kind", "Config"), ("apiVersion", "v1"), ("preferences", "{}")] {
        if !lines.iter().any(|line| line.starts_with(&format!("{key}:"))) {
            lines.push(format!("{key}: {value}"));
        }
    }
    let current = format!("current-context: {}", scalar(name));
    match lines.iter().position(|line| line.starts_with("current-context:")) {
        Some(at) => {
            let old = std::mem::replace(&mut lines[at], current);
            lines.insert(at, format!("{BEFORE}{old}"));
        }
        None => lines.push(current),
    }
    Some(lines.join("\n") + "\n")
}

/// The text without the lines that [`with`] put there for `context`; the context that was current before is so again,
/// unless another was chosen meanwhile.
pub(super) fn without(text: &str, context: &str) -> String {
    let (begin, end) = (format!("{BEGIN} {context}"), format!("{END} {context}"));
    if !text.contains(&begin) {
        return text.to_owned();
    }
    let ours = format!("current-context: {}", scalar(context));
    let mut kept: Vec<&str> = Vec::new();
    let (mut inside, mut before) = (false, None);
    for line in text.lines() {
        if line.trim() == begin {
            inside = true;
        } else if line.trim() == end {
            inside = false;
        } else if let Some(old) = line.strip_prefix(BEFORE) {
            before = Some(old);
        } else if line == ours {
            kept.extend(before);
        } else if !inside {
            kept.push(line);
        }
    }
    kept.join("\n") + "\n"
}

/// A JSON string is a YAML one.
fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

/// A name without quotes, where it can be nothing but a name.
fn scalar(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !matches!(name.to_lowercase().as_str(), "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if plain { name.to_owned() } else { quoted(name) }
}

/// Where an entry goes in a list, and how far in; makes the list where there is none.
fn place(lines: &mut Vec<String>, list: &str) -> Option<(usize, usize)> {
    let key = format!("{list}:");
    let Some(at) = lines.iter().position(|line| line.starts_with(&key)) else {
        lines.push(key);
        return Some((lines.len(), 0));
    };
    match lines[at][key.len()..].trim() {
        "" => {}
        "[]" | "null" => {
            lines[at] = key;
            return Some((at + 1, 0));
        }
        _ => return None,
    }
    let next = lines[at + 1..].iter().find(|line| !line.trim().is_empty() && !line.trim().starts_with('#'));
    let indent =
        next.filter(|line| line.trim_start().starts_with("- ")).map(|line| line.len() - line.trim_start().len());
    Some((at + 1, indent.unwrap_or(0)))
}
