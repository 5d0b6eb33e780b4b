//! The daemon and its command line; everything is in the library.
fn main() {}
