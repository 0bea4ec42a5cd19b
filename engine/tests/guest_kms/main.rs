//! Screens of a card, captured while another program draws on them: in the guest, which has a card.
#![cfg(feature = "kms")]

#[path = "../guest_support/mod.rs"]
mod guest_support;
mod looks;
mod watcher;
