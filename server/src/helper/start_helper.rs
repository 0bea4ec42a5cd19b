//! The process that starts helpers, and starts them again when they end.
//!
//! What reads the network can start nothing. So the first helper of all is one that does: before anybody can connect it
//! is told which helpers there are and what each is to be told ([`RemoteStarter::prepare`]), and then that this is all
//! ([`RemoteStarter::seal`]). From there on it can be asked for one thing: a helper of a kind that was prepared, told what was
//! prepared. There is never more than one of a kind: the one before is ended. So whoever takes the server over can neither choose
//! what a helper may do nor have many of them.
//!
//! It reads no byte of the network and nothing that its helpers say. It holds what they are told, which may be a password of the run.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::calls::{CallError, Calls, Change, Line, Numbered};
use super::spawn::{Surroundings, spawn};
use super::wire::{self, Packed, WireError};

/// What starting a helper may take, of a machine that is busy.
const START_LIMIT: Duration = Duration::from_secs(10);
/// What one message of several may take.
const SETUP_LIMIT: Duration = Duration::from_secs(10);
/// Helpers of a kind are started no faster than this.
const AT_MOST_EVERY: Duration = Duration::from_millis(50);

/// A kind of helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The one that opens.
    Open,
    /// The one that holds secrets.
    Auth,
    /// The one that asks the person at the desktop.
    Hook,
    /// The one that switches monitors.
    Lights,
}

impl Kind {
    /// The subcommand that it is.
    pub const fn subcommand(self) -> &'static str {
        match self {
            Kind::Open => "open-helper",
            Kind::Auth => "auth-helper",
            Kind::Hook => "hook-helper",
            Kind::Lights => "lights-helper",
        }
    }

    /// Its name in the log and of the thread that hears it.
    const fn name(self) -> &'static str {
        match self {
            Kind::Open => "farpane-open",
            Kind::Auth => "farpane-auth",
            Kind::Hook => "farpane-hook",
            Kind::Lights => "farpane-lights",
        }
    }

    /// What it gets of the environment.
    const fn surroundings(self) -> Surroundings {
        match self {
            Kind::Open | Kind::Auth | Kind::Lights => Surroundings::Bare,
            Kind::Hook => Surroundings::Inherited,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Ask {
    /// The next message is what a helper of this kind is told first.
    Prepare(Kind),
    /// That is all: nothing is prepared any more.
    Seal,
    /// Start one, with this.
    Start(Kind),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Told {
    Done,
    /// Here is its socket.
    Started,
    Refused,
    Failed(String),
}

/// One kind of helper.
struct Prepared {
    setup: Packed,
    running: Option<(Child, Instant)>,
}

impl Prepared {
    /// Starts one in place of the one before.
    fn start(&mut self, program: &Path, kind: Kind) -> Result<UnixStream, String> {
        if let Some((mut child, since)) = self.running.take() {
            // one that has ended by itself is only waited for
            let _ = child.kill();
            child.wait().map_err(|error| error.to_string())?;
            std::thread::sleep(AT_MOST_EVERY.saturating_sub(since.elapsed()));
        }
        let (socket, child) = spawn(program, kind.subcommand(), kind.surroundings()).map_err(|e| e.to_string())?;
        self.running = Some((child, Instant::now()));
        let copy = socket.try_clone().map_err(|error| error.to_string())?;
        wire::ends(copy).0.send_packed(&self.setup).map_err(|error| error.to_string())?;
        Ok(socket)
    }
}

/// Does the helper's work until the other end closes: starts `program`.
///
/// # Errors
/// When the other end says what nobody understands.
pub fn serve(socket: UnixStream, program: &Path) -> Result<(), WireError> {
    let (mut sender, mut receiver) = wire::ends(socket);
    let mut kinds: BTreeMap<Kind, Prepared> = BTreeMap::new();
    let mut sealed = false;
    loop {
        let (id, ask) = match receiver.receive::<Numbered<Ask>>(None) {
            Ok((Numbered { id, body }, _)) => (id, body),
            Err(WireError::Closed) => return Ok(()),
            Err(error) => return Err(error),
        };
        let (body, fd) = match ask {
            Ask::Prepare(kind) => {
                let setup = receiver.receive_packed(Some(SETUP_LIMIT))?;
                if sealed || kinds.contains_key(&kind) {
                    (Told::Refused, None)
                } else {
                    kinds.insert(kind, Prepared { setup, running: None });
                    (Told::Done, None)
                }
            }
            Ask::Seal => {
                sealed = true;
                (Told::Done, None)
            }
            Ask::Start(kind) => match kinds.get_mut(&kind).map(|prepared| prepared.start(program, kind)) {
                None => (Told::Refused, None),
                Some(Err(why)) => (Told::Failed(why), None),
                Some(Ok(socket)) => (Told::Started, Some(OwnedFd::from(socket))),
            },
        };
        let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
        match sender.send(&Numbered { id, body }, &fds) {
            Err(WireError::Closed) => return Ok(()),
            sent => sent?,
        }
    }
}

/// Why a helper is not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process that starts helpers does not do it.
    #[error("{0}: {1}")]
    Call(&'static str, CallError),
}

/// Told what became of which helper.
pub type Watcher = Box<dyn Fn(&'static str, Change) + Send + Sync>;

/// Starts helpers through a process that does.
pub struct RemoteStarter {
    calls: Calls<Ask, Told>,
    watcher: Arc<OnceLock<Watcher>>,
}

/// The starter's own name.
const NAME: &str = "farpane-start";

impl RemoteStarter {
    /// Over a socket to a process that was just started.
    pub fn over(socket: UnixStream) -> Arc<Self> {
        let watcher: Arc<OnceLock<Watcher>> = Arc::default();
        let line = Line { tell: Some(tell(&watcher, NAME)), ..Line::once(NAME, socket) };
        Arc::new(RemoteStarter { calls: Calls::new(line), watcher })
    }

    /// From here on the end of helpers is noticed: starts a thread. `watcher` is told of them.
    ///
    /// # Errors
    /// When there are no threads left.
    pub fn watch(&self, watcher: Watcher) -> Result<(), CallError> {
        // there is one watcher; of a second one nothing is made
        let _ = self.watcher.set(watcher);
        self.calls.watch()
    }

    fn done(&self, question: Ask) -> Result<(), CallError> {
        match self.calls.call(question, START_LIMIT)?.0 {
            Told::Done => Ok(()),
            Told::Failed(why) => Err(CallError::Unfit(why)),
            Told::Started | Told::Refused => Err(CallError::Strange),
        }
    }

    /// Says what a helper of this kind is to be told, once for each kind. Starts none.
    ///
    /// # Errors
    /// When it is too much for a message, or nobody is there.
    pub fn prepare(&self, kind: Kind, setup: &impl Serialize) -> Result<(), StartError> {
        let prepare = || {
            let packed = wire::pack(setup)?;
            self.calls.call_with(Ask::Prepare(kind), &packed, START_LIMIT)
        };
        match prepare().map_err(|error| StartError::Call(kind.subcommand(), error))?.0 {
            Told::Done => Ok(()),
            _ => Err(StartError::Call(kind.subcommand(), CallError::Strange)),
        }
    }

    /// Nothing is prepared any more.
    ///
    /// # Errors
    /// When nobody is there.
    pub fn seal(&self) -> Result<(), StartError> {
        self.done(Ask::Seal).map_err(|error| StartError::Call(NAME, error))
    }

    fn start(&self, kind: Kind) -> Result<UnixStream, CallError> {
        let (told, fds) = self.calls.call(Ask::Start(kind), START_LIMIT)?;
        let count = fds.len();
        match (told, fds.into_iter().next()) {
            (Told::Started, Some(fd)) if count == 1 => Ok(UnixStream::from(fd)),
            (Told::Started, _) => Err(WireError::Descriptors(count, 1).into()),
            (Told::Failed(why), _) => Err(CallError::Unfit(why)),
            (Told::Refused | Told::Done, _) => Err(CallError::Strange),
        }
    }

    /// Starts the helper of this kind, and lets it be started again whenever it ends.
    ///
    /// # Errors
    /// When it was not prepared or the system refuses.
    pub fn line(self: &Arc<Self>, kind: Kind) -> Result<Line, StartError> {
        let socket = self.start(kind).map_err(|error| StartError::Call(kind.subcommand(), error))?;
        let starter = Arc::clone(self);
        let again = move || starter.start(kind);
        Ok(Line {
            name: kind.name(),
            socket,
            again: Some(Box::new(again)),
            tell: Some(tell(&self.watcher, kind.name())),
        })
    }
}

fn tell(watcher: &Arc<OnceLock<Watcher>>, name: &'static str) -> super::calls::Tell {
    let watcher = Arc::clone(watcher);
    Box::new(move |change| {
        if let Some(watcher) = watcher.get() {
            watcher(name, change);
        }
    })
}
