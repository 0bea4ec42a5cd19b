//! Messages from a server, after the handshake.
//!
//! Writers append to a buffer; [`ServerMessage::parse`] reads the framing. A FramebufferUpdate is a header and then
//! rectangles, one by one: [`RectHeader`], then its body, which is a [`PseudoRect`] or pixels that the caller decodes.

mod rect;

use crate::error::ProtocolError;
use crate::ext::clipboard::ExtendedClipboard;
use crate::ext::fence::Fence;
use crate::limits;
use crate::wire::{Put, Reader};

pub use rect::{Cursor, CursorPicture, PseudoRect, RectHeader};

/// Count of rectangles that means "until LastRect".
pub const RECTS_UNTIL_LAST: u16 = 0xffff;

/// A message from a server.
#[derive(Clone, PartialEq, Eq)]
pub enum ServerMessage {
    /// 0: this many rectangles follow, each with its own header; [`RECTS_UNTIL_LAST`] when LastRect ends them.
    FramebufferUpdate {
        /// The count.
        rects: u16,
    },
    /// 1: colours of the map, red, green and blue of 16 bits each.
    SetColourMapEntries {
        /// Index of the first.
        first: u16,
        /// The colours.
        colours: Vec<[u16; 3]>,
    },
    /// 2: a sound.
    Bell,
    /// 3: Latin-1 text was copied; see [`cut_text`](crate::cut_text).
    CutText(Vec<u8>),
    /// 3 with a negative length.
    ExtendedClipboard(ExtendedClipboard),
    /// 150: continuous updates are known, or have ended.
    EndOfContinuousUpdates,
    /// 248: a fence or the answer to one.
    Fence(Fence),
    /// 250: shut down and the like can be asked for (1), or failed (0).
    Xvp {
        /// Version, 1.
        version: u8,
        /// The operation.
        code: u8,
    },
    /// 255, 1, 1: sound begins.
    AudioBegin,
    /// 255, 1, 0: sound ends.
    AudioEnd,
    /// 255, 1, 2: samples.
    AudioData(Vec<u8>),
}

/// Without copied text: it may be a password.
impl std::fmt::Debug for ServerMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FramebufferUpdate { rects } => write!(f, "FramebufferUpdate({rects} rects)"),
            Self::SetColourMapEntries { first, colours } => {
                write!(f, "SetColourMapEntries({} from {first})", colours.len())
            }
            Self::Bell => f.write_str("Bell"),
            Self::CutText(text) => write!(f, "CutText({} bytes)", text.len()),
            Self::ExtendedClipboard(message) => write!(f, "{message:?}"),
            Self::EndOfContinuousUpdates => f.write_str("EndOfContinuousUpdates"),
            Self::Fence(fence) => write!(f, "{fence:?}"),
            Self::Xvp { version, code } => write!(f, "Xvp(version {version}, code {code})"),
            Self::AudioBegin => f.write_str("AudioBegin"),
            Self::AudioEnd => f.write_str("AudioEnd"),
            Self::AudioData(samples) => write!(f, "AudioData({} bytes)", samples.len()),
        }
    }
}

impl ServerMessage {
    /// Writes the message; for a FramebufferUpdate only its header.
    ///
    /// Send types above 3 only to clients that listed what they belong to: others disconnect.
    ///
    /// ```
    /// use farpane_rfb::ServerMessage;
    /// let mut out = Vec::new();
    /// ServerMessage::FramebufferUpdate { rects: 2 }.write(&mut out);
    /// assert_eq!(out, [0, 0, 0, 2]);
    /// ```
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::FramebufferUpdate { rects } => {
                out.put(&[0, 0]);
                out.put_u16(*rects);
            }
            Self::SetColourMapEntries { first, colours } => {
                out.put(&[1, 0]);
                out.put_u16(*first);
                let count = u16::try_from(colours.len()).unwrap_or(u16::MAX);
                out.put_u16(count);
                for value in colours.iter().take(usize::from(count)).flatten() {
                    out.put_u16(*value);
                }
            }
            Self::Bell => out.put_u8(2),
            Self::CutText(text) => {
                out.put(&[3, 0, 0, 0]);
                out.put_u32(u32::try_from(text.len()).unwrap_or(0));
                out.put(text);
            }
            Self::ExtendedClipboard(message) => {
                out.put(&[3, 0, 0, 0]);
                let mut body = Vec::new();
                message.write(&mut body);
                out.put_i32(i32::try_from(body.len()).map_or(0, i32::saturating_neg));
                out.put(&body);
            }
            Self::EndOfContinuousUpdates => out.put_u8(150),
            Self::Fence(fence) => fence.write(out),
            Self::Xvp { version, code } => out.put(&[250, 0, *version, *code]),
            Self::AudioEnd => out.put(&[255, 1, 0, 0]),
            Self::AudioBegin => out.put(&[255, 1, 0, 1]),
            Self::AudioData(samples) => {
                out.put(&[255, 1, 0, 2]);
                out.put_u32(u32::try_from(samples.len()).unwrap_or(0));
                out.put(samples);
            }
        }
    }

    /// Reads one message from the start of `input` and says how many bytes it took; `None` when incomplete.
    ///
    /// # Errors
    ///
    /// An unknown type, or a body above its cap: a client asked for nothing of the kind.
    pub fn parse(input: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let mut reader = Reader::new(input);
        let message = Self::read(&mut reader)?;
        Ok(message.map(|message| (message, reader.used())))
    }

    fn read(r: &mut Reader<'_>) -> Result<Option<Self>, ProtocolError> {
        let Some(kind) = r.u8() else { return Ok(None) };
        Ok(match kind {
            0 => r.pad(1).and_then(|()| Some(Self::FramebufferUpdate { rects: r.u16()? })),
            1 => colours(r),
            2 => Some(Self::Bell),
            3 => return cut_text(r),
            150 => Some(Self::EndOfContinuousUpdates),
            248 => Fence::read(r)?.map(Self::Fence),
            250 => r.pad(1).and_then(|()| Some(Self::Xvp { version: r.u8()?, code: r.u8()? })),
            255 => return audio(r),
            other => return Err(ProtocolError::UnknownServerMessage(other)),
        })
    }
}

fn colours(r: &mut Reader<'_>) -> Option<ServerMessage> {
    r.pad(1)?;
    let (first, count) = (r.u16()?, r.u16()?);
    let mut body = Reader::new(r.take(usize::from(count).saturating_mul(6))?);
    let colours = (0..count).map(|_| Some([body.u16()?, body.u16()?, body.u16()?])).collect::<Option<_>>()?;
    Some(ServerMessage::SetColourMapEntries { first, colours })
}

fn cut_text(r: &mut Reader<'_>) -> Result<Option<ServerMessage>, ProtocolError> {
    let Some(signed) = r.pad(3).and_then(|()| r.i32()) else { return Ok(None) };
    let length = signed.unsigned_abs();
    let bytes = usize::try_from(length).unwrap_or(usize::MAX);
    let cap = if signed < 0 { limits::EXTENDED_CLIPBOARD_WIRE } else { limits::EXTENDED_CLIPBOARD_TEXT };
    if bytes > cap {
        return Err(ProtocolError::BodyTooLong { what: "cut text", length });
    }
    let Some(body) = r.take(bytes) else { return Ok(None) };
    Ok(Some(if signed < 0 {
        ServerMessage::ExtendedClipboard(ExtendedClipboard::parse(body, limits::EXTENDED_CLIPBOARD_TEXT)?)
    } else {
        ServerMessage::CutText(body.to_vec())
    }))
}

fn audio(r: &mut Reader<'_>) -> Result<Option<ServerMessage>, ProtocolError> {
    let mut head = || Some((r.u8()?, r.u16()?));
    let Some((sub, operation)) = head() else { return Ok(None) };
    match (sub, operation) {
        (1, 0) => Ok(Some(ServerMessage::AudioEnd)),
        (1, 1) => Ok(Some(ServerMessage::AudioBegin)),
        (1, 2) => {
            let Some(length) = r.u32() else { return Ok(None) };
            let bytes = usize::try_from(length).unwrap_or(usize::MAX);
            if bytes > limits::AUDIO_CHUNK {
                return Err(ProtocolError::BodyTooLong { what: "audio", length });
            }
            Ok(r.take(bytes).map(|samples| ServerMessage::AudioData(samples.to_vec())))
        }
        (sub, operation) => Err(ProtocolError::UnknownQemuMessage { sub, operation }),
    }
}

#[cfg(test)]
mod tests;
