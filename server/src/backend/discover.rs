//! What could be shared here, and why what could not be cannot.
//!
//! Works from an SSH login too: displays are found by their sockets and in the environment of the user's own processes,
//! their authority files in the places where sessions keep them. Nothing is read but what the user may read, and each
//! display is tried by connecting to it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SourceSpec;
use crate::clipboard::ClipboardOptions;
use crate::helper::Opener;

/// Processes looked at, at most.
const MAX_PROCESSES: usize = 4096;
/// Bytes read of one process's environment or command line.
const MAX_TEXT: u64 = 128 * 1024;
/// What is said of a source that is not part of this build.
pub const NOT_BUILT: &str = "not in this build";

/// What is known of the place that the server runs in; made by the program's start from its environment.
#[derive(Clone)]
pub struct Environment {
    /// `/`; tests have a root of their own.
    pub root: PathBuf,
    /// `DISPLAY`.
    pub display: Option<String>,
    /// `XAUTHORITY`.
    pub xauthority: Option<PathBuf>,
    /// `WAYLAND_DISPLAY`.
    pub wayland_display: Option<String>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// `DBUS_SESSION_BUS_ADDRESS`.
    pub session_bus: Option<String>,
    /// `PIPEWIRE_REMOTE`: a socket's name, or its path.
    pub pipewire_remote: Option<String>,
    /// Where the server keeps what it needs the next time.
    pub state: Option<PathBuf>,
    /// The user.
    pub uid: u32,
    /// Who opens what a backend needs.
    pub opener: Arc<dyn Opener>,
    /// How the clipboard is shared.
    pub clipboard: ClipboardOptions,
    /// Whether dma-bufs are wanted rather than shared memory.
    pub dma_bufs: bool,
}

impl Environment {
    /// Knows nothing but the user and who opens.
    pub fn new(uid: u32, opener: Arc<dyn Opener>) -> Self {
        Self {
            root: PathBuf::from("/"),
            display: None,
            xauthority: None,
            wayland_display: None,
            home: None,
            runtime_dir: None,
            session_bus: None,
            pipewire_remote: None,
            state: None,
            uid,
            opener,
            clipboard: ClipboardOptions::default(),
            dma_bufs: false,
        }
    }

    /// The folder of local X servers' sockets.
    pub fn x_sockets(&self) -> PathBuf {
        self.root.join("tmp/.X11-unix")
    }

    /// PipeWire's socket.
    #[cfg(feature = "pipewire")]
    pub fn pipewire_socket(&self) -> PathBuf {
        self.runtime().join(self.pipewire_remote.as_deref().unwrap_or("pipewire-0"))
    }

    /// The session bus: where the environment says, otherwise where sessions have it.
    #[cfg(feature = "portal")]
    pub fn session_bus(&self) -> Option<PathBuf> {
        let usual = || Some(self.runtime().join("bus")).filter(|path| path.exists());
        self.session_bus.as_deref().and_then(super::portal::address).or_else(usual)
    }

    fn runtime(&self) -> PathBuf {
        self.runtime_dir.clone().unwrap_or_else(|| self.root.join(format!("run/user/{}", self.uid)))
    }
}

/// Whether something can be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteState {
    /// It can.
    Usable,
    /// It cannot.
    Unusable {
        /// Why.
        reason: String,
        /// What to do about it; empty when nothing can be done.
        advice: String,
    },
}

/// One thing that could be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// How to name it after `--source`.
    pub source: SourceSpec,
    /// What it is, in a few words.
    pub what: String,
    /// Whether it can be shared.
    pub state: RouteState,
    /// How much of a desktop it shows: `auto` takes the smallest of the usable, and none without a number.
    pub rank: Option<Rank>,
    /// What else is to be said of it, a line each.
    pub details: Vec<String>,
}

/// In which order `auto` takes what can be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The own protocols of the compositor that `WAYLAND_DISPLAY` names: all of the desktop, and nobody is asked.
    NamedWayland,
    /// The portal of the Wayland session that is named.
    NamedPortal,
    /// The X display of the environment.
    NamedX11,
    /// A Wayland compositor's own protocols, found by its socket.
    FoundWayland,
    /// The portal, where there is a Wayland session.
    FoundPortal,
    /// An X display that lets us in.
    FoundX11,
}

impl Rank {
    /// Why `auto` takes it.
    pub const fn why(self) -> &'static str {
        match self {
            Self::NamedWayland | Self::NamedPortal => "the Wayland session named by WAYLAND_DISPLAY",
            Self::NamedX11 => "named by DISPLAY",
            Self::FoundWayland | Self::FoundPortal => "the Wayland session that is there",
            Self::FoundX11 => "the first that lets us in",
        }
    }
}

impl Route {
    fn unusable(source: SourceSpec, what: &str, reason: &str, advice: &str) -> Self {
        let state = RouteState::Unusable { reason: reason.to_owned(), advice: advice.to_owned() };
        Self { source, what: what.to_owned(), state, rank: None, details: Vec::new() }
    }
}

/// What a process of the user says of X displays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Authority files that processes use, by display number.
    authorities: BTreeMap<u16, Vec<PathBuf>>,
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
pub(super) fn look(env: &Environment) -> Seen {
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

fn wayland_sockets(env: &Environment) -> Vec<String> {
    let named = |e: std::fs::DirEntry| e.file_name().into_string().ok();
    let mut all: Vec<String> = std::fs::read_dir(env.runtime())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(named)
        .filter(|n| n.starts_with("wayland-") && !n.ends_with(".lock"))
        .collect();
    all.extend(env.wayland_display.iter().cloned());
    all.sort();
    all.dedup();
    all
}

/// Compositors' sockets, the one of the environment first.
#[cfg(feature = "wayland")]
fn compositors(env: &Environment) -> Vec<super::wlroots::Target> {
    let named = env.wayland_display.clone();
    let others = wayland_sockets(env).into_iter().filter(|name| Some(name) != named.as_ref());
    let all = named.clone().into_iter().chain(others);
    all.map(|name| super::wlroots::Target::named(&name, &env.runtime())).collect()
}

/// The compositor to share by its own protocols: that of the environment, else the first that shows its outputs.
#[cfg(feature = "wayland")]
pub(super) fn find_wlroots(env: &Environment) -> Result<super::wlroots::Target, super::wlroots::WlrootsOpenError> {
    let mut first = None;
    for target in compositors(env) {
        match target.route(&*env.opener) {
            Ok(_) => return Ok(target),
            // another than the one that is named is not what was meant
            Err(error) if env.wayland_display.as_ref() == Some(&target.name) => return Err(error.into()),
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    Err(first.map_or(super::wlroots::WlrootsOpenError::NoSession, Into::into))
}

#[cfg(not(feature = "wayland"))]
fn wlroots_route(_env: &Environment) -> Route {
    Route::unusable(SourceSpec::Wlroots, "wlroots protocols", NOT_BUILT, "")
}

#[cfg(feature = "wayland")]
fn wlroots_route(env: &Environment) -> Route {
    use super::wlroots::{self, WlrootsOpenError};
    let all = compositors(env);
    let source = SourceSpec::Wlroots;
    let found = find_wlroots(env);
    let shown = found.as_ref().ok().or_else(|| all.first());
    let what = shown.map_or_else(|| "Wayland compositor".to_owned(), |t| format!("Wayland compositor at {}", t.name));
    let details = shown.and_then(|t| t.look(&*env.opener).ok()).map(|o| wlroots::details(&o)).unwrap_or_default();
    match found {
        Ok(target) => {
            let named = env.wayland_display.as_ref() == Some(&target.name);
            let rank = if named { Rank::NamedWayland } else { Rank::FoundWayland };
            Route { source, what, state: RouteState::Usable, rank: Some(rank), details }
        }
        Err(WlrootsOpenError::Connect(error)) => {
            Route { details, ..Route::unusable(source, &what, &error.reason(), error.advice()) }
        }
        Err(error) => Route::unusable(source, &what, &error.to_string(), ""),
    }
}

/// Everything that could be shared here, tried.
pub fn probe(env: &Environment) -> Vec<Route> {
    let mut routes = x11_routes(env);
    let sockets = wayland_sockets(env);
    routes.push(portal_route(env, !sockets.is_empty()));
    routes.push(wlroots_route(env));
    routes.push(pipewire_route(env));
    routes.push(Route::unusable(SourceSpec::Kms(None), "kernel outputs", NOT_BUILT, ""));
    routes.push(Route {
        source: SourceSpec::Synthetic(Default::default()),
        what: "built-in scene".into(),
        state: RouteState::Usable,
        rank: None,
        details: Vec::new(),
    });
    routes
}

#[cfg(not(feature = "portal"))]
fn portal_route(_env: &Environment, _wayland: bool) -> Route {
    Route::unusable(SourceSpec::Portal, "desktop portal", NOT_BUILT, "")
}

/// The desktop portal, asked what it can do. It is one of several ways where there is no Wayland session.
#[cfg(feature = "portal")]
fn portal_route(env: &Environment, wayland: bool) -> Route {
    let unusable = |reason: &str, advice: &str| Route::unusable(SourceSpec::Portal, "desktop portal", reason, advice);
    let Some(bus) = env.session_bus() else {
        return unusable("no session bus found", "run farpane in the session, or set DBUS_SESSION_BUS_ADDRESS");
    };
    match super::portal::probe(&bus, &*env.opener) {
        Ok(can) => {
            let what = format!("desktop portal: {}", can.describe());
            // the session that is named goes before a display that is; one that is only found goes behind
            let rank = if env.wayland_display.is_some() { Rank::NamedPortal } else { Rank::FoundPortal };
            let rank = wayland.then_some(rank);
            Route { source: SourceSpec::Portal, what, state: RouteState::Usable, rank, details: Vec::new() }
        }
        Err(error) => unusable(&error.to_string(), ""),
    }
}

#[cfg(not(feature = "pipewire"))]
fn pipewire_route(_env: &Environment) -> Route {
    Route::unusable(SourceSpec::PipeWire(0), "PipeWire node", NOT_BUILT, "")
}

/// PipeWire, where it listens. Which node is for the user to say.
#[cfg(feature = "pipewire")]
fn pipewire_route(env: &Environment) -> Route {
    let socket = env.pipewire_socket();
    match env.opener.open(&crate::helper::OpenRequest::PipeWire(socket)) {
        Ok(_) => {
            let what = "PipeWire node (pictures only; its number is in pw-cli list-objects Node)".to_owned();
            Route { source: SourceSpec::PipeWire(0), what, state: RouteState::Usable, rank: None, details: Vec::new() }
        }
        Err(error) => Route::unusable(SourceSpec::PipeWire(0), "PipeWire node", &error.to_string(), "start PipeWire"),
    }
}

#[cfg(not(feature = "x11"))]
fn x11_routes(_env: &Environment) -> Vec<Route> {
    vec![Route::unusable(SourceSpec::X11(None), "X display", NOT_BUILT, "")]
}

#[cfg(feature = "x11")]
fn x11_routes(env: &Environment) -> Vec<Route> {
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
#[cfg(feature = "x11")]
pub(super) fn reach(
    env: &Environment,
    seen: &Seen,
    display: &str,
) -> Result<super::x11::Target, super::x11::ConnectError> {
    let number = local_number(display);
    let mut target = super::x11::Target::parse(display, &env.x_sockets(), None)?;
    target.framebuffer = number.and_then(|n| seen.framebuffer(n, target.screen));
    let mut first = None;
    let files = seen.authority_files(env, number).into_iter().map(Some).chain([None]);
    for authority in files {
        target.authority = authority;
        match target.connect(&*env.opener) {
            Ok(_) => return Ok(target),
            Err(error) => {
                let dead = matches!(error, super::x11::ConnectError::Socket { .. });
                first.get_or_insert(error);
                if dead {
                    break;
                }
            }
        }
    }
    Err(first.unwrap_or(super::x11::ConnectError::Name(display.to_owned())))
}

/// What `auto` means here and why; none when nothing that shows a desktop can be shared.
pub fn choose_auto(routes: &[Route]) -> Option<(SourceSpec, String)> {
    let usable = routes.iter().filter(|r| r.state == RouteState::Usable);
    let best = usable.filter_map(|r| Some((r.rank?, r))).min_by_key(|(rank, _)| *rank)?;
    Some((best.1.source.clone(), format!("{}, {}", best.1.what, best.0.why())))
}

#[cfg(test)]
#[path = "discover_tests.rs"]
mod tests;
