//! `system`: whatever PAM asks, in a process of its own for each login.
//!
//! PAM's modules are code of the system that may hang, leak or crash; so the judge starts `farpane pam-helper`, talks to it
//! over a socket that is its standard input ([`wire`]), and ends it when the time is over or the login is given up. Nothing secret is
//! in its arguments or environment.

#[cfg(feature = "pam")]
mod helper;
mod wire;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use zeroize::Zeroizing;

use self::wire::{FromHelper, ToHelper};
use super::factor::{Ask, Factor, Outcome, Proof, Step, Stepping};
use super::login::Secret;

#[cfg(feature = "pam")]
pub use helper::pam_helper;

/// PAM processes at once: more than strangers can have connections.
const MOST_AT_ONCE: usize = 16;
/// After its time is over a process ends itself a little later than the judge ends it.
const GRACE: Duration = Duration::from_secs(5);

/// How PAM is reached.
#[derive(Clone, Debug)]
pub struct SystemHelper {
    /// The program whose `pam-helper` is run: this one.
    pub program: PathBuf,
    /// How long one login may take.
    pub limit: Duration,
}

/// What all logins through PAM share.
pub(super) struct Pam {
    pub helper: SystemHelper,
    pub service: String,
    pub folder: Option<PathBuf>,
    slots: Arc<Semaphore>,
}

impl Pam {
    pub(super) fn new(helper: SystemHelper, service: String, folder: Option<PathBuf>) -> Self {
        Pam { helper, service, folder, slots: Arc::new(Semaphore::new(MOST_AT_ONCE)) }
    }
}

/// The PAM process of one login; killed on drop.
struct Process {
    _child: Child,
    socket: UnixStream,
    until: Instant,
    _slot: OwnedSemaphorePermit,
}

impl Process {
    async fn start(pam: &Pam, user: &str, rhost: &str) -> io::Result<Self> {
        let full = |_| io::Error::other(format!("{MOST_AT_ONCE} PAM processes are running"));
        let slot = pam.slots.clone().try_acquire_owned().map_err(full)?;
        let mut command = Command::new(&pam.helper.program);
        command.arg("pam-helper").env_clear().current_dir("/").kill_on_drop(true);
        // standard output is left to the modules, some of which write there
        let (socket, theirs) = StdUnixStream::pair()?;
        socket.set_nonblocking(true)?;
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        // the command holds their end: kept open, the end of their process would not be seen
        drop(command);
        let socket = UnixStream::from_std(socket)?;
        let until = Instant::now() + pam.helper.limit;
        let mut process = Process { _child: child, socket, until, _slot: slot };
        let begin = ToHelper::Begin {
            service: pam.service.clone(),
            user: user.to_owned(),
            rhost: rhost.to_owned(),
            folder: pam.folder.clone(),
            limit_s: pam.helper.limit.saturating_add(GRACE).as_secs(),
        };
        process.send(&begin).await?;
        Ok(process)
    }

    async fn send(&mut self, message: &ToHelper) -> io::Result<()> {
        self.socket.write_all(&wire::encode(message)?).await
    }

    async fn receive(&mut self) -> io::Result<FromHelper> {
        let mut prefix = [0; 4];
        self.socket.read_exact(&mut prefix).await?;
        let mut json = Zeroizing::new(vec![0; wire::length(prefix)?]);
        self.socket.read_exact(&mut json).await?;
        wire::decode(&json)
    }
}

/// The factor of one login.
pub(super) struct System {
    pam: Arc<Pam>,
    user: String,
    rhost: String,
    process: Option<Process>,
}

impl System {
    pub(super) fn new(pam: Arc<Pam>, user: String, rhost: String) -> Self {
        System { pam, user, rhost, process: None }
    }

    async fn talk(&mut self, replies: Vec<Secret>) -> io::Result<FromHelper> {
        let process = match &mut self.process {
            Some(process) => {
                let until = process.until;
                let replies = ToHelper::Replies(replies);
                tokio::time::timeout_at(until, process.send(&replies)).await??;
                process
            }
            none => none.insert(Process::start(&self.pam, &self.user, &self.rhost).await?),
        };
        tokio::time::timeout_at(process.until, process.receive()).await?
    }
}

impl Factor for System {
    fn next(&mut self, replies: Vec<Secret>) -> Stepping<'_> {
        Box::pin(async move {
            let outcome = match self.talk(replies).await {
                Ok(FromHelper::Ask(prompts)) => return Step::Ask(Ask::These(prompts)),
                Ok(FromHelper::Granted { user, groups }) => {
                    Outcome::Proved(Proof { user: Some(user), groups, ..Proof::default() })
                }
                // PAM_AUTHINFO_UNAVAIL, which tells something about the user: a refusal, and the administrator's to mend
                Ok(FromHelper::Refused(code @ 9)) => {
                    let service = &self.pam.service;
                    tracing::warn!(
                        service,
                        code,
                        "pam cannot get at what it knows of users; see its modules and their rights"
                    );
                    Outcome::Wrong
                }
                Ok(FromHelper::Refused(code)) => {
                    tracing::debug!(code, "pam refuses");
                    Outcome::Wrong
                }
                Ok(FromHelper::Broken(reason)) => {
                    tracing::warn!(service = self.pam.service, reason, "pam cannot judge");
                    Outcome::Unavailable
                }
                Err(error) => {
                    tracing::warn!(service = self.pam.service, %error, "the PAM process gives no verdict");
                    Outcome::Unavailable
                }
            };
            self.process = None;
            Step::Done(outcome)
        })
    }
}
