//! From a source's name to an opened desktop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use farpane_engine::frame::DmaBufs;

use super::discover::{self, Environment, NOT_BUILT};
use super::mixed::MixedBackend;
use super::on_demand::OnDemandBackend;
use super::replay::{ReplayBackend, ReplayOpenError};
use super::synthetic::SyntheticBackend;
use super::{Arrange, Backend, Events, SourceSpec, Sources, SyntheticSpec};
use crate::clipboard::ClipboardOptions;
use crate::helper::{OpenRequest, Opener};

/// Why a source could not be opened; one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The source is known and this build cannot open it.
    #[error("source {0}: {NOT_BUILT}")]
    NotBuilt(SourceSpec),
    /// `auto` found no desktop.
    #[error("no desktop found to share ({0}); name one with --source, or see farpane probe")]
    Nothing(String),
    /// `x11` without a display, and none in the environment.
    #[error("DISPLAY is not set; name the display with --source x11:DISPLAY")]
    NoDisplay,
    /// The X server cannot be shared.
    #[cfg(feature = "x11")]
    #[error(transparent)]
    X11(#[from] super::x11::X11OpenError),
    /// The stream cannot be shared.
    #[cfg(feature = "pipewire")]
    #[error(transparent)]
    PipeWire(#[from] super::pipewire::PipeWireOpenError),
    /// No session bus is known.
    #[cfg(feature = "portal")]
    #[error(
        "no session bus to find the desktop portal on; run farpane in the session, or set DBUS_SESSION_BUS_ADDRESS"
    )]
    NoBus,
    /// The desktop cannot be shared through its portal.
    #[cfg(feature = "portal")]
    #[error(transparent)]
    Portal(#[from] super::portal::PortalError),
    /// The Wayland compositor cannot be shared.
    #[cfg(feature = "wayland")]
    #[error(transparent)]
    Wlroots(#[from] super::wlroots::WlrootsOpenError),
    /// The screens cannot be shared.
    #[cfg(feature = "kms")]
    #[error(transparent)]
    Kms(#[from] super::kms::KmsOpenError),
    /// The trace cannot be played.
    #[error(transparent)]
    Replay(#[from] ReplayOpenError),
    /// One of several sources is not there.
    #[error("source {0}: {1}")]
    Part(SourceSpec, #[source] Box<OpenError>),
    /// Two sources are one desktop.
    #[error("sources {0} and {1} are the same desktop (expected each once)")]
    Same(SourceSpec, SourceSpec),
    /// A source that no virtual desktop is shown by.
    #[error("source {0} cannot be a desktop on demand (expected x11 or wlroots, alone)")]
    NotOnDemand(String),
    /// The system refused a thread.
    #[error("no resources to open the source: {0}")]
    System(#[from] std::io::Error),
}

impl OpenError {
    /// The same, with the one of several sources that it is about.
    pub(super) fn of(self, source: &SourceSpec) -> Self {
        match self {
            named @ OpenError::NotBuilt(_) => named,
            error => OpenError::Part(source.clone(), Box::new(error)),
        }
    }
}

/// A desktop that was found: what it takes to open it, and nothing to look for any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A built-in scene.
    Synthetic(SyntheticSpec),
    /// A recording.
    Replay(PathBuf),
    /// A PipeWire stream.
    #[cfg(feature = "pipewire")]
    PipeWire(super::pipewire::Target),
    /// A desktop portal.
    #[cfg(feature = "portal")]
    Portal(super::portal::Target),
    /// An X server and how it lets us in.
    #[cfg(feature = "x11")]
    X11(super::x11::Target),
    /// A Wayland compositor.
    #[cfg(feature = "wayland")]
    Wlroots(super::wlroots::Target),
    /// Screens of graphics cards.
    #[cfg(feature = "kms")]
    Kms(super::kms::Target),
    /// Several desktops on one canvas.
    Mixed(Vec<(SourceSpec, Found)>, Arrange),
    /// One that its supervisor starts when it is asked to, through the socket of this path.
    OnDemand(Box<Found>, PathBuf),
}

/// Finds out what a source's name stands for here: looks at displays, authority files and processes, and tries.
///
/// May take a moment (it connects): call it off the network threads.
///
/// # Errors
/// When the source is not there or not in this build.
pub fn find(spec: &SourceSpec, env: &Environment) -> Result<Found, OpenError> {
    match spec {
        SourceSpec::Auto => {
            let routes = discover::probe(env);
            let (chosen, why) =
                discover::choose_auto(&routes).ok_or_else(|| OpenError::Nothing(first_reason(&routes)))?;
            tracing::info!(source = %chosen, why, "chose what to share");
            find(&chosen, env)
        }
        SourceSpec::Synthetic(scene) => Ok(Found::Synthetic(*scene)),
        SourceSpec::Replay(file) => Ok(Found::Replay(file.clone())),
        #[cfg(feature = "pipewire")]
        SourceSpec::PipeWire(node) => {
            Ok(Found::PipeWire(super::pipewire::Target { socket: env.pipewire_socket(), node: *node }))
        }
        #[cfg(feature = "portal")]
        SourceSpec::Portal => {
            let bus = env.session_bus().ok_or(OpenError::NoBus)?;
            let token = env.state.as_ref().map(|s| s.join("portal-token"));
            Ok(Found::Portal(super::portal::Target { bus, token }))
        }
        #[cfg(feature = "x11")]
        SourceSpec::X11(display) => {
            let display = display.as_ref().or(env.display.as_ref()).ok_or(OpenError::NoDisplay)?;
            let target = discover::reach(env, &discover::look(env), display).map_err(super::x11::X11OpenError::from)?;
            Ok(Found::X11(target))
        }
        #[cfg(feature = "wayland")]
        SourceSpec::Wlroots => Ok(Found::Wlroots(discover::find_wlroots(env)?)),
        #[cfg(feature = "kms")]
        SourceSpec::Kms(screen) => Ok(Found::Kms(discover::find_kms(env, screen.clone())?)),
        // in a build with everything nothing is left
        #[allow(unreachable_patterns)]
        other => Err(OpenError::NotBuilt(other.clone())),
    }
}

/// The same for all that is to be shared.
///
/// # Errors
/// When one of several is not there, the error says which; or when two of them are the same desktop.
pub fn find_all(sources: &Sources, arrange: Arrange, env: &Environment) -> Result<Found, OpenError> {
    if let [one] = sources.all() {
        return find(one, env);
    }
    let mut parts: Vec<(SourceSpec, Found)> = Vec::new();
    for source in sources.all() {
        let found = find(source, env).map_err(|error| error.of(source))?;
        if let Some((same, _)) = parts.iter().find(|(_, other)| found.is(other)) {
            return Err(OpenError::Same(same.clone(), source.clone()));
        }
        parts.push((source.clone(), found));
    }
    Ok(Found::Mixed(parts, arrange))
}

impl Found {
    /// Whether both are the same desktop, whatever they were called by.
    fn is(&self, other: &Found) -> bool {
        match (self, other) {
            #[cfg(feature = "x11")]
            (Found::X11(one), Found::X11(two)) => (&one.address, one.screen) == (&two.address, two.screen),
            _ => self == other,
        }
    }

    /// Everything that the desktop asks its opener for, then and later.
    pub fn requests(&self) -> Vec<OpenRequest> {
        match self {
            Found::Synthetic(_) => Vec::new(),
            Found::Replay(file) => vec![OpenRequest::Trace(file.clone())],
            #[cfg(feature = "pipewire")]
            Found::PipeWire(target) => vec![OpenRequest::PipeWire(target.socket.clone())],
            #[cfg(feature = "portal")]
            Found::Portal(target) => target.requests(),
            #[cfg(feature = "x11")]
            Found::X11(target) => {
                let display = OpenRequest::Display(target.address.clone());
                let authority = target.authority.clone().map(OpenRequest::XAuthority);
                let framebuffer = target.framebuffer.clone().map(OpenRequest::Framebuffer);
                [Some(display), authority, framebuffer].into_iter().flatten().collect()
            }
            #[cfg(feature = "wayland")]
            Found::Wlroots(target) => vec![OpenRequest::Wayland(target.socket.clone())],
            #[cfg(feature = "kms")]
            Found::Kms(target) => vec![OpenRequest::KmsHelper(target.socket.clone())],
            Found::Mixed(parts, _) => each_once(parts.iter().flat_map(|(_, part)| part.requests())),
            Found::OnDemand(desktop, door) => {
                desktop.requests().into_iter().chain([OpenRequest::Supervisor(door.clone())]).collect()
            }
        }
    }

    /// Whether its pictures may lie in dma-bufs.
    pub fn gives_dma_bufs(&self) -> bool {
        match self {
            #[cfg(feature = "pipewire")]
            Found::PipeWire(_) => true,
            #[cfg(feature = "portal")]
            Found::Portal(_) => true,
            #[cfg(feature = "wayland")]
            Found::Wlroots(_) => true,
            #[cfg(feature = "kms")]
            Found::Kms(_) => true,
            Found::Mixed(parts, _) => parts.iter().any(|(_, part)| part.gives_dma_bufs()),
            Found::OnDemand(desktop, _) => desktop.gives_dma_bufs(),
            _ => false,
        }
    }

    /// What must stay readable until the desktop is open, in a server that shuts itself in before: folders that a library loads more of
    /// itself from.
    pub fn reads(&self) -> Vec<PathBuf> {
        #[cfg(feature = "pipewire")]
        let loaded =
            || super::pipewire::library_folders(&std::fs::read_to_string("/proc/self/maps").unwrap_or_default());
        match self {
            #[cfg(feature = "pipewire")]
            Found::PipeWire(_) => loaded(),
            #[cfg(feature = "portal")]
            Found::Portal(_) => loaded(),
            Found::Mixed(parts, _) => each_once(parts.iter().flat_map(|(_, part)| part.reads())),
            Found::OnDemand(desktop, _) => desktop.reads(),
            _ => Vec::new(),
        }
    }

    /// Opens it. Its first events are in the channel or on their way when this returns.
    ///
    /// May take a moment (it connects): call it off the network threads.
    ///
    /// # Errors
    /// When it is gone, or the opener refuses.
    pub fn open(
        self,
        opener: Arc<dyn Opener>,
        clipboard: ClipboardOptions,
        dma_bufs: DmaBufs,
        events: Events,
    ) -> Result<Arc<dyn Backend>, OpenError> {
        // scenes and recordings have neither
        let _ = (&clipboard, &dma_bufs);
        match self {
            Found::Synthetic(scene) => Ok(Arc::new(SyntheticBackend::open(scene, Instant::now(), events)?)),
            Found::Replay(file) => Ok(Arc::new(ReplayBackend::open(&file, &*opener, events)?)),
            #[cfg(feature = "pipewire")]
            Found::PipeWire(target) => {
                Ok(Arc::new(super::pipewire::PipeWireBackend::open(&target, &*opener, dma_bufs, events)?))
            }
            #[cfg(feature = "portal")]
            Found::Portal(target) => {
                Ok(Arc::new(super::portal::PortalBackend::open(target, dma_bufs, opener, clipboard, events)?))
            }
            #[cfg(feature = "x11")]
            Found::X11(target) => Ok(Arc::new(super::x11::X11Backend::open(target, opener, clipboard, events)?)),
            #[cfg(feature = "kms")]
            Found::Kms(target) => Ok(Arc::new(super::kms::KmsBackend::open(target, opener, events)?)),
            #[cfg(feature = "wayland")]
            Found::Wlroots(target) => {
                Ok(Arc::new(super::wlroots::WlrootsBackend::open(target, opener, clipboard, dma_bufs, events)?))
            }
            Found::Mixed(parts, arrange) => {
                Ok(Arc::new(MixedBackend::open(parts, arrange, &opener, clipboard, &dma_bufs, events)?))
            }
            Found::OnDemand(desktop, door) => {
                let open = {
                    let (opener, events) = (Arc::clone(&opener), events.clone());
                    move || desktop.clone().open(Arc::clone(&opener), clipboard, dma_bufs.clone(), events.clone())
                };
                Ok(Arc::new(OnDemandBackend::start(door, opener, events, open)?))
            }
        }
    }
}

/// Finds a desktop and opens it in this process.
///
/// May take a moment (it connects): call it off the network threads.
///
/// # Errors
/// When the source is not there or not in this build.
pub fn open(spec: &SourceSpec, env: &Environment, events: Events) -> Result<Arc<dyn Backend>, OpenError> {
    find(spec, env)?.open(Arc::clone(&env.opener), env.clipboard, env.dma_bufs.clone(), events)
}

fn each_once<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut kept, one| {
        if !kept.contains(&one) {
            kept.push(one);
        }
        kept
    })
}

fn first_reason(routes: &[discover::Route]) -> String {
    let reason = |r: &discover::Route| match &r.state {
        discover::RouteState::Usable => None,
        discover::RouteState::Unusable { reason, .. } => Some(format!("{}: {reason}", r.source)),
    };
    routes.iter().find_map(reason).unwrap_or_else(|| "only what shows no whole desktop".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::InProcess;

    fn refusal(source: &str) -> String {
        let mut env = Environment::new(u32::MAX, Arc::new(InProcess));
        env.root = "/nonexistent".into();
        let (send, _events) = tokio::sync::mpsc::unbounded_channel();
        match open(&source.parse().expect("a source"), &env, send) {
            Ok(_) => panic!("{source} cannot be there"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    #[cfg(feature = "kms")]
    fn screens_without_their_helper_are_refused_with_how_to_start_it() {
        for source in ["kms", "kms:card0-DP-1"] {
            let said = refusal(source);
            assert!(said.starts_with("no helper at /nonexistent/run/farpane-kms/socket: "), "{said}");
            assert!(said.ends_with("as root: farpane kms-helper --allow USER"), "{said}");
        }
    }

    #[test]
    #[cfg(feature = "portal")]
    fn a_session_that_is_not_there_is_one_line_that_says_what_to_do() {
        assert!(refusal("portal").contains("set DBUS_SESSION_BUS_ADDRESS"));
        let said = refusal("pipewire:4");
        assert!(
            said.starts_with("no PipeWire at /nonexistent/run/user/") && said.contains("PIPEWIRE_REMOTE"),
            "{said}"
        );
    }

    #[test]
    #[cfg(feature = "x11")]
    fn a_display_that_is_not_there_is_one_line_that_says_what_to_do() {
        let said = refusal("x11::77");
        assert!(said.starts_with("no X server at display :77: /nonexistent/tmp/.X11-unix/X77"), "{said}");
        assert!(said.contains("--source x11:DISPLAY") && !said.contains('\n'), "{said}");
        assert!(refusal("x11").contains("DISPLAY is not set"));
        assert!(refusal("auto").starts_with("no desktop found to share"));
    }

    #[test]
    #[cfg(feature = "wayland")]
    fn without_a_wayland_session_wlroots_says_what_to_set() {
        assert_eq!(refusal("wlroots"), "no Wayland session found; set WAYLAND_DISPLAY to its compositor's socket");
    }

    #[test]
    #[cfg(feature = "wayland")]
    fn a_compositor_asks_for_its_socket_alone() {
        let target = super::super::wlroots::Target::named("wayland-1", std::path::Path::new("/r"));
        assert_eq!(Found::Wlroots(target).requests(), [OpenRequest::Wayland("/r/wayland-1".into())]);
    }

    #[test]
    fn what_was_found_asks_for_nothing_but_its_own() {
        let mut env = Environment::new(u32::MAX, Arc::new(InProcess));
        env.root = "/nonexistent".into();
        let requests = |source: &str| find(&source.parse().expect("a source"), &env).expect("found").requests();
        assert_eq!(requests("synthetic"), []);
        assert_eq!(requests("replay:/r/desk.trace"), [OpenRequest::Trace("/r/desk.trace".into())]);
    }

    fn all(sources: &[&str]) -> Result<Found, OpenError> {
        let mut env = Environment::new(u32::MAX, Arc::new(InProcess));
        env.root = "/nonexistent".into();
        env.display = Some(":77".into());
        let sources = sources.iter().map(|source| source.parse().expect("a source")).collect();
        find_all(&Sources::new(sources).expect("each once"), Arrange::Right, &env)
    }

    #[test]
    fn several_ask_for_what_each_asks_for() {
        let found = all(&["replay:/r/a.trace", "synthetic", "replay:/r/b.trace"]).expect("found");
        let traces = ["/r/a.trace", "/r/b.trace"].map(|file| OpenRequest::Trace(file.into()));
        assert_eq!(found.requests(), traces);
        assert_eq!((found.reads(), found.gives_dma_bufs()), (Vec::new(), false));
        assert!(matches!(all(&["synthetic"]), Ok(Found::Synthetic(_))), "one is itself");
    }

    #[test]
    #[cfg(feature = "x11")]
    fn of_several_the_one_that_is_not_there_is_named() {
        let said = all(&["synthetic", "x11::78"]).expect_err("it is not there").to_string();
        assert!(said.starts_with("source x11::78: no X server at display :78: ") && !said.contains('\n'), "{said}");
    }

    #[test]
    #[cfg(feature = "x11")]
    fn an_x_server_asks_for_its_socket_its_authority_and_its_picture() {
        let authority = Some(PathBuf::from("/a"));
        let mut target =
            super::super::x11::Target::parse(":3", std::path::Path::new("/s"), authority).expect("a display");
        target.framebuffer = Some("/f".into());
        let display = OpenRequest::Display(crate::helper::DisplayAddress::Unix("/s/X3".into()));
        let (authority, framebuffer) = (OpenRequest::XAuthority("/a".into()), OpenRequest::Framebuffer("/f".into()));
        assert_eq!(Found::X11(target).requests(), [display, authority, framebuffer]);
    }
}
