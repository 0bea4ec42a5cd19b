//! Where sealed bytes go.
//!
//! PERF: a cipher writes into bytes that exist. A vector that is cleared and grown again is filled with zeros first, 4 % of the
//! time that sealing 16 KiB takes at 2.7 GiB/s; a [`Wire`] keeps the bytes that it had (`benches/channel.rs`).

/// Takes sealed bytes.
pub trait Sink {
    /// Appends `n` bytes of any content to write into.
    fn extend_by(&mut self, n: usize) -> &mut [u8];
    /// Takes the last `n` bytes off again.
    fn take_back(&mut self, n: usize);
}

impl Sink for Vec<u8> {
    fn extend_by(&mut self, n: usize) -> &mut [u8] {
        let start = self.len();
        self.resize(start.saturating_add(n), 0);
        self.get_mut(start..).unwrap_or_default()
    }

    fn take_back(&mut self, n: usize) {
        self.truncate(self.len().saturating_sub(n));
    }
}

/// Sealed bytes that wait to be written, taken off from the front as the connection takes them.
#[derive(Debug, Default)]
pub struct Wire {
    /// As long as it ever had to be; what lies outside of the two ends below was written before.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Wire {
    /// What waits.
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// How many bytes wait.
    pub const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the first `n` bytes off.
    pub fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
        if self.is_empty() {
            self.clear();
        }
    }

    /// Takes all of it off.
    pub const fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}

impl Sink for Wire {
    fn extend_by(&mut self, n: usize) -> &mut [u8] {
        if self.end.saturating_add(n) > self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
        let (start, end) = (self.end, self.end.saturating_add(n));
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        self.end = end;
        self.bytes.get_mut(start..end).unwrap_or_default()
    }

    fn take_back(&mut self, n: usize) {
        self.end = self.end.saturating_sub(n).max(self.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Each step appends, takes back or consumes; a plain vector does the same.
        #[test]
        fn a_wire_holds_what_a_vector_would(steps in prop::collection::vec((0..3, 0usize..200), 0..60)) {
            let (mut wire, mut vector) = (Wire::default(), Vec::new());
            for (n, (step, size)) in steps.into_iter().enumerate() {
                match step {
                    0 => {
                        wire.extend_by(size).fill(n as u8);
                        vector.extend_by(size).fill(n as u8);
                    }
                    1 => {
                        wire.take_back(size);
                        Sink::take_back(&mut vector, size);
                    }
                    _ => {
                        wire.consume(size);
                        vector.drain(..size.min(vector.len()));
                    }
                }
                prop_assert_eq!((wire.pending(), wire.len(), wire.is_empty()), (&vector[..], vector.len(), vector.is_empty()));
            }
        }
    }

    #[test]
    fn a_wire_that_is_emptied_stays_as_large_as_it_was_and_no_larger() {
        let mut wire = Wire::default();
        for _ in 0..100 {
            wire.extend_by(10_000).fill(7);
            wire.consume(9_999);
            wire.extend_by(5_000).fill(8);
            wire.consume(5_001);
            assert!(wire.is_empty() && wire.bytes.len() <= 10_000, "{} bytes", wire.bytes.len());
        }
    }
}
