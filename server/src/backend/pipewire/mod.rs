//! A PipeWire stream as a desktop of one output: no input, no clipboard. Also what the portal's backend shares with it.
//!
//! The socket comes from the opener; libpipewire's plugins are loaded when the backend is opened and never later, so a shut-in
//! server needs only the library's own folder ([`library_folders`]) until then. A node's number means nothing once the node or
//! PipeWire itself is gone: the backend then stays lost, and says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farpane_engine::capture::pipewire::{PipeWire, PipeWireError, Remote, Stream, StreamEvent, StreamSpec};
use farpane_engine::frame::DmaBufs;
use farpane_engine::geometry::{Point, Size};

use super::{Backend, BackendEvent, Events, Layout, LayoutOutput, OutputId, ResizeAnswer};
use crate::clipboard::Clipboard;
use crate::helper::{OpenRequest, Opener, OpenerError};
use crate::input::InputSink;

/// How long a source may take until its picture's size is known.
pub(super) const SIZE_KNOWN: Duration = Duration::from_secs(10);

/// A node and where PipeWire listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// PipeWire's socket.
    pub socket: PathBuf,
    /// The node's number.
    pub node: u32,
}

/// Why a stream cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum PipeWireOpenError {
    /// Nobody listens.
    #[error("no PipeWire at {socket}: {source}; start it, or set PIPEWIRE_REMOTE", socket = .0.display(), source = .1)]
    Socket(PathBuf, OpenerError),
    /// PipeWire or the node refuses.
    #[error(transparent)]
    PipeWire(#[from] PipeWireError),
}

/// A stream as a desktop.
pub struct PipeWireBackend {
    node: u32,
    // dropped in this order
    _stream: Stream,
    _remote: Remote,
    _pipewire: PipeWire,
}

impl PipeWireBackend {
    /// Connects and waits until the picture's size is known.
    ///
    /// # Errors
    /// When PipeWire is not there, or the node gives no pictures.
    pub fn open(
        target: &Target,
        opener: &dyn Opener,
        dma_bufs: DmaBufs,
        events: Events,
    ) -> Result<Self, PipeWireOpenError> {
        let socket = opener
            .open(&OpenRequest::PipeWire(target.socket.clone()))
            .map_err(|error| PipeWireOpenError::Socket(target.socket.clone(), error))?;
        let node = target.node;
        let pipewire = PipeWire::start()?;
        let remote = pipewire.connect(socket, Box::new(|_| {}))?;
        remote.find(node)?;
        let name = format!("pipewire-{node}");
        let open = |dma_bufs| {
            let spec = StreamSpec { node, name: name.clone(), virtual_size: None, dma_bufs };
            let (tell, name) = (events.clone(), name.clone());
            let taken = Arc::new(AtomicBool::new(false));
            let known = Arc::clone(&taken);
            let told = move |event| {
                // the end of a stream that was not taken is an error, and no loss
                if known.load(Ordering::Acquire) || !matches!(event, StreamEvent::Lost(_)) {
                    tell_all(&tell, &name, node, event);
                }
            };
            let stream = remote.open(spec, Box::new(told));
            let size = stream.wait(SIZE_KNOWN)?;
            taken.store(true, Ordering::Release);
            Ok::<_, PipeWireError>((stream, size))
        };
        let asked = !dma_bufs.is_none();
        let (stream, size) = match open(dma_bufs) {
            Err(error) if asked => {
                tracing::warn!(%error, "no dma-bufs: shared memory is asked for");
                open(DmaBufs::None)?
            }
            done => done?,
        };
        for event in [
            BackendEvent::OutputAdded(OutputId(0), Box::new(stream.source())),
            BackendEvent::LayoutChanged(one_output(&format!("pipewire-{node}"), size)),
            BackendEvent::Leds(0),
        ] {
            let _ = events.send(event);
        }
        Ok(Self { node, _stream: stream, _remote: remote, _pipewire: pipewire })
    }
}

/// Hands on what a stream tells.
fn tell_all(events: &Events, name: &str, node: u32, event: StreamEvent) {
    let side = |v: i32| v.clamp(0, i32::from(u16::MAX)) as u16;
    let event = match event {
        StreamEvent::Size(size) => BackendEvent::LayoutChanged(one_output(name, size)),
        StreamEvent::Cursor(image) => BackendEvent::Cursor(image),
        StreamEvent::Pointer(x, y) => BackendEvent::PointerMoved(Point::new(side(x), side(y))),
        StreamEvent::Lost(reason) => BackendEvent::Lost(format!(
            "PipeWire node {node}: {reason}; share another node, or start its source and farpane anew"
        )),
    };
    let _ = events.send(event);
}

fn one_output(name: &str, size: Size) -> Layout {
    Layout { size, outputs: vec![LayoutOutput { id: OutputId(0), name: name.to_owned(), rect: size.rect() }] }
}

impl Backend for PipeWireBackend {
    fn name(&self) -> String {
        format!("pipewire {}", self.node)
    }

    fn input(&self) -> Option<std::sync::Arc<dyn InputSink>> {
        None
    }

    fn clipboard(&self) -> Option<std::sync::Arc<dyn Clipboard>> {
        None
    }

    fn resize(&self, _layout: &Layout) -> ResizeAnswer {
        ResizeAnswer::Prohibited
    }

    fn watch(&self, _watched: bool) {
        // a stream stops by itself when nobody takes its pictures
    }
}

/// Folders that libpipewire loads its plugins from, and what the loader reads to find what these need: the server must be able to
/// read them until the desktop is open. `maps` is this process's list of mapped files.
pub fn library_folders(maps: &str) -> Vec<PathBuf> {
    let library = maps
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(5))
        .find(|file| file.contains("/libpipewire-0.3.so"));
    let folder = library.and_then(|file| Path::new(file).parent());
    let cache = Path::new("/etc/ld.so.cache");
    folder.into_iter().chain(folder.and(Some(cache))).filter(|path| path.exists()).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_s_folder_is_found_among_what_is_mapped() {
        let maps = "7f00-7f01 r--p 00000000 00:00 0\n\
                    7f02-7f03 r-xp 00001000 08:01 77   /proc/self/libpipewire-0.3.so.0.365.0\n";
        let found = library_folders(maps);
        assert_eq!(found.first(), Some(&PathBuf::from("/proc/self")));
        assert!(library_folders("7f00-7f01 r--p 00000000 08:01 3 /usr/lib/libc.so.6\n").is_empty());
    }
}
