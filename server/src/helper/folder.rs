//! Folders in which nobody else can put a file, or change one for another.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Why a folder is not to be relied on.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be looked at, or made.
    #[error("folder {0}: {1}")]
    Io(PathBuf, io::Error),
    /// It is somebody else's.
    #[error("folder {0}: belongs to user {1} (expected {2} or root)")]
    Owner(PathBuf, u32, u32),
    /// Others can write to it.
    #[error("folder {0}: mode {1:o} lets others put files there; run: chmod go-w {0}")]
    Mode(PathBuf, u32),
}

/// Whom a folder may let make files beside its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Nobody.
    None,
    /// Those who can then not touch the files of others: the folder is sticky, as /tmp is.
    Sticky,
}

/// The folder that a file is in.
pub fn of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes sure that nobody but its owner, who is this user or root, can change what is in a folder.
///
/// # Errors
/// When somebody else can, or it cannot be looked at.
pub fn trusted(path: &Path, others: Others) -> Result<(), FolderError> {
    belongs(path, rustix::process::geteuid().as_raw(), others)
}

/// As [`trusted`], for the folder and all above it, of which `owner` or root is to have each.
///
/// # Errors
/// As [`trusted`].
pub fn trusted_to_the_top(path: &Path, owner: u32) -> Result<(), FolderError> {
    // what links lead to, so that those above are the ones that decide
    let real = std::fs::canonicalize(path).map_err(|error| FolderError::Io(path.to_owned(), error))?;
    real.ancestors().try_for_each(|folder| belongs(folder, owner, Others::Sticky))
}

fn belongs(path: &Path, owner: u32, others: Others) -> Result<(), FolderError> {
    let meta = std::fs::metadata(path).map_err(|error| FolderError::Io(path.to_owned(), error))?;
    if !meta.is_dir() {
        return Err(FolderError::Io(path.to_owned(), io::ErrorKind::NotADirectory.into()));
    }
    let sticky = others == Others::Sticky && meta.mode() & 0o1000 != 0;
    if meta.mode() & 0o022 != 0 && !sticky {
        return Err(FolderError::Mode(path.to_owned(), meta.mode() & 0o7777));
    }
    if meta.uid() != owner && meta.uid() != 0 {
        return Err(FolderError::Owner(path.to_owned(), meta.uid(), owner));
    }
    Ok(())
}

/// Makes a folder with mode 700 where it is not there, and looks at it as [`trusted`] does.
///
/// # Errors
/// When it cannot be made, or somebody else can change what is in it.
pub fn make(path: &Path, others: Others) -> Result<(), FolderError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| FolderError::Io(path.to_owned(), error))?;
    trusted(path, others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn folders_that_others_write_to_are_refused_and_sticky_ones_only_where_that_will_do() {
        let top = std::env::temp_dir().join(format!("farpane-folder-{}", std::process::id()));
        let folder = top.join("in/it");
        make(&folder, Others::None).expect("is made");
        let mode = |bits| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(bits)).expect("ours");
        assert_eq!(std::fs::metadata(&folder).expect("there").mode() & 0o7777, 0o700);
        for bits in [0o755, 0o750, 0o700] {
            mode(bits);
            trusted(&folder, Others::None).expect("nobody else writes");
        }
        for bits in [0o775, 0o770, 0o702, 0o777] {
            mode(bits);
            for others in [Others::None, Others::Sticky] {
                let said = make(&folder, others).expect_err("others write").to_string();
                assert!(said.contains("chmod go-w"), "{said}");
            }
        }
        mode(0o1777);
        assert!(matches!(trusted(&folder, Others::None), Err(FolderError::Mode(..))));
        trusted(&folder, Others::Sticky).expect("files there are their owners'");
        let us = rustix::process::geteuid().as_raw();
        trusted_to_the_top(&folder, us).expect("sticky all the way");
        mode(0o777);
        let below = folder.join("below");
        make(&below, Others::None).expect("is made");
        trusted(&below, Others::None).expect("by itself it is");
        assert!(matches!(trusted_to_the_top(&below, us), Err(FolderError::Mode(path, _)) if path.ends_with("in/it")));
        let file = top.join("file");
        std::fs::write(&file, "x").expect("a file");
        assert!(matches!(make(&file, Others::None), Err(FolderError::Io(..))), "no folder");
        assert!(matches!(belongs(&top, us + 1, Others::None), Err(FolderError::Owner(..))) || us == 0);
        std::fs::remove_dir_all(&top).expect("ours");
    }
}
