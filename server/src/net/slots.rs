//! A cap on connections that have not proved who they are.
//!
//! Every connection takes a [`Slot`] when it is accepted and gives it back when its peer has authenticated or goes. Nobody is kept
//! out by those who only hold on: when a network has as many slots as it may, its oldest connection makes way; when all slots are
//! taken, the oldest of the network that holds most of them does. A few slots are for callers that are known, whom strangers never
//! push out. This machine and proxies that do not tell whom they speak for have no cap of their own.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::limits;
use crate::auth::Source;

/// How many slots there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotLimits {
    /// In all.
    pub overall: usize,
    /// For one network.
    pub per_network: usize,
    /// Of all, those that only known callers take.
    pub reserved: usize,
}

impl SlotLimits {
    /// So many in all, with the rest in proportion to the defaults.
    pub fn of(overall: usize) -> Self {
        SlotLimits { overall, per_network: limits::PER_NETWORK, reserved: limits::RESERVED.min(overall / 4) }
    }
}

impl Default for SlotLimits {
    fn default() -> Self {
        Self::of(limits::UNAUTHENTICATED)
    }
}

#[derive(Debug)]
struct Held {
    source: Source,
    known: bool,
    go: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Pool {
    next: u64,
    /// By age.
    held: BTreeMap<u64, Held>,
}

/// The places for unauthenticated connections.
#[derive(Clone, Debug)]
pub struct Slots {
    pool: Arc<Mutex<Pool>>,
    limits: SlotLimits,
}

fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Takes the place of the oldest connection that `may_go` allows, in the network that holds most such places; of networks that hold
    /// the same number the one with the oldest.
    fn evict(&mut self, may_go: impl Fn(&Held) -> bool) -> bool {
        let mut networks: HashMap<Source, (usize, u64)> = HashMap::new();
        for (id, held) in self.held.iter().filter(|(_, held)| may_go(held)) {
            let (count, _) = networks.entry(held.source).or_insert((0, *id));
            *count = count.saturating_add(1);
        }
        let most = networks.into_values().max_by_key(|(count, oldest)| (*count, std::cmp::Reverse(*oldest)));
        let gone = most.and_then(|(_, oldest)| self.held.remove(&oldest));
        gone.map(|held| held.go.send_replace(true)).is_some()
    }

    fn count(&self, which: impl Fn(&Held) -> bool) -> usize {
        self.held.values().filter(|held| which(held)).count()
    }
}

impl Slots {
    /// `limit` places in all.
    pub fn new(limit: usize) -> Self {
        Self::with(SlotLimits::of(limit))
    }

    /// Places with these limits.
    pub fn with(limits: SlotLimits) -> Self {
        Slots { pool: Arc::default(), limits }
    }

    /// A place for a connection from `source`, who is `known` or a stranger. Somebody else may have to make way; none when all who hold
    /// places are known and the newcomer is not, or there are no places at all.
    pub fn take(&self, source: Source, known: bool) -> Option<Slot> {
        let SlotLimits { overall, per_network, reserved } = self.limits;
        let mut pool = lock(&self.pool);
        if source.is_counted() && pool.count(|held| held.source == source) >= per_network {
            let made_way = pool.evict(|held| held.source == source && !held.known)
                || (known && pool.evict(|held| held.source == source));
            if !made_way {
                return None;
            }
        }
        let strangers = pool.count(|held| !held.known);
        let full = pool.held.len() >= overall || (!known && strangers >= overall.saturating_sub(reserved));
        if full && !pool.evict(|held| !held.known) && !(known && pool.evict(|_| true)) {
            return None;
        }
        let id = pool.next;
        pool.next = pool.next.wrapping_add(1);
        let (go, told) = watch::channel(false);
        pool.held.insert(id, Held { source, known, go });
        Some(Slot { pool: Arc::clone(&self.pool), id, told })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        lock(&self.pool).held.len()
    }
}

/// One taken place; dropping it gives the place back.
#[derive(Debug)]
pub struct Slot {
    pool: Arc<Mutex<Pool>>,
    id: u64,
    told: watch::Receiver<bool>,
}

impl Slot {
    /// Its connection is known from here on (a device key was proved): strangers do not push it out any more.
    pub fn recognised(&self) {
        if let Some(held) = lock(&self.pool).held.get_mut(&self.id) {
            held.known = true;
        }
    }

    /// What tells that the connection has to make way.
    pub fn eviction(&self) -> Eviction {
        Eviction { told: self.told.clone() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.pool).held.remove(&self.id);
    }
}

/// Tells when a connection has to make way for another.
#[derive(Clone, Debug)]
pub struct Eviction {
    told: watch::Receiver<bool>,
}

impl Eviction {
    /// Returns when the connection has to make way; never once its slot was given back.
    pub async fn wait(&mut self) {
        if self.told.wait_for(|go| *go).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether it has to make way.
    pub fn is_due(&self) -> bool {
        *self.told.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(n: u8) -> Source {
        Source::V4([192, 0, 2, n].into())
    }

    /// Slots taken by these networks one after the other, with who had to go afterwards.
    fn taken(limits: SlotLimits, by: &[(Source, bool)]) -> (Slots, Vec<Option<Slot>>) {
        let slots = Slots::with(limits);
        let taken = by.iter().map(|(source, known)| slots.take(*source, *known)).collect();
        (slots, taken)
    }

    fn gone(taken: &[Option<Slot>]) -> Vec<usize> {
        let due = |slot: &Option<Slot>| slot.as_ref().is_none_or(|slot| slot.eviction().is_due());
        taken.iter().enumerate().filter(|(_, slot)| due(slot)).map(|(n, _)| n).collect()
    }

    const NO_RESERVE: SlotLimits = SlotLimits { overall: 4, per_network: 3, reserved: 0 };

    #[test]
    fn a_dropped_slot_is_free_again() {
        let slots = Slots::new(2);
        let first = slots.take(from(1), false).unwrap();
        let second = slots.take(from(2), false).unwrap();
        drop(first);
        assert_eq!(slots.taken(), 1);
        let third = slots.take(from(3), false).unwrap();
        assert!(!second.eviction().is_due());
        drop((second, third));
        assert_eq!(slots.taken(), 0);
        assert!(Slots::new(0).take(from(1), false).is_none());
    }

    #[test]
    fn a_network_beyond_its_cap_pushes_out_its_own_oldest() {
        let by: Vec<_> = [1, 1, 2, 1, 1].map(|n| (from(n), false)).into();
        let (slots, taken) = taken(SlotLimits::default(), &by);
        assert_eq!(gone(&taken), [0]);
        assert_eq!(slots.taken(), 4);
    }

    #[test]
    fn when_all_are_taken_the_greediest_network_loses_its_oldest() {
        let by: Vec<_> = [2, 1, 1, 3, 4].map(|n| (from(n), false)).into();
        let (_, one) = taken(NO_RESERVE, &by);
        assert_eq!(gone(&one), [1]);
        // of equals the oldest of all goes
        let by: Vec<_> = [2, 1, 3, 4, 5].map(|n| (from(n), false)).into();
        assert_eq!(gone(&taken(NO_RESERVE, &by).1), [0]);
    }

    #[test]
    fn this_machine_has_no_cap_of_its_own() {
        let by: Vec<_> = [(Source::Local, false); 4].into();
        assert!(gone(&taken(NO_RESERVE, &by).1).is_empty());
        let by: Vec<_> = [(Source::Local, false); 6].into();
        assert_eq!(gone(&taken(NO_RESERVE, &by).1), [0, 1]);
    }

    #[test]
    fn known_callers_always_find_a_place_and_strangers_never_push_them_out() {
        let limits = SlotLimits { overall: 6, per_network: 3, reserved: 2 };
        // strangers have four places among themselves
        let mut by: Vec<_> = (1..=6).map(|n| (from(n), false)).collect();
        let (slots, strangers) = taken(limits, &by);
        assert_eq!((gone(&strangers), slots.taken()), (vec![0, 1], 4));
        let known: Vec<_> = [21, 22].into_iter().map(|n| slots.take(from(n), true)).collect();
        assert_eq!((gone(&known).len(), slots.taken()), (0, 6));
        // a third known one takes a stranger's place
        let third = slots.take(from(23), true).unwrap();
        assert_eq!((gone(&strangers), slots.taken()), (vec![0, 1, 2], 6));
        // a flood of strangers leaves the known alone
        by = (30..200).map(|n| (from(n), false)).collect();
        let flood: Vec<_> = by.iter().map(|(source, known)| slots.take(*source, *known)).collect();
        assert_eq!((gone(&known).len(), third.eviction().is_due(), slots.taken()), (0, false, 6));
        assert_eq!(gone(&flood).len(), 167);
    }

    #[test]
    fn a_recognised_connection_is_pushed_out_by_no_stranger() {
        let slots = Slots::with(NO_RESERVE);
        let first = slots.take(from(1), false).unwrap();
        first.recognised();
        let others: Vec<_> = (0..9).map(|_| slots.take(from(1), false)).collect();
        assert!(!first.eviction().is_due());
        assert_eq!(gone(&others).len(), 7);
        // and with nobody but known ones there, a stranger is turned away
        let slots = Slots::with(SlotLimits { overall: 2, per_network: 3, reserved: 0 });
        let known: Vec<_> = (1..3).map(|n| slots.take(from(n), true).unwrap()).collect();
        assert!(slots.take(from(9), false).is_none());
        let newest = slots.take(from(10), true).unwrap();
        assert!(known[0].eviction().is_due() && !known[1].eviction().is_due() && !newest.eviction().is_due());
    }

    #[test]
    fn who_gave_the_slot_back_is_never_told_to_go() {
        use futures_util::FutureExt;
        let slots = Slots::new(1);
        let first = slots.take(from(1), false).unwrap();
        let mut pushed_out = first.eviction();
        assert_eq!(pushed_out.wait().now_or_never(), None);
        let second = slots.take(from(2), false).unwrap();
        assert_eq!(pushed_out.wait().now_or_never(), Some(()));
        let mut authenticated = second.eviction();
        drop((first, second));
        let _third = slots.take(from(3), false).unwrap();
        assert_eq!(authenticated.wait().now_or_never(), None);
    }
}
