//! The framing of the server's stream after ServerInit.

use super::decoder::{Decoder, RectHeader, is_pixels};
use super::reader::Reader;
use super::{DecodeError, encoding};
use crate::geometry::Size;
use crate::pixel::ClientFormat;
use std::collections::BTreeSet;

/// Longest clipboard text taken: libvncclient drops the connection above it.
const MAX_CUT_TEXT: usize = 1 << 20;
/// Longest fence payload.
const MAX_FENCE: u8 = 64;

/// One rectangle of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RectInfo {
    /// Its header.
    pub head: RectHeader,
    /// Its length in bytes, the header included.
    pub bytes: usize,
}

/// A whole FramebufferUpdate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Its rectangles in order, without LastRect.
    pub rects: Vec<RectInfo>,
    /// Its length in bytes.
    pub bytes: usize,
}

/// A message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// An update, already decoded.
    Update(Update),
    /// Colour map entries, already taken over.
    ColourMap {
        /// The first entry set.
        first: u16,
        /// How many.
        count: u16,
    },
    /// The bell.
    Bell,
    /// Latin-1 clipboard text as it was sent.
    CutText(Vec<u8>),
    /// An extended clipboard message: flags and body.
    ExtendedClipboard(Vec<u8>),
    /// Continuous updates can be had, or have ended.
    EndOfContinuousUpdates,
    /// A fence.
    Fence {
        /// Its flags; bit 31 asks for an answer.
        flags: u32,
        /// What the answer repeats.
        payload: Vec<u8>,
    },
}

/// Cuts a server's byte stream into messages and decodes its updates.
#[derive(Debug)]
pub struct Viewer {
    decoder: Decoder,
    buffer: Vec<u8>,
    /// Bytes of `buffer` already read.
    used: usize,
    update: Option<Open>,
    listed: Option<BTreeSet<i32>>,
    failed: Option<DecodeError>,
}

/// An update not yet complete.
#[derive(Debug)]
struct Open {
    left: u16,
    update: Update,
    carries_pixels: bool,
    resized: bool,
    desktop_size: bool,
}

impl Viewer {
    /// A viewer at the first message after ServerInit.
    ///
    /// # Errors
    /// As [`Decoder::new`].
    pub fn new(format: ClientFormat, size: Size) -> Result<Self, DecodeError> {
        Ok(Self {
            decoder: Decoder::new(format, size)?,
            buffer: Vec::new(),
            used: 0,
            update: None,
            listed: None,
            failed: None,
        })
    }

    /// From now on anything not in this list (and not Raw) is a fault, as it is for real clients.
    pub fn expect_only(&mut self, encodings: &[i32]) {
        self.listed = Some(encodings.iter().copied().collect());
    }

    /// The picture and all that goes with it.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Takes another pixel format, from the next message on.
    ///
    /// # Errors
    /// When the format is invalid or an update is half read.
    pub fn set_format(&mut self, format: ClientFormat) -> Result<(), DecodeError> {
        if self.update.is_some() {
            return Err(DecodeError::Rule("a new pixel format in the middle of a message"));
        }
        self.decoder.set_format(format)
    }

    /// Whether every byte so far belonged to a whole message.
    pub fn is_between_messages(&self) -> bool {
        self.used == self.buffer.len() && self.update.is_none()
    }

    /// Takes bytes as they come and returns the messages they complete.
    ///
    /// # Errors
    /// The first fault of the server; it is returned again by every later call.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<ServerEvent>, DecodeError> {
        self.push(bytes);
        std::iter::from_fn(|| self.next_event().transpose()).collect()
    }

    /// Takes bytes as they come, for [`Viewer::next_event`].
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message that the bytes so far complete; later messages are not looked at yet.
    ///
    /// # Errors
    /// The first fault of the server; it is returned again by every later call.
    pub fn next_event(&mut self) -> Result<Option<ServerEvent>, DecodeError> {
        if let Some(fault) = &self.failed {
            return Err(fault.clone());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let mut result = Ok(None);
        while self.used < buffer.len() {
            match self.step(&buffer[self.used..]) {
                Ok((used, event)) => {
                    self.used += used;
                    if event.is_some() {
                        result = Ok(event);
                        break;
                    }
                }
                Err(e) if e.is_short() => break,
                Err(e) => {
                    self.failed = Some(e.clone());
                    result = Err(e);
                    break;
                }
            }
        }
        self.buffer = buffer;
        result
    }

    /// Reads one message without rectangles, one update header or one rectangle.
    fn step(&mut self, bytes: &[u8]) -> Result<(usize, Option<ServerEvent>), DecodeError> {
        let mut r = Reader::stream(bytes);
        let event = match self.update.take() {
            Some(mut open) => {
                let done = self.rect(&mut r, &mut open);
                match done {
                    Ok(true) => Some(ServerEvent::Update(open.update)),
                    Ok(false) => {
                        self.update = Some(open);
                        None
                    }
                    Err(e) => {
                        self.update = Some(open);
                        return Err(e);
                    }
                }
            }
            None => self.message(&mut r)?,
        };
        Ok((r.position(), event))
    }

    fn message(&mut self, r: &mut Reader<'_>) -> Result<Option<ServerEvent>, DecodeError> {
        let event = match r.u8()? {
            0 => {
                r.u8()?;
                let left = r.u16()?;
                let update = Update { rects: Vec::new(), bytes: 4 };
                if left == 0 {
                    return Ok(Some(ServerEvent::Update(update)));
                }
                let open = Open { left, update, carries_pixels: false, resized: false, desktop_size: false };
                self.update = Some(open);
                return Ok(None);
            }
            1 => self.colour_map(r)?,
            2 => ServerEvent::Bell,
            3 => self.cut_text(r)?,
            150 => {
                self.check_listed(encoding::CONTINUOUS_UPDATES)?;
                ServerEvent::EndOfContinuousUpdates
            }
            248 => {
                self.check_listed(encoding::FENCE)?;
                r.take(3)?;
                let flags = r.u32()?;
                let len = r.u8()?;
                if len > MAX_FENCE {
                    let max = MAX_FENCE.into();
                    return Err(DecodeError::Range { what: "fence payload", value: len.into(), min: 0, max });
                }
                ServerEvent::Fence { flags, payload: r.take(len.into())?.to_vec() }
            }
            other => return Err(DecodeError::UnknownMessage(other)),
        };
        Ok(Some(event))
    }

    fn colour_map(&mut self, r: &mut Reader<'_>) -> Result<ServerEvent, DecodeError> {
        if self.decoder.format.true_colour {
            return Err(DecodeError::Rule("a colour map for a true-colour client"));
        }
        r.u8()?;
        let (first, count) = (r.u16()?, r.u16()?);
        let entries = r.take(usize::from(count) * 6)?;
        let place = self.decoder.colour_map.get_mut(usize::from(first)..usize::from(first) + usize::from(count));
        let Some(place) = place else {
            let value = u64::from(first) + u64::from(count);
            return Err(DecodeError::Range { what: "colour map entries", value, min: 0, max: 256 });
        };
        for (colour, bytes) in place.iter_mut().zip(entries.chunks_exact(6)) {
            *colour = [bytes[0], bytes[2], bytes[4]];
        }
        Ok(ServerEvent::ColourMap { first, count })
    }

    fn cut_text(&mut self, r: &mut Reader<'_>) -> Result<ServerEvent, DecodeError> {
        r.take(3)?;
        let len = r.i32()?;
        let bytes = len.unsigned_abs() as usize;
        if bytes > MAX_CUT_TEXT {
            let max = MAX_CUT_TEXT as u64;
            return Err(DecodeError::Range { what: "clipboard length", value: bytes as u64, min: 0, max });
        }
        if len >= 0 {
            return Ok(ServerEvent::CutText(r.take(bytes)?.to_vec()));
        }
        self.check_listed(encoding::EXTENDED_CLIPBOARD)?;
        if bytes < 4 {
            return Err(DecodeError::Range {
                what: "extended clipboard length",
                value: bytes as u64,
                min: 4,
                max: 1 << 20,
            });
        }
        Ok(ServerEvent::ExtendedClipboard(r.take(bytes)?.to_vec()))
    }

    fn check_listed(&self, number: i32) -> Result<(), DecodeError> {
        match &self.listed {
            Some(listed) if !listed.contains(&number) => Err(DecodeError::NotListed(number)),
            _ => Ok(()),
        }
    }

    /// Reads one rectangle; true when it was the update's last.
    fn rect(&mut self, r: &mut Reader<'_>, open: &mut Open) -> Result<bool, DecodeError> {
        let [x, y, w, h] = [r.u16()?, r.u16()?, r.u16()?, r.u16()?];
        let head = RectHeader { x, y, w, h, encoding: r.i32()? };
        if head.encoding != encoding::RAW {
            self.check_listed(head.encoding)?;
        }
        if head.encoding == encoding::LAST_RECT {
            open.update.bytes += r.position();
            return Ok(true);
        }
        if open.desktop_size {
            return Err(DecodeError::Rule("a rectangle after DesktopSize in one update"));
        }
        let body = r.rest();
        let used = self.decoder.decode_prefix(&head, body)?;
        r.take(used)?;
        open.desktop_size |= head.encoding == encoding::DESKTOP_SIZE;
        open.resized |= matches!(head.encoding, encoding::DESKTOP_SIZE | encoding::EXTENDED_DESKTOP_SIZE);
        open.carries_pixels |= is_pixels(head.encoding);
        if open.resized && open.carries_pixels {
            return Err(DecodeError::Rule("pixels and a new size in one update"));
        }
        open.update.rects.push(RectInfo { head, bytes: r.position() });
        open.update.bytes += r.position();
        // 65535 rectangles may be announced to a client that takes LastRect, which then ends the update
        open.left -= 1;
        Ok(open.left == 0)
    }
}
