//! All integration tests in one binary; each file keeps one promise.

mod housekeeping;
mod layers;
mod plan;
