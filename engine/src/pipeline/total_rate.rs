//! One bound on the bytes a second of all clients together, shared fairly: time is an argument.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who was sent something within this time counts as one who shares.
const ACTIVE: Duration = Duration::from_secs(1);

/// All clients together may be ahead of the bound by so much.
const AHEAD: Duration = Duration::from_millis(100);

/// The bound. A client that alone has something to send gets all of it; several get like parts.
#[derive(Debug)]
pub struct TotalRate {
    bytes_per_s: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    last_sent: HashMap<u64, Instant>,
    /// When all bytes so far would have left at the bound.
    free_at: Option<Instant>,
}

impl TotalRate {
    /// A bound of so many bytes a second, at least one.
    pub fn new(bytes_per_s: u64) -> Arc<Self> {
        Arc::new(Self { bytes_per_s: bytes_per_s.max(1), state: Mutex::default() })
    }

    /// One more client under the bound.
    pub fn join(self: &Arc<Self>) -> RateShare {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.next_id += 1;
        RateShare { total: Arc::clone(self), id: state.next_id, next: None, sharers: 1 }
    }
}

/// One client's part of a [`TotalRate`]; dropping it leaves the rest to the others.
#[derive(Debug)]
pub struct RateShare {
    total: Arc<TotalRate>,
    id: u64,
    next: Option<Instant>,
    /// How many shared when something was last sent.
    sharers: usize,
}

impl RateShare {
    /// Counts what was sent; returns when this client may send again.
    pub fn sent(&mut self, bytes: usize, now: Instant) -> Instant {
        let rate = self.total.bytes_per_s as f64;
        let mut state = self.total.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last_sent.retain(|_, at| now.saturating_duration_since(*at) < ACTIVE);
        state.last_sent.insert(self.id, now);
        self.sharers = state.last_sent.len();
        let took = Duration::from_secs_f64(bytes as f64 / rate);
        let free_at = state.free_at.map_or(now, |t| t.max(now)) + took;
        state.free_at = Some(free_at);
        let share = Duration::from_secs_f64(bytes as f64 * self.sharers as f64 / rate);
        let next = (self.next.map_or(now, |t| t.max(now)) + share).max(free_at.checked_sub(AHEAD).unwrap_or(now));
        self.next = Some(next);
        next
    }

    /// Bytes a second that this client may count on.
    pub fn rate(&self) -> f64 {
        self.total.bytes_per_s as f64 / self.sharers as f64
    }
}

impl Drop for RateShare {
    fn drop(&mut self) {
        self.total.state.lock().unwrap_or_else(PoisonError::into_inner).last_sent.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 1_000_000;

    /// Clients that always have `size` bytes to send from their start on; what each got in `secs`.
    fn run(clients: &mut [(RateShare, u64, usize)], secs: u64, began: Instant) -> Vec<u64> {
        let mut got = vec![0u64; clients.len()];
        let mut next = vec![began; clients.len()];
        for ms in 0..secs * 1000 {
            let now = began + Duration::from_millis(ms);
            for (i, (share, start_ms, size)) in clients.iter_mut().enumerate() {
                if ms >= *start_ms && next[i] <= now {
                    next[i] = share.sent(*size, now);
                    got[i] += *size as u64;
                }
            }
        }
        got
    }

    #[test]
    fn the_total_holds_and_is_shared_evenly_whatever_the_size_of_updates() {
        let total = TotalRate::new(RATE);
        let mut clients = [(total.join(), 0, 5_000), (total.join(), 0, 20_000), (total.join(), 0, 50_000)];
        let got = run(&mut clients, 20, Instant::now());
        let sum: u64 = got.iter().sum();
        assert!((RATE * 19..=RATE * 21).contains(&sum), "{got:?}");
        for g in &got {
            let fair = RATE * 20 / 3;
            assert!(g.abs_diff(fair) < fair / 6, "{got:?}");
        }
    }

    #[test]
    fn one_alone_gets_all_and_gives_way_to_a_second() {
        let total = TotalRate::new(RATE);
        let began = Instant::now();
        let got = run(&mut [(total.join(), 0, 10_000)], 10, began);
        assert!(got[0].abs_diff(RATE * 10) < RATE / 2, "{got:?}");
        let total = TotalRate::new(RATE);
        let got = run(&mut [(total.join(), 0, 10_000), (total.join(), 5_000, 10_000)], 10, began);
        assert!(got[1].abs_diff(RATE * 5 / 2) < RATE / 2, "{got:?}");
        assert!(got.iter().sum::<u64>() <= RATE * 21 / 2, "{got:?}");
    }

    #[test]
    fn who_leaves_leaves_its_part() {
        let total = TotalRate::new(RATE);
        let (mut stays, mut goes) = (total.join(), total.join());
        let now = Instant::now();
        goes.sent(1000, now);
        stays.sent(1000, now);
        assert_eq!(stays.rate(), RATE as f64 / 2.0);
        drop(goes);
        stays.sent(1000, now + Duration::from_millis(10));
        assert_eq!(stays.rate(), RATE as f64);
    }
}
