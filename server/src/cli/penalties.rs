//! `farpane penalties`: what is counted against callers, and clearing it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::auth::Moment;
use crate::auth::throttle::{self, Shown, Which};

/// The file below the folder of state.
const FILE: &str = "farpane/penalties";

#[derive(Args, Debug)]
pub(super) struct PenaltiesArgs {
    #[command(subcommand)]
    what: What,
    /// The server's file of penalties [default: $STATE_DIRECTORY/penalties, else ~/.local/state/farpane/penalties]
    #[arg(long, value_name = "FILE", global = true)]
    file: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum What {
    /// List what is counted, the longest wait first; a server saves its count every five seconds
    List,
    /// Forget what is counted; a server that runs does so within a second
    Clear {
        /// An address, a user, user:NAME, device:FINGERPRINT or all
        #[arg(value_name = "WHICH")]
        which: Which,
    },
}

/// Where a server keeps its penalties when it is not told.
fn default_file(var: impl Fn(&str) -> Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let absolute = |name| var(name).filter(|path| path.is_absolute());
    // systemd hands the folder of a service over as a whole
    if let Some(folder) = absolute("STATE_DIRECTORY") {
        return Ok(folder.join("penalties"));
    }
    let home = || Some(absolute("HOME")?.join(".local/state"));
    let state = absolute("XDG_STATE_HOME").or_else(home);
    Ok(state.context("no home folder (expected HOME to be set, or give --file FILE)")?.join(FILE))
}

fn table(shown: &Shown) -> String {
    let mut out = String::new();
    for penalty in &shown.penalties {
        let wait = penalty.wait.map_or_else(|| "may try".to_owned(), |wait| format!("waits {} s", wait.seconds()));
        let _ = writeln!(out, "{wait:<12} {:>3} failures  {}", penalty.failures, penalty.bucket);
    }
    if shown.penalties.is_empty() {
        out.push_str("no penalties\n");
    }
    if shown.waiting > 0 {
        let _ = writeln!(out, "{} requests to clear wait for a server to run", shown.waiting);
    }
    out
}

fn run_at(what: &What, file: &Path, now: Moment) -> anyhow::Result<String> {
    match what {
        What::List => Ok(table(&throttle::show(file, now)?)),
        What::Clear { which } => {
            throttle::request(file, which, now)?;
            Ok(String::new())
        }
    }
}

/// Does what was asked; returns what is to be printed.
pub(super) fn run(args: &PenaltiesArgs) -> anyhow::Result<String> {
    let file = match &args.file {
        Some(file) => file.clone(),
        None => default_file(|name| std::env::var_os(name).map(PathBuf::from))?,
    };
    run_at(&args.what, &file, Moment::of(SystemTime::now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::throttle::{Attempt, Kept};

    #[test]
    fn the_file_is_found_where_a_server_of_the_same_user_keeps_it() {
        let with = |set: &'static [(&str, &str)]| {
            default_file(move |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v))).ok()
        };
        let of = |text: &str| Some(PathBuf::from(text));
        assert_eq!(with(&[("STATE_DIRECTORY", "/var/lib/farpane"), ("HOME", "/h")]), of("/var/lib/farpane/penalties"));
        assert_eq!(with(&[("HOME", "/h")]), of("/h/.local/state/farpane/penalties"));
        assert_eq!(with(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), of("/s/farpane/penalties"));
        assert_eq!(with(&[("XDG_STATE_HOME", "relative")]), None);
    }

    #[test]
    fn a_list_names_who_waits_and_clearing_empties_it() {
        let folder = std::env::temp_dir().join(format!("farpane-penalties-{}", std::process::id()));
        let file = folder.join("penalties");
        let now = Moment::from_secs(1_700_000_000);
        assert_eq!(run_at(&What::List, &file, now).unwrap(), "no penalties\n");
        let (kept, _) = Kept::open(&file, now).unwrap();
        for _ in 0..6 {
            kept.lock().wrong(&Attempt { source: "192.0.2.1".parse().unwrap(), user: "ann", device: None }, now);
        }
        kept.save(now).unwrap();
        let list = run_at(&What::List, &file, now).unwrap();
        assert!(list.starts_with("waits 2 s      6 failures  192.0.2.1\n"), "{list}");
        assert_eq!(list.lines().count(), 3, "{list}");
        assert_eq!(run_at(&What::Clear { which: Which::All }, &file, now).unwrap(), "");
        let list = run_at(&What::List, &file, now).unwrap();
        assert_eq!(list, "no penalties\n1 requests to clear wait for a server to run\n");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
