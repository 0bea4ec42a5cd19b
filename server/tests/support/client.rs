//! A whole viewer: blocking, single-threaded, strict.

use crate::{ClientError, Clipboard, PATIENCE, Raw, Security, ServerInit, encoding};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::pixel::ClientFormat;
use farpane_engine::refdec::{Decoder, ServerEvent, Update, Viewer};
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

const FENCE_REQUEST: u32 = 1 << 31;
const FENCE_BLOCK_BEFORE: u32 = 1;
const FENCE_SYNC_NEXT: u32 = 4;
/// The payload of the fence that a new pixel format goes with.
const FORMAT_FENCE: &[u8] = b"format";

/// What the client does when an update arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: the test asks by itself.
    Manual,
    /// Asks for the next one.
    Requests,
    /// Waits for the next one: continuous updates are on.
    Continuous,
}

/// What one update cost.
#[derive(Clone, Debug)]
pub struct UpdateStat {
    /// When it was complete.
    pub at: Instant,
    /// The update's rectangles and bytes.
    pub update: Update,
}

/// What the server sent so far.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes after ServerInit.
    pub bytes: u64,
    /// Every update.
    pub updates: Vec<UpdateStat>,
    /// Bells rung.
    pub bells: usize,
    /// Fences that asked for an answer.
    pub fences: usize,
    /// Answers to fences of this client: flags and payload.
    pub pongs: Vec<(u32, Vec<u8>)>,
    /// EndOfContinuousUpdates messages.
    pub ends: usize,
    /// SetColourMapEntries messages.
    pub colour_maps: usize,
}

/// A client past the handshake.
#[derive(Debug)]
pub struct Client {
    raw: Raw,
    init: ServerInit,
    viewer: Viewer,
    listed: BTreeSet<i32>,
    mode: Mode,
    unanswered: usize,
    next_format: VecDeque<ClientFormat>,
    size: Size,
    /// What came over the wire.
    pub traffic: Traffic,
    /// Texts both ways.
    pub clipboard: Clipboard,
}

impl Client {
    /// Shakes hands.
    ///
    /// # Errors
    /// As [`Raw::handshake`].
    pub fn handshake(mut raw: Raw, version: &str, security: Security<'_>, shared: bool) -> Result<Self, ClientError> {
        let init = raw.handshake(version, security, shared)?;
        Self::entered(raw, init)
    }

    /// Goes on where a security type has ended: SecurityResult is read, and the desktop shared.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the server does not let the client in.
    pub fn proved(mut raw: Raw) -> Result<Self, ClientError> {
        raw.security_result(true)?;
        let init = raw.init(true)?;
        Self::entered(raw, init)
    }

    fn entered(raw: Raw, init: ServerInit) -> Result<Self, ClientError> {
        let mut viewer = Viewer::new(init.format, init.size)?;
        viewer.expect_only(&[]);
        Ok(Self {
            raw,
            size: init.size,
            init,
            viewer,
            listed: BTreeSet::new(),
            mode: Mode::Manual,
            unanswered: 0,
            next_format: VecDeque::new(),
            traffic: Traffic::default(),
            clipboard: Clipboard::default(),
        })
    }

    /// What the server said of its desktop at first.
    pub fn init(&self) -> &ServerInit {
        &self.init
    }

    /// The picture and all that the pseudo-encodings told.
    pub fn picture(&self) -> &Decoder {
        self.viewer.decoder()
    }

    /// The bytes below, for messages that no proper client sends.
    pub fn raw(&mut self) -> &mut Raw {
        &mut self.raw
    }

    /// Lists encodings. Anything the server sends outside all lists so far is a fault.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn set_encodings(&mut self, encodings: &[i32]) -> Result<(), ClientError> {
        self.listed.extend(encodings);
        let all: Vec<i32> = self.listed.iter().copied().collect();
        self.viewer.expect_only(&all);
        let mut message = vec![2, 0];
        message.extend((encodings.len() as u16).to_be_bytes());
        encodings.iter().for_each(|e| message.extend(e.to_be_bytes()));
        self.raw.send(&message)
    }

    /// Asks for a pixel format. While updates may be on their way the server must know fences, which tell where the
    /// new format starts.
    ///
    /// # Errors
    /// When the connection ends.
    ///
    /// # Panics
    /// When updates may be on their way and the server did not announce fences.
    pub fn set_format(&mut self, format: ClientFormat) -> Result<(), ClientError> {
        let message = format_message(&format);
        if self.unanswered == 0 && self.mode != Mode::Continuous && self.next_format.is_empty() {
            self.viewer.set_format(format)?;
            return self.raw.send(&message);
        }
        assert!(self.traffic.fences > 0, "a new format with updates on their way and without fences");
        self.next_format.push_back(format);
        let fence = fence(FENCE_REQUEST | FENCE_BLOCK_BEFORE | FENCE_SYNC_NEXT, FORMAT_FENCE);
        self.raw.send(&[fence, message].concat())
    }

    /// Asks for an update of a part of the picture.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn request(&mut self, incremental: bool, area: Rect) -> Result<(), ClientError> {
        self.unanswered += 1;
        self.raw.send(&area_message(3, incremental, area))
    }

    /// Asks for a whole picture now and for changes after each update.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn watch(&mut self) -> Result<(), ClientError> {
        self.mode = Mode::Requests;
        self.request(false, self.size.rect())
    }

    /// Turns continuous updates on for the whole picture.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn watch_continuously(&mut self) -> Result<(), ClientError> {
        self.mode = Mode::Continuous;
        self.raw.send(&area_message(150, true, self.size.rect()))
    }

    /// Turns continuous updates off; the server says so with EndOfContinuousUpdates.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn stop_continuous(&mut self) -> Result<(), ClientError> {
        self.raw.send(&area_message(150, false, Rect::default()))
    }

    /// From now on the client does this after an update.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// Sends a fence that asks for an answer; answers are in [`Traffic::pongs`].
    ///
    /// # Errors
    /// When the connection ends.
    pub fn send_fence(&mut self, flags: u32, payload: &[u8]) -> Result<(), ClientError> {
        self.raw.send(&fence(flags | FENCE_REQUEST, payload))
    }

    /// Presses or releases a key.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn key(&mut self, keysym: u32, down: bool) -> Result<(), ClientError> {
        self.raw.send(&[&[4, down.into(), 0, 0][..], &keysym.to_be_bytes()].concat())
    }

    /// Presses or releases a key by keysym and XT scancode (the QEMU extension).
    ///
    /// # Errors
    /// When the connection ends.
    pub fn qemu_key(&mut self, keysym: u32, scancode: u32, down: bool) -> Result<(), ClientError> {
        let head = [255, 0, 0, down.into()];
        self.raw.send(&[&head[..], &keysym.to_be_bytes(), &scancode.to_be_bytes()].concat())
    }

    /// Moves the pointer; bit 7 of the mask is back, bit 8 forward, sent as the extension has them once the server
    /// acknowledged it.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn pointer(&mut self, x: u16, y: u16, mask: u16) -> Result<(), ClientError> {
        let extended = self.picture().acknowledged().contains(&encoding::EXTENDED_MOUSE_BUTTONS);
        let more = (mask >> 7) as u8;
        let place = [x.to_be_bytes(), y.to_be_bytes()].concat();
        let message = if extended && more != 0 {
            [&[5, (mask & 0x7f) as u8 | 0x80][..], &place, &[more]].concat()
        } else {
            [&[5, mask as u8][..], &place].concat()
        };
        self.raw.send(&message)
    }

    /// Sends a text, through the extended clipboard once the server told its capabilities, else as Latin-1.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn send_text(&mut self, text: &str) -> Result<(), ClientError> {
        crate::secrets::tell(text);
        let message = if self.clipboard.extended {
            self.clipboard.offer(text)
        } else {
            let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
            [&[6, 0, 0, 0][..], &(bytes.len() as u32).to_be_bytes(), &bytes].concat()
        };
        self.raw.send(&message)
    }

    /// Asks for another size and layout: number and place of each screen.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn set_desktop_size(&mut self, size: Size, screens: &[(u32, Rect)]) -> Result<(), ClientError> {
        let mut message = vec![251, 0];
        message.extend(size.w.to_be_bytes());
        message.extend(size.h.to_be_bytes());
        message.extend([screens.len() as u8, 0]);
        for (id, place) in screens {
            message.extend(id.to_be_bytes());
            [place.x, place.y, place.w, place.h].iter().for_each(|v| message.extend(v.to_be_bytes()));
            message.extend([0; 4]);
        }
        self.raw.send(&message)
    }

    /// Takes what comes until `deadline`; true when anything came.
    ///
    /// # Errors
    /// When the connection ends or the server breaks the protocol.
    pub fn pump(&mut self, deadline: Instant) -> Result<bool, ClientError> {
        let mut block = vec![0; 1 << 16];
        let Some(n) = self.raw.read_some(&mut block, deadline)? else { return Ok(false) };
        self.traffic.bytes += n as u64;
        self.viewer.push(&block[..n]);
        while let Some(event) = self.viewer.next_event()? {
            self.take(event)?;
        }
        Ok(true)
    }

    fn take(&mut self, event: ServerEvent) -> Result<(), ClientError> {
        match event {
            ServerEvent::Update(update) => {
                self.traffic.updates.push(UpdateStat { at: Instant::now(), update });
                self.unanswered = 0;
                let resized = self.picture().size() != self.size;
                self.size = self.picture().size();
                match self.mode {
                    Mode::Requests => self.request(!resized, self.size.rect())?,
                    Mode::Continuous if resized => {
                        self.watch_continuously()?;
                        self.request(false, self.size.rect())?;
                    }
                    _ => {}
                }
            }
            ServerEvent::Fence { flags, payload } if flags & FENCE_REQUEST != 0 => {
                self.traffic.fences += 1;
                self.raw.send(&fence(flags & 7, &payload))?;
            }
            ServerEvent::Fence { flags, payload } => {
                if payload == FORMAT_FENCE
                    && let Some(format) = self.next_format.pop_front()
                {
                    self.viewer.set_format(format)?;
                }
                self.traffic.pongs.push((flags, payload));
            }
            ServerEvent::ColourMap { .. } => self.traffic.colour_maps += 1,
            ServerEvent::Bell => self.traffic.bells += 1,
            ServerEvent::CutText(bytes) => self.clipboard.take_plain(&bytes),
            ServerEvent::ExtendedClipboard(bytes) => {
                if let Some(answer) = self.clipboard.take_extended(&bytes)? {
                    self.raw.send(&answer)?;
                }
            }
            ServerEvent::EndOfContinuousUpdates => self.traffic.ends += 1,
        }
        Ok(())
    }

    /// Goes on until `done`, for at most the patience of tests.
    ///
    /// # Errors
    /// [`ClientError::Late`] when it does not come about; else as [`Client::pump`].
    pub fn wait_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) -> Result<(), ClientError> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            if Instant::now() >= deadline {
                return Err(ClientError::Late { what: what.into(), limit: PATIENCE, seen: self.seen() });
            }
            self.pump(deadline)?;
        }
        Ok(())
    }

    /// Goes on until the picture is this one, within what the pixel format can show.
    ///
    /// # Errors
    /// As [`Client::wait_until`], with the first pixel that differs.
    pub fn wait_for_picture(&mut self, rgb: &[u8]) -> Result<(), ClientError> {
        let waited = self.wait_until("the picture", |c| c.first_difference(rgb).is_none());
        match (waited, self.first_difference(rgb)) {
            (Err(ClientError::Late { what, limit, seen }), Some(d)) => {
                Err(ClientError::Late { what: format!("{what}: {d}"), limit, seen })
            }
            (other, _) => other,
        }
    }

    /// Takes what comes for `span` and returns how many bytes that was.
    ///
    /// # Errors
    /// As [`Client::pump`].
    pub fn bytes_within(&mut self, span: Duration) -> Result<u64, ClientError> {
        let (before, end) = (self.traffic.bytes, Instant::now() + span);
        while Instant::now() < end {
            self.pump(end)?;
        }
        Ok(self.traffic.bytes - before)
    }

    /// The first pixel whose value is not that of the colour `rgb` has there, in words.
    pub fn first_difference(&self, rgb: &[u8]) -> Option<String> {
        let picture = self.picture();
        let (f, size) = (picture.format(), picture.size());
        if rgb.len() as u64 != size.area() * 3 {
            return Some(format!("a picture of {size} instead of {} pixels", rgb.len() / 3));
        }
        let want = rgb.chunks_exact(3).map(|p| f.value([p[0], p[1], p[2]]));
        let at = picture.pixels().iter().zip(want).position(|(got, want)| got & f.mask() != want)?;
        let (x, y) = (at % usize::from(size.w), at / usize::from(size.w));
        let (got, want) = (picture.rgb_at(x as u16, y as u16), &rgb[at * 3..at * 3 + 3]);
        Some(format!("{got:?} at ({x}, {y}) instead of {want:?}"))
    }

    fn seen(&self) -> String {
        let t = &self.traffic;
        format!("{} bytes and {} updates came, counts {:?}", t.bytes, t.updates.len(), self.picture().counts())
    }
}

fn area_message(kind: u8, flag: bool, area: Rect) -> Vec<u8> {
    let mut out = vec![kind, flag.into()];
    [area.x, area.y, area.w, area.h].iter().for_each(|v| out.extend(v.to_be_bytes()));
    out
}

fn fence(flags: u32, payload: &[u8]) -> Vec<u8> {
    [&[248, 0, 0, 0][..], &flags.to_be_bytes(), &[payload.len() as u8], payload].concat()
}

fn format_message(f: &ClientFormat) -> Vec<u8> {
    let mut out = vec![0, 0, 0, 0, f.bpp, f.depth, f.big_endian.into(), f.true_colour.into()];
    [f.r_max, f.g_max, f.b_max].iter().for_each(|v| out.extend(v.to_be_bytes()));
    out.extend([f.r_shift, f.g_shift, f.b_shift, 0, 0, 0]);
    out
}
