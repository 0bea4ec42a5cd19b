//! Pixel buffers that come back by themselves.

use std::sync::Arc;

/// A few pixel buffers, each with a note of what it holds.
///
/// A buffer that is lent out is free again as soon as every frame made of it has been dropped: the pool keeps a
/// reference of its own and looks at the count.
///
/// Cost: allocates only while there are fewer buffers than frames alive at once, and when the size grows.
#[derive(Debug)]
pub struct Pool<T> {
    slots: Vec<Slot<T>>,
    most: usize,
}

#[derive(Debug)]
struct Slot<T> {
    note: Option<T>,
    pixels: Arc<[u32]>,
}

/// Why no buffer could be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all {most} buffers of the pool are in use")]
pub struct PoolEmpty {
    /// How many the pool may have.
    pub most: usize,
}

impl<T> Pool<T> {
    /// An empty pool that will hold at most `most` buffers.
    pub const fn new(most: usize) -> Self {
        Self { slots: Vec::new(), most }
    }

    /// Lets `fill` write into a free buffer of exactly `words` pixels and returns it for reading.
    ///
    /// `fill` gets the note of what the buffer holds (none for a fresh one) and gives the new note; among the free buffers the
    /// one with the greatest note is taken.
    ///
    /// # Errors
    /// When as many buffers as the pool may have are still in use.
    pub fn fill(&mut self, words: usize, fill: impl FnOnce(Option<T>, &mut [u32]) -> T) -> Result<Arc<[u32]>, PoolEmpty>
    where
        T: Ord,
    {
        self.slots.retain_mut(|s| s.pixels.len() == words || Arc::get_mut(&mut s.pixels).is_none());
        let mut best: Option<usize> = None;
        for i in 0..self.slots.len() {
            let free = self.slots[i].pixels.len() == words && Arc::get_mut(&mut self.slots[i].pixels).is_some();
            if free && best.is_none_or(|b| self.slots[b].note < self.slots[i].note) {
                best = Some(i);
            }
        }
        let index = match best {
            Some(i) => i,
            None if self.slots.len() < self.most => {
                self.slots.push(Slot { note: None, pixels: std::iter::repeat_n(0, words).collect() });
                self.slots.len() - 1
            }
            None => return Err(PoolEmpty { most: self.most }),
        };
        let slot = &mut self.slots[index];
        let Some(pixels) = Arc::get_mut(&mut slot.pixels) else { return Err(PoolEmpty { most: self.most }) };
        slot.note = Some(fill(slot.note.take(), pixels));
        Ok(Arc::clone(&slot.pixels))
    }

    /// Forgets every buffer; those still in use live until their frames are dropped.
    pub fn clear(&mut self) {
        self.slots.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again_with_its_note() {
        let mut pool = Pool::new(2);
        let a = pool.fill(4, |note, px| {
            assert_eq!(note, None);
            px.fill(7);
            1
        });
        let first = a.as_ref().map(|a| a.as_ptr()).ok();
        drop(a);
        let b = pool.fill(4, |note, px| {
            assert_eq!((note, px[3]), (Some(1), 7));
            2
        });
        assert_eq!(b.map(|b| b.as_ptr()).ok(), first);
    }

    #[test]
    fn a_full_pool_says_so_and_a_new_size_makes_room() {
        let mut pool = Pool::new(1);
        let held = pool.fill(4, |_, _| 0).expect("the first buffer");
        assert_eq!(pool.fill(4, |_, _| 1), Err(PoolEmpty { most: 1 }));
        drop(held);
        assert_eq!(pool.fill(9, |note, _| note.unwrap_or(5)).map(|b| b.len()), Ok(9));
    }
}
