//! The keys and what commands do to them. Pure but for the clock.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::resp::{Answer, number};

type Bytes = Vec<u8>;

#[derive(Debug)]
enum Value {
    Text(Bytes),
    Hash(BTreeMap<Bytes, Bytes>),
    List(VecDeque<Bytes>),
    Set(BTreeSet<Bytes>),
}

#[derive(Debug)]
struct Entry {
    value: Value,
    expires: Option<Instant>,
}

/// All keys of the one database.
#[derive(Debug, Default)]
pub(super) struct Keys(BTreeMap<Bytes, Entry>);

const OK: Answer = Answer::Simple("OK");

fn wrong_type() -> Answer {
    Answer::error("WRONGTYPE Operation against a key holding the wrong kind of value")
}

fn no_number() -> Answer {
    Answer::error("ERR value is not an integer or out of range")
}

/// A value of one kind under a key, made where there is none; `Err` where it is of another kind.
macro_rules! kind {
    ($name:ident, $variant:ident, $type:ty) => {
        fn $name(&mut self, key: &Bytes) -> Result<&mut $type, Answer> {
            let entry = self.0.entry(key.clone());
            let new = || Entry { value: Value::$variant(<$type>::default()), expires: None };
            match &mut entry.or_insert_with(new).value {
                Value::$variant(value) => Ok(value),
                _ => Err(wrong_type()),
            }
        }
    };
}

impl Keys {
    kind!(text, Text, Bytes);
    kind!(hash, Hash, BTreeMap<Bytes, Bytes>);
    kind!(list, List, VecDeque<Bytes>);
    kind!(set, Set, BTreeSet<Bytes>);

    /// Carries out one command; its words are not empty.
    pub(super) fn answer(&mut self, words: &[Bytes]) -> Answer {
        let now = Instant::now();
        self.0.retain(|_, entry| entry.expires.is_none_or(|expires| expires > now));
        let name = String::from_utf8_lossy(&words[0]).to_lowercase();
        let answer = match self.carry_out(&name, &words[1..]) {
            Some(Ok(answer) | Err(answer)) => answer,
            None if KNOWN.contains(&name.as_str()) => {
                Answer::error(format!("ERR wrong number of arguments for '{name}' command"))
            }
            None => {
                let rest: Vec<String> =
                    words[1..].iter().take(8).map(|word| format!("'{}' ", String::from_utf8_lossy(word))).collect();
                Answer::error(format!(
                    "ERR unknown command '{}', with args beginning with: {}",
                    String::from_utf8_lossy(&words[0]),
                    rest.concat()
                ))
            }
        };
        // A hash, list or set without members is no key.
        self.0.retain(|_, entry| match &entry.value {
            Value::Text(_) => true,
            Value::Hash(hash) => !hash.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Set(set) => !set.is_empty(),
        });
        answer
    }

    /// `None`: no such command, or not with so many words.
    fn carry_out(&mut self, name: &str, words: &[Bytes]) -> Option<Result<Answer, Answer>> {
        let count = |number: usize| Ok(Answer::Integer(i64::try_from(number).unwrap_or(i64::MAX)));
        Some(match (name, words) {
            ("ping", []) => Ok(Answer::Simple("PONG")),
            ("ping" | "echo", [text]) => Ok(Answer::bulk(text.clone())),
            ("select", [database]) if database != b"0" => Err(Answer::error("ERR DB index is out of range")),
            ("select" | "auth", [_]) | ("client", [_, ..]) | ("quit", []) => Ok(OK),
            ("command" | "config", _) => Ok(Answer::Array(Vec::new())),
            ("hello", _) => Err(Answer::error("NOPROTO unsupported protocol version")),
            ("info", _) => Ok(Answer::bulk("# Server\r\nredis_mode:standalone\r\nserver_name:minisvc\r\n")),
            ("dbsize", []) => count(self.0.len()),
            ("flushall" | "flushdb", _) => {
                self.0.clear();
                Ok(OK)
            }
            ("keys", [pattern]) => {
                let names = self.0.keys().filter(|key| matches(pattern, key)).cloned();
                Ok(Answer::Array(names.map(Answer::Bulk).collect()))
            }
            ("del" | "unlink", [_, ..]) => count(words.iter().filter(|key| self.0.remove(*key).is_some()).count()),
            ("exists", [_, ..]) => count(words.iter().filter(|key| self.0.contains_key(*key)).count()),
            ("type", [key]) => Ok(Answer::Simple(match self.0.get(key).map(|entry| &entry.value) {
                None => "none",
                Some(Value::Text(_)) => "string",
                Some(Value::Hash(_)) => "hash",
                Some(Value::List(_)) => "list",
                Some(Value::Set(_)) => "set",
            })),
            ("expire", [key, seconds]) => self.expire(key, seconds),
            ("ttl", [key]) => Ok(Answer::Integer(match self.0.get(key) {
                None => -2,
                Some(Entry { expires: None, .. }) => -1,
                Some(Entry { expires: Some(at), .. }) => {
                    at.saturating_duration_since(Instant::now()).as_millis().div_ceil(1000) as i64
                }
            })),
            ("persist", [key]) => {
                count(usize::from(self.0.get_mut(key).is_some_and(|entry| entry.expires.take().is_some())))
            }
            ("get", [key]) => self.get(key),
            ("mget", [_, ..]) => {
                Ok(Answer::Array(words.iter().map(|key| self.get(key).unwrap_or(Answer::Null)).collect()))
            }
            ("set", [key, value, options @ ..]) => self.store(key, value, options),
            ("setex", [key, seconds, value]) => self.store(key, value, &[b"EX".to_vec(), seconds.clone()]),
            ("setnx", [key, value]) => match self.store(key, value, &[b"NX".to_vec()]) {
                Ok(Answer::Null) => Ok(Answer::Integer(0)),
                other => other.map(|_| Answer::Integer(1)),
            },
            ("incr", [key]) => self.text(key).and_then(|value| add(value, 1)),
            ("decr", [key]) => self.text(key).and_then(|value| add(value, -1)),
            ("incrby", [key, by]) => by_number(by, |by| self.text(key).and_then(|value| add(value, by))),
            ("decrby", [key, by]) => {
                by_number(by, |by| self.text(key).and_then(|value| add(value, by.checked_neg().ok_or_else(no_number)?)))
            }
            ("append", [key, more]) => self.text(key).and_then(|value| {
                value.extend(more);
                count(value.len())
            }),
            ("strlen", [key]) => match self.get(key) {
                Ok(Answer::Bulk(value)) => count(value.len()),
                other => other.map(|_| Answer::Integer(0)),
            },
            ("hset" | "hmset", [key, pairs @ ..]) if !pairs.is_empty() && pairs.len() % 2 == 0 => {
                self.hash(key).and_then(|hash| {
                    let new =
                        pairs.chunks(2).filter(|pair| hash.insert(pair[0].clone(), pair[1].clone()).is_none()).count();
                    if name == "hset" { count(new) } else { Ok(OK) }
                })
            }
            ("hget", [key, field]) => {
                self.hash(key).map(|hash| hash.get(field).cloned().map_or(Answer::Null, Answer::Bulk))
            }
            ("hdel", [key, fields @ ..]) if !fields.is_empty() => self
                .hash(key)
                .and_then(|hash| count(fields.iter().filter(|field| hash.remove(*field).is_some()).count())),
            ("hlen", [key]) => self.hash(key).and_then(|hash| count(hash.len())),
            ("hexists", [key, field]) => self.hash(key).and_then(|hash| count(usize::from(hash.contains_key(field)))),
            ("hkeys", [key]) => self.hash(key).map(|hash| all(hash.keys())),
            ("hvals", [key]) => self.hash(key).map(|hash| all(hash.values())),
            ("hgetall", [key]) => self.hash(key).map(|hash| all(hash.iter().flat_map(|(field, value)| [field, value]))),
            ("hincrby", [key, field, by]) => {
                by_number(by, |by| self.hash(key).and_then(|hash| add(hash.entry(field.clone()).or_default(), by)))
            }
            ("lpush" | "rpush", [key, values @ ..]) if !values.is_empty() => self.list(key).and_then(|list| {
                for value in values {
                    if name == "lpush" { list.push_front(value.clone()) } else { list.push_back(value.clone()) }
                }
                count(list.len())
            }),
            ("lpop", [key]) => self.list(key).map(|list| list.pop_front().map_or(Answer::Null, Answer::Bulk)),
            ("rpop", [key]) => self.list(key).map(|list| list.pop_back().map_or(Answer::Null, Answer::Bulk)),
            ("llen", [key]) => self.list(key).and_then(|list| count(list.len())),
            ("lrange", [key, from, to]) => match (number(from), number(to)) {
                (Some(from), Some(to)) => self.list(key).map(|list| {
                    let place = |at: i64| if at < 0 { at.saturating_add(list.len() as i64) } else { at };
                    let (from, to) = (place(from).max(0), place(to));
                    let wanted = |at: usize| (from..=to).contains(&(at as i64));
                    all(list.iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, value)| value))
                }),
                _ => Err(no_number()),
            },
            ("sadd", [key, members @ ..]) if !members.is_empty() => self
                .set(key)
                .and_then(|set| count(members.iter().filter(|member| set.insert((*member).clone())).count())),
            ("srem", [key, members @ ..]) if !members.is_empty() => {
                self.set(key).and_then(|set| count(members.iter().filter(|member| set.remove(*member)).count()))
            }
            ("scard", [key]) => self.set(key).and_then(|set| count(set.len())),
            ("smembers", [key]) => self.set(key).map(|set| all(set.iter())),
            ("sismember", [key, member]) => self.set(key).and_then(|set| count(usize::from(set.contains(member)))),
            _ => return None,
        })
    }

    fn get(&self, key: &Bytes) -> Result<Answer, Answer> {
        match self.0.get(key).map(|entry| &entry.value) {
            None => Ok(Answer::Null),
            Some(Value::Text(value)) => Ok(Answer::bulk(value.clone())),
            Some(_) => Err(wrong_type()),
        }
    }

    fn store(&mut self, key: &Bytes, value: &Bytes, options: &[Bytes]) -> Result<Answer, Answer> {
        let mut expires = None;
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match option.to_ascii_uppercase().as_slice() {
                b"NX" if self.0.contains_key(key) => return Ok(Answer::Null),
                b"XX" if !self.0.contains_key(key) => return Ok(Answer::Null),
                b"NX" | b"XX" => {}
                unit @ (b"EX" | b"PX") => {
                    let time = options.next().and_then(|time| number(time)).ok_or_else(no_number)?;
                    let time = u64::try_from(time).ok().filter(|time| *time > 0);
                    let time = time.ok_or_else(|| Answer::error("ERR invalid expire time in 'set' command"))?;
                    let time = if unit == b"EX" { Duration::from_secs(time) } else { Duration::from_millis(time) };
                    expires = Instant::now().checked_add(time);
                }
                _ => return Err(Answer::error("ERR syntax error")),
            }
        }
        self.0.insert(key.clone(), Entry { value: Value::Text(value.clone()), expires });
        Ok(OK)
    }

    fn expire(&mut self, key: &Bytes, seconds: &Bytes) -> Result<Answer, Answer> {
        let seconds = number(seconds).ok_or_else(no_number)?;
        match self.0.get_mut(key) {
            None => Ok(Answer::Integer(0)),
            Some(entry) => {
                entry.expires = Instant::now().checked_add(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
                Ok(Answer::Integer(1))
            }
        }
    }
}

/// The commands that are known, for the error about the number of words.
const KNOWN: &[&str] = &[
    "append",
    "auth",
    "client",
    "decr",
    "decrby",
    "del",
    "echo",
    "exists",
    "expire",
    "get",
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hincrby",
    "hkeys",
    "hlen",
    "hmset",
    "hset",
    "hvals",
    "incr",
    "incrby",
    "keys",
    "llen",
    "lpop",
    "lpush",
    "lrange",
    "mget",
    "persist",
    "rpop",
    "rpush",
    "sadd",
    "scard",
    "select",
    "set",
    "setex",
    "setnx",
    "sismember",
    "smembers",
    "srem",
    "strlen",
    "ttl",
    "type",
    "unlink",
];

fn by_number(by: &[u8], act: impl FnOnce(i64) -> Result<Answer, Answer>) -> Result<Answer, Answer> {
    number(by).map_or_else(|| Err(no_number()), act)
}

fn add(value: &mut Bytes, by: i64) -> Result<Answer, Answer> {
    let old = if value.is_empty() { Some(0) } else { number(value) };
    let new = old.and_then(|old| old.checked_add(by)).ok_or_else(no_number)?;
    *value = new.to_string().into_bytes();
    Ok(Answer::Integer(new))
}

fn all<'a>(values: impl Iterator<Item = &'a Bytes>) -> Answer {
    Answer::Array(values.cloned().map(Answer::Bulk).collect())
}

/// Whether a key fits a pattern of `*`, `?` and plain letters.
fn matches(pattern: &[u8], key: &[u8]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=key.len()).any(|skipped| matches(rest, &key[skipped..])),
        (Some((b'?', pattern)), Some((_, key))) => matches(pattern, key),
        (Some((letter, pattern)), Some((other, key))) if letter == other => matches(pattern, key),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(keys: &mut Keys, line: &str) -> String {
        let words: Vec<Bytes> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let mut out = Vec::new();
        keys.answer(&words).write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_dockercoins_asks() {
        let mut keys = Keys::default();
        assert_eq!(say(&mut keys, "INCRBY hashes 4"), ":4\r\n");
        assert_eq!(say(&mut keys, "hset wallet 0ab x"), ":1\r\n");
        assert_eq!(say(&mut keys, "HSET wallet 0ab y"), ":0\r\n");
        assert_eq!(
            (say(&mut keys, "hlen wallet"), say(&mut keys, "get hashes")),
            (":1\r\n".into(), "$1\r\n4\r\n".into())
        );
    }

    #[test]
    fn kinds_and_errors_are_kept_apart() {
        let mut keys = Keys::default();
        assert_eq!(say(&mut keys, "SET a 1 EX 100"), "+OK\r\n");
        assert_eq!(say(&mut keys, "ttl a"), ":100\r\n");
        assert!(say(&mut keys, "lpush a x").starts_with("-WRONGTYPE"));
        assert!(say(&mut keys, "incrby a b").starts_with("-ERR value is not an integer"));
        assert!(say(&mut keys, "get").starts_with("-ERR wrong number of arguments for 'get' command"));
        assert!(say(&mut keys, "nosuch x").starts_with("-ERR unknown command 'nosuch', with args beginning with: 'x'"));
        say(&mut keys, "rpush l a b c");
        assert_eq!(say(&mut keys, "lrange l -2 -1"), "*2\r\n$1\r\nb\r\n$1\r\nc\r\n");
        say(&mut keys, "lpop l");
        say(&mut keys, "lpop l");
        say(&mut keys, "lpop l");
        assert_eq!(say(&mut keys, "exists l a"), ":1\r\n");
        assert_eq!(say(&mut keys, "keys ?"), "*1\r\n$1\r\na\r\n");
    }
}
