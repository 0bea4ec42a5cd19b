//! The audit trail: a closed set of events, one JSON object each, to sinks that never hold up the network.
//!
//! [`Event`] says what happened to whom; its fields are types of their own (`fields`), none of which can be made from a
//! [`Secret`](crate::auth::Secret). [`Audit::record`] hands an event to a bounded queue for each sink; a thread a sink writes. What
//! does not fit is counted, and the count is an event itself. `docs/audit.md` lists events and fields.

pub mod chain;
mod event;
mod fields;
mod flood;
mod json;
mod queue;
mod settings;
mod sinks;
mod time;

pub use event::{Event, GateOutcome, HelperChange, PenaltyKind, PolicyAction, Reason, What, Who};
pub use fields::{Cipher, Factor, Fingerprint, ListenerName, Peer, SettingName, UserName, Via, Word};
pub use queue::Audit;
pub use settings::{AuditRangeError, AuditSettings, SinkSpec, SinkSpecError};
pub use sinks::{JOURNAL, Line, Machine, Severity, Sink, SinkError, open, requests};
pub use time::utc;
