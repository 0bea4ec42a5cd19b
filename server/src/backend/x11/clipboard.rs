//! The X selections: we own them for text that a client copied, and read them when a program of the desktop copies.
//!
//! Runs on the watching thread; nothing here waits. Every exchange has a deadline, texts have a cap, and what we offered
//! never comes back as an event.
//!
//! SOURCE: Inter-Client Communication Conventions Manual, section 2 (selections, TARGETS, MULTIPLE, TIMESTAMP, INCR).

use std::sync::Arc;
use std::time::{Duration, Instant};

use x11rb::errors::ReplyError;
use x11rb::protocol::xfixes::{self, ConnectionExt as _, SelectionEventMask};
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ChangeWindowAttributesAux, ConnectionExt as _, EventMask, PropMode, Property, PropertyNotifyEvent,
    SELECTION_NOTIFY_EVENT, SelectionNotifyEvent, SelectionRequestEvent, Timestamp, Window,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use crate::clipboard::text::{from_desktop, latin1, one_line_end};

x11rb::atom_manager! {
    /// The atoms of selections.
    pub Atoms: AtomsCookie {
        CLIPBOARD,
        TARGETS,
        MULTIPLE,
        TIMESTAMP,
        ATOM_PAIR,
        INCR,
        TEXT,
        UTF8_STRING,
        TEXT_PLAIN_UTF8: b"text/plain;charset=utf-8",
        TEXT_PLAIN: b"text/plain",
        FARPANE_TEXT_0,
        FARPANE_TEXT_1,
        FARPANE_TEXT_2,
        FARPANE_TEXT_3,
        FARPANE_TIME,
    }
}

impl Atoms {
    /// Properties that owners write to, taken in turns: one that still writes an earlier text cannot spoil the next.
    fn texts(&self) -> [Atom; 4] {
        [self.FARPANE_TEXT_0, self.FARPANE_TEXT_1, self.FARPANE_TEXT_2, self.FARPANE_TEXT_3]
    }
}

/// Larger texts go by INCR, in pieces of this size.
const PIECE: usize = 64 * 1024;
/// How long the other side may take for one step.
const STEP: Duration = Duration::from_secs(3);
/// Transfers of ours under way at most.
const MAX_OUTGOING: usize = 16;
/// Conversions in one MULTIPLE at most.
const MAX_MULTIPLE: u32 = 64;

/// A text on its way to us.
struct Incoming {
    selection: Atom,
    time: Timestamp,
    target: usize,
    /// Where the owner is to write.
    property: Atom,
    collected: Option<Vec<u8>>,
    deadline: Instant,
}

/// A text on its way to a program, in pieces.
struct Outgoing {
    requestor: Window,
    property: Atom,
    kind: Atom,
    bytes: Vec<u8>,
    sent: usize,
    deadline: Instant,
}

/// The selections as we see them.
pub struct Selections {
    window: Window,
    atoms: Atoms,
    cap: usize,
    watched: Vec<Atom>,
    offered: Option<Arc<str>>,
    /// Selections that are ours, since when.
    owned: Vec<(Atom, Timestamp)>,
    incoming: Option<Incoming>,
    /// Requests made so far; each takes the next property.
    asked: usize,
    outgoing: Vec<Outgoing>,
}

impl Selections {
    /// For the selections of a server; `window` must be ours and ask for PropertyChange.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn new(conn: &RustConnection, window: Window, cap: usize, primary: bool) -> Result<Self, ReplyError> {
        let atoms = Atoms::new(conn)?.reply()?;
        let mut watched = vec![atoms.CLIPBOARD];
        if primary {
            watched.push(AtomEnum::PRIMARY.into());
        }
        Ok(Self {
            window,
            atoms,
            cap,
            watched,
            offered: None,
            owned: Vec::new(),
            incoming: None,
            asked: 0,
            outgoing: Vec::new(),
        })
    }

    /// Asks to be told of copies, or no more.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn watch(&mut self, conn: &RustConnection, watched: bool) -> Result<(), ReplyError> {
        let mask = if watched { SelectionEventMask::SET_SELECTION_OWNER } else { SelectionEventMask::from(0u32) };
        for selection in &self.watched {
            conn.xfixes_select_selection_input(self.window, *selection, mask)?;
        }
        Ok(())
    }

    /// Offers a client's text; it is ours as soon as the server has told the time.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn offer(&mut self, conn: &RustConnection, text: Arc<str>) -> Result<(), ReplyError> {
        self.offered = Some(text);
        self.incoming = None;
        conn.change_property8(PropMode::APPEND, self.window, self.atoms.FARPANE_TIME, AtomEnum::STRING, &[])?;
        Ok(())
    }

    /// When something runs out.
    pub fn deadline(&self) -> Option<Instant> {
        self.outgoing.iter().map(|o| o.deadline).chain(self.incoming.as_ref().map(|i| i.deadline)).min()
    }

    /// Gives up what has run out.
    pub fn expire(&mut self, now: Instant) {
        self.outgoing.retain(|o| o.deadline > now);
        if self.incoming.as_ref().is_some_and(|i| i.deadline <= now) {
            tracing::debug!("the owner of the selection does not answer");
            self.incoming = None;
        }
    }

    /// A selection has another owner.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn owner_changed(
        &mut self,
        conn: &RustConnection,
        event: &xfixes::SelectionNotifyEvent,
        now: Instant,
    ) -> Result<(), ReplyError> {
        if event.owner == self.window {
            return Ok(());
        }
        self.owned.retain(|(s, _)| *s != event.selection);
        if event.owner == x11rb::NONE {
            return Ok(());
        }
        let (selection, time) = (event.selection, event.selection_timestamp);
        let property = x11rb::NONE;
        self.incoming = Some(Incoming { selection, time, target: 0, property, collected: None, deadline: now + STEP });
        self.convert(conn)
    }

    /// The selection was taken from us.
    pub fn cleared(&mut self, selection: Atom) {
        self.owned.retain(|(s, _)| *s != selection);
    }

    fn wanted(&self) -> [Atom; 3] {
        [self.atoms.UTF8_STRING, self.atoms.TEXT_PLAIN_UTF8, AtomEnum::STRING.into()]
    }

    fn convert(&mut self, conn: &RustConnection) -> Result<(), ReplyError> {
        let wanted = self.wanted();
        let Some(incoming) = self.incoming.as_mut() else { return Ok(()) };
        let Some(target) = wanted.get(incoming.target).copied() else {
            self.incoming = None;
            return Ok(());
        };
        let texts = self.atoms.texts();
        let Some(property) = texts.get(self.asked % texts.len()).copied() else { return Ok(()) };
        self.asked = self.asked.wrapping_add(1);
        incoming.property = property;
        conn.delete_property(self.window, property)?;
        conn.convert_selection(self.window, incoming.selection, target, property, incoming.time)?;
        Ok(())
    }

    /// The owner has answered our request. A text that is whole comes back.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn converted(
        &mut self,
        conn: &RustConnection,
        event: &SelectionNotifyEvent,
        now: Instant,
    ) -> Result<Option<Arc<str>>, ReplyError> {
        let wanted = self.wanted();
        let Some(incoming) = self.incoming.as_mut() else { return Ok(None) };
        let current = wanted.get(incoming.target).copied();
        if event.selection != incoming.selection || Some(event.target) != current || incoming.collected.is_some() {
            return Ok(None);
        }
        if event.property == x11rb::NONE {
            incoming.target += 1;
            incoming.deadline = now + STEP;
            self.convert(conn)?;
            return Ok(None);
        }
        if event.property != incoming.property {
            return Ok(None);
        }
        let (kind, bytes) = self.take_property(conn, event.property)?;
        if kind == self.atoms.INCR {
            if let Some(incoming) = self.incoming.as_mut() {
                incoming.collected = Some(Vec::new());
                incoming.deadline = now + STEP;
            }
            return Ok(None);
        }
        Ok(self.finish(kind, bytes))
    }

    /// Reads and deletes a property that an owner has written to; what is past the cap is only counted.
    fn take_property(&self, conn: &RustConnection, property: Atom) -> Result<(Atom, Option<Vec<u8>>), ReplyError> {
        let longs = u32::try_from(self.cap / 4 + 1).unwrap_or(u32::MAX);
        let reply = conn.get_property(false, self.window, property, AtomEnum::ANY, 0, longs)?.reply()?;
        conn.delete_property(self.window, property)?;
        let whole = reply.bytes_after == 0 && reply.value.len() <= self.cap;
        Ok((reply.type_, whole.then_some(reply.value)))
    }

    fn finish(&mut self, kind: Atom, bytes: Option<Vec<u8>>) -> Option<Arc<str>> {
        self.incoming = None;
        let Some(bytes) = bytes else {
            tracing::info!(cap_bytes = self.cap, "copied text is larger than the cap and stays on the desktop");
            return None;
        };
        let text = from_desktop(&bytes, kind == u32::from(AtomEnum::STRING));
        if text.is_empty() || self.offered.as_deref() == Some(text.as_str()) {
            return None;
        }
        self.offered = None;
        Some(text.into())
    }

    /// A property changed: the time we asked for, a piece of a text for us, or a piece of ours that was read.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn property(
        &mut self,
        conn: &RustConnection,
        event: &PropertyNotifyEvent,
        now: Instant,
    ) -> Result<Option<Arc<str>>, ReplyError> {
        if event.window == self.window {
            if event.atom == self.atoms.FARPANE_TIME && self.offered.is_some() {
                for selection in &self.watched {
                    conn.set_selection_owner(self.window, *selection, event.time)?;
                }
                self.owned = self.watched.iter().map(|s| (*s, event.time)).collect();
            }
            if event.state == Property::NEW_VALUE && self.atoms.texts().contains(&event.atom) {
                return self.piece(conn, event.atom, now);
            }
            return Ok(None);
        }
        if event.state != Property::DELETE {
            return Ok(None);
        }
        let found = self.outgoing.iter().position(|o| o.requestor == event.window && o.property == event.atom);
        let Some(out) = found.and_then(|i| self.outgoing.get_mut(i)) else { return Ok(None) };
        let end = out.bytes.len().min(out.sent + PIECE);
        let piece = out.bytes.get(out.sent..end).unwrap_or_default();
        conn.change_property8(PropMode::REPLACE, out.requestor, out.property, out.kind, piece)?.ignore_error();
        let last = piece.is_empty();
        (out.sent, out.deadline) = (end, now + STEP);
        if last && let Some(i) = found {
            let none = ChangeWindowAttributesAux::new().event_mask(EventMask::NO_EVENT);
            let requestor = self.outgoing.swap_remove(i).requestor;
            conn.change_window_attributes(requestor, &none)?.ignore_error();
        }
        Ok(None)
    }

    fn piece(&mut self, conn: &RustConnection, property: Atom, now: Instant) -> Result<Option<Arc<str>>, ReplyError> {
        let Some(incoming) = self.incoming.as_ref().filter(|i| i.property == property) else {
            // of a text that was given up: its owner is let finish, and nothing stays behind
            conn.delete_property(self.window, property)?;
            return Ok(None);
        };
        if incoming.collected.is_none() {
            return Ok(None);
        }
        let (kind, bytes) = self.take_property(conn, property)?;
        let Some(incoming) = self.incoming.as_mut() else { return Ok(None) };
        incoming.deadline = now + STEP;
        let Some(collected) = incoming.collected.as_mut() else { return Ok(None) };
        match bytes {
            Some(bytes) if bytes.is_empty() => {
                let all = std::mem::take(collected);
                Ok(self.finish(kind, Some(all)))
            }
            Some(bytes) if collected.len() + bytes.len() <= self.cap => {
                collected.extend(bytes);
                Ok(None)
            }
            _ => Ok(self.finish(kind, None)),
        }
    }

    /// A program wants what we offered.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn requested(
        &mut self,
        conn: &RustConnection,
        request: &SelectionRequestEvent,
        now: Instant,
    ) -> Result<(), ReplyError> {
        let property = if request.property == x11rb::NONE { request.target } else { request.property };
        let since = self.owned.iter().find(|(s, _)| *s == request.selection).map(|(_, t)| *t);
        let done = match since {
            // asked for a time before it was ours
            Some(since) if request.time != x11rb::CURRENT_TIME && request.time.wrapping_sub(since) > u32::MAX / 2 => {
                false
            }
            Some(_) if request.target == self.atoms.MULTIPLE => self.multiple(conn, request, now)?,
            Some(since) => self.answer(conn, request.requestor, request.target, property, since, now)?,
            None => false,
        };
        let answer = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: request.time,
            requestor: request.requestor,
            selection: request.selection,
            target: request.target,
            property: if done { property } else { x11rb::NONE },
        };
        conn.send_event(false, request.requestor, EventMask::NO_EVENT, answer)?.ignore_error();
        Ok(())
    }

    fn multiple(&mut self, conn: &RustConnection, r: &SelectionRequestEvent, now: Instant) -> Result<bool, ReplyError> {
        if r.property == x11rb::NONE {
            return Ok(false);
        }
        let asked = conn.get_property(false, r.requestor, r.property, AtomEnum::ANY, 0, MAX_MULTIPLE * 2)?.reply();
        let Ok(asked) = asked else { return Ok(false) };
        let mut atoms: Vec<u32> = asked.value32().map(Iterator::collect).unwrap_or_default();
        let since = self.owned.iter().find(|(s, _)| *s == r.selection).map_or(x11rb::CURRENT_TIME, |(_, t)| *t);
        for pair in atoms.chunks_exact_mut(2) {
            if let [target, property] = pair
                && (*target == self.atoms.MULTIPLE
                    || !self.answer(conn, r.requestor, *target, *property, since, now)?)
            {
                *property = x11rb::NONE;
            }
        }
        let kind = self.atoms.ATOM_PAIR;
        conn.change_property32(PropMode::REPLACE, r.requestor, r.property, kind, &atoms)?.ignore_error();
        Ok(true)
    }

    /// Writes one target to a property of the asking window.
    fn answer(
        &mut self,
        conn: &RustConnection,
        to: Window,
        target: Atom,
        property: Atom,
        since: Timestamp,
        now: Instant,
    ) -> Result<bool, ReplyError> {
        let a = &self.atoms;
        let string: Atom = AtomEnum::STRING.into();
        let Some(text) = self.offered.as_deref() else { return Ok(false) };
        if target == a.TARGETS {
            let all =
                [a.TARGETS, a.TIMESTAMP, a.MULTIPLE, a.UTF8_STRING, a.TEXT_PLAIN_UTF8, a.TEXT_PLAIN, a.TEXT, string];
            conn.change_property32(PropMode::REPLACE, to, property, AtomEnum::ATOM, &all)?.ignore_error();
            return Ok(true);
        }
        if target == a.TIMESTAMP {
            conn.change_property32(PropMode::REPLACE, to, property, AtomEnum::INTEGER, &[since])?.ignore_error();
            return Ok(true);
        }
        let (kind, bytes) = if target == string {
            (string, latin1(text))
        } else if target == a.TEXT {
            (a.UTF8_STRING, one_line_end(text).into_bytes())
        } else if [a.UTF8_STRING, a.TEXT_PLAIN_UTF8, a.TEXT_PLAIN].contains(&target) {
            (target, one_line_end(text).into_bytes())
        } else {
            return Ok(false);
        };
        if bytes.len() <= PIECE {
            conn.change_property8(PropMode::REPLACE, to, property, kind, &bytes)?.ignore_error();
            return Ok(true);
        }
        self.outgoing.retain(|o| !(o.requestor == to && o.property == property));
        if self.outgoing.len() >= MAX_OUTGOING {
            return Ok(false);
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let listen = ChangeWindowAttributesAux::new().event_mask(EventMask::PROPERTY_CHANGE);
        conn.change_window_attributes(to, &listen)?.ignore_error();
        conn.change_property32(PropMode::REPLACE, to, property, self.atoms.INCR, &[length])?.ignore_error();
        self.outgoing.push(Outgoing { requestor: to, property, kind, bytes, sent: 0, deadline: now + STEP });
        Ok(true)
    }
}
