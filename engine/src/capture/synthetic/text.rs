//! What the scenes' windows have to say.

use super::paint::hash;

/// One line of the terminal and its colour.
pub(super) fn log_line(i: u64) -> (u32, String) {
    let seed = i as u32;
    let r = |k: u32, n: u32| hash(seed.wrapping_mul(16).wrapping_add(k)) % n;
    let module =
        ["geometry", "capture", "damage", "tile map", "encoder", "session", "pacer", "palette"][r(1, 8) as usize];
    let ms = i * 180;
    let clock = format!("{:02}:{:02}:{:02}.{:03}", ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    match r(0, 12) {
        0 => (0x0087_d37c, format!("$ farpane bench --only {module} --seed {}", r(2, 900))),
        1 => (0x00f2_c14e, format!("{clock} note  {module}: rtt {} ms, {} kB in flight", r(2, 40), r(3, 400))),
        2 => (0x00e0_6c75, format!("{clock} late  frame {} came {} ms after its slot", i, 1 + r(2, 9))),
        3 => (0x0061_afef, format!("   Compiling {module} v0.{}.{} ({}/128)", r(2, 9), r(3, 20), i % 128)),
        4 => (0x005c_6370, format!("// {module} {}", "-".repeat(8 + r(3, 40) as usize))),
        5 => (0x00c6_78dd, format!("test {module}::keeps_every_pixel_{} ... ok", r(2, 99))),
        _ => (
            0x00ab_b2bf,
            format!("{clock} info  {module}: {} rects, {} tiles, {}.{} ms", r(2, 60), r(3, 900), r(4, 9), r(5, 10)),
        ),
    }
}

const WORDS: [&str; 32] = [
    "the", "screen", "of", "another", "room", "lies", "under", "your", "hand", "and", "every", "pixel", "that",
    "changed", "is", "there", "before", "you", "looked", "for", "it", "a", "quiet", "picture", "costs", "nothing",
    "while", "letters", "travel", "alone", "with", "light",
];

/// Line `i` of a text set in columns of about `columns` characters.
pub(super) fn prose_line(i: u32, columns: usize) -> String {
    let mut line = String::new();
    let short = i % 6 == 4;
    let limit = if short { columns * (30 + hash(i) as usize % 40) / 100 } else { columns };
    if i % 6 == 5 {
        return line;
    }
    for k in 0.. {
        let word = WORDS[hash(i.wrapping_mul(101).wrapping_add(k)) as usize % WORDS.len()];
        if line.len() + word.len() + 1 > limit {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        if line.is_empty() && i.is_multiple_of(6) {
            line.push(char::from(word.as_bytes()[0].to_ascii_uppercase()));
            line.push_str(&word[1..]);
        } else {
            line.push_str(word);
        }
    }
    if short {
        line.push('.');
    }
    line
}
