//! The restore token: what the portal gave for a consent that lasts. Whoever has it shares the desktop without asking, so it lies in
//! a file that only its owner reads, which the opener opens: the server itself may open none by then.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::helper::{OpenRequest, Opener};

/// What the file begins with.
const HEAD: &str = "farpane portal token 1\n";
/// The longest file that is read.
const MOST: usize = 8192;

/// Where a token is kept.
pub struct TokenFile {
    file: Option<File>,
}

impl TokenFile {
    /// Opens the file, and makes it when it is not there. Without one the person is asked each time, which the log says.
    pub fn open(path: Option<PathBuf>, opener: &dyn Opener) -> Self {
        let Some(path) = path else { return Self { file: None } };
        match opener.open(&OpenRequest::State(path)) {
            Ok(fd) => Self { file: Some(File::from(fd)) },
            Err(error) => {
                tracing::warn!(%error, "consent to share the desktop cannot be kept: it will be asked for at every start");
                Self { file: None }
            }
        }
    }

    /// The token that is kept.
    pub fn read(&self) -> Option<Zeroizing<String>> {
        let mut bytes = Zeroizing::new(vec![0u8; MOST]);
        let read = self.file.as_ref()?.read_at(&mut bytes, 0).ok()?;
        let text = std::str::from_utf8(bytes.get(..read)?).ok()?;
        // what was cut short has no end of line
        let (token, _) = text.strip_prefix(HEAD)?.split_once('\n')?;
        (!token.is_empty()).then(|| Zeroizing::new(token.to_owned()))
    }

    /// Keeps another token in place of the one that was used: each can be used once.
    pub fn keep(&self, token: Option<&str>) {
        let Some(file) = &self.file else { return };
        let text = Zeroizing::new(match token.filter(|t| !t.contains('\n')) {
            Some(token) => format!("{HEAD}{token}\n"),
            None => String::new(),
        });
        let written = file.write_all_at(text.as_bytes(), 0).and_then(|()| file.set_len(text.len() as u64));
        if let Err(error) = written {
            tracing::warn!(%error, "consent to share the desktop was not kept: it will be asked for at the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::InProcess;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_kept_for_its_owner_alone_and_the_last_one_counts() {
        let folder = std::env::temp_dir().join(format!("farpane-token-{}", std::process::id()));
        let path = folder.join("portal/token");
        let file = TokenFile::open(Some(path.clone()), &InProcess);
        assert!(file.read().is_none());
        file.keep(Some("a rather long first one"));
        file.keep(Some("second"));
        let again = TokenFile::open(Some(path.clone()), &InProcess);
        assert_eq!(again.read().expect("is kept").as_str(), "second");
        let meta = std::fs::metadata(&path).expect("is there");
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        again.keep(None);
        assert!(file.read().is_none());
        // cut short
        std::fs::write(&path, format!("{HEAD}half")).expect("writes");
        assert!(file.read().is_none());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changes");
        assert!(TokenFile::open(Some(path), &InProcess).file.is_none(), "others can read it");
        std::fs::remove_dir_all(folder).expect("is there");
    }

    #[test]
    fn without_a_place_nothing_is_kept() {
        let none = TokenFile::open(None, &InProcess);
        none.keep(Some("x"));
        assert!(none.read().is_none());
    }
}
