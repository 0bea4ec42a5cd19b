//! The farpane server as a library: what the binary is made of.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod app;
pub mod audit;
pub mod auth;
pub mod backend;
pub mod bench;
pub mod cli;
pub mod clipboard;
pub mod config;
pub mod control;
pub mod desktop;
pub mod exposure;
pub mod helper;
pub mod input;
pub mod net;
pub mod policy;
pub mod sandbox;
pub mod security;
pub mod session;
