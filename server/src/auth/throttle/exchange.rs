//! How many key exchanges a network that waits may cost: one at a time, two a second.
//!
//! An exchange that has lasted until the next one may begin makes way for it: else whoever stops in the middle of one would keep known
//! devices out that come from the same network. Only such networks are counted here. Nothing is kept across restarts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::score::Wait;
use super::table::Table;
use super::{MAX_ENTRIES, Source};
use crate::auth::Moment;

/// Between the beginnings of two key exchanges of one network.
const SPACING: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
struct State {
    begun: Moment,
    /// Which turn is under way, and what tells it to make way.
    busy: Option<(u64, Arc<Notify>)>,
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
    go: Arc<Notify>,
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
    /// How long to wait first: another one began less than half a second ago.
    pub fn begin(&self, source: Source, now: Moment) -> Result<ExchangeTurn, Wait> {
        let mut inner = lock(&self.inner);
        if let Some(state) = inner.networks.get(&source) {
            // a clock that was put back delays nobody for longer
            let passed = now.max(state.begun).since(state.begun);
            let back = state.begun > now;
            let left = if back { Duration::ZERO } else { SPACING.saturating_sub(passed) };
            if let Some(wait) = Wait::new(left) {
                return Err(wait);
            }
            if let Some((_, go)) = &state.busy {
                go.notify_one();
            }
        }
        inner.turns = inner.turns.wrapping_add(1);
        let turn = inner.turns;
        let go = Arc::new(Notify::new());
        let busy = Some((turn, Arc::clone(&go)));
        *inner.networks.touch(source, || State { begun: now, busy: None }) = State { begun: now, busy };
        Ok(ExchangeTurn { inner: Arc::clone(&self.inner), source, turn, go })
    }
}

impl ExchangeTurn {
    /// Returns when another exchange of the network begins and this one is over.
    pub async fn makes_way(&self) {
        self.go.notified().await;
    }
}

impl Drop for ExchangeTurn {
    fn drop(&mut self) {
        let turn = self.turn;
        if let Some(state) = lock(&self.inner).networks.get_mut(&self.source)
            && state.busy.as_ref().is_some_and(|(busy, _)| *busy == turn)
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
        drop(turn);
        assert_eq!(exchanges.begin(one, ms(400)).unwrap_err().duration(), Duration::from_millis(100));
        let mut begun = 0;
        for now in (1_000..3_000).step_by(10) {
            begun += u32::from(exchanges.begin(one, ms(now)).is_ok());
        }
        assert_eq!(begun, 4, "in two seconds");
        assert!(exchanges.begin(one, Moment::from_secs(1)).is_ok(), "the clock was put back");
    }

    #[test]
    fn who_stops_in_the_middle_makes_way_for_the_next_and_for_nobody_sooner() {
        use futures_util::FutureExt;
        let exchanges = Exchanges::new();
        let network: Source = "192.0.2.1".parse().unwrap();
        let ms = |n| Moment::from_secs(100).plus(Duration::from_millis(n));
        let first = exchanges.begin(network, ms(0)).unwrap();
        assert!(exchanges.begin(network, ms(499)).is_err());
        assert_eq!(first.makes_way().now_or_never(), None);
        let second = exchanges.begin(network, ms(500)).unwrap();
        assert_eq!(first.makes_way().now_or_never(), Some(()));
        // its end takes nothing from the one that is under way
        drop(first);
        let _third = exchanges.begin(network, ms(1000)).unwrap();
        assert_eq!(second.makes_way().now_or_never(), Some(()));
    }
}
