//! The process that opens: it carries out [`OpenRequest`]s and passes descriptors back.
//!
//! It reads no byte of the network and was told at its start, before anybody could connect, exactly what it may be asked
//! for. Every request that is not in that list is refused: the process that asks may have been taken over by then.
//! It also removes the files of Unix sockets when the server ends, however it ends: the server itself may remove nothing.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::calls::{CallError, Calls, Line, Numbered};
use super::opener::{InProcess, OpenRequest, Opener, OpenerError};
use super::wire::{self, Sender, WireError};

/// What opening something may take: an X server far away may not answer.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// What removing a few files may take.
const RELEASE_LIMIT: Duration = Duration::from_millis(500);
/// What the first message may take.
const SETUP_LIMIT: Duration = Duration::from_secs(10);
/// Requests that are carried out at once.
const MOST_AT_ONCE: usize = 16;

/// What a helper may be asked for: its first message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Requests that it carries out; it refuses all others.
    pub allowed: Vec<OpenRequest>,
    /// Unix sockets that it may remove.
    pub sockets: Vec<PathBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Ask {
    /// Open this.
    Open(OpenRequest),
    /// The socket at this path is the server's: remove it in the end.
    Keep(PathBuf),
    /// The server ends: remove sockets now.
    Release,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Told {
    /// Here is its descriptor.
    Opened,
    /// The system refused.
    Failed { what: String, code: Option<i32>, text: String },
    /// It may not be opened.
    NotAllowed,
    /// It cannot exist.
    DisplayNumber(u16),
    /// That is done.
    Done,
}

/// The file of a socket, as it was when the server said that it is its own.
struct Socket {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Socket {
    fn at(path: PathBuf) -> Option<Self> {
        let meta = std::fs::symlink_metadata(&path).ok().filter(|meta| meta.file_type().is_socket())?;
        Some(Socket { path, device: meta.dev(), inode: meta.ino() })
    }

    fn remove(self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|m| m.dev() == self.device && m.ino() == self.inode) {
            // nothing is lost if it stays: the next server sees that nobody answers and replaces it
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn told(result: Result<OwnedFd, OpenerError>) -> (Told, Option<OwnedFd>) {
    match result {
        Ok(fd) => (Told::Opened, Some(fd)),
        Err(OpenerError::Io { what, source }) => {
            (Told::Failed { what, code: source.raw_os_error(), text: source.to_string() }, None)
        }
        Err(OpenerError::DisplayNumber(number)) => (Told::DisplayNumber(number), None),
        Err(OpenerError::NotAllowed(_) | OpenerError::Helper(..)) => (Told::NotAllowed, None),
    }
}

fn answer(sender: &Mutex<Sender>, id: u64, body: Told, fd: Option<OwnedFd>) {
    let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
    // the server is gone where this fails, which the next receive tells
    let _ = sender.lock().unwrap_or_else(PoisonError::into_inner).send(&Numbered { id, body }, &fds);
}

/// Does the helper's work until the other end closes.
///
/// # Errors
/// When the other end says what nobody understands.
pub fn serve(socket: UnixStream) -> Result<(), WireError> {
    let (sender, mut receiver) = wire::ends(socket);
    let (setup, _) = receiver.receive::<Setup>(Some(SETUP_LIMIT))?;
    let sender = Arc::new(Mutex::new(sender));
    let busy = Arc::new(AtomicUsize::new(0));
    let mut sockets: Vec<Socket> = Vec::new();
    let ended = loop {
        let (id, ask) = match receiver.receive::<Numbered<Ask>>(None) {
            Ok((Numbered { id, body }, _)) => (id, body),
            Err(WireError::Closed) => break Ok(()),
            Err(error) => break Err(error),
        };
        match ask {
            Ask::Open(request) if !setup.allowed.contains(&request) => answer(&sender, id, Told::NotAllowed, None),
            Ask::Open(request) => open(&sender, &busy, id, request),
            Ask::Keep(path) if setup.sockets.contains(&path) => {
                sockets.retain(|socket| socket.path != path);
                sockets.extend(Socket::at(path));
                answer(&sender, id, Told::Done, None);
            }
            Ask::Keep(_) => answer(&sender, id, Told::NotAllowed, None),
            Ask::Release => {
                sockets.drain(..).for_each(Socket::remove);
                answer(&sender, id, Told::Done, None);
            }
        }
    };
    sockets.into_iter().for_each(Socket::remove);
    ended
}

/// Carries out one request beside the others: a display far away may take its time.
fn open(sender: &Arc<Mutex<Sender>>, busy: &Arc<AtomicUsize>, id: u64, request: OpenRequest) {
    let refuse = |what: String, kind: io::ErrorKind| {
        let source = io::Error::from(kind);
        let (body, fd) = told(Err(OpenerError::Io { what, source }));
        answer(sender, id, body, fd);
    };
    if busy.fetch_add(1, Ordering::Relaxed) >= MOST_AT_ONCE {
        busy.fetch_sub(1, Ordering::Relaxed);
        return refuse(request.to_string(), io::ErrorKind::ResourceBusy);
    }
    let what = request.to_string();
    let (theirs, counted) = (Arc::clone(sender), Arc::clone(busy));
    let run = move || {
        let (body, fd) = told(InProcess.open(&request));
        answer(&theirs, id, body, fd);
        counted.fetch_sub(1, Ordering::Relaxed);
    };
    if std::thread::Builder::new().spawn(run).is_err() {
        busy.fetch_sub(1, Ordering::Relaxed);
        refuse(what, io::ErrorKind::OutOfMemory);
    }
}

/// Opens through a helper process.
pub struct RemoteOpener {
    calls: Arc<Calls<Ask, Told>>,
    /// Files of sockets that the helper removes in the end.
    kept: Arc<Mutex<Vec<PathBuf>>>,
}

fn keep(calls: &Calls<Ask, Told>, path: &Path) {
    if let Err(error) = calls.call(Ask::Keep(path.to_owned()), RELEASE_LIMIT) {
        tracing::warn!(path = %path.display(), %error, "the socket will stay when the server ends");
    }
}

impl RemoteOpener {
    /// Tells a helper that was just started what it may open. It is not started again.
    ///
    /// # Errors
    /// When the helper is gone.
    pub fn start(socket: UnixStream, setup: &Setup) -> Result<Self, WireError> {
        wire::ends(socket.try_clone()?).0.send(setup, &[])?;
        Ok(Self::over(Line::once("farpane-open", socket)))
    }

    /// Opens through a helper that has been told what it may open, and through those that follow it.
    pub fn over(line: Line) -> Self {
        RemoteOpener { calls: Arc::new(Calls::new(line)), kept: Arc::default() }
    }

    /// From here on the helper's end is noticed: starts a thread.
    ///
    /// # Errors
    /// When there are no threads left.
    pub fn watch(&self) -> Result<(), CallError> {
        // the calls' own thread must not keep them
        let (calls, kept) = (Arc::downgrade(&self.calls), Arc::clone(&self.kept));
        self.calls.when_again(move || {
            let paths = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(calls) = calls.upgrade() {
                paths.iter().for_each(|path| keep(&calls, path));
            }
        });
        self.calls.watch()
    }

    /// Has the helper remove the Unix socket at `path`, which is the server's, when the server ends.
    pub fn keep(&self, path: &Path) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        keep(&self.calls, path);
    }

    /// Has sockets removed now, since the server ends.
    pub fn release(&self) {
        if let Err(error) = self.calls.call(Ask::Release, RELEASE_LIMIT) {
            tracing::debug!(%error, "sockets are not removed yet");
        }
    }
}

impl Opener for RemoteOpener {
    fn open(&self, request: &OpenRequest) -> Result<OwnedFd, OpenerError> {
        let what = || request.to_string();
        let helper = |error| OpenerError::Helper(what(), error);
        let (answer, fds) = self.calls.call(Ask::Open(request.clone()), OPEN_LIMIT).map_err(helper)?;
        let count = fds.len();
        match (answer, fds.into_iter().next()) {
            (Told::Opened, Some(fd)) if count == 1 => Ok(fd),
            (Told::Opened | Told::Done, _) => Err(helper(CallError::Wire(WireError::Descriptors(count, 1)))),
            (Told::Failed { what, code, text }, _) => {
                let source = code.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error);
                Err(OpenerError::Io { what, source })
            }
            (Told::NotAllowed, _) => Err(OpenerError::NotAllowed(what())),
            (Told::DisplayNumber(number), _) => Err(OpenerError::DisplayNumber(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::DisplayAddress;
    use std::io::Read;
    use std::os::unix::net::UnixListener;
    use std::thread::JoinHandle;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("farpane-open-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a folder");
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn helper(setup: &Setup) -> (RemoteOpener, JoinHandle<Result<(), WireError>>) {
        let (ours, its) = UnixStream::pair().expect("a socket");
        let helper = std::thread::spawn(move || serve(its));
        (RemoteOpener::start(ours, setup).expect("starts"), helper)
    }

    #[test]
    fn what_is_in_the_list_is_opened_and_nothing_else() {
        let scratch = Scratch::new("list");
        let path = scratch.0.join("trace");
        std::fs::write(&path, "pixels").expect("a file");
        let listener = UnixListener::bind(scratch.0.join("X1")).expect("a socket");
        let display = OpenRequest::Display(DisplayAddress::Unix(scratch.0.join("X1")));
        let setup = Setup { allowed: vec![OpenRequest::Trace(path.clone()), display.clone()], ..Setup::default() };
        let (opener, helper) = helper(&setup);
        let mut text = String::new();
        let fd = opener.open(&OpenRequest::Trace(path.clone())).expect("is allowed");
        std::fs::File::from(fd).read_to_string(&mut text).expect("readable");
        assert_eq!(text, "pixels");
        drop(opener.open(&display).expect("is allowed"));
        listener.accept().expect("was connected");
        for other in [
            OpenRequest::Trace("/etc/passwd".into()),
            OpenRequest::XAuthority(path.clone()),
            OpenRequest::Trace(scratch.0.join("./trace/../trace")),
            OpenRequest::Display(DisplayAddress::Tcp { host: "127.0.0.1".into(), number: 0 }),
        ] {
            assert!(matches!(opener.open(&other), Err(OpenerError::NotAllowed(_))), "{other}");
        }
        drop(opener);
        helper.join().expect("ends").expect("by itself");
    }

    #[test]
    fn what_the_system_says_is_the_same_as_in_one_process() {
        let missing = OpenRequest::Trace("/nonexistent/desk".into());
        let far = OpenRequest::Display(DisplayAddress::Tcp { host: "127.0.0.1".into(), number: 59536 });
        let (opener, _helper) = helper(&Setup { allowed: vec![missing.clone(), far.clone()], ..Setup::default() });
        for request in [missing, far] {
            let here = InProcess.open(&request).expect_err("cannot be").to_string();
            assert_eq!(opener.open(&request).expect_err("cannot be").to_string(), here);
        }
    }

    #[test]
    fn sockets_are_removed_in_the_end_if_they_are_the_server_s() {
        for end in [RemoteOpener::release, |_: &RemoteOpener| {}] {
            let scratch = Scratch::new("sockets");
            let [ours, replaced, foreign] = ["ours", "replaced", "foreign"].map(|name| scratch.0.join(name));
            let _listeners = [&ours, &replaced, &foreign].map(|path| UnixListener::bind(path).expect("a socket"));
            let (opener, helper) = helper(&Setup { sockets: vec![ours.clone(), replaced.clone()], ..Setup::default() });
            for path in [&ours, &replaced, &foreign] {
                opener.keep(path);
            }
            // the old one's inode stays in use, so that the new one has another
            std::fs::rename(&replaced, scratch.0.join("old")).expect("moves");
            let _other = UnixListener::bind(&replaced).expect("a socket");
            end(&opener);
            drop(opener);
            helper.join().expect("ends").expect("by itself");
            assert_eq!([ours, replaced, foreign].map(|path| path.exists()), [false, true, true]);
        }
    }

    #[test]
    fn without_its_helper_an_opener_says_so() {
        let (ours, its) = UnixStream::pair().expect("a socket");
        let opener = RemoteOpener::start(ours, &Setup::default()).expect("starts");
        drop(its);
        let said = opener.open(&OpenRequest::Trace("/t".into())).expect_err("nobody there").to_string();
        assert!(said.starts_with("/t: cannot be opened: "), "{said}");
    }

    #[test]
    fn a_helper_that_is_told_nonsense_ends_with_an_error() {
        for nonsense in ["{\"allowed\":[]}", "7", "{\"allowed\":[],\"sockets\":[],\"more\":1}"] {
            let (ours, its) = UnixStream::pair().expect("a socket");
            let value: serde_json::Value = serde_json::from_str(nonsense).expect("JSON");
            wire::ends(ours).0.send(&value, &[]).expect("sends");
            assert!(matches!(serve(its), Err(WireError::Content(..))), "{nonsense}");
        }
    }
}
