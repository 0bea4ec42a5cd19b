//! A map that holds at most so many entries: what was touched longest ago goes first.
//!
//! Every touch puts a stamped ticket into a queue; a ticket counts only while its stamp is the entry's. The queue is swept when it has twice
//! as many tickets as there are entries, so every operation costs O(1) on average.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Tickets that never make a sweep worth while.
const SLACK: usize = 64;

/// A bounded map.
#[derive(Clone, Debug)]
pub(super) struct Table<K, V> {
    entries: HashMap<K, (V, u64)>,
    order: VecDeque<(K, u64)>,
    stamp: u64,
    most: usize,
}

impl<K: Clone + Eq + Hash, V> Table<K, V> {
    /// Room for `most` entries.
    pub(super) fn new(most: usize) -> Self {
        Table { entries: HashMap::new(), order: VecDeque::new(), stamp: 0, most: most.max(1) }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(value, _)| value)
    }

    /// The entry, which stays as old as it is.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(value, _)| value)
    }

    /// The entry, made when there is none, as the newest of all. The oldest goes when there is no room.
    pub(super) fn touch(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.entries.contains_key(&key) && self.entries.len() >= self.most {
            self.drop_oldest();
        }
        self.stamp = self.stamp.wrapping_add(1);
        self.order.push_back((key.clone(), self.stamp));
        if self.order.len() > self.entries.len().saturating_mul(2).saturating_add(SLACK) {
            self.sweep(&key);
        }
        let (value, stamp) = self.entries.entry(key).or_insert_with(|| (make(), 0));
        *stamp = self.stamp;
        value
    }

    fn drop_oldest(&mut self) {
        while let Some((key, stamp)) = self.order.pop_front() {
            if self.entries.get(&key).is_some_and(|(_, live)| *live == stamp) {
                self.entries.remove(&key);
                return;
            }
        }
    }

    /// Drops the tickets that count no more. `newest` has a ticket whose entry is not stamped yet.
    fn sweep(&mut self, newest: &K) {
        let (entries, now) = (&self.entries, self.stamp);
        self.order.retain(|(key, stamp)| match entries.get(key) {
            _ if *stamp == now => true,
            Some((_, live)) => live == stamp && key != newest,
            None => false,
        });
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|(value, _)| value)
    }

    /// Keeps the entries that `keep` says yes to; returns how many went.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) -> usize {
        let before = self.entries.len();
        self.entries.retain(|key, (value, _)| keep(key, value));
        before.saturating_sub(self.entries.len())
    }

    /// All entries, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.order.iter().filter_map(|(key, stamp)| {
            let (value, live) = self.entries.get(key)?;
            (live == stamp).then_some((key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_holds_what_a_plain_list_would_hold(steps in prop::collection::vec((0u8..24, 0u8..8), 0..400)) {
            let mut table = Table::new(7);
            let mut list: Vec<(u8, u32)> = Vec::new();
            for (key, what) in steps {
                if what == 0 {
                    prop_assert_eq!(table.remove(&key), list.iter().find(|(k, _)| *k == key).map(|(_, v)| *v));
                    list.retain(|(k, _)| *k != key);
                } else {
                    *table.touch(key, || 0) += 1;
                    let value = list.iter().find(|(k, _)| *k == key).map_or(0, |(_, v)| *v);
                    list.retain(|(k, _)| *k != key);
                    if list.len() == 7 {
                        list.remove(0);
                    }
                    list.push((key, value + 1));
                }
                let held: Vec<(u8, u32)> = table.iter().map(|(k, v)| (*k, *v)).collect();
                prop_assert_eq!(&held, &list);
                prop_assert!(table.order.len() <= 2 * table.len() + SLACK + 2, "{} tickets", table.order.len());
            }
        }
    }

    #[test]
    fn one_key_touched_for_ever_costs_no_more_room() {
        let mut table = Table::new(4);
        for _ in 0..100_000 {
            table.touch("k", || 0);
        }
        assert!(table.order.len() <= SLACK + 4);
        assert_eq!(table.len(), 1);
    }
}
