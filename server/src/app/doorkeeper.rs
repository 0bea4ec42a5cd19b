//! Who asks the person at the desktop, in a process of its own: what reads the network may run nothing and reach no bus.

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::config::{Gatekeeping, SessionSection};
use crate::helper::wire::{self, WireError};
use crate::helper::{Calls, Line, Numbered};
#[cfg(feature = "notification")]
use crate::session::Notification;
use crate::session::{Asking, Doorkeeper, Exclusive, Hook, Knock, Said};

use super::AppError;
#[cfg(feature = "notification")]
use super::session_bus;

/// Questions that are open at once at most: each may be a running command.
const MOST_OPEN: usize = 64;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Ask {
    /// Ask about this client.
    Knock { question: u64, knock: Knock },
    /// That question is taken back. Has no answer.
    TakeBack { question: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Told {
    Accept,
    Refuse,
    Nobody,
    Failed(String),
}

/// How the person at the desktop is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Asker {
    /// By a command of the administrator's.
    Command(Vec<String>),
    /// By a notification on the session bus with this address.
    #[cfg(feature = "notification")]
    Notification(String),
}

impl Asker {
    /// The one that the configuration wants; none where nobody is ever asked, or only over the control socket.
    pub(super) fn of(session: &SessionSection) -> Option<Self> {
        if session.gatekeeping == Gatekeeping::Off && session.exclusive != Exclusive::Ask {
            return None;
        }
        if !session.gatekeeping_hook.is_empty() {
            return Some(Asker::Command(session.gatekeeping_hook.clone()));
        }
        session.gatekeeping_notification.then(Self::notification).flatten()
    }

    #[cfg(feature = "notification")]
    fn notification() -> Option<Self> {
        let bus = session_bus();
        if bus.is_none() {
            tracing::warn!(
                "nobody can be asked by a notification: there is no session bus (DBUS_SESSION_BUS_ADDRESS and XDG_RUNTIME_DIR \
                 are not set); answer with farpane session accept, or set gatekeeping_hook"
            );
        }
        bus.map(Asker::Notification)
    }

    #[cfg(not(feature = "notification"))]
    fn notification() -> Option<Self> {
        tracing::warn!(
            "nobody can be asked by a notification: this farpane was built without the feature notification"
        );
        None
    }

    /// Who asks, in this process.
    pub(super) fn doorkeeper(self) -> Option<Arc<dyn Doorkeeper>> {
        match self {
            Asker::Command(words) => Hook::new(&words).map(|hook| Arc::new(hook) as Arc<dyn Doorkeeper>),
            #[cfg(feature = "notification")]
            Asker::Notification(bus) => Some(Arc::new(Notification::new(bus))),
        }
    }
}

/// A doorkeeper that another process stands behind.
pub(super) struct RemoteDoorkeeper {
    calls: Calls<Ask, Told>,
    next: AtomicU64,
}

impl RemoteDoorkeeper {
    /// Asks through a helper that has been told how it asks, and those that follow it. Starts no thread.
    pub(super) fn over(line: Line) -> Self {
        RemoteDoorkeeper { calls: Calls::new(line), next: AtomicU64::new(0) }
    }

    /// From here on the helper's end is noticed: starts a thread.
    pub(super) fn watch(&self) -> Result<(), AppError> {
        self.calls.watch().map_err(AppError::failed)
    }
}

/// An open question, taken back on drop.
struct Open<'a>(&'a RemoteDoorkeeper, u64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.calls.tell(Ask::TakeBack { question: self.1 });
    }
}

impl Doorkeeper for RemoteDoorkeeper {
    fn ask<'a>(&'a self, knock: &'a Knock) -> Asking<'a> {
        Box::pin(async move {
            let open = Open(self, self.next.fetch_add(1, Ordering::Relaxed));
            let asked = self.calls.ask(Ask::Knock { question: open.1, knock: knock.clone() });
            match asked.await.map_err(io::Error::other)?.0 {
                Told::Accept => Ok(Said::Accept),
                Told::Refuse => Ok(Said::Refuse),
                Told::Nobody => Ok(Said::Nobody),
                Told::Failed(why) => Err(io::Error::other(why)),
            }
        })
    }
}

/// Asks as the first message says, for each question, until the server ends.
///
/// # Errors
/// When this process was not started by a server, or is told what it does not understand.
pub fn run_hooks(socket: UnixStream) -> Result<(), AppError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::failed)?;
    match runtime.block_on(answer(socket)) {
        Ok(()) | Err(WireError::Closed) => Ok(()),
        Err(error) => Err(AppError::Failed(format!("hook-helper: {error}"))),
    }
}

async fn answer(socket: UnixStream) -> Result<(), WireError> {
    let (mut sender, mut receiver) = wire::async_ends(socket)?;
    let (asker, _) = receiver.receive::<Asker>().await?;
    let Some(doorkeeper) = asker.doorkeeper() else { return Ok(()) };
    let (done, mut answers) = mpsc::channel::<Numbered<Told>>(MOST_OPEN);
    let mut open: HashMap<u64, AbortHandle> = HashMap::new();
    loop {
        let asked = tokio::select! {
            asked = receiver.receive::<Numbered<Ask>>() => asked,
            Some(answer) = answers.recv() => {
                sender.send(&answer, &[]).await?;
                continue;
            }
        };
        let Numbered { id, body } = match asked {
            Ok((asked, _)) => asked,
            Err(error) => {
                // commands that run are ended with what they started, and notifications taken away
                open.into_values().for_each(|running| running.abort());
                tokio::task::yield_now().await;
                return Err(error);
            }
        };
        match body {
            Ask::Knock { question, knock } => {
                open.retain(|_, running| !running.is_finished());
                if open.len() >= MOST_OPEN || open.contains_key(&question) {
                    let body = Told::Failed("too many questions are open".into());
                    sender.send(&Numbered { id, body }, &[]).await?;
                    continue;
                }
                let (doorkeeper, done) = (Arc::clone(&doorkeeper), done.clone());
                let ask = async move {
                    let body = match doorkeeper.ask(&knock).await {
                        Ok(Said::Accept) => Told::Accept,
                        Ok(Said::Refuse) => Told::Refuse,
                        Ok(Said::Nobody) => Told::Nobody,
                        Err(error) => Told::Failed(error.to_string()),
                    };
                    // nobody listens in the end
                    let _ = done.send(Numbered { id, body }).await;
                };
                open.insert(question, tokio::spawn(ask).abort_handle());
            }
            Ask::TakeBack { question } => {
                if let Some(running) = open.remove(&question) {
                    running.abort();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn knock() -> Knock {
        Knock {
            id: 5,
            user: "alice".into(),
            peer: "192.0.2.1:5".into(),
            listener: "127.0.0.1:5900".into(),
            security: "None (1)".into(),
            phrase: None,
            disconnects: 0,
            seconds: 30,
        }
    }

    fn started(asker: &Asker) -> RemoteDoorkeeper {
        let (ours, its) = UnixStream::pair().unwrap();
        std::thread::spawn(move || run_hooks(its).unwrap());
        wire::ends(ours.try_clone().unwrap()).0.send(asker, &[]).unwrap();
        RemoteDoorkeeper::over(Line::once("farpane-hook", ours))
    }

    fn shell(script: &str) -> RemoteDoorkeeper {
        started(&Asker::Command(vec!["sh".into(), "-c".into(), script.into()]))
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn the_command_s_answer_comes_back() {
        for (script, said) in
            [(r#"grep -q '"user":"alice"'"#, Said::Accept), ("exit 1", Said::Refuse), ("exit 2", Said::Nobody)]
        {
            let doorkeeper = shell(script);
            assert_eq!(run(doorkeeper.ask(&knock())).unwrap(), said, "{script}");
        }
        let missing = started(&Asker::Command(vec!["/nonexistent/hook".into()]));
        assert!(run(missing.ask(&knock())).unwrap_err().to_string().contains("/nonexistent/hook"));
    }

    #[test]
    fn a_question_that_is_taken_back_ends_the_command() {
        let path = std::env::temp_dir().join(format!("farpane-doorkeeper-{}", std::process::id()));
        let script = format!("echo $$ >{0}.new; mv {0}.new {0}; sleep 600", path.display());
        let doorkeeper = shell(&script);
        let end = Instant::now() + Duration::from_secs(20);
        let pid = run(async {
            let knock = knock();
            let mut asking = doorkeeper.ask(&knock);
            loop {
                tokio::select! {
                    said = &mut asking => panic!("{said:?}"),
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
                if let Ok(text) = std::fs::read_to_string(&path) {
                    break text.trim().to_owned();
                }
                assert!(Instant::now() < end, "the hook did not start");
            }
        });
        let stat = format!("/proc/{pid}/stat");
        while std::fs::read_to_string(&stat).is_ok_and(|s| !s.contains(") Z ")) {
            assert!(Instant::now() < end, "{pid} still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::remove_file(path).unwrap();
    }
}
