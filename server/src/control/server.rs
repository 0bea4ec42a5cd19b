//! The server's end of the control socket.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Done, MAX_LINE, Reply, Request};
use crate::helper::folder::{self, FolderError, Others};
use crate::session::{ClientId, Hub};

/// Connections at once; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 8;

/// A whole line must have come, and an answer be taken, within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The folder is open to others.
    #[error("control socket: {0}")]
    Folder(#[from] FolderError),
    /// Another server has it, or something else stands there.
    #[error("control socket {0}: in use, or no socket")]
    Taken(PathBuf),
    /// The system refuses.
    #[error("control socket {0}: {1}")]
    Io(PathBuf, io::Error),
}

/// A control socket that listens and that nobody accepts from yet. Its file goes when it is dropped.
#[derive(Debug)]
pub struct Bound {
    listener: std::os::unix::net::UnixListener,
    file: File,
}

/// The socket's file, removed on drop if it is still ours.
#[derive(Debug)]
struct File {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Drop for File {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|m| m.dev() == self.device && m.ino() == self.inode) {
            // one that stays is found dead by whoever comes next
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody answers on, and nothing else.
fn clear_stale(path: &Path) -> Result<(), BindError> {
    let taken = || BindError::Taken(path.to_owned());
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BindError::Io(path.to_owned(), error)),
        Ok(meta) if !meta.file_type().is_socket() => return Err(taken()),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| BindError::Io(path.to_owned(), error))
        }
        _ => Err(taken()),
    }
}

impl Bound {
    /// Opens the socket, and makes its folder where that is missing. Needs no runtime.
    ///
    /// # Errors
    /// One line that says what is in the way.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        folder::make(folder::of(path), Others::None)?;
        clear_stale(path)?;
        let open = || -> io::Result<Self> {
            let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
            socket.bind(&SockAddr::unix(path)?)?;
            // nobody can connect before listen, so nobody gets in before the mode is set
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            let meta = std::fs::symlink_metadata(path)?;
            let file = File { path: path.to_owned(), device: meta.dev(), inode: meta.ino() };
            socket.listen(BACKLOG)?;
            Ok(Bound { listener: std::os::fd::OwnedFd::from(socket).into(), file })
        };
        open().map_err(|error| BindError::Io(path.to_owned(), error))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Serves until `stopped` is true or nobody is left who could say so.
    pub async fn serve(self, hub: Arc<Hub>, mut stopped: watch::Receiver<bool>) {
        let Bound { listener, file } = self;
        let listener = match UnixListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(path = %file.path.display(), %error, "control socket cannot be served");
                return;
            }
        };
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                () = told(&mut stopped) => return,
                Some(_) = tasks.join_next() => {}
                accepted = listener.accept(), if tasks.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        tasks.spawn(connection(stream, Arc::clone(&hub)));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "control socket cannot accept");
                        // out of descriptors: those that are open have to go first
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }
}

/// Returns once `stop` is true, or nobody is left who could say so.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whether this user may not control the server.
pub(super) fn refuses(ours: u32, peer: Option<u32>) -> bool {
    peer.is_none_or(|uid| uid != ours && uid != 0)
}

async fn connection(stream: UnixStream, hub: Arc<Hub>) {
    let uid = stream.peer_cred().ok().map(|cred| cred.uid());
    if refuses(rustix::process::geteuid().as_raw(), uid) {
        tracing::warn!(?uid, "control connection of another user refused");
        return;
    }
    if let Err(error) = talk(stream, &hub, PATIENCE).await {
        tracing::debug!(%error, "control connection closed");
    }
}

/// Carries out requests until the peer is done.
pub(super) async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    hub: &Hub,
    patience: Duration,
) -> io::Result<()> {
    let mut input = BytesMut::new();
    loop {
        let line = match timely(patience, line(&mut stream, &mut input)).await? {
            Line::Whole(line) => line,
            Line::End => return Ok(()),
            Line::TooLong => {
                let error = Reply::Error(format!("request of more than {MAX_LINE} bytes"));
                return timely(patience, say(&mut stream, &[error])).await;
            }
        };
        match serde_json::from_slice::<Request>(&line) {
            Ok(request) => timely(patience, say(&mut stream, &carry_out(hub, request))).await?,
            Err(error) => {
                let error = Reply::Error(format!("no request: {error}"));
                return timely(patience, say(&mut stream, &[error])).await;
            }
        }
    }
}

async fn timely<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(patience, work).await.map_err(|_| io::ErrorKind::TimedOut)?
}

enum Line {
    Whole(BytesMut),
    End,
    TooLong,
}

/// Reads a line; what follows it stays in `input`.
async fn line(stream: &mut (impl AsyncRead + Unpin), input: &mut BytesMut) -> io::Result<Line> {
    loop {
        if let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            let mut line = input.split_to(end.saturating_add(1));
            line.truncate(end);
            return Ok(if end > MAX_LINE { Line::TooLong } else { Line::Whole(line) });
        }
        if input.len() > MAX_LINE {
            return Ok(Line::TooLong);
        }
        input.reserve(4096);
        if stream.read_buf(input).await? == 0 {
            return Ok(Line::End);
        }
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), replies: &[Reply]) -> io::Result<()> {
    let mut out = Vec::new();
    for reply in replies {
        serde_json::to_writer(&mut out, reply)?;
        out.push(b'\n');
    }
    stream.write_all(&out).await
}

/// What is asked for, done.
fn carry_out(hub: &Hub, request: Request) -> Vec<Reply> {
    tracing::debug!(?request, "control");
    let done = |sessions| Reply::Done(Done { sessions, shown: 0 });
    let one = |found: bool, id: u64, what: &str| {
        if found { done(1) } else { Reply::Error(format!("no {what} {id}")) }
    };
    vec![match request {
        Request::List {} => {
            let all = hub.sessions(Instant::now());
            let count = all.len();
            let lines = all.into_iter().map(|session| Reply::Session(Box::new(session)));
            return lines.chain([done(count)]).collect();
        }
        Request::Kick { id, reason } => {
            let found = hub.kick(ClientId(id), &reason) || hub.gate().answer(ClientId(id), false);
            one(found, id, "session")
        }
        Request::Message { id, text } => {
            let reached = hub.message(id.map(ClientId), &text);
            let sessions = reached.shown.saturating_add(reached.rung);
            match id {
                Some(id) if sessions == 0 => Reply::Error(format!("no session {id}")),
                _ => Reply::Done(Done { sessions, shown: reached.shown }),
            }
        }
        Request::Accept { id } => {
            one(hub.gate().answer(ClientId(id), true), id, "client that waits to be let in with number")
        }
        Request::Refuse { id } => {
            one(hub.gate().answer(ClientId(id), false), id, "client that waits to be let in with number")
        }
    }]
}
