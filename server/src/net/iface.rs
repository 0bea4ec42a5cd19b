//! Listening on an interface: on each of its addresses, as they come and go.
//!
//! The interface need not be there: it is waited for. The kernel tells of changes ([`super::rtnetlink`]); nothing is asked again and
//! again. Each socket is also bound to the interface itself, so that an address of it which is reached through another interface
//! (Linux answers for all its addresses on all its interfaces) does not lead here. Where netlink is refused, one socket for
//! every address is bound to the interface, which is looked for every two seconds.
//!
//! INVARIANT: when an address goes, its socket is closed and the connections that came through it are ended.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{AddressFamily, Shutdown, SocketType, shutdown, socket};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

use super::iface_name::IfaceName;
use super::rtnetlink::{LiveRoutes, Routes, index_of};

/// How long until a socket that could not be had is tried again, and until an interface is looked for where nobody tells.
const AGAIN: Duration = Duration::from_secs(2);

/// What opens a listening socket on an address, bound to an interface.
pub(super) type Open = fn(SocketAddr, IfaceName) -> io::Result<std::net::TcpListener>;

/// Sockets on what an interface has at the start; nobody accepts from them yet.
pub(super) struct IfaceBound {
    name: IfaceName,
    port: u16,
    open: Open,
    /// None where netlink is refused.
    routes: Option<Routes>,
    sockets: Vec<(SocketAddr, u32, std::net::TcpListener)>,
}

/// Sockets on every address of one interface.
pub(super) struct IfaceListener {
    name: IfaceName,
    port: u16,
    open: Open,
    state: Mutex<State>,
}

struct State {
    /// None where netlink is refused.
    routes: Option<LiveRoutes>,
    ears: Vec<Ear>,
    /// It was never looked since the start.
    new: bool,
    /// Who is asked first for a connection, so that nobody starves.
    first: usize,
    again: Option<Pin<Box<Sleep>>>,
    /// Addresses whose failure was told already.
    told: BTreeSet<SocketAddr>,
}

/// One socket.
struct Ear {
    at: SocketAddr,
    /// The interface's number: one that was removed and made again has another, and the socket would hear nothing.
    index: u32,
    socket: TcpListener,
    gone: watch::Sender<bool>,
}

impl Ear {
    fn new(at: SocketAddr, index: u32, socket: std::net::TcpListener, name: IfaceName) -> io::Result<Self> {
        let socket = TcpListener::from_std(socket)?;
        tracing::info!(interface = %name, address = %at, "listening on an address of the interface");
        Ok(Ear { at, index, socket, gone: watch::channel(false).0 })
    }

    fn end(self, name: IfaceName) {
        self.gone.send_replace(true);
        tracing::info!(interface = %name, address = %self.at, "the address went; not listening there");
    }
}

/// What ends a connection when the address that it came through goes.
#[derive(Default)]
pub(super) struct Tether(Option<Tie>);

struct Tie {
    socket: OwnedFd,
    peer: SocketAddr,
    gone: watch::Receiver<bool>,
}

impl Tether {
    /// Carries `connection` out to its end. When the address goes the socket is shut down below it, which it takes as the
    /// peer's going.
    pub(super) async fn hold<T>(self, connection: impl Future<Output = T>) -> T {
        let Some(Tie { socket, peer, mut gone }) = self.0 else { return connection.await };
        let mut connection = std::pin::pin!(connection);
        let went = async {
            if gone.wait_for(|gone| *gone).await.is_err() {
                // the listener ended and the address stays
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            done = &mut connection => return done,
            () = went => {}
        }
        // a socket that is closed already needs no shutting down
        let _ = shutdown(&socket, Shutdown::Both);
        let done = connection.await;
        tracing::info!(%peer, "connection ended: its address went");
        done
    }
}

impl IfaceBound {
    /// Listens on what the interface has by now, which may be nothing. Needs no runtime.
    ///
    /// # Errors
    /// When an address is there and its port is taken or needs rights.
    pub(super) fn bind(name: IfaceName, port: u16, open: Open) -> io::Result<Self> {
        let routes = Routes::open()
            .inspect_err(|error| {
                tracing::warn!(interface = %name, %error, "no netlink: the interface is looked for every 2 s");
            })
            .ok();
        let known = routes.as_ref().map_or_else(|| whole(name, port), |routes| routes.addresses(name, port));
        // what is not told now is asked again once it accepts
        let (wanted, index) = known.unwrap_or_default();
        let mut sockets = Vec::new();
        for at in wanted {
            match open(at, name) {
                Ok(socket) => sockets.push((at, index, socket)),
                Err(e) if matches!(e.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
                    return Err(e);
                }
                Err(error) => tracing::debug!(interface = %name, address = %at, %error, "tried again soon"),
            }
        }
        Ok(IfaceBound { name, port, open, routes, sockets })
    }

    /// The port of all addresses.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Makes it accept. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system has no resources left.
    pub(super) fn listen(self) -> io::Result<IfaceListener> {
        let IfaceBound { name, port, open, routes, sockets } = self;
        let ears = sockets.into_iter().map(|(at, index, socket)| Ear::new(at, index, socket, name));
        let state = State {
            routes: routes.map(Routes::listen).transpose()?,
            ears: ears.collect::<io::Result<_>>()?,
            new: true,
            first: 0,
            again: None,
            told: BTreeSet::new(),
        };
        Ok(IfaceListener { name, port, open, state: Mutex::new(state) })
    }
}

/// Where to listen when nobody tells the interface's addresses: on every address, and the interface's number.
fn whole(name: IfaceName, port: u16) -> io::Result<(BTreeSet<SocketAddr>, u32)> {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let every = [SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), (Ipv6Addr::UNSPECIFIED, port).into()];
    Ok(index_of(&any, name)?.map_or_else(Default::default, |index| (every.into(), index)))
}

impl IfaceListener {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The next connection on any of the addresses. Losing the future loses no connection.
    ///
    /// # Errors
    /// What the system says; the listener stays usable.
    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, Tether)> {
        std::future::poll_fn(|cx| self.with(|state| self.poll_accept(state, cx))).await
    }

    fn poll_accept(
        &self,
        state: &mut State,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr, Tether)>> {
        while self.is_due(state, cx) {
            self.follow(state);
        }
        let count = state.ears.len();
        for n in 0..count {
            let at = state.first.wrapping_add(n).checked_rem(count).unwrap_or(0);
            let Some(ear) = state.ears.get(at) else { continue };
            match ear.socket.poll_accept(cx) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok((stream, peer))) => {
                    let tie = |socket| Tether(Some(Tie { socket, peer, gone: ear.gone.subscribe() }));
                    let tether = stream.as_fd().try_clone_to_owned().map(tie);
                    state.first = at.wrapping_add(1);
                    return Poll::Ready(tether.map(|tether| (stream, peer, tether)));
                }
            }
        }
        Poll::Pending
    }

    /// Whether it is time to look at the interface again.
    fn is_due(&self, state: &mut State, cx: &mut Context<'_>) -> bool {
        if std::mem::take(&mut state.new) {
            return true;
        }
        if let Some(routes) = &state.routes {
            match routes.poll_changed(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => return true,
                Poll::Ready(Err(error)) => {
                    tracing::warn!(interface = %self.name, %error, "netlink ended: the interface is looked for every 2 s");
                    state.routes = None;
                    return true;
                }
            }
        }
        let due = state.again.as_mut().is_some_and(|again| again.as_mut().poll(cx).is_ready());
        if due {
            state.again = None;
        }
        due
    }

    /// Makes the sockets what the interface's addresses are.
    fn follow(&self, state: &mut State) {
        let known = match &state.routes {
            Some(routes) => routes.addresses(self.name, self.port),
            None => whole(self.name, self.port),
        };
        let (wanted, index) = match known {
            Ok(known) => known,
            Err(error) => {
                // what is bound stays: nothing is known of a change
                tracing::warn!(interface = %self.name, %error, "addresses not told; asked again in 2 s");
                state.again = Some(Box::pin(sleep(AGAIN)));
                return;
            }
        };
        let (kept, gone): (Vec<Ear>, Vec<Ear>) =
            state.ears.drain(..).partition(|ear| ear.index == index && wanted.contains(&ear.at));
        state.ears = kept;
        gone.into_iter().for_each(|ear| ear.end(self.name));
        state.told.retain(|at| wanted.contains(at));
        let mut failed = false;
        for at in wanted {
            if state.ears.iter().any(|ear| ear.at == at) {
                continue;
            }
            match (self.open)(at, self.name).and_then(|socket| Ear::new(at, index, socket, self.name)) {
                Ok(ear) => {
                    state.told.remove(&at);
                    state.ears.push(ear);
                }
                Err(error) => {
                    failed = true;
                    // one that is going or not there yet tells its own story by the next change
                    if error.kind() != io::ErrorKind::AddrNotAvailable && state.told.insert(at) {
                        tracing::warn!(interface = %self.name, address = %at, %error, "not listening there; tried every 2 s");
                    }
                }
            }
        }
        if failed || state.routes.is_none() {
            state.again = Some(Box::pin(sleep(AGAIN)));
        }
    }
}
