//! Events that strangers cause as often as they like, and how many of them are written.
//!
//! Whoever may connect may do it all day. Would each time be written, the events of a night would push those of the day before out of
//! the files. So connections share one bucket for the whole server: 100 at once and one a second. A connection that passes is
//! written from its first event to its last; of one that does not, nothing is written unless somebody logs in. What was kept back is
//! counted, and the count is the event `unwritten` before the next one that passes. Events of logins, sessions and penalties are not among them.

use std::collections::HashSet;

use super::event::{Event, What};
use crate::auth::Moment;

/// So many connections at once.
const BURST: u64 = 100;
/// So many a second afterwards.
const A_SECOND: u64 = 1;
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
    /// Connections that go on and whose events are written.
    written: HashSet<u64>,
}

impl Default for Bucket {
    fn default() -> Self {
        Bucket { left: BURST * ONE, at: None, kept_back: 0, written: HashSet::new() }
    }
}

impl Bucket {
    /// Whether an event is written, and then how many before it were not.
    pub fn pass(&mut self, event: &Event, now: Moment) -> Option<u64> {
        let anybodys = is_anybodys(event);
        let passes = match (event.who.session, &event.what) {
            (Some(session), What::Connect) => {
                let passes = self.one_more(now);
                if passes {
                    self.written.insert(session);
                }
                passes
            }
            (Some(session), What::End { .. } | What::Refused { .. }) => self.written.remove(&session) || !anybodys,
            (Some(session), _) => !anybodys || self.written.contains(&session),
            (None, _) => !anybodys || self.one_more(now),
        };
        match (passes, anybodys) {
            (false, _) => {
                self.kept_back = self.kept_back.saturating_add(1);
                None
            }
            (true, true) => Some(self.kept_back()),
            (true, false) => Some(0),
        }
    }

    /// Whether the bucket has one left.
    fn one_more(&mut self, now: Moment) -> bool {
        // a clock that was put back gives nothing and takes nothing
        let passed = self.at.filter(|at| *at < now).map_or(0, |at| now.since(at).as_millis());
        let more = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(A_SECOND);
        (self.left, self.at) = (self.left.saturating_add(more).min(BURST * ONE), Some(now));
        let left = self.left.checked_sub(ONE);
        self.left = left.unwrap_or(self.left);
        left.is_some()
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

    fn of(session: u64, what: What) -> Event {
        Event { who: Who { session: Some(session), ..Who::default() }, what }
    }

    fn end(bytes_in: u64) -> What {
        What::End { reason: Reason::PeerLeft, bytes_in, bytes_out: 0, duration: Duration::ZERO }
    }

    #[test]
    fn a_hundred_at_once_then_one_a_second_and_what_is_kept_back_is_told() {
        let mut bucket = Bucket::default();
        let mut number = 0;
        let mut connects = |bucket: &mut Bucket, ms| {
            number += 1;
            bucket.pass(&of(number, What::Connect), at(ms))
        };
        assert_eq!((0..1000).filter(|_| connects(&mut bucket, 0).is_some()).count(), 100);
        assert_eq!(connects(&mut bucket, 999), None);
        assert_eq!(connects(&mut bucket, 1000), Some(901));
        assert_eq!((connects(&mut bucket, 1000), connects(&mut bucket, 0)), (None, None), "a clock that goes back");
        let written: Vec<u64> = (1..=36_000).filter_map(|n| connects(&mut bucket, 1000 + n * 100)).collect();
        assert!((3595..=3601).contains(&written.len()), "{} in an hour", written.len());
        let told = written.iter().sum::<u64>() + bucket.kept_back();
        assert_eq!(told + written.len() as u64, 2 + 36_000, "each is written or counted");
        assert_eq!(bucket.kept_back(), 0);
        // a quiet night fills it no further than it was
        assert_eq!((0..1000).filter(|_| connects(&mut bucket, 90_000_000).is_some()).count(), 100);
    }

    #[test]
    fn a_connection_is_written_whole_or_not_at_all() {
        let mut bucket = Bucket::default();
        let steps = || [What::Connect, What::Type, What::IdentityShown, end(0)];
        for session in 0..300 {
            let passed: Vec<bool> =
                steps().into_iter().map(|w| bucket.pass(&of(session, w), at(0)).is_some()).collect();
            assert_eq!(passed, [session < 100; 4], "{session}");
        }
        assert_eq!(bucket.kept_back(), 800);
        assert!(bucket.written.is_empty(), "what ended is forgotten");
        // whoever logs in is written from then on, and its end is
        assert_eq!(bucket.pass(&of(301, What::Connect), at(0)), None);
        assert_eq!(bucket.pass(&of(301, What::AuthFail { reason: Reason::WrongProof }), at(0)), Some(0));
        assert_eq!(bucket.pass(&of(301, end(7)), at(0)), Some(0));
        assert_eq!(bucket.kept_back(), 1);
    }

    #[test]
    fn logins_and_sessions_are_nobodys_flood() {
        for what in [What::Connect, What::Type, What::IdentityShown, What::Refused { reason: Reason::Busy }, end(0)] {
            assert!(is_anybodys(&Event::of_server(what)));
        }
        let fail = What::AuthFail { reason: Reason::WrongProof };
        for what in [fail, end(1), What::Config { settings: 1 }, What::Lost { events: 1 }] {
            assert!(!is_anybodys(&Event::of_server(what)));
        }
        let who = Who { user: Some(UserName::new("ann")), ..Who::default() };
        assert!(!is_anybodys(&Event { who, what: end(0) }));
    }
}
