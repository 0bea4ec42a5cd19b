//! Rectangles encoded once and shared by the clients of an output.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::encode::{Encoded, Params};
use crate::geometry::Rect;

/// What an encoded rectangle depends on: place, the newest content in it, the parameters, the pointer drawn into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub rect: Rect,
    /// Newest content sequence in the rectangle, of this mirror.
    pub seq: u64,
    /// Which mirror: counts up when an output's mirror is replaced.
    pub epoch: u64,
    pub params: Params,
    /// Serial and place of the pointer, when it is drawn into the rectangle.
    pub overlay: Option<(u64, i32, i32)>,
}

type Slot = Arc<OnceLock<Arc<[Encoded]>>>;

/// Encoded rectangles, oldest out first beyond a bound in bytes.
pub(super) struct Cache {
    inner: Mutex<Inner>,
    max_bytes: usize,
}

#[derive(Default)]
struct Inner {
    slots: HashMap<Key, Slot>,
    order: VecDeque<(Key, usize)>,
    bytes: usize,
}

impl Cache {
    pub fn new(max_bytes: usize) -> Self {
        Self { inner: Mutex::default(), max_bytes }
    }

    /// The encoded form of `key`, made by `encode` unless it is there; a second client that asks while it is being made
    /// waits for it. Returns it and whether it was shared.
    ///
    /// `encode` must not wait for other work of the pool.
    pub fn get(&self, key: Key, encode: impl FnOnce() -> Vec<Encoded>) -> (Arc<[Encoded]>, bool) {
        let slot = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(inner.slots.entry(key).or_default())
        };
        let mut made = false;
        let encoded = Arc::clone(slot.get_or_init(|| {
            made = true;
            encode().into()
        }));
        if made {
            self.admit(key, encoded.iter().map(Encoded::wire_len).sum::<usize>() + 256);
        }
        (encoded, !made)
    }

    fn admit(&self, key: Key, bytes: usize) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.order.push_back((key, bytes));
        inner.bytes += bytes;
        while inner.bytes > self.max_bytes {
            let Some((old, bytes)) = inner.order.pop_front() else { break };
            inner.slots.remove(&old);
            inner.bytes -= bytes;
        }
    }

    /// Forgets everything: for a single client, sharing would only hold memory.
    pub fn clear(&self) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Inner::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Codec;
    use crate::pixel::ClientFormat;

    fn key(seq: u64) -> Key {
        Key {
            rect: Rect::new(0, 0, 1, 1),
            seq,
            epoch: 0,
            params: Params { codec: Codec::Raw, format: ClientFormat::BGRX, compression: 2, jpeg: None },
            overlay: None,
        }
    }

    fn encoded(n: usize) -> Vec<Encoded> {
        vec![Encoded { rect: Rect::new(0, 0, 1, 1), encoding: 0, head: vec![0; n], chunk: None, lossy: false }]
    }

    #[test]
    fn the_second_client_shares_and_new_content_does_not() {
        let cache = Cache::new(1 << 20);
        assert!(!cache.get(key(1), || encoded(4)).1);
        assert!(cache.get(key(1), || unreachable!("it is there")).1);
        assert!(!cache.get(key(2), || encoded(4)).1);
    }

    #[test]
    fn memory_stays_within_its_bound() {
        let cache = Cache::new(10_000);
        for seq in 0..100 {
            cache.get(key(seq), || encoded(1000));
        }
        let inner = cache.inner.lock().unwrap();
        assert!(inner.bytes <= 10_000 && inner.slots.len() == inner.order.len() && !inner.slots.is_empty());
    }
}
