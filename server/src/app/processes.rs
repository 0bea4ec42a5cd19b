//! What a server does before it has a second thread: finds the desktop, starts its helpers, shuts itself in.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use farpane_channel::StaticKey;
use sd_notify::NotifyState;
use serde::{Deserialize, Serialize};

use crate::audit;
use crate::auth::{self, CertificateNames, Judge, LocalJudge, Parts, Secret, SessionPassword, SystemHelper};
use crate::backend::on_demand::Awaited;
use crate::backend::{self, Found};
use crate::clipboard::ClipboardOptions;
use crate::config::{Config, ListenerSection, LogSection, Others};
use crate::desktop;
use crate::helper::auth_helper::Keys;
use crate::helper::open_helper::Setup;
use crate::helper::{self, InProcess, Kind, Line, Opener, RemoteKeys, RemoteOpener, RemoteStarter, Surroundings};
use crate::net::{Bound, ListenAddr};
use crate::sandbox::{self, Early, Mode, Plan};
use crate::security::rsa_aes::{LocalRsaKey, RsaKey};
use crate::security::tls::{self, CertificateSource, ClientCertificates};
use crate::session::{Doorkeeper, Lighting};

use super::doorkeeper::{Asker, RemoteDoorkeeper};
use super::lights::{self, RemoteLights};
use super::trail::Trail;
use super::{AppError, environment, gpu, keys, logging, state_folder};

/// All that opening the desktop takes.
pub(super) struct Opening {
    pub(super) desktop: Found,
    pub(super) door: Door,
    /// Threads that encode large updates.
    pub(super) cores: usize,
    /// The sandbox's second step is still to come.
    pub(super) early: Early,
}

/// The error of a desktop that cannot be opened.
pub(super) fn cannot_open(error: backend::OpenError) -> AppError {
    match error {
        backend::OpenError::NotBuilt(_) | backend::OpenError::NotOnDemand(_) | backend::OpenError::Same(..) => {
            AppError::Usage(error.to_string())
        }
        error => AppError::failed(error),
    }
}

/// How the clipboard is shared.
pub(super) fn clipboard(config: &Config) -> ClipboardOptions {
    ClipboardOptions {
        cap_bytes: usize::try_from(config.session.clipboard_max_bytes).unwrap_or(usize::MAX),
        primary: config.session.primary_selection,
    }
}

/// Finds the desktop that is to be shared, or knows where it will be.
pub(super) fn look(config: &Config) -> Result<Found, AppError> {
    if let Some(folder) = std::env::var_os(desktop::ON_DEMAND) {
        let desktop::Parts { door, display, authority, framebuffer } = desktop::Parts::of(Path::new(&folder));
        let at = Awaited { door, display, authority, framebuffer };
        return Found::on_demand(&config.source, at).map_err(cannot_open);
    }
    let mut env = environment(clipboard(config));
    env.state = state_folder(config).ok();
    env.keyboard = config.input.keyboard.clone();
    backend::find_all(&config.source, config.arrange, &env).map_err(cannot_open)
}

fn unix_sockets(config: &Config) -> Vec<PathBuf> {
    let path = |address: &ListenAddr| match address {
        ListenAddr::Unix(path) => Some(path.clone()),
        _ => None,
    };
    config.listeners.iter().filter_map(|l| path(&l.address)).collect()
}

/// Helper processes that were started; none where the server is not shut in.
pub(super) struct Helpers {
    started: Option<Started>,
    /// Started whether the server is shut in or not: what it switches off it lights, however the server ends.
    lights: Option<Arc<RemoteLights>>,
}

struct Started {
    starter: Arc<RemoteStarter>,
    opener: Arc<RemoteOpener>,
    doorkeeper: Option<Arc<RemoteDoorkeeper>>,
}

impl Started {
    /// Starts a helper that is told this, now and whenever it is started again.
    fn line(&self, kind: Kind, setup: &impl Serialize) -> Result<Line, AppError> {
        line(&self.starter, kind, setup)
    }
}

fn line(starter: &Arc<RemoteStarter>, kind: Kind, setup: &impl Serialize) -> Result<Line, AppError> {
    starter.prepare(kind, setup).map_err(AppError::failed)?;
    starter.line(kind).map_err(AppError::failed)
}

impl Helpers {
    /// Starts the one that starts helpers, and through it those that open, ask and switch monitors. No thread is started.
    pub(super) fn start(config: &Config, desktop: &Found, control: Option<&Path>) -> Result<Self, AppError> {
        let lights = lights(config, desktop)?;
        if config.sandbox == Mode::Off {
            let lights = lights.as_ref().map(lights_unwatched).transpose()?.map(Arc::new);
            return Ok(Helpers { started: None, lights });
        }
        let asker = Asker::of(&config.session);
        let surroundings = if asker.is_some() { Surroundings::Inherited } else { Surroundings::Bare };
        let program = Path::new(helper::THIS_PROGRAM);
        // it ends with its socket
        let (socket, _) = helper::spawn(program, "start-helper", surroundings).map_err(AppError::failed)?;
        let starter = RemoteStarter::over(socket);
        let mut sockets = unix_sockets(config);
        sockets.extend(control.map(Path::to_owned));
        let mut allowed = desktop.requests();
        allowed.extend(audit::requests(&config.audit));
        let opener = RemoteOpener::over(line(&starter, Kind::Open, &Setup { allowed, sockets })?);
        let asker = asker.map(|asker| line(&starter, Kind::Hook, &asker)).transpose()?;
        let doorkeeper = asker.map(|line| Arc::new(RemoteDoorkeeper::over(line)));
        let lights = lights.map(|setup| line(&starter, Kind::Lights, &setup)).transpose()?;
        let lights = lights.map(|line| Arc::new(RemoteLights::over(line)));
        Ok(Helpers { started: Some(Started { starter, opener: Arc::new(opener), doorkeeper }), lights })
    }

    /// Who opens before the server is shut in, and later.
    pub(super) fn opener(&self) -> Arc<dyn Opener> {
        match &self.started {
            Some(started) => Arc::clone(&started.opener) as Arc<dyn Opener>,
            None => Arc::new(InProcess),
        }
    }

    /// Who opens from here on, asks the person at the desktop and switches monitors. No helper of another kind can be started any more,
    /// and the end of each is noticed. Starts threads.
    pub(super) fn door(self, bound: &[Bound], control: Option<&Path>, trail: &Trail) -> Result<Door, AppError> {
        let Helpers { started, lights } = self;
        if let Some(lights) = &lights {
            lights.watch()?;
        }
        let Some(Started { starter, opener, doorkeeper }) = started else { return Ok(Door { helpers: None, lights }) };
        starter.seal().map_err(AppError::failed)?;
        let trail = trail.clone();
        starter.watch(Box::new(move |name, change| trail.helper(name, change))).map_err(AppError::failed)?;
        opener.watch().map_err(AppError::failed)?;
        if let Some(doorkeeper) = &doorkeeper {
            doorkeeper.watch()?;
        }
        for listener in bound {
            if let ListenAddr::Unix(path) = listener.address() {
                opener.keep(path);
            }
        }
        if let Some(path) = control {
            opener.keep(path);
        }
        Ok(Door { helpers: Some((opener, doorkeeper)), lights })
    }
}

/// What the one that switches and makes monitors is told, where a listener wants any switched or made.
fn lights(config: &Config, desktop: &Found) -> Result<Option<lights::Setup>, AppError> {
    let wants = |listener: &&ListenerSection| listener.others == Others::Off || listener.is_side_car();
    let Some(listener) = config.listeners.iter().find(wants) else {
        return Ok(None);
    };
    let what = match listener.is_side_car() {
        true => "has no monitors made for viewers (view = \"side-car\"",
        false => "does not let its monitors be switched off (others = \"off\"",
    };
    let desktop = desktop.switchable().ok_or_else(|| {
        let at = &listener.address;
        let source = config.source.all().iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        AppError::Usage(format!(
            "listener {at}: source {source} {what} takes one X server, or one compositor of the wlroots family)"
        ))
    })?;
    let memory = state_folder(config)?.join(desktop.memory());
    Ok(Some(lights::Setup { desktop, memory, log: config.log }))
}

/// The one that switches monitors for a server that is not shut in: it is not started again.
fn lights_unwatched(setup: &lights::Setup) -> Result<RemoteLights, AppError> {
    let kind = Kind::Lights;
    let program = Path::new(helper::THIS_PROGRAM);
    let (socket, _) = helper::spawn(program, kind.subcommand(), Surroundings::Bare).map_err(AppError::failed)?;
    let copy = socket.try_clone().map_err(AppError::failed)?;
    helper::wire::ends(copy).0.send(setup, &[]).map_err(AppError::failed)?;
    Ok(RemoteLights::over(Line::once("farpane-lights", socket)))
}

/// What is outside: in this process, or in helpers.
#[derive(Clone)]
pub(super) struct Door {
    helpers: Option<(Arc<RemoteOpener>, Option<Arc<RemoteDoorkeeper>>)>,
    lights: Option<Arc<RemoteLights>>,
}

impl Door {
    /// Who opens.
    pub(super) fn opener(&self) -> Arc<dyn Opener> {
        match &self.helpers {
            Some((opener, _)) => Arc::clone(opener) as Arc<dyn Opener>,
            None => Arc::new(InProcess),
        }
    }

    /// Who asks the person at the desktop, if anybody does.
    pub(super) fn doorkeeper(&self, config: &Config) -> Option<Arc<dyn Doorkeeper>> {
        match &self.helpers {
            Some((_, doorkeeper)) => doorkeeper.clone().map(|keeper| keeper as Arc<dyn Doorkeeper>),
            None => Asker::of(&config.session).and_then(Asker::doorkeeper),
        }
    }

    /// Who switches monitors, if any are to be switched.
    pub(super) fn lights(&self) -> Option<Arc<dyn Lighting>> {
        self.lights.clone().map(|lights| lights as Arc<dyn Lighting>)
    }

    /// Has removed what this process may not remove, and lit what was switched off.
    pub(super) fn release(&self) {
        if let Some((opener, _)) = &self.helpers {
            opener.release();
        }
        if let Some(lights) = &self.lights {
            lights.settle();
        }
    }
}

/// The RSA key's file in the state folder.
pub(super) const RSA_KEY: &str = "rsa.key";

/// Which keys and users a server has: what the process that holds them is told.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The folder of keys and users.
    pub(super) state: PathBuf,
    /// `[auth]`, where anybody is asked for a name.
    pub(super) auth: Option<auth::Settings>,
    /// `[tls]`: certificates, and whom a client's names.
    pub(super) tls: tls::Settings,
    /// The names of farpane's own certificate, where TLS is offered.
    pub(super) certificate: Option<Vec<String>>,
    /// Whether the channel is offered.
    pub(super) channel: bool,
    /// Whether RSA-AES is offered.
    pub(super) rsa: bool,
    /// The password of this run, should some chain take it: the same whoever holds it.
    pub(super) session: Secret,
    /// How the log is written.
    pub(super) log: LogSection,
}

/// Keys and judge of a server, here or elsewhere.
#[derive(Default)]
pub(super) struct Held {
    pub(super) keys: Keys,
    /// The process that has them, if they are elsewhere.
    pub(super) remote: Option<RemoteKeys>,
}

impl Wanted {
    /// Opens them in this process, and makes what is missing.
    fn open(self) -> Result<Keys, AppError> {
        let limit = crate::net::limits::LOGIN;
        let identity = self.channel.then(|| keys::identity(&self.state)).transpose()?;
        let rsa = self.rsa.then(|| LocalRsaKey::load_or_generate(&self.state.join(RSA_KEY)));
        let files = |names| Box::new(tls::Files::new(self.tls.clone(), self.state.clone(), names));
        let certificates = self.certificate.map(|names| files(names) as Box<dyn CertificateSource>);
        let judge = |settings| {
            let parts = Parts {
                settings,
                users: self.state.join("users"),
                certificates: names(self.tls.clone()),
                // this very program, whose `pam-helper` it runs
                system: std::env::current_exe().ok().map(|program| SystemHelper { program, limit }),
                clock: Arc::new(seconds_since_1970),
            };
            LocalJudge::of_run(parts, SessionPassword::made(self.session.clone())).map_err(AppError::failed)
        };
        let judge = self.auth.map(judge).transpose()?;
        Ok(Keys {
            identity: identity.map(|identity| Arc::new(identity) as Arc<dyn StaticKey>),
            rsa: rsa.transpose().map_err(AppError::failed)?.map(|rsa| Arc::new(rsa) as Arc<dyn RsaKey>),
            certificates,
            session_password: judge.as_ref().and_then(|judge| judge.session_password().cloned()),
            judge: judge.map(|judge| Arc::new(judge) as Arc<dyn Judge>),
        })
    }

    /// Has them opened: in a process of their own, or in this one where the server is not shut in. No thread is started.
    pub(super) fn held(self, helpers: &Helpers) -> Result<Held, AppError> {
        let Some(started) = &helpers.started else { return Ok(Held { keys: self.open()?, remote: None }) };
        let mut remote = RemoteKeys::over(started.line(Kind::Auth, &self)?).map_err(AppError::failed)?;
        let keys = Keys {
            identity: remote.identity().map(|identity| Arc::new(identity) as Arc<dyn StaticKey>),
            rsa: remote.rsa().map(|rsa| Arc::new(rsa) as Arc<dyn RsaKey>),
            certificates: self.certificate.map(|_| Box::new(remote.certificates()) as Box<dyn CertificateSource>),
            session_password: remote.take_session_password(),
            judge: remote.judge().map(|judge| Arc::new(judge) as Arc<dyn Judge>),
        };
        Ok(Held { keys, remote: Some(remote) })
    }
}

/// Who a client certificate belongs to, where clients show any.
fn names(tls: tls::Settings) -> Option<CertificateNames> {
    if tls.client_certificates == ClientCertificates::Off {
        return None;
    }
    Some(Arc::new(move |der| tls::identity::user(der, tls.client_name, &tls.client_users).ok()))
}

fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Holds keys and users for a server until the server ends.
///
/// # Errors
/// When this process was not started by a server, or is told what it does not understand.
pub fn hold_keys(socket: UnixStream) -> Result<(), AppError> {
    let open = |wanted: Wanted| {
        logging::start(wanted.log);
        wanted.open().map_err(|error| error.to_string())
    };
    helper::auth_helper::serve(socket, SystemTime::now, open)
        .map_err(|error| AppError::Failed(format!("auth-helper: {error}")))
}

/// The sandbox's first step. `kept` is the folder that the server itself writes.
pub(super) fn shut_in(config: &Config, desktop: &Found, kept: Option<&Path>) -> Result<Early, AppError> {
    let followed = |address: &ListenAddr| address.host_port().filter(|hp| hp.iface().is_some()).map(|hp| hp.port());
    let gpu = gpu::wanted(&config.capture, desktop);
    let plan = Plan {
        mode: config.sandbox,
        clients: config.session.max_clients,
        read: desktop.reads(),
        read_early: gpu.map(|_| gpu::read_early()).unwrap_or_default(),
        devices: gpu.map(|_| gpu::devices()).unwrap_or_default(),
        // audit logs are opened and put aside by the helper that opens
        write: kept.map(Path::to_owned).into_iter().collect(),
        ports: config.listeners.iter().filter_map(|l| followed(&l.address)).collect(),
    };
    sandbox::enter_early(&plan).map_err(AppError::failed)
}

/// Tells the service manager that clients can connect, if there is one that wants to know.
pub(super) fn notify_ready(desktop: &str) {
    let status = format!("shares {desktop}");
    if let Err(error) = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]) {
        tracing::warn!(%error, "the service manager was not told that the server is up");
    }
}
