//! All integration tests in one binary; each file keeps one promise.

mod layers;
mod planner;
mod support;
