//! The AES-GCM channel of farpane, without I/O, clock, environment or random numbers of its own.
//!
//! `Noise_XX_25519_AESGCM_SHA256`, offered as an RFB security type: both ends know each other's key, past traffic stays closed
//! when a key is stolen, and nothing that was said before the keys can have been changed. `docs/channel.md` is the protocol,
//! byte by byte.
//!
//! - [`handshake`]: both ends as machines that take and give bytes, from the choice of the security type on.
//! - [`channel`]: records both ways, once the handshake is complete.
//! - [`wire`]: where sealed bytes wait to be written.
//! - [`auth`]: what authentication messages say.
//! - [`record`]: what a record holds and how large it should be.
//! - [`identity`], [`phrase`]: keys, fingerprints and the six words that people compare.
//! - [`pins`]: what a viewer remembers of the servers that it met.
//! - [`transcript`], [`hello`]: what is hashed before the keys, and what the messages carry.
//! - [`limits`]: every cap in one table. [`error`]: what can be wrong and whose fault it is.
//!
//! INVARIANT: no input makes this crate panic, loop without progress or hold more than the caps.
//!
//! ```
//! use farpane_channel::handshake::{ServerEvent, ServerHandshake, ServerSettings, ViewerEvent, ViewerHandshake, ViewerSettings};
//! use farpane_channel::hello::{AuthKinds, ClientHello, ServerHello, ViewerKind};
//! use farpane_channel::{Engine, Entropy, Identity, Record, StaticKey, Transcript};
//! use std::sync::Arc;
//! use std::time::Instant;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // entropy comes from the system's generator; keys from where they are kept
//! let (server_key, device_key) = (Identity::from_secret(&[1; 32]), Identity::from_secret(&[2; 32]));
//! let said = || Transcript::new(*b"RFB 003.008\n", *b"RFB 003.008\n", &[70], 70);
//! let now = Instant::now();
//! let pinned = server_key.public();
//! let settings = ServerSettings { key: Arc::new(server_key), engine: Engine::default(), hello: ServerHello::default() };
//! let mut server = ServerHandshake::new(settings, said()?, Entropy::new([3; 32]), now)?;
//! let settings = ViewerSettings { key: Arc::new(device_key), engine: Engine::default() };
//! let mut viewer = ViewerHandshake::new(settings, said()?, Entropy::new([4; 32]), now);
//!
//! let answer = viewer.advance(&server.offer(), now)?.output;
//! let suite = server.advance(&answer, now)?;
//! let second = server.advance(&answer[suite.used..], now)?.output;
//! let Some(ViewerEvent::Server { key, .. }) = viewer.advance(&second, now)?.event else { panic!("no key") };
//! assert_eq!(key, pinned); // nothing secret has been sent yet
//! let hello = ClientHello { viewer: ViewerKind::Native, user_hint: "ann".into(), first_auth: Vec::new().into() };
//! let third = viewer.proceed(&hello)?;
//! let Some(ServerEvent::Viewer { hello, .. }) = server.advance(&third, now)?.event else { panic!("no viewer") };
//! assert_eq!(hello.user_hint, "ann");
//!
//! let (mut server, mut viewer) = (server.into_channel()?, viewer.into_channel()?);
//! assert_eq!(server.binding(), viewer.binding());
//! let mut wire = Vec::new();
//! server.write(&[0; 4], None, now, &mut wire)?;
//! server.flush(&mut wire)?;
//! assert_eq!(viewer.open(&wire, now)?.record, Some(Record::Rfb(&[0; 4])));
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod auth;
pub mod channel;
pub mod error;
pub mod handshake;
pub mod hello;
pub mod identity;
pub mod limits;
pub mod phrase;
pub mod pins;
pub mod record;
mod resolver;
pub mod transcript;
pub mod wire;

#[cfg(test)]
mod tests;

pub use channel::{Binding, Channel, Opened};
pub use error::{ChannelError, Fault, HandshakeError};
pub use identity::{Entropy, Identity, PublicKey, SharedSecret, StaticKey};
pub use phrase::{Fingerprint, Phrase};
pub use record::{Close, CloseReason, Ping, Record};
pub use resolver::Engine;
pub use transcript::Transcript;
pub use wire::{Sink, Wire};
