//! The accept loop of one listener.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::limits;
use super::listener::{Incoming, Listener};
use super::slots::{Progress, Slot, Slots};
use super::transport::{ConnInfo, Transport};
use super::websocket::WebSocketError;

/// How long a peer that is turned away may take to read why.
const REFUSAL_LIMIT: Duration = Duration::from_secs(2);
/// Peers that are told so at once.
const REFUSALS: usize = 64;
/// How long accepting rests when the system has no descriptor left.
const EXHAUSTED_REST: Duration = Duration::from_millis(100);
/// How long sessions may take to say goodbye when the server ends.
const GOODBYE: Duration = Duration::from_millis(400);

/// Words for a peer that is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For people.
    pub reason: String,
    /// The same as the protocol above says it before anything else was said.
    pub bytes: Vec<u8>,
}

/// Why the network itself turns a connection away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// The peer's user may not use this Unix socket, for this reason.
    Stranger(String),
    /// A listed proxy did not tell in the right form for whom it speaks.
    NoProxyHeader(String),
}

/// What becomes of connections.
pub trait ConnectionHandler: Send + Sync {
    /// Whether to talk to this peer at all; asked before a byte is read.
    ///
    /// # Errors
    /// Why not.
    fn admit(&self, info: &ConnInfo) -> Result<(), Refusal>;

    /// What this peer is told when too many are waiting to prove themselves.
    fn busy(&self, info: &ConnInfo) -> Refusal;

    /// The words for a peer that the network itself turns away.
    fn turned_away(&self, info: &ConnInfo, why: TurnedAway) -> Refusal;

    /// Whether somebody who is known logged in from where this peer comes from: places are kept for such.
    fn knows(&self, _info: &ConnInfo) -> bool {
        false
    }

    /// A connection that had not logged in was closed for another's sake.
    fn made_way(&self, _info: &ConnInfo) {}

    /// A connection that has not logged in has come so far.
    fn reached(&self, _info: &ConnInfo, _progress: Progress) {}

    /// A connection ended before the protocol above could begin.
    fn unopened(&self, _info: &ConnInfo, _error: &WebSocketError) {}

    /// Serves one connection to its end.
    fn connection(&self, transport: Transport) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// What all connections of a listener go through.
struct Door {
    slots: Slots,
    /// Peers that are being told why they are not served.
    refusals: Arc<Semaphore>,
    /// Headers of proxies that are being read.
    headers: Arc<Semaphore>,
    open_limit: Duration,
    handler: Arc<dyn ConnectionHandler>,
}

/// Accepts connections until `stop` turns true, and hands each to `handler`, in a task of its own.
///
/// Peers that are turned away cost a short task each, bounded in number too: when even those are too many they are closed without
/// words.
pub async fn serve(
    listener: Listener,
    slots: Slots,
    open_limit: Duration,
    handler: Arc<dyn ConnectionHandler>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let headers = Arc::new(Semaphore::new(limits::PROXY_HEADERS));
    let door = Arc::new(Door { slots, refusals, headers, open_limit, handler });
    loop {
        tokio::select! {
            () = told(&mut stop) => break,
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(incoming) => take(incoming, &door, &mut tasks),
                Err(error) => {
                    tracing::warn!(listener = %listener.address(), %error, "connection not accepted");
                    tokio::time::sleep(EXHAUSTED_REST).await;
                }
            },
        }
    }
    drop(listener);
    let drained = tokio::time::timeout(GOODBYE, async { while tasks.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tasks.shutdown().await;
    }
}

/// Returns once `stop` is true, or nobody is left who could say so.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn take(mut incoming: Incoming, door: &Arc<Door>, tasks: &mut JoinSet<()>) {
    let door = Arc::clone(door);
    if incoming.info().via.is_some() {
        let Ok(place) = Arc::clone(&door.headers).try_acquire_owned() else {
            tracing::warn!(proxy = %incoming.info().peer, "connection closed: too many proxy headers are being read");
            return;
        };
        let tether = incoming.untie();
        tasks.spawn(tether.hold(async move { door.proxied(incoming, place).await }));
        return;
    }
    match door.admit(&incoming) {
        Ok(slot) => {
            let tether = incoming.untie();
            tasks.spawn(tether.hold(async move { door.run(incoming, slot).await }));
        }
        Err(refusal) => {
            if let Some(place) = door.refused(&incoming, &refusal) {
                tasks.spawn(async move { refuse(incoming, refusal, place).await });
            }
        }
    }
}

impl Door {
    /// Whether a connection is talked to; its place if so.
    fn admit(&self, incoming: &Incoming) -> Result<Slot, Refusal> {
        let info = incoming.info();
        if let Some(reason) = incoming.stranger() {
            return Err(self.handler.turned_away(info, TurnedAway::Stranger(reason)));
        }
        self.handler.admit(info)?;
        self.slots.take(info.source(), self.handler.knows(info)).ok_or_else(|| self.handler.busy(info))
    }

    /// Whom a proxy speaks for is known only once it has told; then the connection is like any other.
    async fn proxied(&self, mut incoming: Incoming, place: OwnedSemaphorePermit) {
        let read = incoming.proxy_header(limits::PROXY_HEADER).await;
        drop(place);
        let admitted = match read {
            Ok(()) => self.admit(&incoming),
            Err(error) => Err(self.handler.turned_away(incoming.info(), TurnedAway::NoProxyHeader(error.to_string()))),
        };
        match admitted {
            Ok(slot) => self.run(incoming, slot).await,
            Err(refusal) => {
                if let Some(place) = self.refused(&incoming, &refusal) {
                    refuse(incoming, refusal, place).await;
                }
            }
        }
    }

    /// Serves a connection until it ends, or has to make way for another before it has logged in.
    async fn run(&self, incoming: Incoming, slot: Slot) {
        let info = incoming.info().clone();
        let mut eviction = slot.eviction();
        let handler = Arc::clone(&self.handler);
        let slot = slot.observed(move |info, progress| handler.reached(info, progress));
        let serving = async {
            match incoming.open(slot, self.open_limit).await {
                Ok(transport) => self.handler.connection(transport).await,
                Err(error) => {
                    tracing::warn!(peer = %info.peer, listener = %info.listener_name, %error, "connection closed");
                    self.handler.unopened(&info, &error);
                }
            }
        };
        tokio::select! {
            biased;
            () = serving => {}
            () = eviction.wait() => {
                tracing::warn!(peer = %info.peer, listener = %info.listener_name, "connection made way for another");
                self.handler.made_way(&info);
            }
        }
    }

    /// Notes a refusal; the place to tell it in, if one is left.
    fn refused(&self, incoming: &Incoming, refusal: &Refusal) -> Option<OwnedSemaphorePermit> {
        let info = incoming.info();
        tracing::warn!(peer = %info.peer, listener = %info.listener_name, reason = %refusal.reason, "connection refused");
        Arc::clone(&self.refusals).try_acquire_owned().ok()
    }
}

/// Tells a peer why it is not served.
async fn refuse(incoming: Incoming, refusal: Refusal, place: OwnedSemaphorePermit) {
    let told = incoming.refuse(&refusal.bytes, &refusal.reason);
    let _ = tokio::time::timeout(REFUSAL_LIMIT, told).await;
    drop(place);
}
