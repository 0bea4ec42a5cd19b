//! Mirror pixels become client values.
//!
//! Only the change of red and blue has levels: the copy is the compiler's, and the tables are bound by their look-ups.

#[cfg(target_arch = "aarch64")]
mod aarch64;
pub mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::CpuLevel;
use crate::pixel::{Plan, PlanClass};

/// Converts `src` into `dst`.
///
/// # Panics
/// When the lengths differ.
///
/// ```
/// use farpane_engine::kernel::{CpuLevel, convert::convert};
/// use farpane_engine::pixel::{ClientFormat, Layout, Plan};
/// let mut values = [0; 2];
/// convert(CpuLevel::current(), &Plan::new(Layout::BGRX, &ClientFormat::RGBX), &[0x0011_2233, 0], &mut values);
/// assert_eq!(values, [0x0033_2211, 0]);
/// ```
pub fn convert(level: CpuLevel, plan: &Plan, src: &[u32], dst: &mut [u32]) {
    assert_eq!(src.len(), dst.len(), "rows of one length");
    match (plan.class(), level.usable()) {
        (PlanClass::Same, _) => dst.copy_from_slice(src),
        #[cfg(target_arch = "x86_64")]
        (PlanClass::Swap, CpuLevel::Avx2) => x86::swap(src, dst),
        #[cfg(target_arch = "aarch64")]
        (PlanClass::Swap, CpuLevel::Neon) => aarch64::swap(src, dst),
        (PlanClass::Swap, _) => scalar::swap(src, dst),
        (PlanClass::Tables(tables), _) => {
            let layout = plan.layout();
            let [red, green, blue] = &**tables;
            for (d, s) in dst.iter_mut().zip(src) {
                let [r, g, b] = layout.rgb(*s);
                *d = red[usize::from(r)] | green[usize::from(g)] | blue[usize::from(b)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixel::{ClientFormat, Fourcc};
    use proptest::prelude::*;

    fn formats() -> Vec<ClientFormat> {
        let base = ClientFormat::BGRX;
        let of = |bpp, depth, maxes: [u16; 3], shifts: [u8; 3]| ClientFormat {
            bpp,
            depth,
            r_max: maxes[0],
            g_max: maxes[1],
            b_max: maxes[2],
            r_shift: shifts[0],
            g_shift: shifts[1],
            b_shift: shifts[2],
            ..base
        };
        vec![
            base,
            ClientFormat::RGBX,
            ClientFormat::COLOUR_MAP,
            of(16, 16, [31, 63, 31], [11, 5, 0]),
            of(16, 15, [31, 31, 31], [0, 5, 10]),
            of(8, 6, [3, 3, 3], [4, 2, 0]),
            of(8, 3, [1, 1, 1], [2, 1, 0]),
            of(32, 24, [255, 255, 255], [24, 16, 8]),
            of(32, 30, [1023, 1023, 1023], [20, 10, 0]),
            of(8, 4, [15, 0, 0], [0, 0, 0]),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_class_equals_the_definition(words in proptest::collection::vec(any::<u32>(), 0..40)) {
            for fourcc in [Fourcc::XRGB8888, Fourcc::XBGR8888, Fourcc::XRGB2101010, Fourcc::XBGR2101010] {
                let layout = fourcc.layout().expect("a 32-bit format");
                let src: Vec<u32> = words.iter().map(|w| w & layout.mask()).collect();
                for format in formats() {
                    prop_assert!(format.is_valid());
                    let plan = Plan::new(layout, &format);
                    for level in CpuLevel::all() {
                        let mut dst = vec![!0; src.len()];
                        convert(level, &plan, &src, &mut dst);
                        for (s, d) in src.iter().zip(&dst) {
                            prop_assert_eq!(plan.value(*s), *d);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_level_swaps_at_every_place_and_width() {
        let plan = Plan::new(Fourcc::XRGB8888.layout().expect("a 32-bit format"), &ClientFormat::RGBX);
        let words: Vec<u32> = (0..40u32).map(|i| i.wrapping_mul(0x9e37_79b1) >> 8).collect();
        for width in 0..=2 * 8 + 1 {
            for at in 0..9 {
                let src = &words[at..at + width];
                for level in CpuLevel::all() {
                    let mut dst = [0xdead_beef; 30];
                    convert(level, &plan, src, &mut dst[9 - at..][..width]);
                    for (i, d) in dst.iter().enumerate() {
                        let inside = (9 - at..9 - at + width).contains(&i);
                        let want = if inside { plan.value(src[i + at - 9]) } else { 0xdead_beef };
                        assert_eq!(*d, want, "{level:?}, {width} px at {at}, word {i}");
                    }
                }
            }
        }
    }
}
