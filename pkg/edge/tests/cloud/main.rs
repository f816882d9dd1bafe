//! The edge as a whole: real wires in private namespaces, the real API server, and people outside who knock. Nodes are
//! played by sockets in their namespaces; there is no service proxy.

mod addresses;
mod guard;
mod lab;
mod targets;
