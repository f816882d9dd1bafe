//! What users may do, asked step by step (apiserver `pkg/cel/library/authz.go`).

use std::sync::Arc;

use super::super::eval::{Error, Run};
use super::super::value::{Question, Val};
use super::{Answer, paid};

/// What one check costs (`authorizationCheckCost`).
const CHECK: u64 = 350_000;

pub(super) fn apply(run: &mut Run<'_>, name: &str, args: &[Val]) -> Answer {
    match args {
        [Val::Decision(allowed, reason)] => {
            let value = match name {
                "allowed" => Val::Bool(*allowed),
                "reason" => Val::Str(reason.clone()),
                "errored" => Val::Bool(false),
                "error" => Val::text(""),
                _ => return None,
            };
            paid(run, 1, || Ok(value))
        }
        [Val::Authorizer(authorizer, question), Val::Str(text)] => {
            if name == "check" {
                let asked = Question { verb: text.to_string(), ..(**question).clone() };
                return paid(run, CHECK, || {
                    let (allowed, reason) = authorizer.decide(&asked);
                    Ok(Val::Decision(allowed, Arc::from(reason)))
                });
            }
            let mut next = (**question).clone();
            let text = text.to_string();
            match name {
                "path" if text.is_empty() => return Some(Err(Error::failed("path must not be empty"))),
                "path" => next.path = Some(text),
                "group" => next.group = text,
                "resource" => next.resource = text,
                "subresource" => next.subresource = text,
                "namespace" => next.namespace = text,
                "name" => next.name = text,
                _ => return None,
            }
            paid(run, 1, || Ok(Val::Authorizer(authorizer.clone(), Arc::new(next))))
        }
        [Val::Authorizer(authorizer, question), Val::Str(namespace), Val::Str(account)] if name == "serviceAccount" => {
            let account = Some((namespace.to_string(), account.to_string()));
            let next = Question { account, ..(**question).clone() };
            paid(run, 1, || Ok(Val::Authorizer(authorizer.clone(), Arc::new(next))))
        }
        _ => None,
    }
}
