//! An engine that takes its time: for tests of what comes after the damage stage.
//!
//! Frames are held back as planned and only then given to the engine inside, so the mirror changes late, as with a GPU.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Damage, DamageEngine, DamageStats, Mirror, Progress, Ticket};
use crate::frame::Frame;

/// When a frame is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// When it has been asked after so many times in vain.
    Polls(u32),
    /// When so much time has passed since it was handed over.
    For(Duration),
    /// Not at all: its ticket, and every later one, stays pending.
    Never,
    /// At the first question, handed back.
    Fail,
}

struct Held {
    ticket: Ticket,
    frame: Frame,
    delay: Delay,
    since: Instant,
}

/// Wraps an engine and completes as planned, in order.
pub struct Delayed<E> {
    inner: E,
    plan: VecDeque<Delay>,
    held: VecDeque<Held>,
    next: u64,
}

impl<E: DamageEngine> Delayed<E> {
    /// An engine that delays its frames one after the other as `plan` says, and frames past its end not at all.
    pub fn new(inner: E, plan: impl IntoIterator<Item = Delay>) -> Self {
        Self { inner, plan: plan.into_iter().collect(), held: VecDeque::new(), next: 0 }
    }

    /// Frames held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

impl<E: DamageEngine> DamageEngine for Delayed<E> {
    fn submit(&mut self, frame: Frame, _mirror: &Mirror, now: Instant) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let delay = self.plan.pop_front().unwrap_or(Delay::Polls(0));
        self.held.push_back(Held { ticket, frame, delay, since: now });
        ticket
    }

    fn abandon(&mut self) {
        self.held.clear();
        self.inner.abandon();
    }

    fn set_scroll(&mut self, on: bool) {
        self.inner.set_scroll(on);
    }

    fn poll(&mut self, ticket: Ticket, mirror: &Mirror, now: Instant) -> Progress {
        let Some(oldest) = self.held.front_mut().filter(|held| held.ticket == ticket) else {
            return Progress::Pending;
        };
        match &mut oldest.delay {
            Delay::Never => return Progress::Pending,
            Delay::Polls(left @ 1..) => {
                *left -= 1;
                return Progress::Pending;
            }
            Delay::For(time) if now.saturating_duration_since(oldest.since) < *time => return Progress::Pending,
            Delay::Polls(0) | Delay::For(_) | Delay::Fail => {}
        }
        let Some(Held { frame, delay, .. }) = self.held.pop_front() else { return Progress::Pending };
        if delay == Delay::Fail {
            return Progress::Failed(frame);
        }
        let inner = self.inner.submit(frame, mirror, now);
        self.inner.poll(inner, mirror, now)
    }

    fn stats(&self) -> DamageStats {
        self.inner.stats()
    }

    fn recycle(&mut self, damage: Damage) {
        self.inner.recycle(damage);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::damage::CpuDamage;
    use crate::damage::tests::whole;
    use crate::geometry::Size;
    use crate::pixel::Layout;

    #[test]
    fn frames_complete_late_in_order_or_never() {
        let size = Size::new(8, 8);
        let start = Instant::now();
        let mirror = Mirror::new(size, Layout::BGRX, start);
        let plan = [Delay::Polls(2), Delay::For(Duration::from_secs(5)), Delay::Fail, Delay::Never];
        let mut engine = Delayed::new(CpuDamage::new(), plan);
        let tickets: Vec<_> = (1..=5).map(|v| engine.submit(whole(size, &[v; 64]), &mirror, start)).collect();
        let later = start + Duration::from_secs(5);
        assert!(matches!(engine.poll(tickets[1], &mirror, later), Progress::Pending));
        assert!(matches!(engine.poll(tickets[0], &mirror, start), Progress::Pending));
        assert!(matches!(engine.poll(tickets[0], &mirror, start), Progress::Pending));
        assert_eq!(mirror.read().seq, 0);
        assert!(matches!(engine.poll(tickets[0], &mirror, start), Progress::Done(Damage { seq: 1, .. })));
        assert!(matches!(engine.poll(tickets[1], &mirror, start), Progress::Pending));
        assert!(matches!(engine.poll(tickets[1], &mirror, later), Progress::Done(Damage { seq: 2, .. })));
        assert!(matches!(engine.poll(tickets[2], &mirror, later), Progress::Failed(_)));
        for _ in 0..9 {
            assert!(matches!(engine.poll(tickets[3], &mirror, later), Progress::Pending));
            assert!(matches!(engine.poll(tickets[4], &mirror, later), Progress::Pending));
        }
        assert_eq!((engine.held(), mirror.read().pixels[0]), (2, 2));
    }
}
