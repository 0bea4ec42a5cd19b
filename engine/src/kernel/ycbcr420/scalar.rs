//! The definition of the kernel.

use super::{Order, Rows};

/// Blocks of 2x2 pixels: a luma for each, one Cb and one Cr for all four. Shape: as the front's.
pub fn ycbcr420(order: Order, rows: [&[u32]; 2], out: Rows<'_>) {
    let [above, below] = rows;
    let [luma_above, luma_below] = out.luma;
    let luma = luma_above.as_chunks_mut::<2>().0.iter_mut().zip(luma_below.as_chunks_mut::<2>().0);
    let blocks = above.chunks(2).zip(below.chunks(2)).zip(luma).zip(out.cb.iter_mut().zip(out.cr));
    for (((above, below), (ya, yb)), (cb, cr)) in blocks {
        let last = above.len() - 1;
        let block = [[above[0], above[last]], [below[0], below[last]]].map(|row| row.map(|word| rgb(order, word)));
        for (pixels, luma) in block.iter().zip([ya, yb]) {
            *luma = pixels.map(|[r, g, b]| (16 + ((5983 * r + 20127 * g + 2032 * b + 0x4000) >> 15)) as u8);
        }
        let sum = |channel: usize| block.iter().flatten().map(|pixel| pixel[channel]).sum::<i32>();
        let [r, g, b] = [sum(0), sum(1), sum(2)];
        *cb = (128 + ((-3298 * r - 11094 * g + 14392 * b + 0x1_0000) >> 17)) as u8;
        *cr = (128 + ((14392 * r - 13073 * g - 1319 * b + 0x1_0000) >> 17)) as u8;
    }
}

fn rgb(order: Order, word: u32) -> [i32; 3] {
    let [low, green, high] = [word, word >> 8, word >> 16].map(|v| (v & 0xff) as i32);
    match order {
        Order::Bgrx => [high, green, low],
        Order::Rgbx => [low, green, high],
    }
}
