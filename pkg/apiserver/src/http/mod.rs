//! The words of HTTP as the Kubernetes API uses them: paths, query parameters, media types, bodies and answers.
//! Must not know what a handler does with them.

pub(crate) mod body;
pub(crate) mod negotiate;
pub(crate) mod path;
pub(crate) mod query;
pub(crate) mod respond;
pub(crate) mod strict;
