//! Clipboard texts between one client and the hub.

use std::sync::Arc;
use std::time::Instant;

use farpane_rfb::cut_text;
use farpane_rfb::ext::clipboard::{Announce, Caps, ExtendedClipboard, Formats, ProvidedText};

use super::state::{Session, SessionError};
use crate::policy::Permission;

impl Session {
    /// A client copied Latin-1 text.
    pub(super) fn cut_text(&mut self, bytes: &[u8], now: Instant) {
        let text = cut_text::from_latin1(bytes);
        self.text_from_client(&cut_text::lf(&text), now);
    }

    /// A client's extended clipboard message.
    pub(super) fn extended_clipboard(&mut self, message: ExtendedClipboard, now: Instant) -> Result<(), SessionError> {
        match message {
            ExtendedClipboard::Caps(caps) => {
                self.clipboard.set_caps(caps);
                // what was copied before the client came
                if let Some(text) = self.offered_text.clone() {
                    self.offer_text(text)?;
                }
                Ok(())
            }
            ExtendedClipboard::Request(formats) if formats.has_text() => {
                self.may(Permission::ClipOut);
                let text = self.offered_text.clone().filter(|t| self.clipboard.may_provide(t));
                let text = text.as_deref().unwrap_or_default().to_owned();
                self.send_extended(&ExtendedClipboard::Provide(ProvidedText::Text(text)))
            }
            ExtendedClipboard::Request(_) => Ok(()),
            ExtendedClipboard::Peek => {
                let formats = if self.offered_text.is_some() { Formats::TEXT } else { Formats::default() };
                self.send_extended(&ExtendedClipboard::Notify(formats))
            }
            ExtendedClipboard::Notify(formats) => {
                if formats.has_text() && self.may_use_clipboard() {
                    self.send_extended(&ExtendedClipboard::Request(Formats::TEXT))?;
                }
                Ok(())
            }
            ExtendedClipboard::Provide(ProvidedText::Text(text)) => {
                self.text_from_client(&text, now);
                Ok(())
            }
            ExtendedClipboard::Provide(other) => {
                tracing::warn!(client = %self.id, text = ?other, "clipboard text was dropped");
                Ok(())
            }
        }
    }

    /// Says that texts come on notice only.
    pub(super) fn announce_clipboard(&mut self) -> Result<(), SessionError> {
        self.send_extended(&ExtendedClipboard::Caps(Caps::text(0)))
    }

    /// Text was copied elsewhere: the client gets it, or is told.
    pub(super) fn offer_text(&mut self, text: Arc<str>) -> Result<(), SessionError> {
        if !self.settings.clipboard_out || !self.permissions().has(Permission::ClipOut) {
            return Ok(());
        }
        self.offered_text = Some(Arc::clone(&text));
        if !self.caps.extended_clipboard {
            let body = cut_text::to_latin1(&text);
            let mut message = vec![3, 0, 0, 0];
            message.extend_from_slice(&u32::try_from(body.len()).unwrap_or(0).to_be_bytes());
            message.extend_from_slice(&body);
            return Ok(self.outbox.push(message)?);
        }
        match self.clipboard.announce(&text) {
            Announce::Provide => self.send_extended(&ExtendedClipboard::Provide(ProvidedText::Text(text.to_string()))),
            Announce::Notify => self.send_extended(&ExtendedClipboard::Notify(Formats::TEXT)),
            Announce::Nothing => Ok(()),
        }
    }

    fn may_use_clipboard(&mut self) -> bool {
        self.settings.clipboard_in && self.input.is_some() && self.may(Permission::ClipIn)
    }

    fn text_from_client(&mut self, text: &str, now: Instant) {
        if !self.may_use_clipboard() || self.is_echo(text) {
            return;
        }
        self.touched(now);
        if text.len() <= self.settings.clipboard_max_bytes {
            let text: Arc<str> = text.into();
            self.offered_text = Some(Arc::clone(&text));
            self.hub.clipboard_from(self.id, text);
        }
    }

    /// Whether this is the text that everybody has already, perhaps without what Latin-1 lacks: many viewers send back
    /// what they were given, and two of them would chase it round for ever.
    fn is_echo(&self, text: &str) -> bool {
        let known = self.hub.desktop().clipboard;
        known.is_some_and(|known| *known == *text || cut_text::from_latin1(&cut_text::to_latin1(&known)) == text)
    }

    fn send_extended(&mut self, message: &ExtendedClipboard) -> Result<(), SessionError> {
        let mut body = Vec::new();
        message.write(&mut body);
        let length = i32::try_from(body.len()).unwrap_or(i32::MAX).saturating_neg();
        let mut out = vec![3, 0, 0, 0];
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&body);
        Ok(self.outbox.push(out)?)
    }
}
