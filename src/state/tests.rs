//! Promises of the whole store, against a real directory.
