//! Comprehensions: `all`, `exists`, `map` and their kin over lists and maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ast::{Form, Loop};
use super::cost::overhead;
use super::eval::{Error, Run};
use super::value::Val;

impl Run<'_> {
    pub(super) fn comprehension(&mut self, inner: &Loop) -> Result<Val, Error> {
        let range = self.eval(&inner.range)?;
        self.charge(1)?;
        let pairs: Box<dyn Iterator<Item = (Val, Val)>> = match &range {
            Val::List(items) if inner.second.is_some() => Box::new(
                items.iter().enumerate().map(|(at, item)| (Val::Int(i64::try_from(at).unwrap_or(0)), item.clone())),
            ),
            Val::List(items) => Box::new(items.iter().map(|item| (item.clone(), Val::Null))),
            Val::Map(map) => Box::new(map.iter().map(|(key, value)| (Val::from(key), value.clone()))),
            _ => return Err(Error::NoOverload),
        };
        let mut state = State::default();
        for (first, second) in pairs {
            self.charge(overhead(inner.form))?;
            let mut names = vec![(inner.first.clone(), first.clone())];
            names.extend(inner.second.as_ref().map(|name| (name.clone(), second)));
            let before = self.locals.len();
            self.locals.extend(names);
            let step = self.step(inner, first, &mut state);
            self.locals.truncate(before);
            if step? {
                break;
            }
        }
        state.finish(inner.form)
    }

    /// One element; whether the rest no longer matters.
    fn step(&mut self, inner: &Loop, first: Val, state: &mut State) -> Result<bool, Error> {
        if let Some(filter) = &inner.filter {
            match self.eval(filter)? {
                Val::Bool(true) => {}
                Val::Bool(false) => return Ok(false),
                _ => return Err(Error::NoOverload),
            }
        }
        let value = self.eval(&inner.body);
        match inner.form {
            Form::All | Form::Exists => match value {
                Ok(Val::Bool(value)) if value == (inner.form == Form::Exists) => {
                    state.decided = true;
                    return Ok(true);
                }
                Ok(Val::Bool(_)) => {}
                Ok(_) => state.error = Some(Error::NoOverload),
                Err(Error::TooDear) => return Err(Error::TooDear),
                Err(error) => state.error = Some(error),
            },
            Form::ExistsOne => match value? {
                Val::Bool(found) => state.found += usize::from(found),
                _ => return Err(Error::NoOverload),
            },
            Form::Filter => match value? {
                Val::Bool(true) => state.items.push(first),
                Val::Bool(false) => {}
                _ => return Err(Error::NoOverload),
            },
            Form::Map => state.items.push(value?),
            Form::SortBy => {
                state.keys.push(value?);
                state.items.push(first);
            }
            Form::TransformMap => {
                let key = first.key().ok_or(Error::NoOverload)?;
                state.map.insert(key, value?);
            }
            Form::TransformEntry => match value? {
                Val::Map(entries) => {
                    for (key, value) in &*entries {
                        if state.map.insert(key.clone(), value.clone()).is_some() {
                            return Err(Error::failed("insert failed: key already exists"));
                        }
                    }
                }
                _ => return Err(Error::NoOverload),
            },
        }
        Ok(false)
    }
}

/// What has been gathered.
#[derive(Default)]
struct State {
    decided: bool,
    error: Option<Error>,
    found: usize,
    items: Vec<Val>,
    keys: Vec<Val>,
    map: BTreeMap<super::value::Key, Val>,
}

impl State {
    fn finish(self, form: Form) -> Result<Val, Error> {
        Ok(match form {
            Form::All | Form::Exists => match self.error {
                Some(error) if !self.decided => return Err(error),
                _ => Val::Bool(self.decided == (form == Form::Exists)),
            },
            Form::ExistsOne => Val::Bool(self.found == 1),
            Form::Map | Form::Filter => Val::list(self.items),
            Form::SortBy => {
                let mut pairs: Vec<(Val, Val)> = self.keys.into_iter().zip(self.items).collect();
                if pairs.windows(2).any(|pair| pair[0].0.order(&pair[1].0).is_none()) {
                    return Err(Error::NoOverload);
                }
                pairs.sort_by(|a, b| a.0.order(&b.0).unwrap_or(std::cmp::Ordering::Equal));
                Val::list(pairs.into_iter().map(|(_, item)| item).collect())
            }
            Form::TransformMap | Form::TransformEntry => Val::Map(Arc::new(self.map)),
        })
    }
}
