//! What the schedule promises.
