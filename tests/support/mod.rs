//! What several tests lean on.

pub mod jobs;
pub mod ledger;
