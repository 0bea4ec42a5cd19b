//! The definition of the kernel's one part that has levels.

/// Red and blue change places; the upper byte becomes zero.
pub fn swap(src: &[u32], dst: &mut [u32]) {
    for (d, s) in dst.iter_mut().zip(src) {
        *d = (s >> 16 & 0xff) | (s & 0xff00) | (s & 0xff) << 16;
    }
}
