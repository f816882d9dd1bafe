//! Words: kinds and their registry table, metadata, selectors, defaulting, validation, patches, tables, schemas,
//! protobuf in. Pure: no IO, no clock, no randomness; whoever needs the time passes it in.

pub mod field;
pub mod merge_keys;
pub mod messages;
pub mod protobuf;
pub mod registry;
pub mod status;
