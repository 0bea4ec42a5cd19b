//! The definition.
use super::{Order, Rows};
/// Converts.
pub fn ycbcr420(order: Order, rows: [&[u32]; 2], out: Rows<'_>) {
    let n = rows[0].len();
    for x in 0..n.div_ceil(2) {
        let mut sums = [0i32; 3];
        for (row, luma) in rows.iter().zip(&mut [0usize, 1]) {
            for col in [2 * x, 2 * x + 1] {
                let w = row[col.min(n - 1)];
                let [a, g, c] = [w >> 16 & 255, w >> 8 & 255, w & 255].map(|v| v as i32);
                let [r, g, b] = if order == Order::Bgrx { [a, g, c] } else { [c, g, a] };
                for (s, v) in sums.iter_mut().zip([r, g, b]) { *s += v; }
                out.luma[*luma][col] = (16 + ((5983 * r + 20127 * g + 2032 * b + 0x4000) >> 15)) as u8;
            }
        }
        let [r, g, b] = sums;
        out.cb[x] = (128 + ((-3298 * r - 11094 * g + 14392 * b + 0x1_0000) >> 17)) as u8;
        out.cr[x] = (128 + ((14392 * r - 13073 * g - 1319 * b + 0x1_0000) >> 17)) as u8;
    }
}
