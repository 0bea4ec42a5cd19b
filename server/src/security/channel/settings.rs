//! What the administrator sets of the channel.

use farpane_channel::Engine;
use serde::{Deserialize, Serialize};

/// The channel's settings (`[channel]`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Which library encrypts. What goes over the wire is the same.
    pub engine: Library,
}

/// A library that encrypts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Library {
    /// The `aes-gcm` crate: Rust alone.
    #[default]
    #[serde(rename = "aes-gcm")]
    AesGcm,
    /// `aws-lc-rs`: faster, C and assembly.
    #[serde(rename = "aws-lc-rs")]
    AwsLcRs,
}

impl From<Library> for Engine {
    fn from(library: Library) -> Self {
        match library {
            Library::AesGcm => Engine::Portable,
            Library::AwsLcRs => Engine::Fast,
        }
    }
}
