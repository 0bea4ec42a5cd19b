//! Pictures that a Wayland compositor draws into dma-bufs of a device's, read there by that device, in the guest (`tests/guest`).
#![cfg(all(feature = "gpu", feature = "wayland"))]

#[path = "../gpu_twin/desk.rs"]
mod desk;
#[path = "../desktop_wayland/fake/mod.rs"]
mod fake;
#[path = "../guest_support/mod.rs"]
mod guest_support;

mod allocate;
mod capture;

use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
