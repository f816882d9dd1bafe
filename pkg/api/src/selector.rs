//! Label and field selectors: parsed from the text of a URL or from a `LabelSelector` object, and matched (apimachinery
//! `labels/selector.go`, `fields/selector.go`). They know nothing of stores or lists.

mod fields;
mod labels;

pub use fields::FieldSelector;
pub use labels::{LabelSelector, Operator, Requirement};

#[cfg(test)]
mod tests;
