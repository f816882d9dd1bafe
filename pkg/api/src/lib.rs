//! Words: kinds and their registry table, metadata, selectors, defaulting, validation, patches, tables, schemas,
//! protobuf in. Pure: no IO, no clock, no randomness; whoever needs the time passes it in.

pub mod aggregation;
pub mod apply;
pub mod autoscaling;
pub mod cel;
pub mod certificate;
pub mod custom;
pub mod defaults;
pub mod discovery;
pub mod field;
pub mod flow;
pub mod limit_range;
pub mod merge_keys;
pub mod messages;
pub mod meta;
pub mod names;
pub mod node_fit;
pub mod openapi;
pub mod patch;
pub mod pauses;
pub mod pem;
pub mod pod_security;
pub mod policy;
pub mod protobuf;
pub mod qos;
pub mod quantity;
pub mod quota;
pub mod registry;
pub mod scale;
pub mod selector;
pub mod shape;
pub mod status;
pub mod table;
pub mod time;
pub mod validate;
pub mod webhook;
