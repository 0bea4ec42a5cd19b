//! Capture of Wayland compositors: a private sway for each test, and one of the tests' own that speaks
//! ext-image-copy-capture and can lie.
#![cfg(feature = "wayland")]

mod drawn;
mod fake;
mod honest;
mod lies;
mod sway;
mod viewer;

use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
