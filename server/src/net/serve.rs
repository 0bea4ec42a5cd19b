//! The accept loop of one listener.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::listener::{Incoming, Listener};
use super::slots::Slots;
use super::transport::{ConnInfo, Transport};

/// How long a peer that is turned away may take to read why.
const REFUSAL_LIMIT: Duration = Duration::from_secs(2);
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

/// What becomes of connections.
pub trait ConnectionHandler: Send + Sync {
    /// Whether to talk to this peer at all; asked before a byte is read.
    ///
    /// # Errors
    /// Why not.
    fn admit(&self, info: &ConnInfo) -> Result<(), Refusal>;

    /// What a peer is told when too many are waiting to prove themselves.
    fn busy(&self) -> Refusal;

    /// The words for a peer that the network itself turns away, for this reason.
    fn turned_away(&self, reason: String) -> Refusal;

    /// Serves one connection to its end.
    fn connection(&self, transport: Transport) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Accepts connections until `stop` turns true, and hands each to `handler`, in a task of its own.
///
/// Peers that are turned away cost a short task each, bounded in number by `slots` too: when even those are too many they
/// are closed without words.
pub async fn serve(
    listener: Listener,
    slots: Slots,
    open_limit: Duration,
    handler: Arc<dyn ConnectionHandler>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    let refusals = Slots::new(64);
    loop {
        tokio::select! {
            () = told(&mut stop) => break,
            Some(_) = tasks.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(incoming) => take(incoming, &slots, &refusals, open_limit, &handler, &mut tasks),
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

fn take(
    mut incoming: Incoming,
    slots: &Slots,
    refusals: &Slots,
    open_limit: Duration,
    handler: &Arc<dyn ConnectionHandler>,
    tasks: &mut JoinSet<()>,
) {
    let known = incoming.stranger().map_or(Ok(()), |reason| Err(handler.turned_away(reason)));
    let admitted =
        known.and_then(|()| handler.admit(incoming.info())).and_then(|()| slots.take().ok_or_else(|| handler.busy()));
    match admitted {
        Ok(slot) => {
            let handler = Arc::clone(handler);
            let tether = incoming.untie();
            tasks.spawn(tether.hold(async move {
                let (peer, listener) = (incoming.info().peer.clone(), Arc::clone(&incoming.info().listener_name));
                match incoming.open(slot, open_limit).await {
                    Ok(transport) => handler.connection(transport).await,
                    Err(error) => tracing::warn!(%peer, %listener, %error, "connection closed"),
                }
            }));
        }
        Err(refusal) => {
            tracing::warn!(peer = %incoming.info().peer, listener = %incoming.info().listener_name, reason = %refusal.reason, "connection refused");
            if let Some(place) = refusals.take() {
                tasks.spawn(async move {
                    let told = incoming.refuse(&refusal.bytes, &refusal.reason);
                    let _ = tokio::time::timeout(REFUSAL_LIMIT, told).await;
                    drop(place);
                });
            }
        }
    }
}
