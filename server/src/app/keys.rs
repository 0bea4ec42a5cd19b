//! The keys that the server is known by, where they are kept, and the words that people compare.

use std::path::Path;

use farpane_channel::Identity;
use zeroize::Zeroizing;

use crate::helper::private;

use super::AppError;

/// The first line of an identity's file.
const HEAD: &str = "farpane-identity 1";
/// An identity's file in the state folder.
const FILE: &str = "identity.key";
/// Bytes of an identity's file at most.
const MOST: u64 = 256;

/// The identity that is kept in the state folder; made at first.
///
/// # Errors
/// When the file cannot be read or made, others can read it, or it holds something else.
pub fn identity(state: &Path) -> Result<Identity, AppError> {
    let path = state.join(FILE);
    let bytes = private::read_or_make(&path, MOST, make)?;
    let secret = std::str::from_utf8(&bytes).ok().and_then(parse).ok_or_else(|| {
        AppError::Failed(format!(
            "{}: is no identity of this version; move it away and a new one is made, which viewers must accept anew",
            path.display()
        ))
    })?;
    Ok(Identity::from_secret(&secret))
}

fn make() -> Result<Zeroizing<Vec<u8>>, AppError> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(AppError::failed)?;
    let digits = secret.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.filter_map(|digit| b"0123456789abcdef".get(usize::from(digit)).copied());
    let mut text = Zeroizing::new(Vec::with_capacity(128));
    text.extend(HEAD.bytes().chain([b'\n']).chain(digits).chain([b'\n']));
    Ok(text)
}

fn parse(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let digits = text.strip_prefix(HEAD)?.strip_prefix('\n')?.strip_suffix('\n')?.as_bytes();
    let mut secret = Zeroizing::new([0; 32]);
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.len() != secret.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in secret.iter_mut().zip(pairs) {
        let digit = |d: &u8| char::from(*d).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use farpane_channel::StaticKey;

    #[test]
    fn an_identity_is_made_once_and_stays() {
        let folder = std::env::temp_dir().join(format!("farpane-keys-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let first = identity(&folder).unwrap().public();
        assert_eq!(identity(&folder).unwrap().public(), first);
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        for wrong in [
            "",
            "farpane-identity 2\n",
            &text[..text.len() - 2],
            &text.replace('\n', "\n\n"),
            &text.replacen(HEAD, "x", 1),
        ] {
            private::write(&path, wrong.as_bytes()).unwrap();
            let Err(error) = identity(&folder) else { panic!("{wrong:?} was taken") };
            let said = error.to_string();
            assert!(said.contains("is no identity"), "{wrong:?}: {said}");
            assert!(!said.contains(text.lines().nth(1).unwrap()), "the key is not printed");
        }
        private::write(&path, text.as_bytes()).unwrap();
        assert_eq!(identity(&folder).unwrap().public(), first);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
