//! The wire format of Redis, version 2: commands as arrays of bulk strings or as plain lines, and answers. Pure.

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Simple(&'static str),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Answer>),
}

impl Answer {
    pub(super) fn error(text: impl Into<String>) -> Answer {
        Answer::Error(text.into())
    }

    pub(super) fn bulk(text: impl Into<Vec<u8>>) -> Answer {
        Answer::Bulk(text.into())
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Answer::Simple(text) => out.extend(format!("+{text}\r\n").bytes()),
            Answer::Error(text) => out.extend(format!("-{}\r\n", text.replace(['\r', '\n'], " ")).bytes()),
            Answer::Integer(number) => out.extend(format!(":{number}\r\n").bytes()),
            Answer::Null => out.extend(b"$-1\r\n"),
            Answer::Bulk(text) => {
                out.extend(format!("${}\r\n", text.len()).bytes());
                out.extend(text);
                out.extend(b"\r\n");
            }
            Answer::Array(all) => {
                out.extend(format!("*{}\r\n", all.len()).bytes());
                all.iter().for_each(|one| one.write(out));
            }
        }
    }
}

/// A command's words, and how many bytes it took.
pub(super) type Command = (Vec<Vec<u8>>, usize);

/// The first command in `bytes`; `None` where it is not complete.
pub(super) fn command(bytes: &[u8]) -> Result<Option<Command>, String> {
    let Some((line, mut at)) = line(bytes, 0) else {
        return if bytes.len() > 64 * 1024 { Err("too big inline request".to_owned()) } else { Ok(None) };
    };
    let Some(count) = line.strip_prefix(b"*") else {
        let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(<[u8]>::to_vec);
        return Ok(Some((words.collect(), at)));
    };
    let count = number(count).filter(|count| (-1..=1024 * 1024).contains(count)).ok_or("invalid multibulk length")?;
    let mut words = Vec::new();
    for _ in 0..count {
        let Some((head, start)) = self::line(bytes, at) else { return Ok(None) };
        let length = match head.strip_prefix(b"$") {
            Some(length) => {
                number(length).and_then(|length| usize::try_from(length).ok()).filter(|length| *length <= 512 << 20)
            }
            None => return Err(format!("expected '$', got '{}'", head.first().map_or(' ', |byte| char::from(*byte)))),
        };
        let length = length.ok_or("invalid bulk length")?;
        if bytes.len() < start + length + 2 {
            return Ok(None);
        }
        words.push(bytes[start..start + length].to_vec());
        at = start + length + 2;
    }
    Ok(Some((words, at)))
}

/// A line without its end, and where the next begins.
fn line(bytes: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let end = bytes.get(from..)?.iter().position(|byte| *byte == b'\n')? + from;
    let line = bytes[from..end].strip_suffix(b"\r").unwrap_or(&bytes[from..end]);
    Some((line, end + 1))
}

pub(super) fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_in_two_forms_and_in_pieces() {
        let whole = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n";
        let (words, length) = command(whole).unwrap().unwrap();
        assert_eq!((words, length), (vec![b"GET".to_vec(), b"a".to_vec()], 20));
        assert_eq!(command(&whole[20..]).unwrap().unwrap().0, [b"PING".to_vec()]);
        for cut in 0..20 {
            assert_eq!(command(&whole[..cut]), Ok(None), "{cut}");
        }
        assert!(command(b"*x\r\n").is_err() && command(b"*1\r\n+a\r\n").is_err() && command(b"*1\r\n$-5\r\n").is_err());
    }

    #[test]
    fn answers_are_written() {
        let mut out = Vec::new();
        Answer::Array(vec![Answer::bulk("a"), Answer::Null, Answer::Integer(-1), Answer::error("ERR x\ny")])
            .write(&mut out);
        assert_eq!(out, b"*4\r\n$1\r\na\r\n$-1\r\n:-1\r\n-ERR x y\r\n");
    }
}
