//! Switchboard: services and slices to a ruleset, its packet tracer, and the loop that applies it.
