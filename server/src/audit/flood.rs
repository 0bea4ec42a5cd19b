//! Events that strangers cause as often as they like, and how many of them are written.
//!
//! Whoever may connect may do it all day. Would each time be written, the events of a night would push those of the day before out of
//! the files. So they share one bucket for the whole server: 200 at once and two a second. What does not pass is counted, and the count is
//! the event `unwritten` before the next one that does. Events of logins, sessions and penalties are not among them.

use super::event::{Event, What};
use crate::auth::Moment;

/// So many at once.
const BURST: u64 = 200;
/// So many a second afterwards.
const A_SECOND: u64 = 2;
/// What one takes: a bucket counts in thousandths.
const ONE: u64 = 1000;

/// Whether it is an event that anybody can cause without any proof.
pub(super) fn is_anybodys(event: &Event) -> bool {
    match &event.what {
        What::Connect | What::Type | What::IdentityShown | What::Refused { .. } => true,
        // the end of a connection that never was a session
        What::End { bytes_in: 0, bytes_out: 0, .. } => event.who.user.is_none(),
        _ => false,
    }
}

/// Lets through as many as may be.
#[derive(Debug)]
pub(super) struct Bucket {
    left: u64,
    at: Option<Moment>,
    kept_back: u64,
}

impl Default for Bucket {
    fn default() -> Self {
        Bucket { left: BURST * ONE, at: None, kept_back: 0 }
    }
}

impl Bucket {
    /// Whether one more is written, and then how many before it were not.
    pub fn pass(&mut self, now: Moment) -> Option<u64> {
        // a clock that was put back gives nothing and takes nothing
        let passed = self.at.filter(|at| *at < now).map_or(0, |at| now.since(at).as_millis());
        let more = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(A_SECOND);
        (self.left, self.at) = (self.left.saturating_add(more).min(BURST * ONE), Some(now));
        match self.left.checked_sub(ONE) {
            Some(left) => {
                self.left = left;
                Some(self.kept_back())
            }
            None => {
                self.kept_back = self.kept_back.saturating_add(1);
                None
            }
        }
    }

    /// How many were not written since it was told last.
    pub fn kept_back(&mut self) -> u64 {
        std::mem::take(&mut self.kept_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Reason, UserName, Who};
    use std::time::Duration;

    fn at(ms: u64) -> Moment {
        Moment::from_secs(1000).plus(Duration::from_millis(ms))
    }

    #[test]
    fn two_hundred_at_once_then_two_a_second_and_what_is_kept_back_is_told() {
        let mut bucket = Bucket::default();
        assert_eq!((0..1000).filter(|_| bucket.pass(at(0)).is_some()).count(), 200);
        assert_eq!(bucket.pass(at(499)), None);
        assert_eq!(bucket.pass(at(500)), Some(801));
        assert_eq!((bucket.pass(at(500)), bucket.pass(at(0))), (None, None), "a clock that goes back gives nothing");
        let written: Vec<u64> = (1..=3_600_000 / 50).filter_map(|n| bucket.pass(at(500 + n * 50))).collect();
        assert!((7190..=7201).contains(&written.len()), "{} in an hour", written.len());
        let told = written.iter().sum::<u64>() + bucket.kept_back();
        assert_eq!(told + written.len() as u64, 2 + 72_000, "each is written or counted");
        assert_eq!(bucket.kept_back(), 0);
        // a quiet night fills it no further than it was
        assert_eq!((0..1000).filter(|_| bucket.pass(at(90_000_000)).is_some()).count(), 200);
    }

    #[test]
    fn logins_and_sessions_are_nobodys_flood() {
        let of = |what| Event::of_server(what);
        let end = |bytes_in| What::End { reason: Reason::PeerLeft, bytes_in, bytes_out: 0, duration: Duration::ZERO };
        for what in [What::Connect, What::Type, What::IdentityShown, What::Refused { reason: Reason::Busy }, end(0)] {
            assert!(is_anybodys(&of(what)));
        }
        let fail = What::AuthFail { reason: Reason::WrongProof };
        for what in [fail, end(1), What::Config { settings: 1 }, What::Lost { events: 1 }] {
            assert!(!is_anybodys(&of(what)));
        }
        let who = Who { user: Some(UserName::new("ann")), ..Who::default() };
        assert!(!is_anybodys(&Event { who, what: end(0) }));
    }
}
