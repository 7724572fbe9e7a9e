//! The command-line tool over mgit stores.
fn main() {}
