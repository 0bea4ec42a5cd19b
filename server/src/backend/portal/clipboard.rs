//! The desktop's clipboard by the portal, for the session that it was allowed for.
//!
//! What clients copy, and whether anybody listens, outlives sessions ([`Selections`]); a task beside each session speaks to the portal
//! ([`Follower`]). Texts go through pipes to and from programs that may be slow, endless or hostile, with the limits that every desktop's
//! have (`clipboard/pipe.rs`). The task waits for none of them: whatever has an answer, the portal's included, is one of the things that it
//! listens to, because signals that nobody takes hold up everything else on the connection.
//! SOURCE: xdg-desktop-portal 1.18, org.freedesktop.portal.Clipboard version 1.

use std::future::pending;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use serde::Serialize;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use zbus::zvariant::{DynamicType, ObjectPath, OwnedObjectPath, Value};
use zbus::{Message, MessageStream};

use super::PortalError;
use super::bus::{Bus, OBJECT, Options, Results, descriptor};
use crate::backend::{BackendEvent, Events};
use crate::clipboard::exchange::Exchange;
use crate::clipboard::incoming::{Incoming, State};
use crate::clipboard::outgoing::Outgoing;
use crate::clipboard::pipe::{MAX_OUTGOING, STEP};
use crate::clipboard::types::{MAX_TYPES, TEXTS, best};
use crate::clipboard::{Clipboard, ClipboardOptions};

/// The interface that shares the clipboard.
pub const CLIPBOARD: &str = "org.freedesktop.portal.Clipboard";

/// The first pause before a text that was refused is asked for again; each next is twice as long. GNOME gives one text at a time, and
/// sees that nobody reads the last one any more only when its program writes.
const PAUSE: Duration = Duration::from_millis(50);

/// What clients copied, and whether anybody listens.
pub struct Selections {
    events: Events,
    shared: Mutex<Shared>,
    changed: Notify,
}

struct Shared {
    exchange: Exchange,
    /// A text that the task has not taken yet.
    offer: Option<Arc<str>>,
    watched: bool,
    /// There is a session with a clipboard.
    enabled: bool,
}

impl Selections {
    /// Without a session yet.
    pub fn new(options: ClipboardOptions, events: Events) -> Self {
        let exchange = Exchange::new(options.cap_bytes);
        let shared = Shared { exchange, offer: None, watched: false, enabled: false };
        Self { events, shared: Mutex::new(shared), changed: Notify::new() }
    }

    /// Somebody, or nobody, is connected: copies are told while somebody is.
    pub fn watch(&self, watched: bool) {
        self.shared().watched = watched;
    }

    /// Whether the desktop gives its clipboard.
    pub fn is_enabled(&self) -> bool {
        self.shared().enabled
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the text that waits to be offered; returns whether there was one.
    fn take_offer(&self) -> bool {
        let mut shared = self.shared();
        let offer = shared.offer.take();
        let is_new = offer.is_some();
        offer.into_iter().for_each(|text| shared.exchange.offer(text));
        is_new
    }
}

impl Clipboard for Selections {
    fn offer(&self, text: Arc<str>) {
        self.shared().offer = Some(text);
        self.changed.notify_one();
    }
}

/// Serves the clipboard of one session until it is dropped.
pub struct Follower {
    task: tokio::task::JoinHandle<()>,
    selections: Arc<Selections>,
}

impl Follower {
    /// Begins to follow the clipboard of a session that has it. What was copied before is not told.
    pub async fn start(
        bus: &Bus,
        session: &ObjectPath<'static>,
        selections: &Arc<Selections>,
    ) -> Result<Self, PortalError> {
        let copied = bus.signals(CLIPBOARD, "SelectionOwnerChanged", Some(OBJECT)).await?;
        let wanted = bus.signals(CLIPBOARD, "SelectionTransfer", Some(OBJECT)).await?;
        let door = Door { bus: bus.clone(), session: session.clone() };
        selections.shared().enabled = true;
        let task = tokio::spawn(follow(door, Arc::clone(selections), copied, wanted));
        Ok(Self { task, selections: Arc::clone(selections) })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.selections.shared().enabled = false;
        self.task.abort();
    }
}

/// The portal's clipboard of one session.
#[derive(Clone)]
struct Door {
    bus: Bus,
    session: ObjectPath<'static>,
}

impl Door {
    /// Asks for a pipe; none, having said why, when it is refused.
    async fn pipe<B: Serialize + DynamicType>(&self, method: &'static str, body: &B) -> Option<OwnedFd> {
        let reply = self.bus.call(CLIPBOARD, method, body).await;
        let fd = reply.and_then(|reply| descriptor(&reply, method));
        fd.inspect_err(|error| tracing::debug!(method, %error, "no pipe for a copied text")).ok()
    }

    /// Offers the text that programs will be given when they ask.
    async fn offer(&self) {
        let options: Options<'_> = [("mime_types", TEXTS.to_vec().into())].into();
        self.bus.post(OBJECT, CLIPBOARD, "SetSelection", &(&self.session, options)).await;
    }

    async fn done(&self, serial: u32, success: bool) {
        self.bus.post(OBJECT, CLIPBOARD, "SelectionWriteDone", &(&self.session, serial, success)).await;
    }

    /// What a signal says that somebody copied; none when it makes no sense or is another session's.
    fn copied(&self, message: &Message) -> Option<Copied> {
        let body = message.body();
        let (session, options): (OwnedObjectPath, Results) = sense(body.deserialize())?;
        (*session == self.session).then(|| copied(&options))
    }

    /// The type that a program wants, and the number of its wish.
    fn wanted(&self, message: &Message) -> Option<(String, u32)> {
        let body = message.body();
        let (session, mime, serial): (OwnedObjectPath, String, u32) = sense(body.deserialize())?;
        (*session == self.session).then_some((mime, serial))
    }
}

fn sense<T>(read: zbus::Result<T>) -> Option<T> {
    read.inspect_err(|error| tracing::debug!(%error, "the portal's clipboard tells nonsense")).ok()
}

/// Something that was copied.
#[derive(Debug, PartialEq, Eq)]
struct Copied {
    types: Vec<String>,
    ours: bool,
}

/// What the portal says of it; what has another type is as if it were not there.
fn copied(options: &Results) -> Copied {
    let types = match options.get("mime_types").map(|v| &**v) {
        Some(Value::Array(list)) => Some(list),
        // mutter puts the list into a structure, and not every portal takes it out
        Some(Value::Structure(around)) => match around.fields() {
            [Value::Array(list)] => Some(list),
            _ => None,
        },
        _ => None,
    };
    let types = types.into_iter().flat_map(|list| list.inner()).take(MAX_TYPES);
    let types = types.filter_map(|mime| match mime {
        Value::Str(mime) => Some(mime.to_string()),
        _ => None,
    });
    let ours = matches!(options.get("session_is_owner").map(|v| &**v), Some(Value::Bool(true)));
    Copied { types: types.collect(), ours }
}

async fn follow(door: Door, selections: Arc<Selections>, mut copied: MessageStream, mut wanted: MessageStream) {
    let mut reading: Option<BoxFuture<'static, State>> = None;
    let mut writing = FuturesUnordered::new();
    loop {
        if selections.take_offer() {
            // a text that was on its way is an older one
            reading = None;
            door.offer().await;
        }
        let read = async {
            match reading.as_mut() {
                Some(reading) => reading.await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = selections.changed.notified() => {}
            state = read => {
                reading = None;
                let told = selections.shared().exchange.arrived(state);
                if let Some(text) = told {
                    let _ = selections.events.send(BackendEvent::Clipboard(text));
                }
            }
            said = copied.next() => {
                let Some(said) = said else { return };
                if let Some(what) = said.ok().and_then(|said| door.copied(&said)) {
                    let shared = selections.shared();
                    let choice = best(&what.types).filter(|_| shared.watched && !what.ours);
                    let cap = shared.exchange.cap_bytes();
                    reading = choice.map(|c| read_text(door.clone(), c.mime.to_owned(), c.latin1, cap).boxed());
                }
            }
            said = wanted.next() => {
                let Some(said) = said else { return };
                if let Some((mime, serial)) = said.ok().and_then(|said| door.wanted(&said)) {
                    let text = selections.shared().exchange.wanted(&mime).cloned();
                    match text.filter(|_| writing.len() < MAX_OUTGOING) {
                        Some(text) => writing.push(write_text(door.clone(), serial, text).boxed()),
                        None => door.done(serial, false).await,
                    }
                }
            }
            Some(()) = writing.next(), if !writing.is_empty() => {}
        }
    }
}

/// A pipe that the runtime watches.
fn waited_for<T: AsRawFd>(pipe: T, interest: Interest) -> std::io::Result<AsyncFd<T>> {
    #[expect(
        deprecated,
        reason = "unsound for what can change its descriptor; Incoming and Outgoing keep theirs, and `register` is unsafe"
    )]
    AsyncFd::with_interest(pipe, interest)
}

/// Reads a text that was copied on the desktop.
async fn read_text(door: Door, mime: String, latin1: bool, cap: usize) -> State {
    let began = Instant::now();
    let mut pause = PAUSE;
    let fd = loop {
        if let Some(fd) = door.pipe("SelectionRead", &(&door.session, mime.as_str())).await {
            break fd;
        }
        if began.elapsed() + pause > STEP {
            return State::Failed("the portal does not give it");
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    };
    let Some(incoming) = Incoming::from_fd(fd, Instant::now(), cap, latin1) else {
        return State::Failed("it comes through no pipe");
    };
    let Ok(mut pipe) = waited_for(incoming, Interest::READABLE) else {
        return State::Failed("its pipe cannot be waited for");
    };
    loop {
        let deadline = pipe.get_ref().deadline().into();
        let state = match tokio::time::timeout_at(deadline, pipe.readable_mut()).await {
            Ok(Ok(mut guard)) => {
                let state = guard.get_inner_mut().go_on(Instant::now());
                if guard.get_inner().is_drained() {
                    guard.clear_ready();
                }
                state
            }
            Ok(Err(_)) => State::Failed("its pipe cannot be waited for"),
            Err(_) => pipe.get_mut().go_on(Instant::now()),
        };
        if state != State::More {
            return state;
        }
        tokio::task::yield_now().await;
    }
}

/// Gives a program the text that it wants, and tells the portal how that went.
async fn write_text(door: Door, serial: u32, text: Arc<str>) {
    let fd = door.pipe("SelectionWrite", &(&door.session, serial)).await;
    let success = match fd.and_then(|fd| Outgoing::new(fd, &text, Instant::now())) {
        Some(outgoing) => give(outgoing).await,
        None => false,
    };
    door.done(serial, success).await;
}

/// Writes until it is done, or given up; the pipe is closed when this returns whether all was written.
async fn give(outgoing: Outgoing) -> bool {
    let Ok(mut pipe) = waited_for(outgoing, Interest::WRITABLE) else { return false };
    loop {
        let deadline = pipe.get_ref().deadline().into();
        let goes_on = match tokio::time::timeout_at(deadline, pipe.writable_mut()).await {
            Ok(Ok(mut guard)) => {
                let goes_on = guard.get_inner_mut().go_on(Instant::now());
                if guard.get_inner().is_full() {
                    guard.clear_ready();
                }
                goes_on
            }
            Ok(Err(_)) => false,
            Err(_) => pipe.get_mut().go_on(Instant::now()),
        };
        if !goes_on {
            return pipe.get_ref().is_whole();
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::zvariant::OwnedValue;

    #[test]
    fn what_was_copied_is_told_by_its_types_and_nonsense_is_not_there() {
        let owned = |value: Value<'_>| OwnedValue::try_from(value).expect("no descriptor in it");
        let said = |types: Value<'_>, ours: Value<'_>| {
            copied(&[("mime_types".to_owned(), owned(types)), ("session_is_owner".to_owned(), owned(ours))].into())
        };
        let types = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let both = vec!["text/plain", "image/png"];
        assert_eq!(said(both.clone().into(), true.into()), Copied { types: types(&both), ours: true });
        assert_eq!(said((both.clone(),).into(), true.into()), Copied { types: types(&both), ours: true });
        assert_eq!(said((1u32, 2u32).into(), true.into()), Copied { types: Vec::new(), ours: true });
        assert_eq!(said(both.clone().into(), "yes".into()), Copied { types: types(&both), ours: false });
        assert_eq!(said("text/plain".into(), false.into()), Copied { types: Vec::new(), ours: false });
        assert_eq!(said(vec![1u32, 2].into(), 1u32.into()), Copied { types: Vec::new(), ours: false });
        assert_eq!(copied(&Results::new()), Copied { types: Vec::new(), ours: false });
        assert_eq!(said(vec!["text/plain"; 1000].into(), false.into()).types.len(), MAX_TYPES);
    }

    #[test]
    fn the_last_of_several_offers_is_taken_once() {
        let (events, _told) = tokio::sync::mpsc::unbounded_channel();
        let selections = Selections::new(ClipboardOptions::default(), events);
        assert!(!selections.is_enabled() && !selections.take_offer());
        selections.offer("first".into());
        selections.offer("second".into());
        assert!(selections.take_offer() && !selections.take_offer());
        assert_eq!(selections.shared().exchange.wanted("TEXT").map(|t| &**t), Some("second"));
    }
}
