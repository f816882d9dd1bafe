//! Label selectors: `a=b,c!=d,e in (f,g),h,!i` and `{matchLabels, matchExpressions}`. The grammar and its complaints are
//! those of apimachinery's parser.

use std::fmt;

use serde_json::Value;

use crate::field::quote;
use crate::names;

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// The value is one of the listed (`=`, `==`, `in`).
    In,
    /// The key is absent or its value is none of the listed (`!=`, `notin`).
    NotIn,
    /// The key is there.
    Exists,
    /// The key is absent.
    DoesNotExist,
    /// The value is an integer above the listed one.
    Greater,
    /// The value is an integer below the listed one.
    Less,
}

/// One comma-separated part of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// The comparison.
    pub operator: Operator,
    /// What it compares with; empty for Exists and DoesNotExist.
    pub values: Vec<String>,
}

impl Requirement {
    fn checked(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, String> {
        if let Some(complaint) = names::qualified_name(key).into_iter().next() {
            return Err(format!("key: Invalid value: {}: {complaint}", quote(key)));
        }
        if matches!(operator, Operator::Greater | Operator::Less) && values.iter().any(|v| v.parse::<i64>().is_err()) {
            return Err(format!(
                "values[0]: Invalid value: {}: for 'Gt', 'Lt' operators, the value must be an integer",
                quote(values.first().map_or("", String::as_str))
            ));
        }
        for (i, value) in values.iter().enumerate() {
            if let Some(complaint) = names::label_value(value).into_iter().next() {
                return Err(format!("values[{i}][{key}]: Invalid value: {}: {complaint}", quote(value)));
            }
        }
        Ok(Self { key: key.to_owned(), operator, values })
    }

    /// Whether a value of the key (or its absence) satisfies this requirement.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let listed = |v: &str| self.values.iter().any(|x| x == v);
        let compare = |f: fn(&i64, &i64) -> bool| {
            let (Some(Ok(a)), Some(Ok(b))) = (value.map(str::parse), self.values.first().map(|v| v.parse())) else {
                return false;
            };
            f(&a, &b)
        };
        match self.operator {
            Operator::In => value.is_some_and(listed),
            Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Greater => compare(i64::gt),
            Operator::Less => compare(i64::lt),
        }
    }
}

/// Requirements that must all hold; none at all match everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    /// The parts, sorted by key.
    pub requirements: Vec<Requirement>,
    /// Matches nothing whatever the requirements say (a missing `LabelSelector` object).
    pub nothing: bool,
}

impl LabelSelector {
    /// The selector that matches everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// The selector that matches nothing.
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Reads the text of a `labelSelector` parameter.
    ///
    /// # Errors
    /// The parser's complaint, to be sent as 400 BadRequest.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: lex(text), at: 0 };
        let mut requirements = parser.parse()?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a plain map such as `Service.spec.selector`; an empty or missing one matches everything.
    pub fn from_map(map: &Value) -> Self {
        let requirements = map
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| Requirement {
                key: key.clone(),
                operator: Operator::In,
                values: vec![value.as_str().unwrap_or("").to_owned()],
            })
            .collect();
        Self { requirements, nothing: false }
    }

    /// Reads a `LabelSelector` object: null matches nothing, an empty one everything.
    ///
    /// # Errors
    /// An unknown operator, or keys and values that are no labels.
    pub fn from_object(object: &Value) -> Result<Self, String> {
        if object.is_null() {
            return Ok(Self::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in object["matchLabels"].as_object().into_iter().flatten() {
            requirements.push(Requirement::checked(key, Operator::In, vec![value.as_str().unwrap_or("").to_owned()])?);
        }
        for expression in object["matchExpressions"].as_array().into_iter().flatten() {
            let operator = match expression["operator"].as_str().unwrap_or("") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{} is not a valid label selector operator", quote(other))),
            };
            let values: Vec<String> = expression["values"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|v| v.as_str().unwrap_or("").to_owned())
                .collect();
            if matches!(operator, Operator::In | Operator::NotIn) && values.is_empty() {
                return Err(
                    "values: Invalid value: []string(nil): for 'in', 'notin' operators, values set can't be empty"
                        .into(),
                );
            }
            if matches!(operator, Operator::Exists | Operator::DoesNotExist) && !values.is_empty() {
                return Err("values: Invalid value: values set must be empty for exists and does not exist".into());
            }
            requirements.push(Requirement::checked(expression["key"].as_str().unwrap_or(""), operator, values)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Whether a map of labels (an object, or null for none) satisfies every requirement.
    pub fn matches(&self, labels: &Value) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels.get(&r.key).and_then(Value::as_str)))
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            let mut values = r.values.clone();
            values.sort_unstable();
            let list = values.join(",");
            match r.operator {
                Operator::In if values.len() == 1 => write!(f, "{}={list}", r.key)?,
                Operator::In => write!(f, "{} in ({list})", r.key)?,
                Operator::NotIn if values.len() == 1 => write!(f, "{}!={list}", r.key)?,
                Operator::NotIn => write!(f, "{} notin ({list})", r.key)?,
                Operator::Exists => f.write_str(&r.key)?,
                Operator::DoesNotExist => write!(f, "!{}", r.key)?,
                Operator::Greater => write!(f, "{}>{list}", r.key)?,
                Operator::Less => write!(f, "{}<{list}", r.key)?,
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(&'static str),
    End,
    Bad(String),
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Bad(text) => text,
            Self::Sign(text) => text,
            Self::End => "",
        }
    }
}

const SIGNS: [&str; 9] = ["==", "!=", "=", "!", ",", "(", ")", ">", "<"];

/// What separates words; other blanks are part of them (apimachinery `isWhitespace`).
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

fn lex(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(BLANKS);
        if rest.is_empty() {
            tokens.push(Token::End);
            return tokens;
        }
        let special = |c: char| "=!(),><".contains(c);
        if rest.starts_with(special) {
            match SIGNS.iter().find(|s| rest.starts_with(**s)) {
                Some(sign) => {
                    tokens.push(Token::Sign(sign));
                    rest = &rest[sign.len()..];
                }
                None => {
                    tokens.push(Token::Bad(rest.to_owned()));
                    tokens.push(Token::End);
                    return tokens;
                }
            }
        } else {
            let end = rest.find(|c: char| special(c) || BLANKS.contains(&c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn parse(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                Token::Word(_) | Token::Sign("!") => {
                    let requirement = self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?;
                    requirements.push(requirement);
                    match self.take() {
                        Token::End => return Ok(requirements),
                        Token::Sign(",") => {
                            if !matches!(self.peek(), Token::Word(_) | Token::Sign("!")) {
                                return Err(format!("found '{}', expected: identifier after ','", self.peek().text()));
                            }
                        }
                        other => return Err(format!("found '{}', expected: ',' or 'end of string'", other.text())),
                    }
                }
                Token::End => return Ok(requirements),
                other => return Err(format!("found '{}', expected: !, identifier, or 'end of string'", other.text())),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut token = self.take();
        let negated = token == Token::Sign("!");
        if negated {
            token = self.take();
        }
        let Token::Word(key) = token else {
            return Err(format!("found '{}', expected: identifier", token.text()));
        };
        if negated {
            return Requirement::checked(&key, Operator::DoesNotExist, Vec::new());
        }
        let operator = match self.peek() {
            Token::End | Token::Sign(",") => return Requirement::checked(&key, Operator::Exists, Vec::new()),
            Token::Word(word) if word == "in" => (Operator::In, true),
            Token::Word(word) if word == "notin" => (Operator::NotIn, true),
            Token::Sign("=" | "==") => (Operator::In, false),
            Token::Sign("!=") => (Operator::NotIn, false),
            Token::Sign(">") => (Operator::Greater, false),
            Token::Sign("<") => (Operator::Less, false),
            other => {
                return Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.text()));
            }
        };
        self.at += 1;
        let values = if operator.1 { self.list()? } else { vec![self.exact()?] };
        Requirement::checked(&key, operator.0, values)
    }

    fn exact(&mut self) -> Result<String, String> {
        match self.peek().clone() {
            Token::End | Token::Sign(",") => Ok(String::new()),
            Token::Word(word) => {
                self.at += 1;
                Ok(word)
            }
            other => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, String> {
        let open = self.take();
        if open != Token::Sign("(") {
            return Err(format!("found '{}' expected: '('", open.text()));
        }
        let mut values = Vec::new();
        loop {
            match self.take() {
                Token::Word(word) => {
                    values.push(word);
                    match self.take() {
                        Token::Sign(",") => {
                            if self.peek() == &Token::Sign(")") {
                                values.push(String::new());
                            }
                        }
                        Token::Sign(")") => break,
                        other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
                    }
                }
                Token::Sign(",") => values.push(String::new()),
                Token::Sign(")") => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    break;
                }
                other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.text())),
            }
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}
