//! The command line, declared once: `--help` and the man page both come from here.

mod audit;
mod desktop;
mod doctor;
mod firewall;
mod helpers;
#[cfg(feature = "kms")]
mod kms_helper;
mod password;
mod penalties;
mod session;
mod ssh_command;
mod table;
mod user;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, value_parser};

use crate::app::{self, AppError, Benchmark, Encoder, Recording};
use crate::backend::{SourceSpec, Sources};
use crate::config::{GpuUse, LogFormat, LogLevel, LogSection, Overrides, SecurityList, nearest};
use crate::net::ListenAddr;
use crate::security::InsecureAllow;

/// Share a Linux desktop with any VNC viewer.
#[derive(Parser, Debug)]
#[command(
    name = "farpane",
    version,
    max_term_width = 100,
    after_help = "\
Exit status: 0 when ended by SIGTERM or SIGINT, 1 on failure, 2 on bad usage or when policy refuses.
Configuration: ~/.config/farpane/farpane.toml, else /etc/farpane/farpane.toml; `farpane check` prints what is in force."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The form of the log on stderr
    #[arg(long, global = true, value_enum)]
    log_format: Option<LogFormat>,
    /// How much the log says
    #[arg(long, global = true, value_enum)]
    log_level: Option<LogLevel>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Share a desktop
    Serve(ServeArgs),
    /// Share a built-in moving 4K scene on loopback, to try farpane out; needs nothing else
    Demo,
    /// Record what one output shows into a file that `serve --source replay:FILE` plays; needs no viewer, ends by Ctrl-C
    Record(RecordArgs),
    /// Measure what each encoder, the compare and one capture cost on this machine; everything is verified before it is timed
    Bench(BenchArgs),
    /// List what could be shared here, with the reason for every no
    Probe,
    /// Print the effective configuration as TOML
    Check(ServeArgs),
    /// Print what viewers show on a first visit: catchphrase and fingerprints of this server's keys
    Id {
        /// The configuration file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Say where a setting comes from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make a password file; asks on the terminal, or reads a line of stdin (and a second one for view-only access)
    Password {
        /// The file to write, with mode 0600
        file: PathBuf,
    },
    /// Check an audit log
    Audit(audit::AuditArgs),
    /// List or clear what is counted against callers that failed to log in
    Penalties(penalties::PenaltiesArgs),
    /// Print firewall rules that let the named networks at the listeners, and log and drop everybody else
    Firewall(firewall::FirewallArgs),
    /// Print what to type on a viewer's machine to come here through SSH
    #[command(name = "ssh-command")]
    SshTunnel(ssh_command::SshCommandArgs),
    /// Add, change, list and remove the server's own users
    User(user::UserArgs),
    /// One login through PAM, for the server
    #[cfg(feature = "pam")]
    #[command(hide = true)]
    PamHelper,
    /// List who is connected to a running server, end sessions, say something, let in or refuse who waits
    Session(session::SessionArgs),
    /// Start, list and stop desktops that need no screen
    Desktop(desktop::DesktopArgs),
    /// Try from inside whether what should hold holds here; exit status 1 when it does not
    Doctor {
        /// What to look at
        #[command(subcommand)]
        what: doctor::What,
    },
    /// Look at the screens of graphics cards, and make input devices, for servers that may not; runs as root
    #[cfg(feature = "kms")]
    #[command(name = "kms-helper")]
    ScreenHelper(kms_helper::KmsHelperArgs),
    /// Print the man page
    Man,
    /// Starts helpers for a server that has shut itself in, and again when they end; started by `serve`
    #[command(hide = true)]
    StartHelper,
    /// Opens for a server that has shut itself in; started by `serve`
    #[command(hide = true)]
    OpenHelper,
    /// Becomes another program that ends with the desktop it belongs to; started by `desktop run`
    #[command(hide = true, name = crate::desktop::BECOME)]
    DesktopChild {
        parent: u32,
        #[arg(last = true, required = true)]
        words: Vec<std::ffi::OsString>,
    },
    /// Gives an X display a size; started by `desktop run`
    #[command(hide = true, name = crate::desktop::RESIZE)]
    DesktopResize {
        #[arg(value_parser = crate::desktop::size)]
        size: farpane_engine::geometry::Size,
    },
    /// Holds keys and users for a server that has shut itself in; started by `serve`
    #[command(hide = true)]
    AuthHelper,
    /// Runs the gatekeeping hook for a server that has shut itself in; started by `serve`
    #[command(hide = true)]
    HookHelper,
    /// Switches monitors for a server and makes some, and undoes that when it ends; started by `serve`
    #[command(hide = true)]
    LightsHelper,
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Print a setting, who decided on it and whom that overruled
    Explain {
        /// The setting, with its section: `session.view_only`
        key: String,
        #[command(flatten)]
        serve: ServeArgs,
    },
}

#[derive(Args, Debug)]
struct ServeArgs {
    /// What to share: auto, x11[:DISPLAY], portal, wlroots, pipewire:NODE, kms[:CARD-CONNECTOR],
    /// synthetic[:WxH[@FPS][:SCENE]] or replay:FILE; may be given more than once, for several desktops side by side [default: auto]
    #[arg(long, value_name = "SOURCE")]
    source: Vec<SourceSpec>,
    /// Where to listen: ADDR:PORT, [V6]:PORT, iface:NAME[:PORT], unix:[PATH], or one with a port behind ws: or wss:; port 0 picks
    /// one; may be given more than once [default: 127.0.0.1:5900]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<ListenAddr>,
    /// Security types offered, best first, with commas: none, vncauth (more in later builds) [default: vncauth]
    #[arg(long, value_name = "LIST")]
    security: Option<SecurityList>,
    /// Allow none@ADDR or vncauth@ADDR on a listener that others on the network can reach
    #[arg(long, value_name = "TYPE@ADDR")]
    insecure_allow: Vec<InsecureAllow>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The file with the VNC passwords, made by `farpane password`; without one a one-time password is printed
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The desktop's name as viewers show it
    #[arg(long, value_name = "NAME")]
    desktop_name: Option<String>,
    /// Clients see and do not touch
    #[arg(long)]
    view_only: bool,
    /// Updates a second at most to each client; 0 for no bound [default: 60]
    #[arg(long, value_name = "N")]
    max_fps: Option<u32>,
    /// Kilobits a second at most to each client (or with a suffix: 20M, 1G); 0 for no bound [default: 0]
    #[arg(long, value_name = "KBPS", value_parser = rate)]
    max_rate: Option<u64>,
    /// Never send anything but exact pixels
    #[arg(long)]
    lossless: bool,
    /// Compare pictures on a GPU: auto (graphics hardware, those that lie in its memory), off, or force (all, on any Vulkan device, or the
    /// server does not start) [default: auto]
    #[arg(long, value_name = "USE")]
    gpu: Option<GpuUse>,
}

#[derive(Args, Debug)]
struct RecordArgs {
    /// The file to make; only you can read it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What to record: auto, x11[:DISPLAY] or synthetic[:WxH[@FPS][:SCENE]]
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    source: SourceSpec,
    /// The output to record, by its name [default: the first]
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
    /// End after so many seconds
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// End after so many pictures; one that is like the picture before does not count
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Overwrite FILE if it is there
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
struct BenchArgs {
    #[command(subcommand)]
    of: Option<BenchOf>,
    /// The desktop to capture a picture of: auto, x11[:DISPLAY], synthetic[:WxH[@FPS][:SCENE]] or replay:FILE; where there is
    /// none, the built-in pictures do
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    source: SourceSpec,
    /// Only these encoders, with commas: raw, hextile, zlib, zrle, tight, tight-q8, zstd, zstd-rle, tight-zstd [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = encoder)]
    encoder: Vec<Encoder>,
    /// About how long to measure
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum BenchOf {
    /// What comparing pictures costs on the best Vulkan device, and on the processor beside it
    Gpu {
        /// About how long to measure
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = value_parser!(u32).range(1..=600))]
        seconds: u32,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
}

/// An encoder by its name.
fn encoder(text: &str) -> Result<Encoder, String> {
    let names: Vec<&str> = Encoder::ALL.iter().map(|e| e.name()).collect();
    Encoder::ALL.iter().find(|e| e.name() == text).copied().ok_or_else(|| {
        let meant = nearest(text, &names).map_or(String::new(), |near| format!("; {near} was meant?"));
        format!("encoder {text:?} (expected {}){meant}", names.join(", "))
    })
}

/// A rate in kilobits a second: a number, perhaps with k, M or G.
fn rate(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (text.get(..at), 1),
        Some((at, 'm' | 'M')) => (text.get(..at), 1_000),
        Some((at, 'g' | 'G')) => (text.get(..at), 1_000_000),
        _ => (Some(text), 1),
    };
    let number = digits.and_then(|d| d.parse::<u64>().ok()).and_then(|n| n.checked_mul(factor));
    number.ok_or_else(|| format!("rate {text:?} (expected kilobits a second, or a number with k, M or G)"))
}

impl ServeArgs {
    fn split(
        self,
        log_format: Option<LogFormat>,
        log_level: Option<LogLevel>,
    ) -> Result<(Option<PathBuf>, Overrides), AppError> {
        let sources = (!self.source.is_empty()).then(|| Sources::new(self.source)).transpose();
        let over = Overrides {
            source: sources.map_err(|error| AppError::Usage(format!("--source: {error}")))?,
            listen: self.listen,
            security: self.security,
            insecure_allow: self.insecure_allow,
            password_file: self.password_file,
            desktop_name: self.desktop_name,
            view_only: self.view_only,
            max_fps: self.max_fps,
            max_rate_kbps: self.max_rate,
            lossless: self.lossless,
            gpu: self.gpu,
            log_format,
            log_level,
        };
        Ok((self.config, over))
    }
}

/// Prints to stdout; that nobody reads it is no failure.
fn say(text: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text).and_then(|()| out.flush());
}

fn man() -> Result<Vec<u8>, AppError> {
    let mut page = Vec::new();
    let failed = |e: std::io::Error| AppError::Failed(e.to_string());
    let command = Cli::command();
    let render = clap_mangen::Man::new(command.clone()).manual("farpane");
    render.render(&mut page).map_err(failed)?;
    for sub in command.get_subcommands().filter(|s| s.get_name() != "help" && !s.is_hide_set()) {
        let title = format!(".SH \"{}\"\n", format!("farpane {}", sub.get_name()).to_uppercase());
        page.extend_from_slice(title.as_bytes());
        let part = clap_mangen::Man::new(sub.clone());
        part.render_description_section(&mut page).map_err(failed)?;
        part.render_options_section(&mut page).map_err(failed)?;
    }
    Ok(page)
}

/// The log of a command without a configuration file.
fn log(format: Option<LogFormat>, level: Option<LogLevel>) -> LogSection {
    let log = LogSection::default();
    LogSection { format: format.unwrap_or(log.format), level: level.unwrap_or(log.level) }
}

fn run(cli: Cli) -> Result<(), AppError> {
    let Cli { command, log_format, log_level } = cli;
    match command {
        Command::Serve(args) => {
            let (file, over) = args.split(log_format, log_level)?;
            app::serve(&app::layers(file, over)?)
        }
        Command::Demo => app::demo(log(log_format, log_level)),
        Command::Record(RecordArgs { file, source, output, seconds, frames, force }) => {
            let wish = Recording { source, output, file, force, seconds, frames };
            app::record(wish, log(log_format, log_level))
        }
        Command::Bench(BenchArgs { of: Some(BenchOf::Gpu { seconds, json }), .. }) => {
            say(app::bench_gpu(seconds, json, log(log_format, log_level))?.as_bytes());
            Ok(())
        }
        Command::Bench(BenchArgs { of: None, source, encoder, seconds, json }) => {
            let wish = Benchmark { source, encoders: encoder, seconds, json };
            let measured = app::bench(&wish, log(log_format, log_level))?;
            say(measured.text.as_bytes());
            match measured.excluded {
                0 => Ok(()),
                wrong => {
                    Err(AppError::Failed(format!("{wrong} rows were wrong and have no figures; please report this")))
                }
            }
        }
        Command::Probe => {
            say(app::probe().as_bytes());
            Ok(())
        }
        Command::Check(args) => {
            let (file, over) = args.split(log_format, log_level)?;
            say(app::check(file, over)?.as_bytes());
            Ok(())
        }
        Command::Id { config } => {
            say(app::id(&app::effective(config, Overrides::default())?)?.as_bytes());
            Ok(())
        }
        Command::Config(ConfigCommand::Explain { key, serve }) => {
            let (file, over) = serve.split(log_format, log_level)?;
            say(app::explain(file, over, &key)?.as_bytes());
            Ok(())
        }
        Command::Password { file } => {
            password::make_file(&file).map_err(|error| AppError::Failed(format!("{error:#}")))
        }
        Command::Audit(args) => {
            let text = audit::run(&args).map_err(|error| AppError::Failed(format!("{error:#}")))?;
            say(text.as_bytes());
            Ok(())
        }
        Command::Penalties(args) => {
            let text = penalties::run(&args).map_err(|error| AppError::Failed(format!("{error:#}")))?;
            say(text.as_bytes());
            Ok(())
        }
        Command::Firewall(args) => {
            say(firewall::run(args)?.as_bytes());
            Ok(())
        }
        Command::SshTunnel(args) => {
            say(ssh_command::run(args)?.as_bytes());
            Ok(())
        }
        Command::User(args) => user::run(&args).map_err(|error| AppError::Failed(format!("{error:#}"))),
        #[cfg(feature = "pam")]
        Command::PamHelper => user::pam_helper().map_err(|error| AppError::Failed(format!("{error:#}"))),
        Command::Session(args) => {
            let text = session::run(&args).map_err(|error| AppError::Failed(format!("{error:#}")))?;
            say(text.as_bytes());
            Ok(())
        }
        Command::Desktop(args) => desktop::run(&args, log_format, log_level),
        Command::DesktopChild { parent, words } => {
            let error = crate::desktop::be_child(parent, &words);
            let program = words.first().map(|word| word.display().to_string()).unwrap_or_default();
            Err(AppError::Failed(format!("{program} cannot be started: {error}")))
        }
        Command::DesktopResize { size } => app::resize_desktop(size),
        Command::Doctor { what } => doctor::run(what),
        #[cfg(feature = "kms")]
        Command::ScreenHelper(args) => kms_helper::run(args, log(log_format, log_level)),
        Command::Man => {
            say(&man()?);
            Ok(())
        }
        Command::StartHelper => helpers::start_helper(),
        Command::OpenHelper => helpers::open_helper(),
        Command::AuthHelper => helpers::auth_helper(),
        Command::HookHelper => helpers::hook_helper(),
        Command::LightsHelper => helpers::lights_helper(),
    }
}

/// The program: reads the command line, does what it says and returns the exit status.
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("farpane: {error}");
            ExitCode::from(error.status())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_sound_and_every_command_is_in_the_man_page() {
        Cli::command().debug_assert();
        let page = String::from_utf8(man().unwrap()).unwrap();
        for word in [
            "SERVE",
            "DEMO",
            "RECORD",
            "BENCH",
            "PROBE",
            "CHECK",
            "CONFIG",
            "ID",
            "PASSWORD",
            "SESSION",
            "DOCTOR",
            "DESKTOP",
            "insecure\\-allow",
            "max\\-rate",
            "force",
        ] {
            assert!(page.contains(word), "{word}");
        }
        assert!(!page.contains("OPEN\\-HELPER"), "what nobody types is not in it");
    }

    #[test]
    fn rates_are_kilobits_with_an_optional_suffix() {
        for (text, kbps) in [("0", 0), ("800", 800), ("800k", 800), ("20M", 20_000), ("1G", 1_000_000)] {
            assert_eq!(rate(text), Ok(kbps));
        }
        for wrong in ["", "M", "-1", "1.5M", "99999999999999999999", "18446744073709551615G", "1ö"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
