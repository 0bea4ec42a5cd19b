//! Text between the desktop's forms and ours: UTF-8 with line ends LF.

/// Every line end as LF.
pub fn one_line_end(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Text as a program of the desktop gave it: UTF-8, or Latin-1 when its type says so.
pub fn from_desktop(bytes: &[u8], is_latin1: bool) -> String {
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    let bytes = bytes.get(..end).unwrap_or_default();
    let text = if is_latin1 {
        bytes.iter().map(|b| char::from(*b)).collect()
    } else {
        String::from_utf8_lossy(bytes).into_owned()
    };
    one_line_end(&text)
}

/// Text in Latin-1, with `?` for what it lacks.
pub fn latin1(text: &str) -> Vec<u8> {
    one_line_end(text).chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_lf_and_trailing_nuls_go() {
        assert_eq!(from_desktop(b"a\r\nb\rc\nd\0\0", false), "a\nb\nc\nd");
    }

    #[test]
    fn latin1_goes_both_ways_and_names_what_it_lacks() {
        assert_eq!(from_desktop(&[0xe4, b'x'], true), "äx");
        assert_eq!(latin1("äx€"), [0xe4, b'x', b'?']);
    }

    #[test]
    fn broken_utf8_does_no_harm() {
        assert_eq!(from_desktop(&[b'a', 0xff], false), "a\u{fffd}");
        assert_eq!(from_desktop(&[], false), "");
    }
}
