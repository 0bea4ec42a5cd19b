//! Who may come in: what all ways of proving it have in common.

mod throttle;

pub use throttle::{PeerKey, Throttle};
