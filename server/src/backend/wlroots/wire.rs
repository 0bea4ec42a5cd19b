//! A connection to a compositor for what is not pictures: its globals, and waiting for it beside other descriptors.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use farpane_engine::capture::wayland::Connection;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wayland_client::backend::WaylandError as BackendError;
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::{Dispatch, EventQueue, Proxy, QueueHandle};

/// How long a compositor may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The compositor is gone, or did not like a request.
    #[error("{0}")]
    Gone(String),
    /// It takes the connection and says nothing.
    #[error("the compositor does not answer within {} s", PATIENCE.as_secs())]
    Silent,
}

/// One thing that a compositor offers.
#[derive(Debug)]
pub struct Global {
    number: u32,
    interface: String,
    version: u32,
}

/// Everything that it offers.
pub type Globals = Arc<Mutex<Vec<Global>>>;
/// Whether it has worked off what was asked.
pub type Answered = Arc<AtomicBool>;

/// Takes what belongs to every connection: globals and answers.
pub struct Plumbing;

/// A connection and the queue of its events.
pub struct Wire<S: 'static> {
    connection: Connection,
    queue: EventQueue<S>,
    registry: WlRegistry,
    globals: Globals,
}

fn gone(error: &dyn std::fmt::Display) -> WireError {
    WireError::Gone(error.to_string())
}

impl<S> Wire<S>
where
    S: Dispatch<WlRegistry, Globals> + Dispatch<WlCallback, Answered> + 'static,
{
    /// Asks what the compositor offers.
    ///
    /// # Errors
    /// When it is gone or does not answer.
    pub fn open(connection: Connection, state: &mut S) -> Result<Self, WireError> {
        let queue = connection.new_event_queue();
        let globals = Globals::default();
        let registry = connection.display().get_registry(&queue.handle(), Arc::clone(&globals));
        let mut wire = Self { connection, queue, registry, globals };
        wire.round_trip(state)?;
        Ok(wire)
    }

    /// Makes use of a global, in the newest version that both sides know.
    pub fn bind<I, U>(&self, known: u32, data: U) -> Option<I>
    where
        I: Proxy + 'static,
        U: Send + Sync + 'static,
        S: Dispatch<I, U>,
    {
        let interface = I::interface();
        let globals = self.globals.lock().unwrap_or_else(PoisonError::into_inner);
        let global = globals.iter().find(|g| g.interface == interface.name)?;
        let version = global.version.min(known).min(interface.version).max(1);
        Some(self.registry.bind(global.number, version, &self.handle(), data))
    }

    /// What new objects are made with.
    pub fn handle(&self) -> QueueHandle<S> {
        self.queue.handle()
    }

    /// Waits until the compositor has worked off everything that was asked of it.
    ///
    /// # Errors
    /// When it is gone or does not answer.
    pub fn round_trip(&mut self, state: &mut S) -> Result<(), WireError> {
        let answered = Answered::default();
        let _callback = self.connection.display().sync(&self.handle(), Arc::clone(&answered));
        let end = Instant::now() + PATIENCE;
        loop {
            self.dispatch(state)?;
            if answered.load(Ordering::Relaxed) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(WireError::Silent);
            }
            self.wait(&[], Some(end))?;
        }
    }

    /// Works off the events that are here.
    ///
    /// # Errors
    /// When the compositor is gone.
    pub fn dispatch(&mut self, state: &mut S) -> Result<(), WireError> {
        self.queue.dispatch_pending(state).map(drop).map_err(|e| gone(&e))
    }

    /// Sends what is to be sent and sleeps until the compositor says something, one of the others is ready, or it is time.
    ///
    /// # Errors
    /// When the compositor is gone.
    pub fn wait(&mut self, others: &[PollFd<'_>], until: Option<Instant>) -> Result<(), WireError> {
        let mut flags = PollFlags::IN;
        match self.queue.flush() {
            Ok(()) => {}
            Err(BackendError::Io(e)) if e.kind() == ErrorKind::WouldBlock => flags |= PollFlags::OUT,
            Err(e) => return Err(gone(&e)),
        }
        let Some(guard) = self.queue.prepare_read() else { return Ok(()) };
        let left = until.map(|t| t.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|d| Timespec::try_from(d).ok());
        let mut fds = Vec::with_capacity(others.len() + 1);
        fds.push(PollFd::from_borrowed_fd(guard.connection_fd(), flags));
        fds.extend_from_slice(others);
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(gone(&e)),
        }
        let speaks = fds.first().is_some_and(|fd| !(fd.revents() & !PollFlags::OUT).is_empty());
        drop(fds);
        if !speaks {
            return Ok(());
        }
        match guard.read() {
            Ok(_) => Ok(()),
            Err(BackendError::Io(e)) if e.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(gone(&e)),
        }
    }

    /// Sends everything, however slowly the compositor takes it.
    ///
    /// # Errors
    /// When the compositor is gone or takes nothing for [`PATIENCE`].
    pub fn send(&mut self) -> Result<(), WireError> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.queue.flush() {
                Ok(()) => return Ok(()),
                Err(BackendError::Io(e)) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(gone(&e)),
            }
            if Instant::now() >= end {
                return Err(WireError::Silent);
            }
            self.wait(&[], Some(end))?;
        }
    }
}

impl<S> Dispatch<WlRegistry, Globals, S> for Plumbing
where
    S: Dispatch<WlRegistry, Globals>,
{
    fn event(
        _: &mut S,
        _: &WlRegistry,
        event: wl_registry::Event,
        globals: &Globals,
        _: &Connection,
        _: &QueueHandle<S>,
    ) {
        let mut globals = globals.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            wl_registry::Event::Global { name, interface, version } => {
                globals.push(Global { number: name, interface, version });
            }
            wl_registry::Event::GlobalRemove { name } => globals.retain(|g| g.number != name),
            _ => {}
        }
    }
}

impl<S> Dispatch<WlCallback, Answered, S> for Plumbing
where
    S: Dispatch<WlCallback, Answered>,
{
    fn event(
        _: &mut S,
        _: &WlCallback,
        _: wl_callback::Event,
        answered: &Answered,
        _: &Connection,
        _: &QueueHandle<S>,
    ) {
        answered.store(true, Ordering::Relaxed);
    }
}
