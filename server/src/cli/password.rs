//! Asking for a password.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::security::Passwords;

/// Longest line that is read.
const MAX_LINE: u64 = 1024;

/// Switches the terminal's echo off for as long as it lives.
struct Quiet;

impl Quiet {
    fn new() -> Self {
        stty("-echo");
        Quiet
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        stty("echo");
        eprintln!();
    }
}

fn stty(mode: &str) {
    let done = Command::new("stty").arg(mode).stdin(Stdio::inherit()).status();
    if !done.is_ok_and(|status| status.success()) {
        eprintln!("farpane: what you type is shown: stty cannot change the terminal");
    }
}

fn line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = String::new();
    let n = input.take(MAX_LINE).read_line(&mut text)?;
    Ok((n > 0).then(|| text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Asks on the terminal, unseen.
pub(super) fn ask(prompt: &str) -> io::Result<String> {
    eprint!("{prompt}: ");
    io::stderr().flush()?;
    let _quiet = Quiet::new();
    Ok(line(&mut io::stdin().lock())?.unwrap_or_default())
}

fn make(full: &str, view_only: &str) -> anyhow::Result<Passwords> {
    for (what, text) in [("password", full), ("view-only password", view_only)] {
        if text.len() > 8 {
            eprintln!("farpane: only the first 8 bytes of the {what} count");
        }
    }
    Ok(Passwords::new(full, (!view_only.is_empty()).then_some(view_only))?)
}

/// Reads a password (and after it, if one wants, a view-only one) from the terminal, or as lines of stdin, and writes `file`.
pub(super) fn make_file(file: &Path) -> anyhow::Result<()> {
    let stdin = io::stdin();
    let passwords = if stdin.is_terminal() {
        let full = ask("Password")?;
        if full != ask("Again")? {
            bail!("the two passwords differ");
        }
        let view_only = ask("View-only password (empty for none)")?;
        make(&full, &view_only)?
    } else {
        let mut input = stdin.lock();
        let full =
            line(&mut input)?.context("no password on stdin (expected one line, or two with a view-only one)")?;
        make(&full, &line(&mut input)?.unwrap_or_default())?
    };
    passwords.write(file)?;
    Ok(())
}
