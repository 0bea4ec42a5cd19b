//! The version banner: `RFB 003.008\n`.

use thiserror::Error;

/// Bytes of a banner.
pub const BANNER_LENGTH: usize = 12;

/// The banner a server always sends.
pub const SERVER_BANNER: [u8; BANNER_LENGTH] = *b"RFB 003.008\n";

/// The rules that both sides follow after the banners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 3.3: the server decides on the security type.
    V3_3,
    /// 3.7: the client chooses; no reasons after a failure.
    V3_7,
    /// 3.8: always a SecurityResult, failures with a reason.
    V3_8,
}

impl Version {
    /// The banner of this version.
    pub const fn banner(self) -> [u8; BANNER_LENGTH] {
        match self {
            Self::V3_3 => *b"RFB 003.003\n",
            Self::V3_7 => *b"RFB 003.007\n",
            Self::V3_8 => *b"RFB 003.008\n",
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V3_3 => "3.3",
            Self::V3_7 => "3.7",
            Self::V3_8 => "3.8",
        })
    }
}

/// A banner that is well formed; what it asks for may still be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Banner {
    /// First number, 0 to 999.
    pub major: u16,
    /// Second number, 0 to 999.
    pub minor: u16,
}

/// Why bytes are not a banner that can be worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BannerError {
    /// Not `RFB ddd.ddd\n`: close without a word, this is no RFB peer.
    #[error("no rfb banner (expected RFB ddd.ddd)")]
    NotRfb,
}

impl Banner {
    /// The banner as it was sent.
    pub fn bytes(self) -> [u8; BANNER_LENGTH] {
        let mut bytes = SERVER_BANNER;
        let digits =
            |n: u16| [n / 100 % 10, n / 10 % 10, n % 10].map(|d| b'0'.saturating_add(u8::try_from(d).unwrap_or(0)));
        let numbers = digits(self.major).into_iter().chain([b'.']).chain(digits(self.minor));
        bytes.iter_mut().skip(4).zip(numbers).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads a banner from the first 12 bytes of `input`; `None` while they are incomplete and right so far.
    ///
    /// ```
    /// use farpane_rfb::version::{Banner, Version};
    /// let apple = Banner::parse(b"RFB 003.889\n").unwrap().unwrap();
    /// assert_eq!(apple.version(), Some(Version::V3_8));
    /// assert!(Banner::parse(b"GET").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`BannerError::NotRfb`], at the first byte that is wrong.
    pub fn parse(input: &[u8]) -> Result<Option<Self>, BannerError> {
        let mut numbers = [0_u16; 2];
        for (at, &byte) in input.iter().take(BANNER_LENGTH).enumerate() {
            let right = match at {
                0 => byte == b'R',
                1 => byte == b'F',
                2 => byte == b'B',
                3 => byte == b' ',
                7 => byte == b'.',
                11 => byte == b'\n',
                _ => byte.is_ascii_digit(),
            };
            if !right {
                return Err(BannerError::NotRfb);
            }
            if byte.is_ascii_digit() {
                let [major, minor] = &mut numbers;
                let number = if at < 7 { major } else { minor };
                *number = number.saturating_mul(10).saturating_add(u16::from(byte.wrapping_sub(b'0')));
            }
        }
        let [major, minor] = numbers;
        Ok((input.len() >= BANNER_LENGTH).then_some(Self { major, minor }))
    }

    /// The rules that this banner asks for; `None` when its major version is not 3.
    ///
    /// 3.0 to 3.6 are served as 3.3 (old UltraVNC viewers say 3.4, 3.5 or 3.6) and every minor above 8 as 3.8
    /// (UltraVNC 3.14 to 3.18, Apple 3.889).
    pub fn version(self) -> Option<Version> {
        match (self.major, self.minor) {
            (3, 0..=6) => Some(Version::V3_3),
            (3, 7) => Some(Version::V3_7),
            (3, 8..) => Some(Version::V3_8),
            _ => None,
        }
    }
}

impl std::fmt::Display for Banner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_minors_fall_to_the_version_that_their_viewers_speak() {
        for (text, version) in [
            ("003.000", Some(Version::V3_3)),
            ("003.003", Some(Version::V3_3)),
            ("003.005", Some(Version::V3_3)),
            ("003.006", Some(Version::V3_3)),
            ("003.007", Some(Version::V3_7)),
            ("003.008", Some(Version::V3_8)),
            ("003.014", Some(Version::V3_8)),
            ("003.889", Some(Version::V3_8)),
            ("004.001", None),
            ("000.000", None),
        ] {
            let banner = Banner::parse(format!("RFB {text}\n").as_bytes()).unwrap().unwrap();
            assert_eq!(banner.version(), version, "{text}");
        }
    }

    #[test]
    fn every_prefix_waits_and_every_wrong_byte_is_refused_at_once() {
        let good = SERVER_BANNER;
        for n in 0..BANNER_LENGTH {
            assert_eq!(Banner::parse(&good[..n]), Ok(None));
            let mut bad = good;
            bad[n] = b'x';
            assert_eq!(Banner::parse(&bad[..=n]), Err(BannerError::NotRfb), "byte {n}");
        }
    }
}
