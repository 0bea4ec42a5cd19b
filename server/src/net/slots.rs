//! A cap on connections that have not proved who they are.
//!
//! Every connection takes a [`Slot`] when it is accepted and gives it back when its peer has authenticated or goes. Nobody is kept
//! out by those who only hold on: when a network has as many slots as it may, one of its connections makes way; when all slots are
//! taken, one of the network that holds most of them does. Of these the one makes way that has come least far towards a login
//! ([`Progress`]), and of those that came equally far the oldest: whoever types a password or compares a fingerprint is not
//! pushed out by connections from behind the same address that say nothing, however many come. A few slots are for callers that
//! are known, whom strangers never push out. This machine and proxies that do not tell whom they speak for have no cap of
//! their own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::capped::Allowance;
use super::limits;
use super::transport::ConnInfo;
use crate::auth::Source;

/// How far a connection has come towards a login, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It chose this security type, by its name in the configuration.
    Chose(&'static str),
    /// It was shown the server's key in this security type (`wss` in the layer below RFB), and a person may be looking at it.
    Shown(&'static str),
    /// The key exchange is complete, and a person may be typing a password.
    Exchanged,
    /// Its login was right.
    Proved,
}

impl Progress {
    /// Its place in the order; 0 is a connection that has come nowhere.
    const fn rank(self) -> u8 {
        match self {
            Progress::Chose(_) => 1,
            Progress::Shown(_) => 2,
            Progress::Exchanged => 3,
            Progress::Proved => 4,
        }
    }
}

/// Is told how far a connection has come.
type Observer = Box<dyn Fn(&ConnInfo, Progress) + Send + Sync>;

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
    /// [`Progress::rank`]
    come: u8,
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
    /// Takes the place of a connection that `may_go` allows, in the network that holds most such places: of the one that has come
    /// least far, and of equals the oldest. Of networks that hold the same number that one loses whose connection has come
    /// least far, and of these again the one with the oldest.
    fn evict(&mut self, may_go: impl Fn(&Held) -> bool) -> bool {
        let mut networks: HashMap<Source, (usize, Reverse<(u8, u64)>)> = HashMap::new();
        for (id, held) in self.held.iter().filter(|(_, held)| may_go(held)) {
            let last = Reverse((held.come, *id));
            let (count, first) = networks.entry(held.source).or_insert((0, last));
            *count = count.saturating_add(1);
            *first = last.max(*first);
        }
        let gone = networks.into_values().max().and_then(|(_, Reverse((_, id)))| self.held.remove(&id));
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
        pool.held.insert(id, Held { source, known, come: 0, go });
        let allowance = Arc::new(Allowance::new(limits::BYTES_BEFORE_AUTH));
        Some(Slot { pool: Arc::clone(&self.pool), id, told, allowance, observer: None })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        lock(&self.pool).held.len()
    }
}

/// One taken place; dropping it gives the place back, and ends what holds for connections that have not logged in.
pub struct Slot {
    pool: Arc<Mutex<Pool>>,
    id: u64,
    told: watch::Receiver<bool>,
    allowance: Arc<Allowance>,
    observer: Option<Observer>,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Slot {
    /// The same, telling `observer` how far its connection comes.
    #[must_use]
    pub fn observed(self, observer: impl Fn(&ConnInfo, Progress) + Send + Sync + 'static) -> Self {
        // fields cannot be moved out of what gives its place back on drop
        let mut slot = self;
        slot.observer = Some(Box::new(observer));
        slot
    }

    /// Its connection has come so far.
    pub fn reached(&self, info: &ConnInfo, progress: Progress) {
        if let Some(held) = lock(&self.pool).held.get_mut(&self.id) {
            held.come = held.come.max(progress.rank());
        }
        if let Some(observer) = &self.observer {
            observer(info, progress);
        }
    }

    /// How much may be read from its connection.
    pub(super) fn allowance(&self) -> Arc<Allowance> {
        Arc::clone(&self.allowance)
    }

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
        self.allowance.lift();
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

    fn reaches(slot: &Option<Slot>, progress: Progress) {
        slot.as_ref().unwrap().reached(&ConnInfo::in_process("p"), progress);
    }

    #[test]
    fn of_one_network_those_make_way_that_came_least_far() {
        let slots = Slots::with(SlotLimits::default());
        let mut held: Vec<_> = (0..3).map(|_| slots.take(from(1), false)).collect();
        reaches(&held[0], Progress::Exchanged);
        reaches(&held[1], Progress::Chose("channel"));
        reaches(&held[2], Progress::Shown("channel"));
        // a step back does not count
        reaches(&held[0], Progress::Chose("channel"));
        for gone_then in [vec![1], vec![1, 3], vec![1, 3, 4]] {
            held.push(slots.take(from(1), false));
            assert_eq!(gone(&held), gone_then, "the newest silent one goes before those that came further");
        }
        // with nobody who came less far, the oldest of equals goes
        reaches(&held[5], Progress::Proved);
        held.push(slots.take(from(1), false));
        assert_eq!(gone(&held), [1, 2, 3, 4]);
    }

    #[test]
    fn who_is_half_way_through_a_login_outlives_a_flood_from_behind_the_same_address() {
        let slots = Slots::with(SlotLimits::default());
        let typing = slots.take(from(1), false);
        reaches(&typing, Progress::Exchanged);
        let flood: Vec<_> = (0..1000).map(|_| slots.take(from(1), false)).collect();
        assert!(!typing.as_ref().unwrap().eviction().is_due());
        assert_eq!(gone(&flood).len(), 998);
        // one that chooses a type and stops does no better
        for _ in 0..1000 {
            let slot = slots.take(from(1), false);
            reaches(&slot, Progress::Chose("none"));
            std::mem::forget(slot);
        }
        assert!(!typing.unwrap().eviction().is_due());
    }

    #[test]
    fn a_flood_from_many_networks_pushes_out_its_own_and_nobody_who_came_further() {
        let slots = Slots::with(SlotLimits { overall: 10, per_network: 3, reserved: 2 });
        let typing = slots.take(from(1), false);
        reaches(&typing, Progress::Shown("x509plain"));
        let flood: Vec<_> = (0..250).map(|n| slots.take(from(2 + n), false)).collect();
        assert!(!typing.unwrap().eviction().is_due());
        assert_eq!(gone(&flood).len(), 243);
    }

    #[test]
    fn who_is_told_hears_how_far_a_connection_came_and_when_bytes_count_no_more() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let slot = Slots::new(1).take(from(1), false).unwrap();
        let slot = slot.observed(move |info, progress| hears.lock().unwrap().push((info.peer.clone(), progress)));
        slot.reached(&ConnInfo::in_process("p"), Progress::Shown("channel"));
        assert_eq!(*heard.lock().unwrap(), [("p".to_owned(), Progress::Shown("channel"))]);
        let allowance = slot.allowance();
        assert!(!allowance.is_lifted());
        drop(slot);
        assert!(allowance.is_lifted());
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
