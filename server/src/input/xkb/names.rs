//! Names of keysyms to numbers.

use std::collections::HashMap;
use std::sync::OnceLock;

use xkeysym::Keysym;

/// What stands for a keysym whose name is not known: its key is not free.
pub(super) const UNKNOWN: u32 = 0x1fff_ffff;

/// Where keysyms with names lie: the X Consortium's, DEC's and the like, XFree86's.
const NAMED: [std::ops::RangeInclusive<u32>; 4] =
    [0x20..=0xffff, 0x0100_0100..=0x0100_28ff, 0x1000_fe00..=0x1000_ffff, 0x1005_fe00..=0x1008_ffff];

fn table() -> &'static HashMap<String, u32> {
    static TABLE: OnceLock<HashMap<String, u32>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let name = |raw| Some(Keysym::new(raw).name()?.replacen("XK_", "", 1));
        NAMED.into_iter().flatten().filter_map(|raw| Some((name(raw)?, raw))).collect()
    })
}

/// The keysym of a name as it stands in a map: `adiaeresis`, `U20AC`, `0x20ac`, `7`, `XF86AudioMute`.
pub(super) fn keysym(name: &str) -> u32 {
    let digit = |c: char| u32::from(c);
    let hex = |s: &str| u32::from_str_radix(s, 16).ok();
    let mut chars = name.chars();
    match (chars.next(), chars.as_str()) {
        (Some(c), "") if c.is_ascii_digit() => return digit(c),
        (Some('0'), rest) if rest.starts_with(['x', 'X']) => {
            return rest.get(1..).and_then(hex).unwrap_or(UNKNOWN);
        }
        (Some('U'), rest) if rest.len() >= 4 => {
            if let Some(ch) = hex(rest).and_then(char::from_u32) {
                return Keysym::from_char(ch).raw();
            }
        }
        _ => {}
    }
    match name {
        "NoSymbol" | "VoidSymbol" => 0,
        _ => table().get(name).copied().or_else(|| name.parse().ok()).unwrap_or(UNKNOWN),
    }
}
