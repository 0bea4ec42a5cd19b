//! Pseudo-random numbers, the same in every run.

/// A generator (xorshift64*).
pub struct Dice(u64);

impl Dice {
    /// One that is not zero at first.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// The next number below `end`.
    ///
    /// # Panics
    /// When `end` is 0.
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32) % end
    }

    /// A number from `from` to `to`, both among them.
    ///
    /// # Panics
    /// When `to` lies below `from`.
    pub fn within(&mut self, from: u16, to: u16) -> u16 {
        from + self.below(u32::from(to - from) + 1) as u16
    }

    /// One of these.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u32) as usize]
    }

    /// Puts a list in another order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for i in (1..list.len()).rev() {
            list.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}
