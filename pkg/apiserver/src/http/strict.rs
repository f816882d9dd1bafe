//! What a strict decoder says of a body, in the order in which it meets it. Must not know kinds: which fields are unknown it
//! is told.

use std::collections::HashSet;
use std::fmt;

use minisvc_api::field::quote;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::body::Decoded;

/// Most that is said of one body (sigs.k8s.io/json).
const MOST: usize = 100;

/// The unknown fields, in which a decoder looks no further, and the duplicate ones, each said once.
pub(crate) fn complaints(decoded: &Decoded, unknown: &[String]) -> Vec<String> {
    let mut all = Words::default();
    match &decoded.source {
        Some(source) if !unknown.is_empty() && !decoded.duplicates.is_empty() => {
            let unknown = unknown.iter().map(String::as_str).collect();
            let meeting = Meeting { path: &mut String::new(), unknown: &unknown, all: &mut all };
            // It was read once, so it can be read again.
            let _ = meeting.deserialize(&mut serde_json::Deserializer::from_slice(source));
        }
        _ => {
            unknown.iter().for_each(|path| all.say("unknown", path));
            decoded.duplicates.iter().for_each(|path| all.say("duplicate", path));
        }
    }
    all.list
}

#[derive(Default)]
struct Words {
    list: Vec<String>,
    said: HashSet<String>,
}

impl Words {
    fn say(&mut self, what: &str, path: &str) {
        let words = format!("{what} field {}", quote(path));
        if self.list.len() < MOST && self.said.insert(words.clone()) {
            self.list.push(words);
        }
    }
}

struct Meeting<'a> {
    path: &'a mut String,
    unknown: &'a HashSet<&'a str>,
    all: &'a mut Words,
}

impl Meeting<'_> {
    fn below(&mut self) -> Meeting<'_> {
        Meeting { path: self.path, unknown: self.unknown, all: self.all }
    }
}

impl<'de> DeserializeSeed<'de> for Meeting<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Meeting<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<(), A::Error> {
        let base = self.path.len();
        for index in 0.. {
            self.path.push_str(&format!("[{index}]"));
            let item = access.next_element_seed(self.below())?;
            self.path.truncate(base);
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<(), A::Error> {
        let base = self.path.len();
        let mut met = HashSet::new();
        while let Some(key) = access.next_key::<String>()? {
            if base > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            if self.unknown.contains(self.path.as_str()) {
                self.all.say("unknown", self.path);
                access.next_value::<IgnoredAny>()?;
            } else {
                if !met.insert(key) {
                    self.all.say("duplicate", self.path);
                }
                access.next_value_seed(self.below())?;
            }
            self.path.truncate(base);
        }
        Ok(())
    }
}
