//! A cap on connections that have not proved who they are.
//!
//! Every connection takes a [`Slot`] when it is accepted and gives it back when its peer has authenticated or goes. When
//! none is left, a newcomer is told so and closed, so that strangers cost a bounded amount of memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The places for unauthenticated connections.
#[derive(Clone, Debug)]
pub struct Slots {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

impl Slots {
    /// `limit` places.
    pub fn new(limit: usize) -> Self {
        Slots { taken: Arc::new(AtomicUsize::new(0)), limit }
    }

    /// A place, if one is left.
    pub fn take(&self) -> Option<Slot> {
        let limit = self.limit;
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| if n < limit { n.checked_add(1) } else { None })
            .ok()
            .map(|_| Slot { taken: Arc::clone(&self.taken) })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

/// One taken place; dropping it gives the place back.
#[derive(Debug)]
pub struct Slot {
    taken: Arc<AtomicUsize>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_holds_and_a_dropped_slot_is_free_again() {
        let slots = Slots::new(2);
        let first = slots.take().unwrap();
        let second = slots.take().unwrap();
        assert!(slots.take().is_none());
        drop(first);
        assert_eq!(slots.taken(), 1);
        let third = slots.take();
        assert!(third.is_some());
        drop(second);
        drop(third);
        assert_eq!(slots.taken(), 0);
    }
}
