//! Who may come in: what all ways of proving it have in common.

pub mod login;
mod throttle;

pub use login::{Caller, Granted, Judge, Judging, Login, Prompt, PromptKind, Secret, Turn};
pub use throttle::{PeerKey, Throttle};
