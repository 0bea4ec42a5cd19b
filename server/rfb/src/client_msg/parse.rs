//! Reading messages from a client.

use super::{ClientMessage, DroppedText, Stranger};
use crate::encoding::Encoding;
use crate::error::ProtocolError;
use crate::ext::audio::{AudioFormat, AudioRequest};
use crate::ext::clipboard::ExtendedClipboard;
use crate::ext::desktop_size::Layout;
use crate::ext::fence::Fence;
use crate::limits;
use crate::pixel_format::PixelFormat;
use crate::wire::Reader;

/// What a connection has negotiated and how much it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseContext {
    /// The client listed -316 and the server acknowledged it: pointer events may have a second byte of buttons.
    pub extended_mouse_buttons: bool,
    /// The client listed the extended clipboard: cut text may have a negative length.
    pub extended_clipboard: bool,
    /// Longest plain cut text that is kept.
    pub cut_text: usize,
    /// Longest extended clipboard body that is kept.
    pub extended_clipboard_wire: usize,
    /// Longest text of an extended clipboard message.
    pub extended_clipboard_text: usize,
}

impl Default for ParseContext {
    fn default() -> Self {
        Self {
            extended_mouse_buttons: false,
            extended_clipboard: false,
            cut_text: limits::CUT_TEXT,
            extended_clipboard_wire: limits::EXTENDED_CLIPBOARD_WIRE,
            extended_clipboard_text: limits::EXTENDED_CLIPBOARD_TEXT,
        }
    }
}

/// What one call of [`ClientParser::parse`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "used bytes must be dropped"]
pub struct Parsed {
    /// Bytes of the input that were used; the rest must be given again.
    pub used: usize,
    /// The message, if one is complete. Without a message and with `used` 0, more input is needed.
    pub message: Option<ClientMessage>,
}

/// Reads a client's messages one by one from slices.
///
/// The caller keeps a buffer of received bytes, calls [`parse`](Self::parse), drops what was used, and reads more when
/// nothing was. No message needs more than [`limits::CLIENT_MESSAGE`] bytes at once.
///
/// ```
/// use farpane_rfb::{ClientMessage, ClientParser};
/// let mut parser = ClientParser::default();
/// let input = [4, 1, 0, 0, 0, 0, 0xff, 0x0d, 4];
/// let parsed = parser.parse(&input)?;
/// assert_eq!(parsed.message, Some(ClientMessage::KeyEvent { down: true, keysym: 0xff0d }));
/// let parsed = parser.parse(&input[parsed.used..])?;
/// assert_eq!((parsed.used, parsed.message), (0, None));
/// # Ok::<(), farpane_rfb::ProtocolError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClientParser {
    /// What is negotiated; the connection changes it between messages.
    pub context: ParseContext,
    skip: u32,
}

/// A complete message and the bytes behind it that are to be passed over.
type Read = Option<(ClientMessage, u32)>;

impl ClientParser {
    /// A parser with these settings.
    pub fn new(context: ParseContext) -> Self {
        Self { context, skip: 0 }
    }

    /// Bytes of a dropped body that are still to come.
    pub fn to_skip(&self) -> u32 {
        self.skip
    }

    /// Reads the next message from the start of `input`.
    ///
    /// Cost: allocates only for complete bodies that lie in `input`, and for inflated clipboard text up to its cap.
    ///
    /// # Errors
    ///
    /// A message that cannot be accepted: close the connection.
    pub fn parse(&mut self, input: &[u8]) -> Result<Parsed, ProtocolError> {
        let mut reader = Reader::new(input);
        if self.skip > 0 {
            let here = u32::try_from(input.len()).unwrap_or(u32::MAX).min(self.skip);
            self.skip = self.skip.saturating_sub(here);
            return Ok(Parsed { used: usize::try_from(here).unwrap_or(input.len()), message: None });
        }
        Ok(match read(&mut reader, &self.context)? {
            None => Parsed { used: 0, message: None },
            Some((message, skip)) => {
                self.skip = skip;
                Parsed { used: reader.used(), message: Some(message) }
            }
        })
    }
}

fn read(r: &mut Reader<'_>, context: &ParseContext) -> Result<Read, ProtocolError> {
    let Some(kind) = r.u8() else { return Ok(None) };
    Ok(match kind {
        0 => return set_pixel_format(r),
        2 => set_encodings(r),
        6 => return cut_text(r, context),
        3 | 4 | 5 | 8 | 15 | 150 | 250 => fixed(kind, r, context).map(|message| (message, 0)),
        248 => Fence::read(r)?.map(|fence| (ClientMessage::Fence(fence), 0)),
        251 => set_desktop_size(r).map(|layout| (ClientMessage::SetDesktopSize(layout), 0)),
        255 => return qemu(r),
        7..=21 | 253 => return stranger(kind, r),
        other => return Err(ProtocolError::UnknownClientMessage(other)),
    })
}

/// Messages of one size.
fn fixed(kind: u8, r: &mut Reader<'_>, context: &ParseContext) -> Option<ClientMessage> {
    Some(match kind {
        3 => ClientMessage::FramebufferUpdateRequest { incremental: r.u8()? != 0, area: r.area()? },
        4 => {
            let down = r.u8()? != 0;
            r.pad(2)?;
            ClientMessage::KeyEvent { down, keysym: r.u32()? }
        }
        5 => {
            let (mask, x, y) = (u16::from(r.u8()?), r.u16()?, r.u16()?);
            let buttons = if context.extended_mouse_buttons && mask & 0x80 != 0 {
                // Bit 7 only says that a byte follows, whose two low bits are back and forward.
                (mask & 0x7f) | (u16::from(r.u8()? & 3) << 7)
            } else {
                mask
            };
            ClientMessage::PointerEvent { buttons, x, y }
        }
        8 | 15 => {
            let divisor = r.u8()?;
            r.pad(2)?;
            ClientMessage::SetScale(divisor)
        }
        150 => ClientMessage::EnableContinuousUpdates { on: r.u8()? != 0, area: r.area()? },
        _ => {
            r.pad(1)?;
            ClientMessage::Xvp { version: r.u8()?, code: r.u8()? }
        }
    })
}

fn set_pixel_format(r: &mut Reader<'_>) -> Result<Read, ProtocolError> {
    let Some(format) = r.pad(3).and_then(|()| PixelFormat::read(r)) else { return Ok(None) };
    format.validate()?;
    Ok(Some((ClientMessage::SetPixelFormat(format), 0)))
}

fn set_encodings(r: &mut Reader<'_>) -> Read {
    r.pad(1)?;
    let listed = r.u16()?;
    let kept = usize::from(listed).min(limits::ENCODINGS);
    let mut body = Reader::new(r.take(kept.saturating_mul(4))?);
    let encodings = (0..kept).map(|_| body.i32().map(Encoding)).collect::<Option<_>>()?;
    let skip = u32::try_from(usize::from(listed).saturating_sub(kept).saturating_mul(4)).unwrap_or(u32::MAX);
    Some((ClientMessage::SetEncodings { encodings, listed }, skip))
}

fn cut_text(r: &mut Reader<'_>, context: &ParseContext) -> Result<Read, ProtocolError> {
    let Some(signed) = r.pad(3).and_then(|()| r.i32()) else { return Ok(None) };
    let extended = signed < 0;
    if extended && (!context.extended_clipboard || signed == i32::MIN) {
        return Err(ProtocolError::CutTextLength(signed));
    }
    let length = signed.unsigned_abs();
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes > if extended { context.extended_clipboard_wire } else { context.cut_text } {
        let dropped = DroppedText { length, extended };
        return Ok(Some((ClientMessage::CutTextDropped(dropped), skippable("cut text", length)?)));
    }
    let Some(body) = r.take(bytes) else { return Ok(None) };
    Ok(Some((
        if extended {
            ClientMessage::ExtendedClipboard(ExtendedClipboard::parse(body, context.extended_clipboard_text)?)
        } else {
            ClientMessage::CutText(body.to_vec())
        },
        0,
    )))
}

fn set_desktop_size(r: &mut Reader<'_>) -> Option<Layout> {
    r.pad(1)?;
    let (width, height) = (r.u16()?, r.u16()?);
    Some(Layout { width, height, screens: Layout::read_screens(r, 1)? })
}

fn qemu(r: &mut Reader<'_>) -> Result<Read, ProtocolError> {
    let Some(sub) = r.u8() else { return Ok(None) };
    if sub > 1 {
        return Err(ProtocolError::UnknownQemuMessage { sub, operation: 0 });
    }
    let Some(operation) = r.u16() else { return Ok(None) };
    Ok(match (sub, operation) {
        (0, down) => {
            let mut key = || Some(ClientMessage::QemuKey { down: down != 0, keysym: r.u32()?, keycode: r.u32()? });
            key().map(|message| (message, 0))
        }
        (1, 0) => Some((ClientMessage::QemuAudio(AudioRequest::Enable), 0)),
        (1, 1) => Some((ClientMessage::QemuAudio(AudioRequest::Disable), 0)),
        (1, 2) => {
            let mut format = || Some((r.u8()?, r.u8()?, r.u32()?));
            let Some((sample, channels, hz)) = format() else { return Ok(None) };
            let format = AudioFormat::from_wire(sample, channels, hz)?;
            Some((ClientMessage::QemuAudio(AudioRequest::SetFormat(format)), 0))
        }
        (sub, operation) => return Err(ProtocolError::UnknownQemuMessage { sub, operation }),
    })
}

/// Messages that are passed over: bytes after the type, and where a body's length is.
fn stranger(kind: u8, r: &mut Reader<'_>) -> Result<Read, ProtocolError> {
    let (stranger, head) = match kind {
        7 => (Stranger::FileTransfer, 11),
        9 => (Stranger::SetServerInput, 3),
        10 => (Stranger::SetSingleWindow, 5),
        11 => (Stranger::TextChat, 7),
        13 => (Stranger::KeepAlive, 0),
        20 => (Stranger::RequestSession, 0),
        21 => (Stranger::SetSession, 1),
        253 => (Stranger::Gii, 3),
        other => return Err(ProtocolError::UnknownClientMessage(other)),
    };
    let Some(head) = r.take(head) else { return Ok(None) };
    let skip = match (stranger, head) {
        (Stranger::FileTransfer, [.., a, b, c, d]) => skippable("file transfer", u32::from_be_bytes([*a, *b, *c, *d]))?,
        (Stranger::TextChat, [.., a, b, c, d]) => match u32::from_be_bytes([*a, *b, *c, *d]) {
            // Open, close and finished: signals without data.
            0xffff_fffd.. => 0,
            length => skippable("text chat", length)?,
        },
        (Stranger::Gii, [sub, a, b]) if sub & 0x80 != 0 => u32::from(u16::from_be_bytes([*a, *b])),
        (Stranger::Gii, [_, a, b]) => u32::from(u16::from_le_bytes([*a, *b])),
        _ => 0,
    };
    Ok(Some((ClientMessage::Ignored(stranger), skip)))
}

fn skippable(what: &'static str, length: u32) -> Result<u32, ProtocolError> {
    if length > limits::SKIPPED_BODY { Err(ProtocolError::BodyTooLong { what, length }) } else { Ok(length) }
}
