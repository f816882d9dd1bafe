//! Links inside pages that come through a proxy subresource: a page that names `/x` means the place behind the proxy, so
//! its links are led through the proxy too (apimachinery `util/proxy/transport.go`). Pure; must not touch anything else
//! of a page.

/// The largest page whose links are changed, bytes; larger ones pass as they are.
pub(super) const LIMIT: usize = 8 << 20;

/// The attributes that hold addresses, by element.
const ATTRIBUTES: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// The page with its links changed as `change` says: `None` leaves one as it is.
pub(super) fn rewrite(page: &str, change: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(page.len() + 256);
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        if rest.starts_with("<!--") {
            let end = rest.find("-->").map_or(rest.len(), |end| end + 3);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let name: String = rest[1..]
            .chars()
            .take_while(|letter| letter.is_ascii_alphanumeric())
            .collect::<String>()
            .to_ascii_lowercase();
        let end = tag_end(rest);
        match ATTRIBUTES.iter().find(|(element, _)| *element == name) {
            Some((_, attributes)) => tag(&rest[..end], attributes, &change, &mut out),
            None => out.push_str(&rest[..end]),
        }
        rest = &rest[end..];
        // What stands in a script is no markup.
        if matches!(name.as_str(), "script" | "style") {
            let close = format!("</{name}");
            let end = rest.to_ascii_lowercase().find(&close).unwrap_or(rest.len());
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    out
}

/// Behind the `>` that ends a tag; those inside quoted values do not.
fn tag_end(text: &str) -> usize {
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '>') => return at + 1,
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// One tag, its addresses changed.
fn tag(text: &str, attributes: &[&str], change: &impl Fn(&str) -> Option<String>, out: &mut String) {
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let (before, after) = rest.split_at(equals + 1);
        out.push_str(before);
        let name = before[..equals].trim_end();
        let name = name.rsplit(|letter: char| letter.is_ascii_whitespace() || letter == '/').next().unwrap_or_default();
        let blanks = after.len() - after.trim_start().len();
        out.push_str(&after[..blanks]);
        let after = &after[blanks..];
        let (open, value, length) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let end = after[1..].find(quote).map_or(after.len(), |end| end + 1);
                (&after[..1], &after[1..end], end)
            }
            _ => {
                let end =
                    after.find(|letter: char| letter.is_ascii_whitespace() || letter == '>').unwrap_or(after.len());
                ("", &after[..end], end)
            }
        };
        out.push_str(open);
        let wanted = attributes.iter().any(|attribute| name.eq_ignore_ascii_case(attribute));
        match wanted.then(|| change(value)).flatten() {
            Some(changed) => out.push_str(&changed),
            None => out.push_str(value),
        }
        rest = &after[length..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::rewrite;

    fn through(page: &str) -> String {
        rewrite(page, |link| link.starts_with('/').then(|| format!("/proxy{link}")))
    }

    #[test]
    fn addresses_are_led_through_the_proxy() {
        assert_eq!(through(r#"<a href="/rewriteme">test</a>"#), r#"<a href="/proxy/rewriteme">test</a>"#);
        assert_eq!(through("<IMG alt='/a' SRC = '/b'> /c"), "<IMG alt='/a' SRC = '/proxy/b'> /c");
        assert_eq!(through("<a href=/x>y</a><a href=z>"), "<a href=/proxy/x>y</a><a href=z>");
        assert_eq!(through(r#"<p title="<a href='/x'>">"#), r#"<p title="<a href='/x'>">"#);
    }

    #[test]
    fn all_else_stays() {
        for page in [
            "<!-- <a href='/x'> -->",
            "<script>let a = '<a href=\"/x\">';</script>",
            "a < b",
            "<a href='/unfinished",
            "<",
            "<b href='/x'>",
        ] {
            let changed = through(page);
            assert!(changed == page || page.contains("unfinished"), "{page}: {changed}");
        }
    }
}
