//! All integration tests in one binary; each file keeps one promise.

mod kills;
mod layers;
mod seeds;
mod support;
