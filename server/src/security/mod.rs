//! How a connection proves who is at its other end.

mod offer;
pub mod vnc_auth;

pub use offer::{InsecureAllow, InsecureAllowError, PolicyError, SecurityKind, UnknownSecurity, check_offer};
pub use vnc_auth::{Grant, PasswordError, Passwords};
