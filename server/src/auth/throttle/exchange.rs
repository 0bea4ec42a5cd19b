//! How many key exchanges a network that waits may cost: one at a time, two a second.
//!
//! Only such networks are counted here. Nothing is kept across restarts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::score::Wait;
use super::table::Table;
use super::{MAX_ENTRIES, Source};
use crate::auth::Moment;

/// Between the beginnings of two key exchanges of one network.
const SPACING: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug)]
struct State {
    begun: Moment,
    /// Which turn is under way.
    busy: Option<u64>,
}

#[derive(Debug)]
struct Inner {
    networks: Table<Source, State>,
    turns: u64,
}

/// The key exchanges of networks that wait.
#[derive(Clone, Debug)]
pub struct Exchanges {
    inner: Arc<Mutex<Inner>>,
}

impl Default for Exchanges {
    fn default() -> Self {
        Exchanges { inner: Arc::new(Mutex::new(Inner { networks: Table::new(MAX_ENTRIES), turns: 0 })) }
    }
}

/// One key exchange; dropping it ends it.
#[derive(Debug)]
pub struct ExchangeTurn {
    inner: Arc<Mutex<Inner>>,
    source: Source,
    turn: u64,
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Exchanges {
    /// None under way.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a key exchange of a network that waits.
    ///
    /// # Errors
    /// How long to wait first: another one is under way, or began less than half a second ago.
    pub fn begin(&self, source: Source, now: Moment) -> Result<ExchangeTurn, Wait> {
        let mut inner = lock(&self.inner);
        if let Some(state) = inner.networks.get(&source) {
            // a clock that was put back delays nobody for longer
            let passed = now.max(state.begun).since(state.begun);
            let back = state.begun > now;
            let left = if back { Duration::ZERO } else { SPACING.saturating_sub(passed) };
            let left = if state.busy.is_some() { left.max(SPACING) } else { left };
            if let Some(wait) = Wait::new(left) {
                return Err(wait);
            }
        }
        inner.turns = inner.turns.wrapping_add(1);
        let turn = inner.turns;
        *inner.networks.touch(source, || State { begun: now, busy: None }) = State { begun: now, busy: Some(turn) };
        Ok(ExchangeTurn { inner: Arc::clone(&self.inner), source, turn })
    }
}

impl Drop for ExchangeTurn {
    fn drop(&mut self) {
        let turn = self.turn;
        if let Some(state) = lock(&self.inner).networks.get_mut(&self.source)
            && state.busy == Some(turn)
        {
            state.busy = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_two_a_second_for_each_network() {
        let exchanges = Exchanges::new();
        let (one, other): (Source, Source) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let at = Moment::from_secs(100);
        let ms = |n| at.plus(Duration::from_millis(n));
        let turn = exchanges.begin(one, at).unwrap();
        let _other = exchanges.begin(other, at).unwrap();
        assert!(exchanges.begin(one, ms(5_000)).is_err(), "the first one is under way");
        drop(turn);
        assert_eq!(exchanges.begin(one, ms(400)).unwrap_err().duration(), Duration::from_millis(100));
        let mut begun = 0;
        for now in (1_000..3_000).step_by(10) {
            begun += u32::from(exchanges.begin(one, ms(now)).is_ok());
        }
        assert_eq!(begun, 4, "in two seconds");
        assert!(exchanges.begin(one, Moment::from_secs(1)).is_ok(), "the clock was put back");
    }
}
