//! The words of a Corefile: server blocks, directives, their arguments and the lines of their own blocks. Pure; must not know
//! any directive.

use anyhow::{bail, ensure};

/// A server block.
pub(super) struct Server {
    /// Zones with or without ports, as written.
    pub(super) keys: Vec<String>,
    pub(super) directives: Vec<Directive>,
}

/// One directive of a server block.
pub(super) struct Directive {
    /// Where it begins, from 1.
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    /// The lines of its own block, as words.
    pub(super) body: Vec<Vec<String>>,
}

/// The blocks of a text.
pub(super) fn blocks(text: &str) -> anyhow::Result<Vec<Server>> {
    let mut servers: Vec<Server> = Vec::new();
    let mut keys = Vec::new();
    // How deep the reader is: outside, in a server block, in a directive's own block.
    let mut depth = 0_u8;
    for (line, text) in (1..).zip(text.lines()) {
        let mut words = words(text, line)?;
        let opens = words.last().is_some_and(|word| word == "{");
        if opens {
            words.pop();
        }
        ensure!(!words.iter().any(|word| word == "{"), "{line} - Error during parsing: Unexpected '{{'");
        match (depth, words.as_slice()) {
            (_, []) if !opens => continue,
            (0, _) => {
                ensure!(words.first().is_none_or(|word| word != "import"), "{line} - import is not supported");
                ensure!(!words.iter().any(|word| word.starts_with('(')), "{line} - snippets are not supported");
                keys.extend(
                    words.iter().map(|word| word.trim_end_matches(',').to_owned()).filter(|key| !key.is_empty()),
                );
                if opens {
                    ensure!(!keys.is_empty(), "{line} - Error during parsing: a server block without zones");
                    servers.push(Server { keys: std::mem::take(&mut keys), directives: Vec::new() });
                }
            }
            (_, [word]) if word == "}" => {
                ensure!(!opens, "{line} - Error during parsing: Unexpected '{{'");
                depth -= 1;
                continue;
            }
            (1, [name, arguments @ ..]) => {
                let (name, arguments) = (name.clone(), arguments.to_vec());
                if let Some(server) = servers.last_mut() {
                    server.directives.push(Directive { line, name, arguments, body: Vec::new() });
                }
            }
            (2, _) if !opens => {
                let server = servers.last_mut();
                if let Some(directive) = server.and_then(|server| server.directives.last_mut()) {
                    directive.body.push(words);
                }
            }
            _ => bail!("{line} - Error during parsing: Unexpected '{{'"),
        }
        if opens {
            depth += 1;
        }
    }
    ensure!(depth == 0, "Error during parsing: Unexpected EOF, a block is not closed");
    ensure!(keys.is_empty(), "Error during parsing: zones without a server block: {}", keys.join(" "));
    Ok(servers)
}

/// A line's words; `"` holds blanks together, `#` begins a comment.
fn words(text: &str, line: usize) -> anyhow::Result<Vec<String>> {
    let mut words = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        let mut word = String::new();
        match letters.peek() {
            None | Some('#') => return Ok(words),
            Some('"') => {
                letters.next();
                loop {
                    match letters.next() {
                        Some('"') => break,
                        Some(letter) => word.push(letter),
                        None => bail!("{line} - Error during parsing: a quote is not closed"),
                    }
                }
            }
            Some(_) => {
                while let Some(letter) = letters.next_if(|letter| !letter.is_whitespace()) {
                    word.push(letter);
                }
            }
        }
        words.push(word);
    }
}
