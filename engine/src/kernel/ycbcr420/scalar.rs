//! The definition of the kernel.

use super::{Order, Rows};

/// Luma of each pixel; Cb and Cr of the sums of blocks of 2x2. Shape: as the front's.
pub fn ycbcr420(order: Order, rows: [&[u32]; 2], out: Rows<'_>) {
    // PERF: the order as a function's type, and a loop for each row: so the compiler makes vectors of them
    match order {
        Order::Bgrx => planes(|word| [word >> 16, word >> 8, word], rows, out),
        Order::Rgbx => planes(|word| [word, word >> 8, word >> 16], rows, out),
    }
}

/// `channels`: red, green and blue of a word, each in the lowest byte.
#[inline]
fn planes(channels: impl Fn(u32) -> [u32; 3] + Copy, [above, below]: [&[u32]; 2], out: Rows<'_>) {
    let rgb = move |word: u32| channels(word).map(|v| (v & 0xff) as i32);
    let luma = move |word: u32| {
        let [r, g, b] = rgb(word);
        (16 + ((5983 * r + 20127 * g + 2032 * b + 0x4000) >> 15)) as u8
    };
    let chroma = move |[above, below]: [[u32; 2]; 2]| {
        let [p, q, s, t] = [above[0], above[1], below[0], below[1]].map(rgb);
        let [r, g, b] = [0, 1, 2].map(|i| p[i] + q[i] + s[i] + t[i]);
        let cb = (128 + ((-3298 * r - 11094 * g + 14392 * b + 0x1_0000) >> 17)) as u8;
        let cr = (128 + ((14392 * r - 13073 * g - 1319 * b + 0x1_0000) >> 17)) as u8;
        (cb, cr)
    };
    for (row, to) in [above, below].into_iter().zip(out.luma) {
        for (y, word) in to.iter_mut().zip(row) {
            *y = luma(*word);
        }
        if let Some(last) = row.last()
            && let Some(repeated) = to.get_mut(row.len())
        {
            *repeated = luma(*last);
        }
    }
    let (pairs, odd) = above.as_chunks::<2>();
    let (pairs_below, odd_below) = below.as_chunks::<2>();
    let blocks = pairs.iter().zip(pairs_below);
    for ((cb, cr), (a, b)) in out.cb.iter_mut().zip(out.cr.iter_mut()).zip(blocks) {
        (*cb, *cr) = chroma([*a, *b]);
    }
    if let ([a], [b]) = (odd, odd_below) {
        (out.cb[pairs.len()], out.cr[pairs.len()]) = chroma([[*a; 2], [*b; 2]]);
    }
}
