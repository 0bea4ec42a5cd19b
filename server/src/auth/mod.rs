//! Who may come in: what all ways of proving it have in common.

pub mod login;
mod moment;
pub mod throttle;

pub use login::{Caller, Granted, Judge, Judging, Login, Prompt, PromptKind, Secret, Turn};
pub use moment::Moment;
pub use throttle::{Attempt, Source, Throttle, Try, Wait};
