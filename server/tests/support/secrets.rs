//! What no log may hold: every password and every clipboard text that a test hands over.
//!
//! Whoever speaks for a viewer here tells them; [`Server`](crate::Server) looks for them in its log when it ends.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Shorter texts stand in innocent words, and so do short rows of digits in times.
const LEAST: usize = 6;
const LEAST_DIGITS: usize = 9;
/// So much of a long text.
const MOST: usize = 64;

static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Notes a text that no log may hold from now on.
pub fn tell(text: &str) {
    let text: String = text.trim().chars().take(MOST).collect();
    let digits = text.chars().all(|c| c.is_ascii_digit());
    if text.len() >= if digits { LEAST_DIGITS } else { LEAST } {
        TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
    }
}

/// The secrets of this test program that a text holds, as they are or in hexadecimal digits.
pub fn found_in(text: &str) -> Vec<String> {
    let hex = |secret: &str| secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    told.iter().filter(|secret| text.contains(secret.as_str()) || text.contains(&hex(secret))).cloned().collect()
}

/// Notes the lines of a private key's file, and of whatever else lies beside it under such a name.
pub fn tell_keys(folder: &std::path::Path) {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for file in files.filter(|path| path.extension().is_some_and(|end| end == "key")) {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().filter(|line| line.len() >= 40).for_each(tell);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_log_is_found_in_both_forms_and_short_ones_are_left_alone() {
        tell("hunter2-planted");
        tell("abc");
        tell("251238");
        assert!(found_in("user=ann abc at 12:00:00.251238").is_empty());
        assert_eq!(found_in("login with hunter2-planted failed"), ["hunter2-planted"]);
        assert_eq!(found_in("bytes=68756e746572322d706c616e746564"), ["hunter2-planted"]);
    }
}
