//! The built server and its helper in a guest with a card: what a viewer decodes is what the card's screens show.
#![cfg(feature = "kms")]

mod bad;
mod room;
mod screens;
mod sway;
mod typing;
