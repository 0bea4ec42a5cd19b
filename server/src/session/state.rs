//! One client's state: what it said, what it was told, what it holds down.
//!
//! Messages and hub events go in, bytes for the client go into the outbox; sockets and clocks are the driver's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use farpane_engine::encode::Codec;
use farpane_engine::geometry::{Point, Rect, Region, Size};
use farpane_engine::pipeline::{ClientPicture, Film, PaceEvent, Pacer, ViewOutput};
use farpane_engine::pixel::ClientFormat;
use farpane_rfb::ext::clipboard::Peer;
use farpane_rfb::ext::fence::{Fence, FenceFlags};
use farpane_rfb::{ClientMessage, PixelFormat, ProtocolError};

use super::caps::Caps;
use super::held::Held;
use super::hub::{ClientId, Hub, HubEvent};
use super::log::{EndKind, Goodbye};
use super::notice::Notices;
use super::outbox::{Outbox, Overfull};
use super::pseudo::Pseudo;
use super::resize::{ResizeState, rect_of};
use super::roster::Entry;
use super::terms::Terms;
use super::updates::UPDATE_FENCE;
use super::view::{Places, Seen};
use super::{ScaleSpec, Settings};
use crate::backend::Layout;
use crate::input::{InputSink, KeyInput};
use crate::policy::{Permission, Permissions};

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The client broke the protocol, or speaks something that is not served.
    #[error("{fault}: {0}", fault = .0.fault())]
    Protocol(#[from] ProtocolError),
    /// The client does not take what it is sent.
    #[error("peer misbehaved: {0}")]
    Overfull(#[from] Overfull),
    /// The hub or the owner ended it.
    #[error("closed: {0}")]
    Closed(Goodbye),
    /// The connection broke.
    #[error("connection: {0}")]
    Io(#[from] std::io::Error),
}

impl SessionError {
    /// The same for machines.
    pub fn kind(&self) -> EndKind {
        match self {
            SessionError::Protocol(_) | SessionError::Overfull(_) => EndKind::Misbehaved,
            SessionError::Closed(goodbye) => goodbye.kind,
            SessionError::Io(error) => match error.kind() {
                // a peer that leaves is no error: this is a layer below that should have said goodbye
                std::io::ErrorKind::UnexpectedEof => EndKind::Truncated,
                std::io::ErrorKind::InvalidData => EndKind::Misbehaved,
                _ => EndKind::Lost,
            },
        }
    }
}

pub(super) type Op = Box<dyn FnOnce(&mut ClientPicture) + Send>;

/// One client after the handshake.
pub struct Session {
    pub(super) id: ClientId,
    pub(super) entry: Arc<Entry>,
    /// What it tried and may not, so that each is told once.
    pub(super) denied: Permissions,
    pub(super) terms: Terms,
    pub(super) notices: Notices,
    pub(super) hub: Arc<Hub>,
    pub(super) settings: Arc<Settings>,
    pub(super) input: Option<Arc<dyn InputSink>>,
    pub(super) held: Held,
    pub(super) caps: Caps,
    pub(super) format: ClientFormat,
    /// The zlib-based family this connection has used.
    stream_codec: Option<Codec>,
    /// None while an update is being encoded elsewhere.
    pub(super) picture: Option<ClientPicture>,
    /// Where films were when the list of sessions was told.
    pub(super) films_told: Vec<Film>,
    /// What to do to the picture once it is back.
    pub(super) ops: Vec<Op>,
    pub(super) notify: Arc<dyn Fn() + Send + Sync>,
    pub(super) pacer: Pacer,
    pub(super) requested: Region,
    /// A non-incremental request waits: an update without pixels is no answer to it.
    pub(super) pixels_owed: bool,
    /// Since when the source is asked and nothing waits to be sent; none while something does, or nobody asks.
    pub(super) caught_up_at: Option<Instant>,
    pub(super) continuous: Option<Rect>,
    /// The canvas as the client knows it.
    pub(super) canvas: Size,
    pub(super) shown_layout: Option<Layout>,
    /// Where the canvas lies on the desktop.
    pub(super) places: Places,
    /// How large the client sees the desktop.
    pub(super) scale: ScaleSpec,
    /// The pipelines of what it sees, for as long as it does.
    pub(super) outputs: Vec<ViewOutput>,
    /// Where on the canvas somebody last pointed.
    pub(super) pointed_at: Option<Point>,
    pub(super) resize: ResizeState,
    /// Layouts that the client asked for and the desktop was not asked for yet.
    pub(super) wishes: VecDeque<Layout>,
    pub(super) pseudo: Pseudo,
    pub(super) outbox: Outbox,
    pub(super) clipboard: Peer,
    pub(super) offered_text: Option<Arc<str>>,
    /// The client answered a fence: pacing may rely on it.
    pub(super) fences_answered: bool,
    fence_announced: bool,
    continuous_announced: bool,
    /// A fence whose answer goes out when the next message is carried out.
    sync_next: Option<Fence>,
    pub(super) wake_at: Option<Instant>,
    /// Bytes that the kernel holds for the client, where it tells and pacing wants to know.
    pub(super) below: Option<usize>,
    pub(super) updates_sent: u64,
}

/// What the driver has to do for a message.
pub enum Outcome {
    /// Nothing more.
    Nothing,
    /// Ask the desktop for this layout, off the network threads, and hand the answer to [`Session::resized`].
    Resize(Layout),
}

impl Session {
    /// A session of a client that was let in. `notify` wakes the driver from other threads.
    pub fn new(entry: Arc<Entry>, hub: Arc<Hub>, settings: Arc<Settings>, notify: Arc<dyn Fn() + Send + Sync>) -> Self {
        let seen = hub.seen(&settings.view, settings.scale);
        let (layout, view, places) = seen.map(|s| (s.layout, s.view, s.places)).unwrap_or_default();
        let mut picture = ClientPicture::new();
        picture.set_view(&view, &notify);
        let permissions = entry.who.permissions();
        let touches = permissions.has(Permission::Pointer) || permissions.has(Permission::Keyboard);
        let idle = settings.idle_limit.filter(|_| touches || settings.idle_view_only);
        let clip_out = settings.clipboard_out && permissions.has(Permission::ClipOut);
        let mut session = Self {
            id: entry.who.id,
            denied: Permissions::NONE,
            terms: Terms::new(entry.who.began, idle, settings.time_limit),
            notices: Notices::default(),
            entry,
            input: hub.backend().input(),
            held: Held::default(),
            caps: Caps::default(),
            format: ClientFormat::BGRX,
            stream_codec: None,
            picture: Some(picture),
            films_told: Vec::new(),
            ops: Vec::new(),
            notify,
            pacer: Pacer::new(settings.max_fps, settings.max_rate, hub.rate_share()),
            requested: Region::new(),
            pixels_owed: false,
            caught_up_at: None,
            continuous: None,
            canvas: view.canvas,
            shown_layout: Some(layout),
            places,
            scale: settings.scale,
            outputs: view.outputs,
            pointed_at: None,
            resize: ResizeState::default(),
            wishes: VecDeque::new(),
            pseudo: Pseudo::default(),
            outbox: Outbox::default(),
            clipboard: Peer::default(),
            offered_text: hub.desktop().clipboard.filter(|_| clip_out),
            fences_answered: false,
            fence_announced: false,
            continuous_announced: false,
            sync_next: None,
            wake_at: None,
            below: None,
            updates_sent: 0,
            hub,
            settings,
        };
        session.show_pointer();
        session
    }

    /// Bytes for the client.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Whether the client listed the extended clipboard, and extended mouse buttons that were acknowledged to it.
    pub fn parse_context(&self) -> (bool, bool) {
        (self.caps.extended_clipboard, self.caps.mouse_buttons && !self.pseudo.mouse_buttons)
    }

    /// Whether a message has to wait until the update being encoded is queued: it changes what updates look like.
    pub fn must_wait(&self, message: &ClientMessage) -> bool {
        self.is_encoding()
            && matches!(
                message,
                ClientMessage::SetPixelFormat(_)
                    | ClientMessage::SetEncodings { .. }
                    | ClientMessage::EnableContinuousUpdates { .. }
            )
    }

    /// Whether pacing wants to know what the kernel holds for this client.
    pub fn wants_count(&self) -> bool {
        self.pacer.wants_count()
    }

    /// Takes in what the kernel holds for this client, if it tells.
    pub fn count_below(&mut self, bytes: Option<usize>) {
        self.below = bytes;
    }

    /// When to pump again although nothing happens.
    pub fn wake_at(&self) -> Option<Instant> {
        let times = [self.wake_at, self.resize.settle_at(), self.terms.wake_at(), self.notices.wake_at()];
        times.into_iter().flatten().min()
    }

    /// Takes in a message.
    ///
    /// # Errors
    /// When the client is to be closed.
    pub fn on_message(&mut self, message: ClientMessage, now: Instant) -> Result<Outcome, SessionError> {
        // The answer to SyncNext parts what the next message affects from what it does not.
        if let Some(fence) = self.sync_next.take() {
            self.answer(&fence)?;
        }
        let mut outcome = Outcome::Nothing;
        match message {
            ClientMessage::SetPixelFormat(format) => self.set_format(&format)?,
            ClientMessage::SetEncodings { encodings, listed } => {
                let list: Vec<i32> = encodings.iter().map(|e| e.0).collect();
                tracing::debug!(client = %self.id, listed, ?encodings, "encodings");
                self.set_encodings(&list, now)?;
            }
            ClientMessage::FramebufferUpdateRequest { incremental, area } => self.request(rect_of(&area), incremental),
            ClientMessage::KeyEvent { down, keysym } => self.key(now, KeyInput { down, keysym, scancode: None }),
            ClientMessage::QemuKey { down, keysym, keycode } => {
                let scancode = Some(keycode).filter(|&c| c != 0);
                self.key(now, KeyInput { down, keysym, scancode });
            }
            ClientMessage::PointerEvent { buttons, x, y } => self.pointer(now, x, y, buttons),
            ClientMessage::CutText(bytes) => self.cut_text(&bytes, now),
            ClientMessage::ExtendedClipboard(message) => self.extended_clipboard(message, now)?,
            ClientMessage::CutTextDropped(dropped) => {
                tracing::warn!(client = %self.id, length = dropped.length, "clipboard text above the cap was dropped");
            }
            ClientMessage::EnableContinuousUpdates { on, area } => {
                self.continuous = on.then(|| rect_of(&area).intersect(&self.canvas.rect()));
                if !on {
                    self.outbox.push(vec![150])?;
                }
            }
            ClientMessage::Fence(fence) => self.fence(&fence, now)?,
            ClientMessage::SetDesktopSize(wish) => {
                if let Some(layout) = self.wished_layout(&wish) {
                    outcome = Outcome::Resize(layout);
                }
            }
            ClientMessage::SetScale(parts) => self.set_scale(parts),
            ClientMessage::Xvp { .. } | ClientMessage::QemuAudio(_) | ClientMessage::Ignored(_) => {}
        }
        Ok(outcome)
    }

    /// What the client sees now.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.hub.seen(&self.settings.view, self.scale)
    }

    fn set_format(&mut self, format: &PixelFormat) -> Result<(), SessionError> {
        let format = client_format(format);
        if !format.is_valid() {
            return Err(ProtocolError::BadField {
                field: "pixel format of depth",
                value: u32::from(format.depth),
                expected: "disjoint masks within the pixel",
            }
            .into());
        }
        tracing::debug!(client = %self.id, ?format, "pixel format");
        self.format = format;
        if !format.true_colour {
            self.outbox.push(colour_map())?;
        }
        self.ops.push(Box::new(ClientPicture::ask_all));
        self.pseudo.cursor |= self.caps.cursor.is_some();
        Ok(())
    }

    fn set_encodings(&mut self, list: &[i32], now: Instant) -> Result<(), SessionError> {
        let caps = Caps::from_encodings(list, self.stream_codec);
        let old = std::mem::replace(&mut self.caps, caps);
        let caps = &self.caps;
        if matches!(caps.codec, Codec::Zlib | Codec::Zrle) {
            self.stream_codec = Some(caps.codec);
        }
        let allowed = self.settings.h264 && !self.settings.lossless;
        self.entry.listed(caps.told_with_films(&self.films_told, allowed), caps.desktop_name);
        self.pseudo.merge(Pseudo::for_caps(caps, &old));
        self.ops.push(Box::new(ClientPicture::restart_all_films));
        let copy = caps.copy_rect;
        self.ops.push(Box::new(move |p| p.set_can_copy(copy)));
        if caps.fence && !self.fence_announced {
            self.fence_announced = true;
            let mut message = Vec::new();
            Fence::announcement().write(&mut message);
            self.outbox.push(message)?;
        }
        if !caps.fence && self.fences_answered {
            self.fences_answered = false;
            self.pacer.on_event(PaceEvent::Fences(false), now);
        }
        if self.caps.continuous_updates && !self.continuous_announced {
            self.continuous_announced = true;
            self.outbox.push(vec![150])?;
        }
        if (self.caps.extended_desktop_size && !old.extended_desktop_size)
            || (self.caps.desktop_size && !old.desktop_size)
        {
            self.resize.tell_again();
        }
        if self.caps.extended_clipboard {
            self.announce_clipboard()?;
        }
        self.show_pointer();
        Ok(())
    }

    fn request(&mut self, rect: Rect, incremental: bool) {
        let rect = rect.intersect(&self.canvas.rect());
        if !incremental {
            self.ops.push(Box::new(move |p| p.ask(&rect)));
            self.pixels_owed |= !rect.is_empty();
            if self.caps.extended_desktop_size {
                self.resize.tell_again();
            }
        }
        // An empty area is a request all the same: pseudo-rectangles may answer it.
        let rect = if rect.is_empty() { Rect::new(0, 0, 1, 1).intersect(&self.canvas.rect()) } else { rect };
        self.requested.add(&rect);
    }

    fn fence(&mut self, fence: &Fence, now: Instant) -> Result<(), SessionError> {
        if fence.is_request() {
            if fence.flags().contains(FenceFlags::SYNC_NEXT) {
                self.sync_next = Some(*fence);
                return Ok(());
            }
            return self.answer(fence);
        }
        if !self.fences_answered {
            self.fences_answered = true;
            self.pacer.on_event(PaceEvent::Fences(true), now);
        } else if fence.payload() == UPDATE_FENCE {
            self.pacer.on_event(PaceEvent::Pong, now);
        }
        Ok(())
    }

    fn answer(&mut self, fence: &Fence) -> Result<(), SessionError> {
        if let Some(answer) = fence.answer() {
            let mut message = Vec::new();
            answer.write(&mut message);
            self.outbox.push(message)?;
        }
        Ok(())
    }

    /// The desktop answered a wish for another layout.
    pub fn resized(&mut self, answer: crate::backend::ResizeAnswer, now: Instant) {
        self.resize.answered(answer, now);
    }

    /// Takes in what the hub tells.
    ///
    /// # Errors
    /// When the session has to end.
    pub fn on_hub(&mut self, event: HubEvent, now: Instant) -> Result<(), SessionError> {
        match event {
            HubEvent::Layout(by) => {
                self.resize.layout_changed(by == Some(self.id), by.is_some_and(|b| b != self.id));
            }
            HubEvent::Cursor(_) => {
                self.pseudo.cursor |= self.caps.cursor.is_some();
                self.show_pointer();
            }
            HubEvent::Pointer(at, _) => {
                self.pointed_at = self.places.to_view(at);
                self.pseudo.pointer |= self.caps.pointer_pos || self.caps.vmware_pointer_pos;
                self.show_pointer();
            }
            HubEvent::Clipboard(text, _) => self.offer_text(text)?,
            HubEvent::Leds(_) => self.pseudo.leds |= self.caps.leds || self.caps.vmware_leds,
            HubEvent::Bell => self.outbox.push(vec![2])?,
            HubEvent::Presence => self.pseudo.name |= self.caps.desktop_name,
            HubEvent::Message(text) => {
                self.outbox.push(vec![2])?;
                self.notices.message(text, now);
                self.pseudo.name |= self.caps.desktop_name;
            }
            HubEvent::InputHeld => {
                if let Some(input) = &self.input {
                    self.held.release(&**input);
                }
            }
            HubEvent::Close(reason) => return Err(SessionError::Closed(reason)),
        }
        Ok(())
    }
}

impl Drop for Session {
    /// However the session ends, nothing stays held down.
    fn drop(&mut self) {
        if let Some(input) = &self.input {
            self.held.release(&**input);
        }
    }
}

/// The engine's form of a wire format.
fn client_format(f: &PixelFormat) -> ClientFormat {
    if !f.true_colour {
        return ClientFormat { depth: f.depth, ..ClientFormat::COLOUR_MAP };
    }
    ClientFormat {
        bpp: f.bits_per_pixel,
        depth: f.depth,
        big_endian: f.big_endian,
        true_colour: true,
        r_max: f.red.max,
        g_max: f.green.max,
        b_max: f.blue.max,
        r_shift: f.red.shift,
        g_shift: f.green.shift,
        b_shift: f.blue.shift,
    }
}

/// SetColourMapEntries with the colours of BGR233.
fn colour_map() -> Vec<u8> {
    let mut message = vec![1, 0, 0, 0, 1, 0];
    for value in 0..=255u32 {
        for v in ClientFormat::COLOUR_MAP.rgb(value) {
            message.extend_from_slice(&(u16::from(v) * 257).to_be_bytes());
        }
    }
    message
}
