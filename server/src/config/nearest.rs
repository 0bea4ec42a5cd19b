//! The nearest known name to a mistyped one.

/// Steps (letters added, dropped, changed or two neighbours swapped) from one text to the other.
#[allow(
    clippy::indexing_slicing,
    reason = "every index is a loop bound of its own slice, and the words are the owner's"
)]
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let change = above[j] + usize::from(ca != cb);
            let mut least = change.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// The one of `known` that is nearest to `wrong`, if one is near enough to be meant.
///
/// ```
/// use farpane_server::config::nearest;
/// assert_eq!(nearest("max_fsp", &["max_fps", "lossless"]), Some("max_fps"));
/// assert_eq!(nearest("colour", &["max_fps", "lossless"]), None);
/// ```
pub fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let wrong = plain(wrong.get(..64).unwrap_or(wrong));
    if wrong.len() > 64 {
        return None;
    }
    let scored = known.iter().map(|k| (distance(wrong.as_bytes(), plain(k).as_bytes()), *k));
    let (steps, name) = scored.min_by_key(|(steps, _)| *steps)?;
    let part = wrong.len() >= 4 && (plain(name).contains(&wrong) || wrong.contains(&plain(name)));
    (part || steps <= (name.len() / 3).max(1)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_steps() {
        for (a, b, n) in [("", "", 0), ("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), n, "{a} {b}");
            assert_eq!(distance(b.as_bytes(), a.as_bytes()), n, "{b} {a}");
        }
    }

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["source", "security", "listener", "max_fps", "refresh_quiet_ms", "view_only"];
        for (wrong, right) in [
            ("listners", "listener"),
            ("Source", "source"),
            ("max-fps", "max_fps"),
            ("refresh_quiet", "refresh_quiet_ms"),
        ] {
            assert_eq!(nearest(wrong, &known), Some(right), "{wrong}");
        }
        for wrong in ["wallpaper", "x", ""] {
            assert_eq!(nearest(wrong, &known), None, "{wrong}");
        }
        assert_eq!(nearest(&"ö".repeat(100), &known), None);
    }
}
