//! X displays, found by their sockets and by what the user's processes say of them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Environment, Rank, Route, RouteState};
use crate::backend::SourceSpec;

/// Processes looked at, at most.
const MAX_PROCESSES: usize = 4096;
/// Bytes read of one process's environment or command line.
const MAX_TEXT: u64 = 128 * 1024;

/// What a process of the user says of X displays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::backend) struct Seen {
    /// Authority files that processes use, by display number.
    pub(super) authorities: BTreeMap<u16, Vec<PathBuf>>,
    /// X servers: display number, program and arguments.
    servers: BTreeMap<u16, Vec<String>>,
}

/// The number of a display on this machine.
fn local_number(display: &str) -> Option<u16> {
    let rest = display.strip_prefix("unix").unwrap_or(display).strip_prefix(':')?;
    rest.split('.').next()?.parse().ok()
}

fn read_capped(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(MAX_TEXT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn words(bytes: &[u8]) -> Vec<String> {
    bytes.split(|b| *b == 0).filter(|w| !w.is_empty()).map(|w| String::from_utf8_lossy(w).into_owned()).collect()
}

/// Looks at the user's processes.
pub(in crate::backend) fn look(env: &Environment) -> Seen {
    let mut seen = Seen::default();
    let Ok(entries) = std::fs::read_dir(env.root.join("proc")) else { return seen };
    let numbered =
        |e: &std::fs::DirEntry| e.file_name().to_str().is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    for entry in entries.flatten().filter(numbered).take(MAX_PROCESSES) {
        let path = entry.path();
        if std::fs::metadata(&path).map(|m| m.uid()).ok() != Some(env.uid) {
            continue;
        }
        let arguments = read_capped(&path.join("cmdline")).map(|b| words(&b)).unwrap_or_default();
        let program = arguments.first().and_then(|a| a.rsplit('/').next()).unwrap_or_default();
        if ["Xvfb", "Xorg", "X", "Xwayland", "Xvnc", "Xephyr", "Xtigervnc"].contains(&program)
            && let Some(number) = arguments.iter().skip(1).find_map(|a| local_number(a))
        {
            seen.servers.insert(number, arguments);
            continue;
        }
        let Some(environ) = read_capped(&path.join("environ")) else { continue };
        let variables = words(&environ);
        let value = |name: &str| variables.iter().find_map(|v| v.strip_prefix(name)?.strip_prefix('='));
        if let (Some(number), Some(file)) = (value("DISPLAY").and_then(local_number), value("XAUTHORITY")) {
            let files = seen.authorities.entry(number).or_default();
            if !file.is_empty() && !files.contains(&PathBuf::from(file)) {
                files.push(PathBuf::from(file));
            }
        }
    }
    seen
}

impl Seen {
    fn program(&self, number: u16) -> Option<&str> {
        self.servers.get(&number)?.first()?.rsplit('/').next()
    }

    /// The framebuffer file of an Xvfb that was started with `-fbdir`.
    pub(super) fn framebuffer(&self, number: u16, screen: usize) -> Option<PathBuf> {
        let arguments = self.servers.get(&number).filter(|_| self.program(number) == Some("Xvfb"))?;
        let at = arguments.iter().position(|a| a == "-fbdir")?;
        Some(Path::new(arguments.get(at + 1)?).join(format!("Xvfb_screen{screen}")))
    }

    /// Authority files for a display, the likeliest first; only such as exist.
    pub(super) fn authority_files(&self, env: &Environment, number: Option<u16>) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = env.xauthority.iter().cloned().collect();
        if let Some(number) = number {
            files.extend(self.authorities.get(&number).into_iter().flatten().cloned());
            if let Some(arguments) = self.servers.get(&number) {
                let at = arguments.iter().position(|a| a == "-auth");
                files.extend(at.and_then(|i| arguments.get(i + 1)).map(PathBuf::from));
            }
        }
        files.extend(env.home.iter().map(|h| h.join(".Xauthority")));
        let runtime = env.runtime();
        files.push(runtime.join("gdm/Xauthority"));
        let name_fits = |n: &str| n.starts_with(".mutter-Xwaylandauth") || n.starts_with("xauth_");
        let entries = std::fs::read_dir(&runtime).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> =
            entries.filter(|e| e.file_name().to_str().is_some_and(name_fits)).map(|e| e.path()).collect();
        found.sort();
        files.extend(found);
        let mut kept: Vec<PathBuf> = Vec::new();
        for file in files {
            if file.is_file() && !kept.contains(&file) {
                kept.push(file);
            }
        }
        kept
    }
}

/// Displays of this machine that have a socket, and the one of the environment first.
fn displays(env: &Environment) -> Vec<String> {
    let mut numbers: Vec<u16> = std::fs::read_dir(env.x_sockets())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.strip_prefix('X')?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let mut all: Vec<String> = env.display.iter().filter(|d| !d.is_empty()).cloned().collect();
    let named = all.first().and_then(|d| local_number(d));
    all.extend(numbers.into_iter().filter(|n| Some(*n) != named).map(|n| format!(":{n}")));
    all
}

/// The displays of this machine, each tried.
pub(super) fn routes(env: &Environment) -> Vec<Route> {
    let seen = look(env);
    let all = displays(env);
    if all.is_empty() {
        let reason = format!("no X server's socket in {}, and DISPLAY is not set", env.x_sockets().display());
        let advice = "start an X session, or name a display with --source x11:DISPLAY";
        return vec![Route::unusable(SourceSpec::X11(None), "X display", &reason, advice)];
    }
    let route = |(i, display): (usize, String)| {
        let program = local_number(&display).and_then(|n| seen.program(n));
        let what = program.map_or_else(|| "X display".to_owned(), |p| format!("X display of {p}"));
        let source = SourceSpec::X11(Some(display.clone()));
        match reach(env, &seen, &display) {
            // it shows only the programs that speak X, not the desktop
            Ok(_) if program == Some("Xwayland") => {
                Route { source, what, state: RouteState::Usable, rank: None, details: Vec::new() }
            }
            Ok(_) => {
                let named = i == 0 && env.display.as_deref() == Some(display.as_str());
                let rank = if named { Rank::NamedX11 } else { Rank::FoundX11 };
                Route { source, what, state: RouteState::Usable, rank: Some(rank), details: Vec::new() }
            }
            Err(error) => Route::unusable(source, &what, &error.reason(), error.advice()),
        }
    };
    all.into_iter().enumerate().map(route).collect()
}

/// Finds out how to reach a display: tries it without and with each authority file.
pub(in crate::backend) fn reach(
    env: &Environment,
    seen: &Seen,
    display: &str,
) -> Result<crate::backend::x11::Target, crate::backend::x11::ConnectError> {
    let number = local_number(display);
    let mut target = crate::backend::x11::Target::parse(display, &env.x_sockets(), None)?;
    target.framebuffer = number.and_then(|n| seen.framebuffer(n, target.screen));
    let mut first = None;
    let files = seen.authority_files(env, number).into_iter().map(Some).chain([None]);
    for authority in files {
        target.authority = authority;
        match target.connect(&*env.opener) {
            Ok(_) => return Ok(target),
            Err(error) => {
                let dead = matches!(error, crate::backend::x11::ConnectError::Socket { .. });
                first.get_or_insert(error);
                if dead {
                    break;
                }
            }
        }
    }
    Err(first.unwrap_or(crate::backend::x11::ConnectError::Name(display.to_owned())))
}
