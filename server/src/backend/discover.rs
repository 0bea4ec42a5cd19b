//! What could be shared here, and why what could not be cannot.
//!
//! Works from an SSH login too: displays are found by their sockets and in the environment of the user's own processes,
//! their authority files in the places where sessions keep them. Nothing is read but what the user may read, and each
//! display is tried by connecting to it.

#[cfg(feature = "x11")]
mod displays;

use std::path::PathBuf;
use std::sync::Arc;

use farpane_engine::frame::DmaBufs;

use super::SourceSpec;
use crate::clipboard::ClipboardOptions;
use crate::helper::Opener;
use crate::input::layout::LayoutName;
#[cfg(feature = "x11")]
use displays::routes as x11_routes;
#[cfg(feature = "x11")]
pub(super) use displays::{look, reach};

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
    /// `FARPANE_KMS_SOCKET`.
    pub kms_helper: Option<PathBuf>,
    /// The keyboard's layout where a desktop does not tell it; the system's when none.
    pub keyboard: Option<LayoutName>,
    /// Where the server keeps what it needs the next time.
    pub state: Option<PathBuf>,
    /// The user.
    pub uid: u32,
    /// Who opens what a backend needs.
    pub opener: Arc<dyn Opener>,
    /// How the clipboard is shared.
    pub clipboard: ClipboardOptions,
    /// Which dma-bufs are asked for before shared memory.
    pub dma_bufs: DmaBufs,
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
            kms_helper: None,
            keyboard: None,
            state: None,
            uid,
            opener,
            clipboard: ClipboardOptions::default(),
            dma_bufs: DmaBufs::None,
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
    /// What the machine's screens show, whosever it is.
    Screens,
}

impl Rank {
    /// Why `auto` takes it.
    pub const fn why(self) -> &'static str {
        match self {
            Self::NamedWayland | Self::NamedPortal => "the Wayland session named by WAYLAND_DISPLAY",
            Self::NamedX11 => "named by DISPLAY",
            Self::FoundWayland | Self::FoundPortal => "the Wayland session that is there",
            Self::FoundX11 => "the first that lets us in",
            Self::Screens => "there is no session of this user's",
        }
    }
}

impl Route {
    fn unusable(source: SourceSpec, what: &str, reason: &str, advice: &str) -> Self {
        let state = RouteState::Unusable { reason: reason.to_owned(), advice: advice.to_owned() };
        Self { source, what: what.to_owned(), state, rank: None, details: Vec::new() }
    }
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
    routes.push(kms_route(env));
    routes.push(Route {
        source: SourceSpec::Synthetic(Default::default()),
        what: "built-in scene".into(),
        state: RouteState::Usable,
        rank: None,
        details: Vec::new(),
    });
    routes
}

#[cfg(not(feature = "kms"))]
fn kms_route(_env: &Environment) -> Route {
    Route::unusable(SourceSpec::Kms(None), "screens", NOT_BUILT, "")
}

/// The screens of graphics cards, by the helper; without one those that are seen from here.
#[cfg(feature = "kms")]
fn kms_route(env: &Environment) -> Route {
    use super::kms;
    let source = SourceSpec::Kms(None);
    match kms::look(&kms_socket(env), &*env.opener) {
        Ok(screens) if screens.is_empty() => {
            let advice = "switch one on; for a machine without any, see docs/kms.md";
            Route { details: kms::cards(), ..Route::unusable(source, "screens", "none is lit", advice) }
        }
        Ok(screens) => {
            let what = "screens of graphics cards".into();
            Route {
                source,
                what,
                state: RouteState::Usable,
                rank: Some(Rank::Screens),
                details: kms::details(&screens),
            }
        }
        Err(error) => Route { details: kms::cards(), ..Route::unusable(source, "screens", &error.to_string(), "") },
    }
}

/// Where the helper is that looks at screens.
#[cfg(feature = "kms")]
fn kms_socket(env: &Environment) -> PathBuf {
    let usual = || env.root.join(crate::helper::kms::SOCKET.trim_start_matches('/'));
    env.kms_helper.clone().unwrap_or_else(usual)
}

/// Screens, and the keyboard that their desktop is taken to have.
#[cfg(feature = "kms")]
pub(super) fn find_kms(
    env: &Environment,
    screen: Option<super::KmsTarget>,
) -> Result<super::kms::Target, super::kms::KmsOpenError> {
    let (_, map) = super::kms::layout::keyboard_layout(env.keyboard.as_ref(), &env.root)?;
    Ok(super::kms::Target { socket: kms_socket(env), screen, keyboard: Arc::new(map) })
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

/// What `auto` means here and why; none when nothing that shows a desktop can be shared.
pub fn choose_auto(routes: &[Route]) -> Option<(SourceSpec, String)> {
    let usable = routes.iter().filter(|r| r.state == RouteState::Usable);
    let best = usable.filter_map(|r| Some((r.rank?, r))).min_by_key(|(rank, _)| *rank)?;
    Some((best.1.source.clone(), format!("{}, {}", best.1.what, best.0.why())))
}

#[cfg(all(test, feature = "x11"))]
mod tests;
