//! `farpane desktop`: virtual desktops on machines without a screen.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand, ValueEnum};
use farpane_engine::geometry::Size;
use serde::Serialize;

use super::session::{plain, time};
use super::table;
use crate::app::{self, AppError, Listed};
use crate::config::{LogFormat, LogLevel};
use crate::desktop::{Kind, Name, Restart, Told, Wish, size};

#[derive(Args, Debug)]
pub(super) struct DesktopArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Start a desktop that stays until it is stopped, and say how to look at it
    Start(StartArgs),
    /// Run a desktop in the foreground, for service managers; it ends with SIGTERM
    Run {
        #[command(flatten)]
        start: StartArgs,
        /// Leave the terminal
        #[arg(long, hide = true)]
        detached: bool,
    },
    /// List the desktops that run
    List {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Say again how to look at a desktop, with the password for this run
    Show {
        /// Its name
        #[arg(default_value = "main")]
        name: Name,
    },
    /// End a desktop and everything on it
    Stop {
        /// Its name
        #[arg(required_unless_present = "all")]
        name: Option<Name>,
        /// All of them
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
}

#[derive(Args, Debug)]
struct StartArgs {
    /// What it is called
    #[arg(long, default_value = "main")]
    name: Name,
    /// What it is drawn on: X11 by Xvfb, or Wayland by sway
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Its size at first
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1920x1080", value_parser = size)]
    size: Size,
    /// The largest that viewers may make it [default: 3840x2160, or SIZE where that is larger]
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = size)]
    largest: Option<Size>,
    /// When the command is started again
    #[arg(long, value_enum, default_value_t)]
    restart: Restart,
    /// Start only what listens; display and command are started when the first client has logged in, and again after they ended
    #[arg(long)]
    on_demand: bool,
    /// Where to listen, as for `farpane serve` [default: 127.0.0.1, port 5900 and the display's number, or any with --on-demand]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// Security types, as for `farpane serve`
    #[arg(long, value_name = "LIST")]
    security: Option<String>,
    /// As for `farpane serve`
    #[arg(long, value_name = "TYPE@ADDR")]
    insecure_allow: Vec<String>,
    /// The server's configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The file with the VNC passwords
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// What runs on it [default: the user's X session, else xterm]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl StartArgs {
    fn wish(&self, (format, level): (Option<LogFormat>, Option<LogLevel>)) -> Result<Wish, AppError> {
        let standard = Size::new(self.size.w.max(3840), self.size.h.max(2160));
        let largest = self.largest.unwrap_or(standard);
        if largest.w < self.size.w || largest.h < self.size.h {
            let wrong =
                format!("--largest {}x{} is smaller than --size {}x{}", largest.w, largest.h, self.size.w, self.size.h);
            return Err(AppError::Usage(wrong));
        }
        let mut serve = Vec::new();
        let mut pass = |option: &str, value: String| serve.extend([option.to_owned(), value]);
        self.security.iter().for_each(|list| pass("--security", list.clone()));
        let name = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
        name(format.and_then(|f| f.to_possible_value())).into_iter().for_each(|f| pass("--log-format", f));
        name(level.and_then(|l| l.to_possible_value())).into_iter().for_each(|l| pass("--log-level", l));
        self.insecure_allow.iter().for_each(|allow| pass("--insecure-allow", allow.clone()));
        for (option, file) in [("--config", &self.config), ("--password-file", &self.password_file)] {
            // the supervisor's programs run elsewhere
            let file = file
                .as_ref()
                .map(std::path::absolute)
                .transpose()
                .map_err(|error| AppError::Usage(error.to_string()))?;
            file.iter().for_each(|file| pass(option, file.display().to_string()));
        }
        Ok(Wish {
            name: self.name.clone(),
            kind: self.kind,
            size: self.size,
            largest,
            command: self.command.clone(),
            restart: self.restart,
            serve,
            listen: self.listen.clone(),
            on_demand: self.on_demand,
            log: app::log_of(&self.name)?,
        })
    }
}

/// The command line that runs in the background what `start` was asked for.
fn supervisor() -> Vec<OsString> {
    let words = std::env::args_os().skip(1);
    let mut found = false;
    let words = words.flat_map(|word| {
        if !found && word == "start" {
            found = true;
            return vec!["run".into(), "--detached".into()];
        }
        vec![word]
    });
    words.collect()
}

/// A desktop for programs that read JSON.
#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    told: &'a Told,
    viewers: Option<usize>,
}

fn list(desktops: &[Listed]) -> String {
    if desktops.is_empty() {
        return "no desktop runs\n".into();
    }
    let head = ["name", "display", "listens", "viewers", "since", "restarts", "command"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    rows.extend(desktops.iter().map(|desktop| {
        let name = desktop.running.name.to_string();
        let Some(told) = &desktop.running.told else { return vec![name, "comes up".into()] };
        let viewers = desktop.viewers.map_or("-".into(), |n| n.to_string());
        let since = time(now.saturating_sub(told.since));
        let restarts = told.restarts.to_string();
        vec![
            name,
            told.display.clone().unwrap_or_else(|| "waits".into()),
            told.listens.join(" "),
            viewers,
            since,
            restarts,
            plain(&told.command.join(" ")),
        ]
    }));
    table::columns(&rows)
}

/// Does what is asked.
pub(super) fn run(args: &DesktopArgs, format: Option<LogFormat>, level: Option<LogLevel>) -> Result<(), AppError> {
    match &args.what {
        What::Start(start) => app::start_desktop(&start.wish((format, level))?, &supervisor()),
        What::Run { start, detached } => {
            app::run_desktop(&start.wish((format, level))?, *detached, super::log(format, level))
        }
        What::List { json } => {
            let desktops = app::desktops()?;
            if *json {
                let rows =
                    desktops.iter().filter_map(|d| Some(Row { told: d.running.told.as_ref()?, viewers: d.viewers }));
                let rows: Vec<_> = rows.collect();
                let text = serde_json::to_string_pretty(&rows).map_err(|error| AppError::Failed(error.to_string()))?;
                super::say((text + "\n").as_bytes());
            } else {
                super::say(list(&desktops).as_bytes());
            }
            Ok(())
        }
        What::Show { name } => {
            super::say(app::said_by_desktop(name)?.as_bytes());
            Ok(())
        }
        What::Stop { name: Some(name), .. } => app::stop_desktop(name),
        What::Stop { name: None, .. } => {
            app::desktops()?.iter().try_for_each(|desktop| app::stop_desktop(&desktop.running.name))
        }
    }
}
