//! The server as clients see it: in process through kube's client and plain requests, and over real sockets.

mod aggregation;
mod applies;
mod certificates;
mod conversions;
mod crowd;
mod customs;
mod dry_runs;
mod errors;
mod flows;
mod health;
mod hooks;
mod ingresses;
mod kinds;
mod lab;
mod limits;
mod objects;
mod patches;
mod policies;
mod quotas;
mod ranges;
mod rights;
mod sockets;
mod storage;
mod watches;
mod webhooks;
