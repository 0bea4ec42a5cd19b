//! Capture of a PipeWire stream: a compositor's screen (by the desktop portal), a virtual monitor, or any video source.
//!
//! One [`PipeWire`] is one thread with a loop; on it a [`Remote`] is one connection, over a socket that somebody else opened, and a
//! [`Stream`] one node's pictures. The newest picture waits until a pipeline takes it; those before it go back to their source
//! unread, and what they said has changed is added up. A picture in a sealed memfd is read where it lies, and its buffer given back
//! when the [`Frame`](crate::frame::Frame) is dropped; a file that could be cut while it is read would take the process down
//! (SIGBUS), so that one is copied with `pread`, which only comes up short.
//!
//! With nobody watching a stream is inactive: the source makes no pictures.
//! INVARIANT: what the source says (offset, stride, size, damage, pointer) is checked against what libpipewire negotiated before a byte
//! is read ([`place`](self), `meta`). Tested against real sources and a lying one (`tests/pipewire`).

mod ffi;
mod format;
mod meta;
mod place;
mod shared;
mod source;
mod stream;
mod thread;

use std::os::fd::OwnedFd;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::{Command, Commands, RemoteShared, Shared};
pub use source::PipeWireSource;

use crate::frame::{CursorImage, DmaBufs};
use crate::geometry::Size;

/// How long PipeWire may take to answer a new connection.
const ANSWER: Duration = Duration::from_secs(10);

/// Why nothing can be captured from PipeWire.
#[derive(Debug, thiserror::Error)]
pub enum PipeWireError {
    /// The library cannot be used.
    #[error("PipeWire cannot be used: {0}")]
    Library(String),
    /// Nobody answers on the socket.
    #[error("PipeWire: {0}")]
    Connection(String),
    /// There is no such node.
    #[error("no PipeWire node {node} that gives pictures ({}); see pw-cli list-objects Node", there(.nodes))]
    NoNode {
        /// What was asked for.
        node: u32,
        /// What there is: number and name.
        nodes: Vec<(u32, String)>,
    },
    /// The node gives no pictures that can be shown.
    #[error("PipeWire node {node}: {reason}")]
    Stream {
        /// The node.
        node: u32,
        /// Why.
        reason: String,
    },
}

fn there(nodes: &[(u32, String)]) -> String {
    if nodes.is_empty() {
        return "there is none".to_owned();
    }
    let each: Vec<String> = nodes.iter().map(|(id, name)| format!("{id} {name}")).collect();
    format!("there is {}", each.join(", "))
}

/// Which stream, and what of it.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// The node's number on its connection.
    pub node: u32,
    /// The name that users know the output by.
    pub name: String,
    /// The size that a virtual monitor is to have; none for what has a size of its own.
    pub virtual_size: Option<Size>,
    /// Which dma-bufs are asked for before shared memory.
    pub dma_bufs: DmaBufs,
}

/// What happens on a stream besides pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The picture has this size from now on; its source follows by itself.
    Size(Size),
    /// The pointer has another shape.
    Cursor(Arc<CursorImage>),
    /// The pointer is there, in pixels of the picture; it may be outside.
    Pointer(i32, i32),
    /// The stream ended, for good; why.
    Lost(String),
}

/// What a stream has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounters {
    /// Pictures that came.
    pub pictures: u64,
    /// Of these, pictures that a newer one replaced before anybody took them.
    pub skipped: u64,
    /// Buffers that held no picture: only the pointer moved.
    pub pointer_only: u64,
    /// Buffers whose picture could not be shown.
    pub refused: u64,
    /// Bytes that were copied before the compare; none for memory that is read where it lies.
    pub copied_bytes: u64,
}

/// The thread that talks to PipeWire. Dropping it ends all connections.
pub struct PipeWire {
    commands: Arc<Commands>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl PipeWire {
    /// Starts it. PipeWire's plugins are loaded here, and none later.
    ///
    /// # Errors
    /// When PipeWire's library lacks a module, or the system a thread.
    pub fn start() -> Result<Self, PipeWireError> {
        let library = |e: std::io::Error| PipeWireError::Library(e.to_string());
        let commands = Arc::new(Commands::new().map_err(library)?);
        let (begun, begins) = sync_channel(1);
        let mine = Arc::clone(&commands);
        let run = move || thread::run(&mine, &begun);
        let thread = std::thread::Builder::new().name("pipewire".into()).spawn(run).map_err(library)?;
        let begins = begins.recv().unwrap_or_else(|_| Err("its thread ended".into()));
        begins.map_err(PipeWireError::Library)?;
        Ok(Self { commands, thread: Some(thread) })
    }

    /// Connects over a socket: PipeWire's own, or one that the portal gave. `lost` is called once, from the loop's thread, when the
    /// connection ends; it must not wait.
    ///
    /// # Errors
    /// When PipeWire does not answer within ten seconds.
    pub fn connect(&self, socket: OwnedFd, lost: Box<dyn Fn(String) + Send + Sync>) -> Result<Remote, PipeWireError> {
        let shared = RemoteShared::new(lost);
        self.commands.send(Command::Connect { socket, remote: Arc::clone(&shared) });
        // made first, so that it is taken down again when nobody answers
        let remote = Remote { shared, commands: Arc::clone(&self.commands) };
        remote.shared.wait(Instant::now() + ANSWER).map_err(PipeWireError::Connection)?;
        Ok(remote)
    }
}

impl Drop for PipeWire {
    fn drop(&mut self) {
        self.commands.send(Command::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One connection. Dropping it ends its streams.
pub struct Remote {
    shared: Arc<RemoteShared>,
    commands: Arc<Commands>,
}

impl Remote {
    /// The nodes that give pictures: number and name.
    pub fn nodes(&self) -> Vec<(u32, String)> {
        self.shared.state().nodes.clone()
    }

    /// Whether a node is there that gives pictures, as far as this connection is told.
    ///
    /// # Errors
    /// When there is none; the text lists those that are there.
    pub fn find(&self, node: u32) -> Result<(), PipeWireError> {
        let nodes = self.nodes();
        let there = nodes.iter().any(|(id, _)| *id == node);
        there.then_some(()).ok_or(PipeWireError::NoNode { node, nodes })
    }

    /// Opens a stream; [`Stream::wait`] tells when its size is known. `events` is called from the loop's thread and must not wait.
    pub fn open(&self, spec: StreamSpec, events: Box<dyn Fn(StreamEvent) + Send + Sync>) -> Stream {
        let shared = Shared::new(spec, Arc::clone(&self.commands), events);
        self.commands.send(Command::Open { remote: self.shared.id, stream: Arc::clone(&shared) });
        Stream { shared, waited: Mutex::new(false) }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.commands.send(Command::Disconnect(self.shared.id));
    }
}

/// One node's pictures. Dropping it ends the stream; its sources then say that it is gone.
pub struct Stream {
    shared: Arc<Shared>,
    waited: Mutex<bool>,
}

impl Stream {
    /// Waits until the picture's size is known and has the source stop until somebody watches.
    ///
    /// # Errors
    /// When the node gives no picture that can be shown within `limit`, or is gone.
    pub fn wait(&self, limit: Duration) -> Result<Size, PipeWireError> {
        let node = self.shared.spec.node;
        let size = self.shared.wait(Instant::now() + limit).map_err(|reason| {
            let silent = || {
                let seconds = limit.as_secs();
                format!("agreed on no picture format within {seconds} s; it may be gone, give GPU buffers only, or no session manager links it")
            };
            PipeWireError::Stream { node, reason: reason.unwrap_or_else(silent) }
        })?;
        let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *waited, true) && self.shared.state().bell.is_none() {
            self.shared.commands.send(Command::Active(self.shared.id, false));
        }
        Ok(size)
    }

    /// The picture's size now; none before it is known.
    pub fn size(&self) -> Option<Size> {
        self.shared.state().size
    }

    /// A source of its pictures; one at a time.
    pub fn source(&self) -> PipeWireSource {
        PipeWireSource::new(Arc::clone(&self.shared))
    }

    /// Has a virtual monitor take another size; a [`StreamEvent::Size`] tells when it has.
    pub fn resize(&self, size: Size) {
        self.shared.commands.send(Command::Resize(self.shared.id, size));
    }

    /// What the stream has done so far.
    pub fn counters(&self) -> StreamCounters {
        self.shared.counted()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.lose("the stream was closed");
        self.shared.commands.send(Command::Close(self.shared.id));
    }
}
