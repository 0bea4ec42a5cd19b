//! Writing messages as a client.

use super::{ClientMessage, Stranger};
use crate::ext::audio::AudioRequest;
use crate::wire::Put;

impl ClientMessage {
    /// Writes the message.
    ///
    /// Buttons above the seventh are written as extended mouse buttons only if `extended_mouse_buttons`; otherwise the
    /// eighth is a plain one and the ninth is lost. A dropped text is written as that many zeros, an ignored message as the
    /// shortest of its kind.
    ///
    /// ```
    /// use farpane_rfb::client_msg::{ClientMessage, buttons};
    /// let click = ClientMessage::PointerEvent { buttons: buttons::LEFT | buttons::FORWARD, x: 1, y: 2 };
    /// let mut out = Vec::new();
    /// click.write(true, &mut out);
    /// assert_eq!(out, [5, 0x81, 0, 1, 0, 2, 2]);
    /// ```
    pub fn write(&self, extended_mouse_buttons: bool, out: &mut Vec<u8>) {
        match self {
            Self::SetPixelFormat(format) => {
                out.put(&[0; 4]);
                format.write(out);
            }
            Self::SetEncodings { encodings, listed: _ } => {
                out.put(&[2, 0]);
                let count = u16::try_from(encodings.len()).unwrap_or(u16::MAX);
                out.put_u16(count);
                for encoding in encodings.iter().take(usize::from(count)) {
                    out.put_i32(encoding.0);
                }
            }
            Self::FramebufferUpdateRequest { incremental, area } => {
                out.put(&[3, u8::from(*incremental)]);
                out.put_area(*area);
            }
            Self::KeyEvent { down, keysym } => {
                out.put(&[4, u8::from(*down), 0, 0]);
                out.put_u32(*keysym);
            }
            Self::PointerEvent { buttons, x, y } => {
                let [high, low] = (*buttons & 0x1ff).to_be_bytes();
                let second = (extended_mouse_buttons && buttons >> 7 & 3 != 0).then_some(high << 1 | low >> 7);
                out.put(&[5, if second.is_some() { low | 0x80 } else { low }]);
                out.put_u16(*x);
                out.put_u16(*y);
                out.extend(second);
            }
            Self::CutText(text) => {
                out.put(&[6, 0, 0, 0]);
                out.put_u32(u32::try_from(text.len()).unwrap_or(0));
                out.put(text);
            }
            Self::ExtendedClipboard(message) => {
                out.put(&[6, 0, 0, 0]);
                let mut body = Vec::new();
                message.write(&mut body);
                out.put_i32(i32::try_from(body.len()).map_or(0, i32::saturating_neg));
                out.put(&body);
            }
            Self::CutTextDropped(dropped) => {
                out.put(&[6, 0, 0, 0]);
                out.put_u32(if dropped.extended { dropped.length.wrapping_neg() } else { dropped.length });
                out.resize(out.len().saturating_add(usize::try_from(dropped.length).unwrap_or(0)), 0);
            }
            Self::EnableContinuousUpdates { on, area } => {
                out.put(&[150, u8::from(*on)]);
                out.put_area(*area);
            }
            Self::Fence(fence) => fence.write(out),
            Self::Xvp { version, code } => out.put(&[250, 0, *version, *code]),
            Self::SetDesktopSize(layout) => {
                out.put(&[251, 0]);
                out.put_u16(layout.width);
                out.put_u16(layout.height);
                layout.write_screens(1, out);
            }
            Self::SetScale(divisor) => out.put(&[8, *divisor, 0, 0]),
            Self::QemuKey { down, keysym, keycode } => {
                out.put(&[255, 0, 0, u8::from(*down)]);
                out.put_u32(*keysym);
                out.put_u32(*keycode);
            }
            Self::QemuAudio(AudioRequest::Enable) => out.put(&[255, 1, 0, 0]),
            Self::QemuAudio(AudioRequest::Disable) => out.put(&[255, 1, 0, 1]),
            Self::QemuAudio(AudioRequest::SetFormat(format)) => {
                out.put(&[255, 1, 0, 2, format.sample.number(), format.channels]);
                out.put_u32(format.hz);
            }
            Self::Ignored(stranger) => out.put(match stranger {
                Stranger::FileTransfer => &[7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                Stranger::SetServerInput => &[9, 0, 0, 0],
                Stranger::SetSingleWindow => &[10, 0, 0, 0, 0, 0],
                Stranger::TextChat => &[11, 0, 0, 0, 0, 0, 0, 0],
                Stranger::KeepAlive => &[13],
                Stranger::RequestSession => &[20],
                Stranger::SetSession => &[21, 0],
                Stranger::Gii => &[253, 0, 0, 0],
            }),
        }
    }
}
