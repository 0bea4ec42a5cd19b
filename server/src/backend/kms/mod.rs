//! Screens as they are scanned out, by a privileged helper.

pub mod input;
mod keyboard;
pub mod layout;
