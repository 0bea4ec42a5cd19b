//! Extended clipboard (0xc0a1e5ce): UTF-8 text that is announced, asked for and provided.
//!
//! A body is what follows the negative length of ClientCutText or ServerCutText: `u32 flags`, then what the action needs.
//! Only text is understood; other formats are named in requests and skipped in data. Text is CRLF and NUL-terminated on the
//! wire, LF and without NUL outside this file. The zlib stream of a provide is new each time and inflated no further than
//! the text's cap.

use thiserror::Error;
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status};

use crate::cut_text;
use crate::limits;
use crate::wire::{Put, Reader};

/// A set of clipboard formats, bits 0 to 15 of the flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Formats(pub u16);

impl Formats {
    /// UTF-8 text.
    pub const TEXT: Self = Self(1);
    /// Rich text.
    pub const RTF: Self = Self(2);
    /// HTML.
    pub const HTML: Self = Self(4);

    /// Whether text is among them.
    pub fn has_text(self) -> bool {
        self.0 & Self::TEXT.0 != 0
    }
}

const CAPS: u32 = 1 << 24;
const REQUEST: u32 = 1 << 25;
const PEEK: u32 = 1 << 26;
const NOTIFY: u32 = 1 << 27;
const PROVIDE: u32 = 1 << 28;
const ACTIONS: u32 = REQUEST | PEEK | NOTIFY | PROVIDE;

/// Text that a peer provided.
#[derive(Clone, PartialEq, Eq)]
pub enum ProvidedText {
    /// No text among the formats.
    Absent,
    /// The text, LF, without its NUL.
    Text(String),
    /// Longer than the cap; not inflated.
    TooLong {
        /// Bytes that the peer announced.
        size: u32,
    },
    /// Not UTF-8; ignored.
    NotUtf8,
}

/// Without the text: it may be a password.
impl std::fmt::Debug for ProvidedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::TooLong { size } => write!(f, "TooLong {{ size: {size} }}"),
            Self::NotUtf8 => f.write_str("NotUtf8"),
        }
    }
}

/// What a side is able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Caps {
    actions: u32,
    formats: Formats,
    text_size: u32,
}

impl Caps {
    /// Caps of a side that does everything and takes unasked text up to `text_size` bytes; 0 means "only tell me".
    pub fn text(text_size: u32) -> Self {
        Self { actions: ACTIONS, formats: Formats::TEXT, text_size }
    }

    /// The formats.
    pub fn formats(self) -> Formats {
        self.formats
    }

    /// Longest text that may come unasked, in bytes with its NUL.
    pub fn text_size(self) -> u32 {
        self.text_size
    }

    /// Whether requests are understood.
    pub fn request(self) -> bool {
        self.actions & REQUEST != 0
    }

    /// Whether peeks are understood.
    pub fn peek(self) -> bool {
        self.actions & PEEK != 0
    }

    /// Whether notices are understood.
    pub fn notify(self) -> bool {
        self.actions & NOTIFY != 0
    }

    /// Whether provided data is understood.
    pub fn provide(self) -> bool {
        self.actions & PROVIDE != 0
    }
}

/// What a peer is taken to be able to do until it says so: text, rtf and html, 20 MiB of text.
impl Default for Caps {
    fn default() -> Self {
        Self {
            actions: ACTIONS,
            formats: Formats(Formats::TEXT.0 | Formats::RTF.0 | Formats::HTML.0),
            text_size: 20 * 1_024 * 1_024,
        }
    }
}

/// An extended clipboard message of either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtendedClipboard {
    /// What the peer is able to do.
    Caps(Caps),
    /// The peer wants data in these formats.
    Request(Formats),
    /// The peer wants to be told what there is.
    Peek,
    /// The peer has data in these formats; none when its clipboard is empty.
    Notify(Formats),
    /// The peer's text.
    Provide(ProvidedText),
}

/// A broken extended clipboard message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClipboardError {
    /// Too short for its flags.
    #[error("body of {0} bytes (expected at least 4)")]
    NoFlags(usize),
    /// Not exactly one action.
    #[error("flags {0:#010x} name no single action (expected one of bits 24 to 28, or caps)")]
    Action(u32),
    /// Caps without a size for each format.
    #[error("caps with {sizes} sizes (expected {formats})")]
    CapsSizes {
        /// Sizes that are there.
        sizes: usize,
        /// Formats named.
        formats: u32,
    },
    /// The zlib stream is broken.
    #[error("provided data is no zlib stream")]
    Zlib,
    /// The stream ends before its text.
    #[error("provided data ends after {got} bytes (expected {expected})")]
    Truncated {
        /// Bytes that were there.
        got: usize,
        /// Bytes announced.
        expected: usize,
    },
}

impl ExtendedClipboard {
    /// Reads a whole body. Text above `text_cap` bytes is reported as too long and not inflated.
    ///
    /// Cost: inflates at most `text_cap` + 4 bytes and grows its buffer only with bytes that came out.
    ///
    /// # Errors
    ///
    /// A body that is not exactly one action, or whose data is broken.
    pub fn parse(body: &[u8], text_cap: usize) -> Result<Self, ClipboardError> {
        let mut reader = Reader::new(body);
        let flags = reader.u32().ok_or(ClipboardError::NoFlags(body.len()))?;
        let formats = Formats(u16::try_from(flags & 0xffff).unwrap_or(0));
        if flags & CAPS != 0 {
            return Self::parse_caps(flags, formats, reader);
        }
        match flags & ACTIONS {
            REQUEST => Ok(Self::Request(formats)),
            PEEK => Ok(Self::Peek),
            NOTIFY => Ok(Self::Notify(formats)),
            PROVIDE if formats.has_text() => inflate_text(reader.rest(), text_cap).map(Self::Provide),
            PROVIDE => Ok(Self::Provide(ProvidedText::Absent)),
            _ => Err(ClipboardError::Action(flags)),
        }
    }

    fn parse_caps(flags: u32, formats: Formats, mut reader: Reader<'_>) -> Result<Self, ClipboardError> {
        let named = formats.0.count_ones();
        let sizes = reader.rest().len() / 4;
        if sizes < usize::try_from(named).unwrap_or(usize::MAX) {
            return Err(ClipboardError::CapsSizes { sizes, formats: named });
        }
        // Sizes come in the order of the bits and text is bit 0.
        let text_size = if formats.has_text() { reader.u32().unwrap_or(0) } else { 0 };
        Ok(Self::Caps(Caps { actions: flags & ACTIONS, formats, text_size }))
    }

    /// Writes the body: flags and what follows. The caller puts a cut text message around it.
    ///
    /// Only text is written: caps with other formats name sizes of 0 for them, and a provide without text is written as
    /// text of no characters.
    ///
    /// ```
    /// use farpane_rfb::ext::clipboard::{Caps, ExtendedClipboard};
    /// let mut body = Vec::new();
    /// ExtendedClipboard::Caps(Caps::text(0)).write(&mut body);
    /// assert_eq!(body, [0x1f, 0, 0, 1, 0, 0, 0, 0]);
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Caps(caps) => {
                out.put_u32(CAPS | caps.actions | u32::from(caps.formats.0));
                for bit in 0..16 {
                    if caps.formats.0 >> bit & 1 != 0 {
                        out.put_u32(if bit == 0 { caps.text_size } else { 0 });
                    }
                }
            }
            Self::Request(formats) => out.put_u32(REQUEST | u32::from(formats.0)),
            Self::Peek => out.put_u32(PEEK),
            Self::Notify(formats) => out.put_u32(NOTIFY | u32::from(formats.0)),
            Self::Provide(text) => {
                out.put_u32(PROVIDE | u32::from(Formats::TEXT.0));
                deflate_text(if let ProvidedText::Text(text) = text { text } else { "" }, out);
            }
        }
    }
}

/// Bytes that `text` has on the wire before compression: CRLF line ends and the NUL.
pub fn wire_size(text: &str) -> usize {
    cut_text::crlf(text).len().saturating_add(1)
}

fn deflate_text(text: &str, out: &mut Vec<u8>) {
    // A NUL ends the text for every reader, so nothing behind one can be sent.
    let text = cut_text::crlf(text.split('\0').next().unwrap_or_default());
    let size = text.len().saturating_add(1);
    let mut plain = Vec::with_capacity(size.saturating_add(4));
    plain.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
    plain.put(text.as_bytes());
    plain.put_u8(0);
    let mut deflate = Deflate::new(6, true, 15);
    let mut block = vec![0; 16 * 1_024];
    let (mut read, mut rest) = (0_usize, plain.as_slice());
    loop {
        let before = deflate.total_out();
        let status = deflate.compress(rest, &mut block, DeflateFlush::Finish);
        let wrote = usize::try_from(deflate.total_out().saturating_sub(before)).unwrap_or(0);
        out.put(block.get(..wrote).unwrap_or_default());
        read = usize::try_from(deflate.total_in()).unwrap_or(read);
        rest = plain.get(read..).unwrap_or_default();
        match status {
            Ok(Status::Ok) => {}
            // More output space is there each time, so a turn that writes nothing is the last one.
            Ok(Status::BufError) if wrote > 0 => {}
            Ok(Status::StreamEnd | Status::BufError) | Err(_) => return,
        }
    }
}

fn inflate_text(stream: &[u8], cap: usize) -> Result<ProvidedText, ClipboardError> {
    let mut inflater = Bounded { inflate: Inflate::new(true, 15), rest: stream };
    let head = inflater.take(4)?;
    let size = Reader::new(&head).u32().ok_or(ClipboardError::Truncated { got: head.len(), expected: 4 })?;
    let expected = usize::try_from(size).unwrap_or(usize::MAX);
    if expected > cap {
        return Ok(ProvidedText::TooLong { size });
    }
    let text = inflater.take(expected)?;
    if text.len() < expected {
        return Err(ClipboardError::Truncated { got: text.len(), expected });
    }
    let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
    let text = text.get(..end).unwrap_or_default();
    Ok(match std::str::from_utf8(text) {
        Ok(text) => ProvidedText::Text(cut_text::lf(text).into_owned()),
        Err(_) => ProvidedText::NotUtf8,
    })
}

struct Bounded<'a> {
    inflate: Inflate,
    rest: &'a [u8],
}

impl Bounded<'_> {
    /// At most `wanted` bytes of output, fewer when the stream has no more.
    fn take(&mut self, wanted: usize) -> Result<Vec<u8>, ClipboardError> {
        let mut out = Vec::new();
        let mut block = [0; 4_096];
        while out.len() < wanted {
            let room = wanted.saturating_sub(out.len()).min(block.len());
            let space = block.get_mut(..room).unwrap_or_default();
            let (read, wrote) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(self.rest, space, InflateFlush::NoFlush);
            let status = status.map_err(|_| ClipboardError::Zlib)?;
            let read = usize::try_from(self.inflate.total_in().saturating_sub(read)).unwrap_or(0);
            let wrote = usize::try_from(self.inflate.total_out().saturating_sub(wrote)).unwrap_or(0);
            self.rest = self.rest.get(read..).unwrap_or_default();
            out.put(space.get(..wrote).unwrap_or_default());
            if status == Status::StreamEnd || (read == 0 && wrote == 0) {
                break;
            }
        }
        Ok(out)
    }
}

/// What a peer said about its clipboard.
///
/// ```
/// use farpane_rfb::ext::clipboard::{Announce, Caps, Peer};
/// let mut peer = Peer::default();
/// assert_eq!(peer.announce("hello"), Announce::Notify);
/// peer.set_caps(Caps::text(100));
/// assert_eq!(peer.announce("hello"), Announce::Provide);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    caps: Option<Caps>,
}

/// How a new text reaches a peer best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    /// Provide it at once: it is small enough for what the peer said.
    Provide,
    /// Tell the peer; it asks when it wants the text.
    Notify,
    /// The peer takes no text.
    Nothing,
}

impl Peer {
    /// Keeps what the peer said last.
    pub fn set_caps(&mut self, caps: Caps) {
        self.caps = Some(caps);
    }

    /// What the peer said, or what it is taken to mean before it said anything.
    pub fn caps(&self) -> Caps {
        self.caps.unwrap_or_default()
    }

    /// How to tell the peer about `text`. A peer that has not said what it takes unasked is only notified.
    pub fn announce(&self, text: &str) -> Announce {
        let caps = self.caps();
        let size = usize::try_from(caps.text_size).unwrap_or(usize::MAX);
        if !caps.formats.has_text() {
            Announce::Nothing
        } else if caps.notify() && (self.caps.is_none() || !caps.provide() || wire_size(text) > size) {
            Announce::Notify
        } else if caps.provide() && wire_size(text) <= size {
            Announce::Provide
        } else {
            Announce::Nothing
        }
    }

    /// Whether `text` may be provided when the peer asks: others than this crate cap what they take, too.
    pub fn may_provide(&self, text: &str) -> bool {
        wire_size(text) <= limits::EXTENDED_CLIPBOARD_TEXT
    }
}

#[cfg(test)]
#[path = "clipboard_tests.rs"]
mod tests;
