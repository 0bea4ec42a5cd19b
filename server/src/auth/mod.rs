//! Who may come in: what all ways of proving it have in common.
//!
//! [`login`] is what carriers of a login see; [`LocalJudge`] judges: chains of factors ([`Settings`]) over the user file
//! ([`users`]), codes ([`totp`]), the one-time password of a run, certificates and PAM.

mod attempt;
mod factor;
mod judge;
pub mod login;
mod moment;
mod queue;
mod session_password;
mod settings;
mod stored;
mod system;
pub mod throttle;
pub mod totp;
pub mod users;

pub use judge::{CertificateNames, JudgeError, LocalJudge, Parts, WallClock};
pub use login::{Caller, Granted, Judge, Judging, Login, Prompt, PromptKind, Secret, Turn};
pub use moment::Moment;
pub use session_password::SessionPassword;
pub use settings::{Chain, FactorName, Settings, SettingsError};
pub use stored::{Cost, Hasher, Stored, StoredError};
pub use system::SystemHelper;
#[cfg(feature = "pam")]
pub use system::pam_helper;
pub use throttle::{Attempt, Source, Throttle, Try, Wait};
