//! What a record holds, and how large the next one should be.

mod size;

pub use size::RecordSize;

use crate::limits;

/// The last byte of a record's plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Bytes of RFB.
    Rfb = 0,
    /// One authentication message.
    Auth = 1,
    /// The end of what this side sends, and why.
    Close = 2,
    /// A sign of life, or the answer to one.
    Ping = 3,
}

impl Kind {
    const fn of(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Rfb),
            1 => Some(Self::Auth),
            2 => Some(Self::Close),
            3 => Some(Self::Ping),
            _ => None,
        }
    }
}

/// Why a peer closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The person, or the program, is done.
    Done,
    /// The server stops or starts anew.
    Stopping,
    /// Somebody ended this session.
    Ended,
    /// Nothing came from the viewer for too long, or the session's time is up.
    TimeIsUp,
    /// Who the peer is was not shown, or is not enough. There is no further detail.
    Refused,
    /// Too many tries or too many connections.
    TryLater,
    /// A number that later versions gave a meaning.
    Unknown(u8),
}

impl CloseReason {
    const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Stopping => 1,
            Self::Ended => 2,
            Self::TimeIsUp => 3,
            Self::Refused => 4,
            Self::TryLater => 5,
            Self::Unknown(number) => number,
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Done,
            1 => Self::Stopping,
            2 => Self::Ended,
            3 => Self::TimeIsUp,
            4 => Self::Refused,
            5 => Self::TryLater,
            number => Self::Unknown(number),
        }
    }
}

/// A close record: the reason, and after how many seconds another try makes sense (0 when nothing is said).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    /// Why.
    pub reason: CloseReason,
    /// Seconds.
    pub retry_after_s: u16,
}

impl Close {
    /// A close without a time.
    pub const fn because(reason: CloseReason) -> Self {
        Self { reason, retry_after_s: 0 }
    }

    pub(crate) const fn to_bytes(self) -> [u8; 3] {
        let [high, low] = self.retry_after_s.to_be_bytes();
        [self.reason.number(), high, low]
    }
}

/// A sign of life: the peer answers it with the same token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Whether this is the answer.
    pub answer: bool,
    /// Whatever the asking side put in.
    pub token: u64,
}

impl Ping {
    pub(crate) fn to_bytes(self) -> [u8; 9] {
        let mut bytes = [u8::from(self.answer); 9];
        bytes.iter_mut().skip(1).zip(self.token.to_be_bytes()).for_each(|(to, from)| *to = from);
        bytes
    }
}

/// One record, opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// Bytes of RFB; a message may begin and end anywhere.
    Rfb(&'a [u8]),
    /// One authentication message.
    Auth(&'a [u8]),
    /// The peer sends nothing more.
    Close(Close),
    /// A sign of life.
    Ping(Ping),
}

impl<'a> Record<'a> {
    /// Reads an opened record: its data and, as last byte, its kind. Nothing when it is malformed.
    pub fn parse(plain: &'a [u8]) -> Option<Self> {
        let (kind, data) = plain.split_last()?;
        match Kind::of(*kind)? {
            Kind::Rfb => Some(Self::Rfb(data)),
            Kind::Auth => (data.len() <= limits::AUTH_MESSAGE).then_some(Self::Auth(data)),
            Kind::Close => {
                let [reason, high, low] = data.try_into().ok()?;
                let retry_after_s = u16::from_be_bytes([high, low]);
                Some(Self::Close(Close { reason: CloseReason::of(reason), retry_after_s }))
            }
            Kind::Ping => {
                let (answer, token) = data.split_first()?;
                let token = u64::from_be_bytes(token.try_into().ok()?);
                (*answer <= 1).then_some(Self::Ping(Ping { answer: *answer == 1, token }))
            }
        }
    }
}

/// With lengths in place of contents: an authentication message may be a password.
impl std::fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rfb(data) => write!(f, "Rfb({} bytes)", data.len()),
            Self::Auth(data) => write!(f, "Auth({} bytes)", data.len()),
            Self::Close(close) => close.fmt(f),
            Self::Ping(ping) => ping.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_numbers_and_no_other_is_known() {
        assert_eq!(Record::parse(&[]), None);
        assert_eq!(Record::parse(&[7, 8, 0]), Some(Record::Rfb(&[7, 8])));
        assert_eq!(Record::parse(&[7, 8, 1]), Some(Record::Auth(&[7, 8])));
        assert_eq!(Record::parse(&[0]), Some(Record::Rfb(&[])));
        for kind in 4..=255 {
            assert_eq!(Record::parse(&[7, 8, kind]), None);
        }
    }

    #[test]
    fn close_and_ping_have_one_length() {
        for close in (0..=255).map(|n| Close { reason: CloseReason::of(n), retry_after_s: 258 }) {
            let plain = [&close.to_bytes()[..], &[2]].concat();
            assert_eq!(Record::parse(&plain), Some(Record::Close(close)));
            assert_eq!(Record::parse(&[&[1][..], &plain].concat()), None);
            assert_eq!(Record::parse(&plain[1..]), None);
        }
        let ping = Ping { answer: true, token: 0x0102_0304_0506_0708 };
        let plain = [1, 1, 2, 3, 4, 5, 6, 7, 8, 3];
        assert_eq!([&ping.to_bytes()[..], &[3]].concat(), plain);
        assert_eq!(Record::parse(&plain), Some(Record::Ping(ping)));
        assert_eq!(Record::parse(&plain[1..]), None);
        assert_eq!(Record::parse(&[2, 1, 2, 3, 4, 5, 6, 7, 8, 3]), None);
    }

    #[test]
    fn an_authentication_message_has_a_cap_and_is_not_printed() {
        let mut plain = vec![b'x'; limits::AUTH_MESSAGE];
        plain.push(1);
        let record = Record::parse(&plain).expect("within the cap");
        assert_eq!(format!("{record:?}"), "Auth(16384 bytes)");
        plain.insert(0, 0);
        assert_eq!(Record::parse(&plain), None);
    }
}
