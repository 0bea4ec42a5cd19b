//! Stacks of real PAM modules in a folder of service files: no rights, no change to the system.
//!
//! `pam_matrix.so` and `pam_chatty.so` come from Debian's libpam-wrapper, the rest from libpam-modules.

use std::path::{Path, PathBuf};

use crate::openssl::Folder;

fn module(name: &str) -> PathBuf {
    let folders = ["x86_64", "aarch64"].map(|cpu| PathBuf::from(format!("/usr/lib/{cpu}-linux-gnu/pam_wrapper")));
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.exists()).unwrap_or_default()
}

/// Whether pam_matrix is there; without it the tests that need it say so and pass, unless everything is required.
///
/// # Panics
/// When everything is required and it is not there.
pub fn has_matrix() -> bool {
    let there = module("pam_matrix.so").exists();
    assert!(
        there || std::env::var_os("FARPANE_REQUIRE_ALL").is_none(),
        "pam_matrix.so is not there (package libpam-wrapper)"
    );
    if !there {
        eprintln!("skipped: pam_matrix.so is not there (package libpam-wrapper)");
    }
    there
}

/// A folder with the service `farpane`, which goes when it is dropped.
#[derive(Debug)]
pub struct Stack(Folder);

impl Stack {
    /// A service of these lines. `MATRIX` and `CHATTY` stand for modules, `DB` for the folder of two files of users: `DB/users` lets alice
    /// in by `secret` and root too, and bob by `builder` to another service; `DB/more` has alice's second password, `second`.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn new(name: &str, lines: &str) -> Self {
        let stack = Stack(Folder::new(&format!("pam-{name}")));
        stack.write(lines);
        let users = "alice:secret:farpane\nroot:secret:farpane\nbob:builder:other\n";
        for (file, text) in [("users", users), ("more", "alice:second:farpane\n")] {
            std::fs::write(stack.path().join(file), text).expect("a file");
        }
        stack
    }

    /// Puts other lines in their place.
    ///
    /// # Panics
    /// As [`Stack::new`].
    pub fn write(&self, lines: &str) {
        let text = |path: &Path| path.to_str().expect("plain").to_owned();
        let lines = lines.replace("MATRIX", &text(&module("pam_matrix.so")));
        let lines = lines.replace("CHATTY", &text(&module("pam_chatty.so"))).replace("DB", &text(self.path()));
        std::fs::write(self.path().join("farpane"), lines).expect("a file");
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
