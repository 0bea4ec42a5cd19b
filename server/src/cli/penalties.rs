//! `farpane penalties`: what is counted against callers, and clearing it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Args, Subcommand};

use crate::app;
use crate::auth::Moment;
use crate::auth::throttle::{self, Shown, Which};
use crate::config::Overrides;

#[derive(Args, Debug)]
pub(super) struct PenaltiesArgs {
    #[command(subcommand)]
    what: What,
    /// The server's file of penalties [default: throttle/penalties in the folder for keys and state]
    #[arg(long, value_name = "FILE", global = true)]
    file: Option<PathBuf>,
    /// The configuration file, where it sets state_folder
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
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
        None => {
            let config = app::effective(args.config.clone(), Overrides::default())?;
            app::state_folder(&config)?.join(app::PENALTIES)
        }
    };
    run_at(&args.what, &file, Moment::of(SystemTime::now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::throttle::{Attempt, Kept};

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
