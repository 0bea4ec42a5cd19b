//! `farpane-perf-tests`: compares VNC servers, lists what it knows, draws a workload to be looked at.

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use farpane_perf_tests::definition::{Definition, Server, built_in, parse, servers};
use farpane_perf_tests::draw::{Drawer, Shared};
use farpane_perf_tests::machine::{self, Fact};
use farpane_perf_tests::report::{Report, csv, html, latencies_csv, table};
use farpane_perf_tests::run::{ALL, Encoding, Outcome, Plan, Programs, Row, run};
use farpane_perf_tests::scene::Scene;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Whole VNC servers side by side, on the same screen contents.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check and measure servers; print a table and write the report
    Compare(CompareArgs),
    /// Name the servers, workloads, encodings and sizes
    List(Files),
    /// Draw a workload on a display, to be looked at
    Draw(DrawArgs),
}

#[derive(Args)]
struct Files {
    /// Servers in another file than the built-in one
    #[arg(long, value_name = "FILE")]
    servers: Option<PathBuf>,
    /// More workloads, beside the built-in ones (repeatable)
    #[arg(long, value_name = "FILE")]
    definitions: Vec<PathBuf>,
}

#[derive(Args)]
struct CompareArgs {
    #[command(flatten)]
    files: Files,
    /// Only this workload (repeatable)
    #[arg(long, value_name = "NAME")]
    workload: Vec<String>,
    /// Only this server (repeatable)
    #[arg(long, value_name = "NAME")]
    server: Vec<String>,
    /// Screen size (repeatable; default 1920x1080 and 3840x2160)
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Vec<(u32, u32)>,
    /// Encoding (repeatable; default tight-q8, tight and zrle)
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    encoding: Vec<Encoding>,
    /// Turns of each server: A B A B
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Seconds that a turn is measured
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Folder of the report
    #[arg(long, default_value = "target/perf-tests")]
    out: PathBuf,
    /// The farpane that is measured
    #[arg(long, default_value = "target/release/farpane")]
    farpane: PathBuf,
    /// TurboVNC's Xvnc, which no Debian package has
    #[arg(long)]
    turbovnc: Option<PathBuf>,
}

#[derive(Args)]
struct DrawArgs {
    /// The X display
    #[arg(long)]
    display: String,
    /// The workload
    #[arg(long)]
    workload: String,
    /// The display's size
    #[arg(long, default_value = "1920x1080", value_parser = size)]
    size: (u32, u32),
    /// How long
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let (w, h) = text.split_once('x').ok_or("expected WxH, as in 3840x2160")?;
    let side = |s: &str, least: u32| match s.parse::<u32>() {
        Ok(v) if (least..=16_384).contains(&v) => Ok(v),
        _ => Err(format!("side {s} (expected {least} to 16384)")),
    };
    Ok((side(w, 1024)?, side(h, 768)?))
}

fn encoding(text: &str) -> Result<Encoding, String> {
    let names: Vec<&str> = ALL.iter().map(|e| e.name).collect();
    Encoding::of(text).ok_or_else(|| format!("encoding {text} (expected one of {})", names.join(", ")))
}

fn load(files: &Files) -> anyhow::Result<(Vec<Server>, Vec<Definition>)> {
    let mut workloads = built_in()?;
    for path in &files.definitions {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        workloads.extend(parse(&text)?);
    }
    Ok((servers(files.servers.as_deref())?, workloads))
}

/// Those that were named, in the order they were named, or those that are taken without being named.
fn chosen<T: Clone>(
    what: &str,
    all: &[T],
    named: &[String],
    name: impl Fn(&T) -> &str,
    default: impl Fn(&T) -> bool,
) -> anyhow::Result<Vec<T>> {
    if named.is_empty() {
        return Ok(all.iter().filter(|t| default(t)).cloned().collect());
    }
    let known: Vec<&str> = all.iter().map(&name).collect();
    named
        .iter()
        .map(|n| {
            all.iter()
                .find(|t| name(t) == n)
                .cloned()
                .with_context(|| format!("no {what} {n} (expected one of {})", known.join(", ")))
        })
        .collect()
}

fn compare(args: &CompareArgs) -> anyhow::Result<bool> {
    let (all_servers, all_workloads) = load(&args.files)?;
    if !(0.5..=600.0).contains(&args.seconds) {
        bail!("seconds {} (expected 0.5 to 600)", args.seconds);
    }
    let turbovnc = args.turbovnc.is_some();
    let default_server = |s: &Server| s.default && (turbovnc || s.program != "{turbovnc}");
    let default_encodings = || ["tight-q8", "tight", "zrle"].into_iter().filter_map(Encoding::of).collect();
    let plan = Plan {
        servers: chosen("server", &all_servers, &args.server, |s| &s.name, default_server)?,
        workloads: chosen("workload", &all_workloads, &args.workload, |w| &w.name, |w| w.default)?,
        sizes: if args.size.is_empty() { vec![(1920, 1080), (3840, 2160)] } else { args.size.clone() },
        encodings: if args.encoding.is_empty() { default_encodings() } else { args.encoding.clone() },
        rounds: args.rounds,
        seconds: args.seconds,
        programs: Programs { farpane: absolute(&args.farpane), turbovnc: args.turbovnc.as_ref().map(absolute) },
    };
    let machine = machine::describe();
    let versions: Vec<Fact> = plan.servers.iter().map(|s| machine::version(s, &plan.programs)).collect();
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    std::fs::create_dir_all(&args.out).with_context(|| format!("making {}", args.out.display()))?;
    let report = |rows: &[Row]| {
        let mut machine = machine.clone();
        machine.push(("load after (1, 5, 15 min)".to_owned(), machine::load().unwrap_or_default()));
        let (command, versions, rows) = (command.clone(), versions.clone(), rows.to_vec());
        Report { command, machine, versions, commands: commands(&rows), rows }
    };
    // what is measured is kept at once: an interrupted comparison leaves what it had
    let rows = run(&plan, |text| eprintln!("{text}"), |rows| write(&report(rows), &args.out))?;
    println!("{}\nwritten: {}", table(&report(&rows)), args.out.join("report.html").display());
    Ok(rows.iter().any(|r| matches!(&r.outcome, Outcome::Measured(s) if !s.is_empty())))
}

/// The command line of each server that was measured.
fn commands(rows: &[Row]) -> Vec<Fact> {
    let mut commands: Vec<Fact> = Vec::new();
    for row in rows {
        let Outcome::Measured(samples) = &row.outcome else { continue };
        if let Some(sample) = samples.first().filter(|_| commands.iter().all(|(name, _)| *name != row.server)) {
            commands.push((row.server.clone(), sample.command.clone()));
        }
    }
    commands
}

fn write(report: &Report, folder: &Path) -> anyhow::Result<()> {
    for (name, content) in [
        ("report.html", html(report)),
        ("figures.csv", csv(&report.rows)),
        ("latencies.csv", latencies_csv(&report.rows)),
        ("table.md", table(report)),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn absolute(path: &PathBuf) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.clone())
}

fn list(files: &Files) -> anyhow::Result<()> {
    let (servers, workloads) = load(files)?;
    println!("servers (--server; * without being named):");
    for s in servers {
        println!("  {} {:18} {}", if s.default { '*' } else { ' ' }, s.name, s.program);
    }
    println!("workloads (--workload):");
    for w in workloads {
        println!("  {} {:24} {}", if w.default { '*' } else { ' ' }, w.name, w.about);
    }
    println!("encodings (--encoding): {}", ALL.iter().map(|e| e.name).collect::<Vec<_>>().join(", "));
    println!("sizes (--size): 1920x1080, 3840x2160, 7680x2160 and 11520x2160 (two and three monitors), or another");
    Ok(())
}

fn draw(args: &DrawArgs) -> anyhow::Result<()> {
    let workload = built_in()?.into_iter().find(|w| w.name == args.workload);
    let workload = workload.with_context(|| format!("no workload {} (`list` names them)", args.workload))?;
    let shared = Arc::new(Shared::new(Scene::new(&workload, args.size.0, args.size.1))?);
    let drawer = Drawer::start(&args.display, shared)?;
    drawer.run(if workload.hz > 0.0 { workload.hz } else { 5.0 })?;
    std::thread::sleep(Duration::from_secs_f64(args.seconds.clamp(0.0, 86_400.0)));
    drawer.stop();
    println!("{} frames drawn", drawer.count());
    Ok(())
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Compare(args) => compare(&args).map(|measured| if measured { 0 } else { 3 }),
        Command::List(files) => list(&files).map(|()| 0),
        Command::Draw(args) => draw(&args).map(|()| 0),
    };
    match done {
        Ok(0) => ExitCode::SUCCESS,
        Ok(code) => {
            eprintln!("farpane-perf-tests: nothing was measured");
            ExitCode::from(code)
        }
        Err(e) => {
            eprintln!("farpane-perf-tests: {e:#}");
            ExitCode::FAILURE
        }
    }
}
