//! PEM (RFC 7468) as Go reads it: blocks among other text, with or without headers; what is no whole block is passed
//! over. Must not judge what a block holds.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const DASHES: &str = "-----";

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// `CERTIFICATE`.
    pub label: String,
    /// Whether `Key: value` lines stand before its content.
    pub headers: bool,
    /// What it holds.
    pub content: Vec<u8>,
}

impl Block {
    /// The block as text again, without headers.
    pub fn write(&self) -> String {
        let mut text = format!("{DASHES}BEGIN {}{DASHES}\n", self.label);
        let content = STANDARD.encode(&self.content);
        for line in content.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str(&format!("{DASHES}END {}{DASHES}\n", self.label));
        text
    }
}

/// All blocks of a text, in order.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut all = Vec::new();
    let mut lines = text.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        let Some(label) = between(line, "BEGIN ") else { continue };
        let end = format!("{DASHES}END {label}{DASHES}");
        let mut rest = lines.clone();
        let (mut headers, mut content, mut closed) = (false, String::new(), false);
        for line in rest.by_ref() {
            if line == end {
                closed = true;
                break;
            }
            if line.contains(':') {
                headers = true;
            } else {
                content.push_str(line.trim());
            }
        }
        if closed && let Ok(content) = STANDARD.decode(&content) {
            all.push(Block { label: label.to_owned(), headers, content });
            lines = rest;
        }
    }
    all
}

fn between<'a>(line: &'a str, what: &str) -> Option<&'a str> {
    line.strip_prefix(DASHES)?.strip_prefix(what)?.strip_suffix(DASHES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_among_other_text_and_written_again() {
        let one = Block { label: "CERTIFICATE".into(), headers: false, content: vec![7; 100] };
        let two = Block { label: "KEY".into(), headers: true, content: b"x".to_vec() };
        let text = format!(
            "hello\n{}-----BEGIN KEY-----\nA: b\n\neA==\n-----END KEY-----\n-----BEGIN X-----\n!\n-----END X-----\n\
             -----BEGIN X-----\nnever ends\n",
            one.write()
        );
        assert_eq!(blocks(&text), [one.clone(), two]);
        assert!(one.write().lines().all(|line| line.len() <= 64), "{}", one.write());
        assert!(blocks("").is_empty());
    }
}
