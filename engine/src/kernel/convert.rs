//! Mirror pixels become client values.
//!
//! Two of the three loops are plain enough for the compiler's own vectors; the third is bound by its table look-ups.

use crate::pixel::{Plan, PlanClass};

/// Converts `src` into `dst`.
///
/// # Panics
/// When the lengths differ.
pub fn convert(plan: &Plan, src: &[u32], dst: &mut [u32]) {
    assert_eq!(src.len(), dst.len(), "rows of one length");
    match plan.class() {
        PlanClass::Same => dst.copy_from_slice(src),
        PlanClass::Swap => {
            for (d, s) in dst.iter_mut().zip(src) {
                *d = (s >> 16 & 0xff) | (s & 0xff00) | (s & 0xff) << 16;
            }
        }
        PlanClass::Tables(tables) => {
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
                    let mut dst = vec![!0; src.len()];
                    convert(&plan, &src, &mut dst);
                    for (s, d) in src.iter().zip(&dst) {
                        prop_assert_eq!(plan.value(*s), *d);
                    }
                }
            }
        }
    }
}
