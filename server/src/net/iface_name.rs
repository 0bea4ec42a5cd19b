//! The name of a network interface.

use std::fmt;
use std::str::FromStr;

/// `IFNAMSIZ` without the byte that ends it.
const MAX_LEN: usize = 15;

/// The name of an interface: 1 to 15 letters, digits and `. _ - @`, which is less than Linux allows and all that is used.
///
/// ```
/// use farpane_server::net::IfaceName;
/// let name: IfaceName = "wg0".parse().unwrap();
/// assert_eq!(name.as_str(), "wg0");
/// assert!("a/b".parse::<IfaceName>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IfaceName {
    bytes: [u8; MAX_LEN],
    len: usize,
}

/// Why a text is no interface's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interface {0:?} (expected 1 to 15 letters, digits and . _ - @, as `ip link` shows it)")]
pub struct IfaceNameError(String);

impl IfaceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }
}

impl FromStr for IfaceName {
    type Err = IfaceNameError;

    fn from_str(text: &str) -> Result<Self, IfaceNameError> {
        let wrong = || IfaceNameError(text.to_owned());
        // rule sets take a name with + or * for many interfaces, and one with a leading - for an option
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-@".contains(&b);
        if text == "." || text == ".." || text.starts_with('-') || !text.bytes().all(plain) {
            return Err(wrong());
        }
        let mut bytes = [0; MAX_LEN];
        let len = text.len();
        if len == 0 {
            return Err(wrong());
        }
        bytes.get_mut(..len).ok_or_else(wrong)?.copy_from_slice(text.as_bytes());
        Ok(IfaceName { bytes, len })
    }
}

impl fmt::Display for IfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for IfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IfaceName({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_takes_are_kept_and_others_are_not() {
        for name in ["w", "wg0", "enp0s31f6", "br-0123456789ab", "eth0.100", "veth@1"] {
            assert_eq!(name.parse::<IfaceName>().unwrap().as_str(), name);
        }
        for wrong in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "sixteen-letters-",
            "ä0",
            "a\"b",
            "a\n",
            "x{y}",
            "$(id)",
            "`id`",
            "wg+",
            "wg*",
            "-wg",
        ] {
            assert!(wrong.parse::<IfaceName>().unwrap_err().to_string().contains("expected 1 to 15"), "{wrong}");
        }
    }
}
