//! Whether and when a request is tried again.
