//! A keyboard's map as a table, and the question asked of it: which key, with which modifiers, gives this keysym?
//!
//! Pure: the X layer fills the table from XKB and tests fill it by hand. Modifiers are the eight real ones of X as bits
//! (Shift 1, Lock 2, Control 4, Mod1 8 .. Mod5 128).
//!
//! SOURCE: The X Keyboard Extension: Protocol Specification, "Keyboard Mapping" (key types, groups and levels).

use xkeysym::Keysym;

/// The Shift modifier.
pub const SHIFT: u8 = 1;
/// The Lock modifier (Caps Lock).
pub const LOCK: u8 = 2;

/// Keysyms that shift a level while they are held.
const LEVEL_SHIFTS: [u32; 5] = [0xffe1, 0xffe2, 0xfe03, 0xff7e, 0xfe11];

/// How modifiers choose a level of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyType {
    /// The modifiers that count.
    pub mask: u8,
    /// Modifiers (of those that count, exactly these) and the level that they choose; others choose level 0.
    pub levels: Vec<(u8, u8)>,
}

impl KeyType {
    /// The level that `mods` choose.
    pub fn level(&self, mods: u8) -> u8 {
        let counted = mods & self.mask;
        self.levels.iter().find(|(m, _)| *m == counted).map_or(0, |(_, level)| *level)
    }
}

/// The keysyms of one key in one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Index of the key type in [`Keymap::types`].
    pub key_type: usize,
    /// Keysyms by level.
    pub syms: Vec<u32>,
}

/// One key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// Its groups; none on a key that means nothing.
    pub groups: Vec<Group>,
    /// A group past the last one means the last one; otherwise it wraps round.
    pub clamps: bool,
    /// The modifiers that it is while held.
    pub modifiers: u8,
}

/// A keyboard's map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keymap {
    /// The smallest key code.
    pub first: u8,
    /// Keys from the smallest code on.
    pub keys: Vec<Key>,
    /// The types that groups name.
    pub types: Vec<KeyType>,
}

/// A key that gives a keysym, with the modifiers that must be on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The key.
    pub code: u8,
    /// All modifiers as they must be while it goes down.
    pub mods: u8,
}

impl Keymap {
    /// The key of a code.
    pub fn key(&self, code: u8) -> Option<&Key> {
        self.keys.get(usize::from(code.checked_sub(self.first)?))
    }

    /// All codes and keys, smallest first.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &Key)> {
        (self.first..=u8::MAX).zip(&self.keys)
    }

    fn group(&self, code: u8, group: u8) -> Option<&Group> {
        let key = self.key(code)?;
        let last = key.groups.len().checked_sub(1)?;
        let n = usize::from(group);
        key.groups.get(if n <= last {
            n
        } else if key.clamps {
            last
        } else {
            n % key.groups.len()
        })
    }

    /// What a key gives in a group under modifiers.
    pub fn lookup(&self, code: u8, group: u8, mods: u8) -> Option<u32> {
        let group = self.group(code, group)?;
        let level = self.types.get(group.key_type).map_or(0, |t| t.level(mods));
        group.syms.get(usize::from(level)).copied().filter(|s| *s != 0)
    }

    /// The key and modifiers that give `keysym` in `group` with the fewest changes to `mods`, where only `changeable`
    /// modifiers may change. A `wanted` code goes before every other.
    pub fn find(&self, keysym: u32, group: u8, mods: u8, changeable: u8, wanted: Option<u8>) -> Option<Place> {
        let exact = self.best(group, mods, changeable, wanted, |s| s == keysym);
        let Some(ch) = char_of(keysym) else { return exact };
        exact.or_else(|| self.best(group, mods, changeable, wanted, |s| char_of(s) == Some(ch)))
    }

    fn best(&self, group: u8, mods: u8, changeable: u8, wanted: Option<u8>, is: impl Fn(u32) -> bool) -> Option<Place> {
        let mut best: Option<((bool, u32), Place)> = None;
        for (code, _) in self.iter() {
            let Some(g) = self.group(code, group) else { continue };
            if !g.syms.iter().any(|s| is(*s)) {
                continue;
            }
            let mask = self.types.get(g.key_type).map_or(0, |t| t.mask) & changeable;
            // every subset of the modifiers that count and may change, at most 256
            let mut subset = mask;
            loop {
                let tried = (mods & !mask) | subset;
                if self.lookup(code, group, tried).is_some_and(&is) {
                    let cost = (wanted != Some(code), (tried ^ mods).count_ones());
                    if best.is_none_or(|(c, _)| cost < c) {
                        best = Some((cost, Place { code, mods: tried }));
                    }
                }
                if subset == 0 {
                    break;
                }
                subset = (subset - 1) & mask;
            }
        }
        best.map(|(_, place)| place)
    }

    /// The key that turns a modifier on while it is held, of those that only shift levels.
    pub fn shifter(&self, modifier: u8) -> Option<u8> {
        let shifts = |code: u8| LEVEL_SHIFTS.iter().position(|s| self.lookup(code, 0, 0) == Some(*s));
        self.iter()
            .filter(|(_, key)| key.modifiers == modifier)
            .filter_map(|(code, _)| Some((shifts(code)?, code)))
            .min()
            .map(|(_, code)| code)
    }

    /// The modifiers that holding a key can turn on or off without locking anything.
    pub fn changeable(&self) -> u8 {
        (0..8).map(|bit| 1u8 << bit).filter(|m| *m != LOCK && self.shifter(*m).is_some()).sum()
    }

    /// Codes that mean nothing, largest first: free for keysyms that the map lacks.
    pub fn spares(&self) -> Vec<u8> {
        let blank = |k: &Key| k.modifiers == 0 && k.groups.iter().all(|g| g.syms.iter().all(|s| *s == 0));
        let mut codes: Vec<u8> = self.iter().filter(|(_, key)| blank(key)).map(|(code, _)| code).collect();
        codes.reverse();
        codes
    }

    /// Puts a pair of keysyms (without and with Shift) on a key, as the X server does for a core mapping of two: a
    /// letter's two cases follow Shift and Lock, anything else Shift alone.
    pub fn bind(&mut self, code: u8, pair: [u32; 2]) {
        let mut mine = KeyType { mask: SHIFT, levels: vec![(SHIFT, 1)] };
        if cases(pair[0]) == Some(pair) {
            mine = KeyType { mask: SHIFT | LOCK, levels: vec![(SHIFT, 1), (LOCK, 1)] };
        }
        let key_type = self.types.iter().position(|t| *t == mine).unwrap_or_else(|| {
            self.types.push(mine);
            self.types.len() - 1
        });
        if let Some(key) = code.checked_sub(self.first).and_then(|i| self.keys.get_mut(usize::from(i))) {
            key.groups = vec![Group { key_type, syms: pair.to_vec() }];
        }
    }
}

/// The character that a keysym types; none for keys that type none and for the keypad, whose digits are other keys.
pub fn char_of(keysym: u32) -> Option<char> {
    match keysym {
        0xfd00..=0xffff => None,
        0x0100_0000..=0x0110_ffff => char::from_u32(keysym - 0x0100_0000),
        _ => Keysym::new(keysym).key_char(),
    }
}

/// What a keysym is called in the log.
pub fn named(keysym: u32) -> String {
    match char_of(keysym) {
        Some(ch) => format!("U+{:04X}", u32::from(ch)),
        None => format!("keysym {keysym:#x}"),
    }
}

/// A letter's small and capital keysym, when it has just one of each.
fn cases(keysym: u32) -> Option<[u32; 2]> {
    let ch = char_of(keysym)?;
    let one = |mut it: Box<dyn Iterator<Item = char>>| it.next().filter(|_| it.next().is_none());
    let small = one(Box::new(ch.to_lowercase()))?;
    let capital = one(Box::new(ch.to_uppercase()))?;
    let sym = |c: char| if c == ch { keysym } else { Keysym::from_char(c).raw() };
    (small != capital).then(|| [sym(small), sym(capital)])
}

/// The pair of keysyms to put on a spare key so that it can give `keysym`.
pub fn pair_for(keysym: u32) -> [u32; 2] {
    cases(keysym).unwrap_or([keysym, keysym])
}

/// Keysyms that do nearly the same, tried in turn when a map lacks one.
pub fn instead_of(keysym: u32) -> &'static [u32] {
    match keysym {
        0xfe20 => &[0xff09],               // ISO_Left_Tab: Tab
        0xfe03 => &[0xff7e, 0xffea],       // ISO_Level3_Shift: Mode_switch, Alt_R
        0xff7e => &[0xfe03],               // Mode_switch: ISO_Level3_Shift
        0xffe7 => &[0xffe9, 0xffeb],       // Meta_L: Alt_L, Super_L
        0xffe8 => &[0xffea, 0xffec],       // Meta_R: Alt_R, Super_R
        0xffea => &[0xfe03, 0xffe9],       // Alt_R: ISO_Level3_Shift, Alt_L
        0xffe2 => &[0xffe1],               // Shift_R: Shift_L
        0xffe4 => &[0xffe3],               // Control_R: Control_L
        0xffec => &[0xffeb],               // Super_R: Super_L
        0xff8d => &[0xff0d],               // KP_Enter: Return
        0xff95..=0xff9f => keypad(keysym), // KP_Home .. KP_Delete: the cursor keys
        0xff61 => &[0xfd1d],               // Print: 3270_PrintScreen
        _ => &[],
    }
}

fn keypad(keysym: u32) -> &'static [u32] {
    match keysym {
        0xff95 => &[0xff50],
        0xff96 => &[0xff51],
        0xff97 => &[0xff52],
        0xff98 => &[0xff53],
        0xff99 => &[0xff54],
        0xff9a => &[0xff55],
        0xff9b => &[0xff56],
        0xff9c => &[0xff57],
        0xff9e => &[0xff63],
        0xff9f => &[0xffff],
        _ => &[],
    }
}

/// Whether a keysym is a modifier or lock: such a key is pressed as it is.
pub fn is_modifier(keysym: u32) -> bool {
    matches!(keysym, 0xffe1..=0xffee | 0xfe01..=0xfe13 | 0xff7e | 0xff7f | 0xff14)
}
