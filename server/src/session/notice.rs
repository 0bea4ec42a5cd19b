//! Words for a client: RFB has no message for them, so they stand before the desktop's name for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// A message stays this long.
const SHOWN: Duration = Duration::from_secs(30);

/// Longest message, in characters.
pub const MAX_MESSAGE: usize = 200;

/// What stands before the desktop's name.
#[derive(Debug, Default)]
pub(super) struct Notices {
    message: Option<(Arc<str>, Instant)>,
    warning: Option<String>,
}

impl Notices {
    /// A message for the client.
    pub fn message(&mut self, text: Arc<str>, now: Instant) {
        self.message = now.checked_add(SHOWN).map(|until| (text, until));
    }

    /// A warning that holds until it is taken back with none.
    pub fn warning(&mut self, text: Option<String>) {
        self.warning = text;
    }

    /// When the message has stood long enough.
    pub fn wake_at(&self) -> Option<Instant> {
        self.message.as_ref().map(|(_, until)| *until)
    }

    /// Takes away a message that has stood long enough; returns whether there was one.
    pub fn expire(&mut self, now: Instant) -> bool {
        self.message.take_if(|(_, until)| *until <= now).is_some()
    }

    /// The name to show.
    pub fn before(&self, name: &str) -> String {
        let mut out = String::new();
        for words in self.warning.as_deref().into_iter().chain(self.message.as_ref().map(|(text, _)| &**text)) {
            out.push_str(words);
            out.push_str(" - ");
        }
        out.push_str(name);
        out
    }
}

/// A text as it may stand in a name: one line, without control characters, cut to [`MAX_MESSAGE`] characters.
pub fn one_line(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MAX_MESSAGE).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_after_a_while_and_warnings_stay() {
        let (mut notices, now) = (Notices::default(), Instant::now());
        assert_eq!((notices.before("desk"), notices.wake_at()), ("desk".to_owned(), None));
        notices.message("lunch".into(), now);
        notices.warning(Some("will be closed".into()));
        assert_eq!(notices.before("desk"), "will be closed - lunch - desk");
        assert!(!notices.expire(now + SHOWN - Duration::from_millis(1)));
        assert!(notices.expire(now + SHOWN));
        assert_eq!((notices.before("desk"), notices.wake_at()), ("will be closed - desk".to_owned(), None));
        notices.warning(None);
        assert_eq!(notices.before("desk"), "desk");
    }

    #[test]
    fn a_message_is_one_short_line() {
        assert_eq!(one_line(" a\nb\u{1b}[1mc\0 "), "a b [1mc");
        assert_eq!(one_line(&"ä".repeat(500)).chars().count(), MAX_MESSAGE);
    }
}
