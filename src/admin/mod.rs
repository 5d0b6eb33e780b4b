//! Health, metrics and the control API.

pub mod control;

pub use control::{Answer, Control, Refusal};
