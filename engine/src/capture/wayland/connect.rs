//! Reaching a compositor over a socket that somebody else has connected, and asking what it offers.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wayland_client::backend::WaylandError as BackendError;
use wayland_client::protocol::{wl_callback, wl_registry};
use wayland_client::{Connection, Dispatch, EventQueue, Proxy, QueueHandle};

use super::{Offers, WaylandError};

/// How long a compositor may take for its first answers.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Speaks to a compositor over a connected socket.
///
/// # Errors
/// When the descriptor cannot be used.
pub fn connect_over(socket: OwnedFd) -> Result<Connection, WaylandError> {
    Connection::from_socket(UnixStream::from(socket)).map_err(|e| WaylandError::Gone(e.to_string()))
}

/// Asks what a compositor offers. One round trip.
///
/// # Errors
/// When the compositor is gone or does not answer.
pub fn offers(connection: &Connection) -> Result<Offers, WaylandError> {
    let mut queue = connection.new_event_queue::<Asking>();
    let _registry = connection.display().get_registry(&queue.handle(), ());
    let mut asking = Asking(Offers::default());
    round_trip(connection, &mut queue, &mut asking)?;
    Ok(asking.0)
}

struct Asking(Offers);

impl Dispatch<wl_registry::WlRegistry, ()> for Asking {
    fn event(
        state: &mut Self,
        _: &wl_registry::WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_registry::Event::Global { interface, version, .. } = event {
            let known = state.0.interfaces.entry(interface).or_default();
            *known = version.max(*known);
        }
    }
}

/// What a round trip's answer sets.
#[derive(Debug, Default)]
pub(super) struct Answered(AtomicBool);

impl<State> Dispatch<wl_callback::WlCallback, Arc<Answered>, State> for Answered
where
    State: Dispatch<wl_callback::WlCallback, Arc<Answered>>,
{
    fn event(
        _: &mut State,
        _: &wl_callback::WlCallback,
        _: wl_callback::Event,
        answered: &Arc<Answered>,
        _: &Connection,
        _: &QueueHandle<State>,
    ) {
        answered.0.store(true, Ordering::Relaxed);
    }
}

wayland_client::delegate_dispatch!(Asking: [wl_callback::WlCallback: Arc<Answered>] => Answered);

/// Waits until the compositor has worked off everything that was asked of it, at most [`PATIENCE`].
pub(super) fn round_trip<State>(
    connection: &Connection,
    queue: &mut EventQueue<State>,
    state: &mut State,
) -> Result<(), WaylandError>
where
    State: Dispatch<wl_callback::WlCallback, Arc<Answered>> + 'static,
{
    let answered = Arc::new(Answered::default());
    let _callback = connection.display().sync(&queue.handle(), Arc::clone(&answered));
    let end = Instant::now() + PATIENCE;
    let gone = |e: &dyn std::fmt::Display| WaylandError::Gone(e.to_string());
    loop {
        queue.dispatch_pending(state).map_err(|e| gone(&e))?;
        if answered.0.load(Ordering::Relaxed) {
            return Ok(());
        }
        match queue.flush() {
            Ok(()) => {}
            Err(BackendError::Io(e)) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(gone(&e)),
        }
        let Some(guard) = queue.prepare_read() else { continue };
        let left = end.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::from_borrowed_fd(guard.connection_fd(), PollFlags::IN)];
        match poll(&mut fds, Timespec::try_from(left).ok().as_ref()) {
            Ok(0) if left.is_zero() => return Err(WaylandError::Silent(PATIENCE)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(gone(&e)),
        }
        match guard.read() {
            Ok(_) => {}
            Err(BackendError::Io(e)) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(gone(&e)),
        }
        if Instant::now() >= end {
            return Err(WaylandError::Silent(PATIENCE));
        }
    }
}

/// The version to bind of what is offered, at most the one that is known here.
pub(super) fn at_most<I: Proxy>(offered: u32, known: u32) -> u32 {
    offered.min(known).min(I::interface().version).max(1)
}
