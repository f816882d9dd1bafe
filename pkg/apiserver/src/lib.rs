//! Reception: REST over axum, watch, discovery, OpenAPI, authentication and authorization, dashboard files. Knows no
//! kernel and no sled; every kind's rules come from the registry rows of the API room.

mod admission;
mod aftermath;
mod aggregation;
mod at_work;
mod authn;
mod authz;
mod belief;
mod bootstrap;
mod call;
mod conversion;
mod dashboard;
mod definitions;
mod dispatch;
mod flows;
mod handlers;
mod health;
mod http;
mod identity;
mod limits;
mod listen;
mod patience;
pub mod pki;
mod policies;
mod render;
mod reviews;
mod server;
mod standing;
mod streams;
mod webhooks;

pub use authn::{StaticToken, VIEWERS};
pub use bootstrap::BootstrapError;
pub use identity::Identity;
pub use limits::Limits;
pub use listen::ServeError;
pub use server::{ApiServer, Config};
pub use standing::VERSION;

#[cfg(test)]
mod tests;
