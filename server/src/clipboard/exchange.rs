//! What a client copied last, and what that means for texts that come and go. Pure.
//!
//! INVARIANT: a text that a client copied is never told as one of the desktop, whichever program offers it again.

use std::sync::Arc;

use super::incoming::State;
use super::types::is_text;

/// Texts between one desktop and the clients.
#[derive(Debug)]
pub struct Exchange {
    /// What a client copied last, until the desktop copies something else.
    offered: Option<Arc<str>>,
    cap_bytes: usize,
}

impl Exchange {
    /// Nothing was copied; texts of the desktop have `cap_bytes` at most.
    pub fn new(cap_bytes: usize) -> Self {
        Self { offered: None, cap_bytes }
    }

    /// The largest text of the desktop that is read, in bytes.
    pub fn cap_bytes(&self) -> usize {
        self.cap_bytes
    }

    /// A client copied this text.
    pub fn offer(&mut self, text: Arc<str>) {
        self.offered = Some(text);
    }

    /// What a program that asks for this type is given; none when that is no text in UTF-8, or there is none.
    pub fn wanted(&self, mime: &str) -> Option<&Arc<str>> {
        self.offered.as_ref().filter(|_| is_text(mime))
    }

    /// A text of the desktop was read as far as it goes: what clients are told of it.
    pub fn arrived(&mut self, state: State) -> Option<Arc<str>> {
        match state {
            State::Whole(text) => {
                let known = self.offered.as_deref() == Some(text.as_str());
                if text.is_empty() || known {
                    return None;
                }
                self.offered = None;
                Some(text.into())
            }
            State::TooLarge => {
                let cap_bytes = self.cap_bytes;
                tracing::info!(cap_bytes, "copied text is larger than the cap and stays on the desktop");
                None
            }
            State::Failed(reason) => {
                tracing::debug!(reason, "a copied text is not read");
                None
            }
            State::More => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_copied_is_given_until_the_desktop_copies_something_else() {
        let mut exchange = Exchange::new(10);
        let whole = |text: &str| State::Whole(text.into());
        assert_eq!(exchange.wanted("text/plain"), None);
        exchange.offer("ours".into());
        assert_eq!(exchange.wanted("text/plain").map(|t| &**t), Some("ours"));
        assert_eq!(exchange.wanted("image/png"), None);
        for nothing in [whole("ours"), whole(""), State::TooLarge, State::Failed("slow"), State::More] {
            assert_eq!(exchange.arrived(nothing), None);
            assert!(exchange.wanted("TEXT").is_some());
        }
        assert_eq!(exchange.arrived(whole("theirs")).as_deref(), Some("theirs"));
        assert_eq!(exchange.wanted("text/plain"), None);
        assert_eq!(exchange.arrived(whole("ours")).as_deref(), Some("ours"), "it was copied there");
    }
}
