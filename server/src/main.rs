//! The farpane program.
fn main() {}
