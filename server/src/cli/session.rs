//! `farpane session`: who is connected to a running server, and what to do about it.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::table;
use crate::app;
use crate::control::{Answer, Control, Request, servers};
use crate::session::{SessionSummary, Standing};

#[derive(Args, Debug)]
pub(super) struct SessionArgs {
    #[command(subcommand)]
    what: What,
    /// The server, by its process number, where several run
    #[arg(long, value_name = "PID", global = true)]
    server: Option<String>,
    /// The server's control socket [default: the one in $XDG_RUNTIME_DIR/farpane or /run/farpane]
    #[arg(long, value_name = "PATH", global = true, conflicts_with = "server")]
    socket: Option<PathBuf>,
    /// Print JSON instead of words
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum What {
    /// List who is connected and who waits to be let in
    List,
    /// End a session
    Kick {
        /// Its number in the list
        id: u64,
        /// Why, for the log
        reason: Vec<String>,
    },
    /// Say something: viewers ring their bell, and show the words before the desktop's name for half a minute where they can
    Message {
        /// A number in the list, or all
        #[arg(value_name = "ID|all", value_parser = addressee)]
        to: To,
        /// What to say, 200 characters at most
        #[arg(required = true)]
        text: Vec<String>,
    },
    /// Let in a client that waits
    Accept {
        /// Its number in the list
        id: u64,
    },
    /// Refuse a client that waits
    Refuse {
        /// Its number in the list
        id: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    All,
    One(u64),
}

fn addressee(text: &str) -> Result<To, String> {
    match text {
        "all" => Ok(To::All),
        id => id.parse().map(To::One).map_err(|_| format!("{text:?} (expected a number of the list, or all)")),
    }
}

impl What {
    fn request(&self) -> Request {
        match self {
            What::List => Request::List {},
            What::Kick { id, reason } => Request::Kick { id: *id, reason: reason.join(" ") },
            What::Message { to: To::All, text } => Request::Message { id: None, text: text.join(" ") },
            What::Message { to: To::One(id), text } => Request::Message { id: Some(*id), text: text.join(" ") },
            What::Accept { id } => Request::Accept { id: *id },
            What::Refuse { id } => Request::Refuse { id: *id },
        }
    }
}

/// The socket of the server that is meant.
fn socket(args: &SessionArgs) -> anyhow::Result<PathBuf> {
    if let Some(path) = &args.socket {
        return Ok(path.clone());
    }
    let folders = app::control_folders();
    let mut found: Vec<_> = folders.iter().flat_map(|folder| servers(folder)).collect();
    if let Some(name) = &args.server {
        found.retain(|server| server.name == *name);
    }
    match found.as_slice() {
        [server] => Ok(server.path.clone()),
        [] => {
            let places: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
            bail!("no server of yours runs (looked for its control socket in {})", places.join(" and "))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|server| server.name.as_str()).collect();
            bail!("several servers run; name one: --server {}", names.join(", --server "))
        }
    }
}

/// Seconds in a form that is read at a glance.
pub(super) fn time(s: u64) -> String {
    match (s / 3600, s / 60) {
        (0, 0) => format!("{s}s"),
        (0, minutes) => format!("{minutes}m{:02}s", s % 60),
        (hours, minutes) => format!("{hours}h{:02}m", minutes % 60),
    }
}

/// Bytes in a form that is read at a glance.
fn bytes(n: u64) -> String {
    let units = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)];
    match units.into_iter().find(|(_, size)| n >= *size) {
        Some((unit, size)) => format!("{:.1}{unit}", n as f64 / size as f64),
        None => n.to_string(),
    }
}

/// What came from elsewhere, for a terminal: nothing in it can move the cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn list(sessions: &[SessionSummary]) -> String {
    if sessions.is_empty() {
        return "nobody is connected\n".into();
    }
    let head = ["id", "state", "user", "peer", "listener", "security", "since", "idle", "in", "out", "encoding", "may"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(sessions.iter().map(|s| {
        let state = match s.state {
            Standing::Open => "open",
            Standing::Waiting => "waiting",
        };
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { plain(text) };
        vec![
            s.id.to_string(),
            state.into(),
            or_dash(&s.user),
            or_dash(&s.peer),
            or_dash(&s.listener),
            or_dash(&s.security),
            time(s.connected_s),
            time(s.idle_s),
            bytes(s.bytes_in),
            bytes(s.bytes_out),
            or_dash(s.encoding.as_deref().unwrap_or_default()),
            s.permissions.join(","),
        ]
    }));
    table::columns(&rows)
}

fn words(what: &What, answer: &Answer) -> String {
    let done = answer.done;
    match what {
        What::List => list(&answer.sessions),
        What::Kick { id, .. } => format!("session {id} ended\n"),
        What::Message { .. } => {
            let rung = done.sessions.saturating_sub(done.shown);
            format!("{} viewers show it, {rung} only rang their bell\n", done.shown)
        }
        What::Accept { id } => format!("{id} let in\n"),
        What::Refuse { id } => format!("{id} refused\n"),
    }
}

/// Asks the server; returns what to print.
pub(super) fn run(args: &SessionArgs) -> anyhow::Result<String> {
    let answer = Control::connect(&socket(args)?)?.ask(&args.what.request())?;
    if !args.json {
        return Ok(words(&args.what, &answer));
    }
    let json = match &args.what {
        What::List => serde_json::to_string(&answer.sessions)?,
        _ => serde_json::to_string(&answer.done)?,
    };
    Ok(json + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_short() {
        let times: Vec<String> = [0, 59, 60, 3599, 3600, 100_000].map(time).into();
        assert_eq!(times, ["0s", "59s", "1m00s", "59m59s", "1h00m", "27h46m"]);
        let sizes: Vec<String> = [0, 1023, 1024, 1536, 5 << 20, 3 << 30].map(bytes).into();
        assert_eq!(sizes, ["0", "1023", "1.0K", "1.5K", "5.0M", "3.0G"]);
    }

    #[test]
    fn a_name_cannot_play_with_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a?[2Jb?c");
    }

    #[test]
    fn words_go_to_one_or_all() {
        assert_eq!((addressee("all"), addressee("7")), (Ok(To::All), Ok(To::One(7))));
        assert!(addressee("everybody").unwrap_err().contains("or all"));
    }
}
