//! Who may hash a password now: a few at once, the rest in a short queue that is fair to networks.
//!
//! A hash costs memory and time on purpose, so strangers must not start as many as they like. Known callers go first; then the
//! network that was served longest ago. A full queue turns away who comes from the network that fills it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Hashes at once.
const AT_ONCE: usize = 2;
/// Who wait at most.
const MOST_WAITING: usize = 64;
/// Who wait at most of one network, known and unknown callers each.
const MOST_OF_ONE: usize = 8;

/// The network that a peer belongs to: its IPv4 address or IPv6 /64; what is no address stands for itself.
pub(super) fn network_of(peer: &str) -> String {
    let ip = peer.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| peer.parse::<IpAddr>());
    match ip.map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => ip.to_string(),
        Ok(IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Err(_) => peer.to_owned(),
    }
}

struct Waiting {
    network: String,
    known: bool,
    tell: oneshot::Sender<Permit>,
}

#[derive(Default)]
struct State {
    running: usize,
    turn: u64,
    /// When a network was served last, while it has somebody waiting.
    served: HashMap<String, u64>,
    waiting: Vec<Waiting>,
}

impl State {
    fn forget_gone(&mut self) {
        self.waiting.retain(|w| !w.tell.is_closed());
    }

    fn of(&self, network: &str, known: bool) -> usize {
        self.waiting.iter().filter(|w| w.network == network && w.known == known).count()
    }

    /// Makes room for a newcomer where one has to go; false where it is the newcomer.
    fn make_room(&mut self, network: &str, known: bool) -> bool {
        let own = self.of(network, known);
        if own >= MOST_OF_ONE {
            return false;
        }
        if self.waiting.len() < MOST_WAITING {
            return true;
        }
        // the newest of the unknown callers of the network that has most of them
        let unknown = self.waiting.iter().enumerate().filter(|(_, w)| !w.known);
        let victim = unknown.max_by_key(|(at, w)| (self.of(&w.network, false), *at));
        let victim = victim.filter(|(_, w)| known || self.of(&w.network, false) > own.saturating_add(1));
        match victim.map(|(at, _)| at) {
            Some(at) => {
                self.waiting.remove(at);
                true
            }
            None => false,
        }
    }

    fn pick(&mut self) -> Option<Waiting> {
        self.forget_gone();
        let served = |w: &Waiting| self.served.get(&w.network).copied().unwrap_or(0);
        let next = self.waiting.iter().enumerate().min_by_key(|(at, w)| (!w.known, served(w), *at));
        let next = next.map(|(at, _)| at)?;
        let next = self.waiting.remove(next);
        self.turn = self.turn.saturating_add(1);
        self.served.insert(next.network.clone(), self.turn);
        let State { served, waiting, .. } = self;
        served.retain(|network, _| waiting.iter().any(|w| w.network == *network));
        Some(next)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leave to hash; gives the place on when it is dropped.
pub(super) struct Permit(Arc<Mutex<State>>);

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        match state.pick() {
            Some(next) => {
                // unlocked first: should its receiver be gone by now, the new permit is dropped here
                drop(state);
                let _ = next.tell.send(Permit(self.0.clone()));
            }
            None => state.running = state.running.saturating_sub(1),
        }
    }
}

/// The queue.
#[derive(Clone, Default)]
pub(super) struct HashQueue(Arc<Mutex<State>>);

impl HashQueue {
    /// Leave to hash for a caller; none where the queue is full.
    pub(super) async fn permit(&self, network: &str, known: bool) -> Option<Permit> {
        let told = {
            let mut state = lock(&self.0);
            if state.running < AT_ONCE {
                state.running = state.running.saturating_add(1);
                return Some(Permit(self.0.clone()));
            }
            state.forget_gone();
            if !state.make_room(network, known) {
                return None;
            }
            let (tell, told) = oneshot::channel();
            state.waiting.push(Waiting { network: network.to_owned(), known, tell });
            told
        };
        told.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::future::Future;
    use std::pin::Pin;

    type Asking<'a> = Pin<Box<dyn Future<Output = Option<Permit>> + 'a>>;

    /// Asks, and has the question put before anybody else's.
    fn ask<'a>(queue: &'a HashQueue, network: &'a str, known: bool) -> Result<Option<Permit>, Asking<'a>> {
        let mut asking: Asking<'a> = Box::pin(queue.permit(network, known));
        match (&mut asking).now_or_never() {
            Some(answer) => Ok(answer),
            None => Err(asking),
        }
    }

    fn now(asking: &mut Asking<'_>) -> Option<Option<Permit>> {
        asking.now_or_never()
    }

    #[test]
    fn networks_are_told_apart_as_the_throttle_does() {
        assert_eq!(network_of("192.0.2.7:50312"), "192.0.2.7");
        assert_eq!(network_of("192.0.2.7"), network_of("[::ffff:192.0.2.7]:1"));
        assert_eq!(network_of("[2001:db8::1]:50312"), network_of("2001:db8::ffff"));
        assert_ne!(network_of("[2001:db8::1]:1"), network_of("[2001:db8:0:1::1]:1"));
        assert_eq!(network_of("unix uid 1000"), "unix uid 1000");
    }

    #[test]
    fn two_run_at_once_and_the_third_when_one_is_done() {
        let queue = HashQueue::default();
        let first = ask(&queue, "a", false).ok().flatten().unwrap();
        let _second = ask(&queue, "a", false).ok().flatten().unwrap();
        let mut third = ask(&queue, "b", false).err().unwrap();
        assert!(now(&mut third).is_none());
        drop(first);
        assert!(now(&mut third).unwrap().is_some());
    }

    #[test]
    fn known_callers_go_first_and_networks_take_turns() {
        let queue = HashQueue::default();
        let _running: Vec<_> = (0..2).map(|_| ask(&queue, "flood", false)).collect();
        let _flood: Vec<_> = (0..6).map(|_| ask(&queue, "flood", false)).collect();
        let _other: Vec<_> = (0..2).map(|_| ask(&queue, "other", false)).collect();
        let _known = ask(&queue, "flood", true);
        let mut order = String::new();
        while let Some(next) = lock(&queue.0).pick() {
            order.extend(if next.known { Some('k') } else { next.network.chars().next() });
        }
        assert_eq!(order, "kofofffff");
    }

    #[test]
    fn a_network_that_fills_the_queue_is_turned_away_and_others_still_get_in() {
        let queue = HashQueue::default();
        let _running: Vec<_> = (0..2).map(|_| ask(&queue, "x", false)).collect();
        let names: Vec<String> = (0..8).map(|n| format!("n{n}")).collect();
        let mut waiting = Vec::new();
        for name in &names {
            waiting.extend((0..MOST_OF_ONE).map(|_| ask(&queue, name, false).err().unwrap()));
            assert!(matches!(ask(&queue, name, false), Ok(None)), "a ninth of one network");
        }
        assert_eq!(lock(&queue.0).waiting.len(), MOST_WAITING);
        let _new = ask(&queue, "new", false).err().expect("others have many: one of them goes");
        assert_eq!(lock(&queue.0).waiting.len(), MOST_WAITING);
        let gone: usize = waiting.iter_mut().map(|w| usize::from(matches!(now(w), Some(None)))).sum();
        assert_eq!(gone, 1);
        let _known = ask(&queue, "new", true).err().expect("known callers always find a place");
        assert_eq!(lock(&queue.0).waiting.len(), MOST_WAITING);
    }

    #[test]
    fn who_gives_up_leaves_its_place() {
        let queue = HashQueue::default();
        let first = ask(&queue, "a", false).ok().flatten().unwrap();
        let second = ask(&queue, "a", false).ok().flatten().unwrap();
        let gone = ask(&queue, "a", false).err().unwrap();
        let mut stays = ask(&queue, "a", false).err().unwrap();
        drop(gone);
        drop(first);
        let third = now(&mut stays).unwrap().unwrap();
        drop((second, third));
        assert_eq!(lock(&queue.0).running, 0);
        assert!(lock(&queue.0).served.is_empty() && lock(&queue.0).waiting.is_empty());
    }
}
