//! X authority files: which cookie opens which display.
//!
//! SOURCE: the file is a row of entries, each a big-endian family, then address, display number, name and data, each with a
//! big-endian 16-bit length in front (libXau's `AuFileName(3)`).

/// Bytes of an authority file that are looked at.
pub const MAX_FILE: usize = 1 << 20;
/// The one scheme that is used.
pub const SCHEME: &[u8] = b"MIT-MAGIC-COOKIE-1";

const FAMILY_WILD: u16 = 65_535;
const FAMILY_LOCAL: u16 = 256;

/// How the display is reached, as authority files tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address family: 0 IPv4, 6 IPv6, 256 the machine itself.
    pub family: u16,
    /// The address: 4 or 16 bytes, or the host's name.
    pub address: Vec<u8>,
}

impl Peer {
    /// The machine itself, under its host name.
    pub fn local(host_name: &str) -> Self {
        Self { family: FAMILY_LOCAL, address: host_name.as_bytes().to_vec() }
    }
}

/// The cookie for a display, or none when the file has none for it.
///
/// A damaged file yields what stands before the damage. An entry for the wrong host name of the machine itself is taken when there is
/// none that fits: host names change under a running session.
pub fn cookie(file: &[u8], peer: &Peer, display: u16) -> Option<Vec<u8>> {
    let wanted = display.to_string();
    let mut fallback = None;
    let mut rest = file.get(..file.len().min(MAX_FILE))?;
    while let Some((entry, tail)) = Entry::read(rest) {
        rest = tail;
        let number_fits = entry.number.is_empty() || entry.number == wanted.as_bytes();
        if entry.name != SCHEME || !number_fits {
            continue;
        }
        if entry.family == FAMILY_WILD || (entry.family == peer.family && entry.address == peer.address) {
            return Some(entry.data.to_vec());
        }
        if entry.family == FAMILY_LOCAL && peer.family == FAMILY_LOCAL && fallback.is_none() {
            fallback = Some(entry.data.to_vec());
        }
    }
    fallback
}

struct Entry<'a> {
    family: u16,
    address: &'a [u8],
    number: &'a [u8],
    name: &'a [u8],
    data: &'a [u8],
}

impl<'a> Entry<'a> {
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (family, rest) = bytes.split_first_chunk::<2>()?;
        let (address, rest) = counted(rest)?;
        let (number, rest) = counted(rest)?;
        let (name, rest) = counted(rest)?;
        let (data, rest) = counted(rest)?;
        Some((Self { family: u16::from_be_bytes(*family), address, number, name, data }, rest))
    }
}

fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(family: u16, address: &str, number: &str, name: &[u8], data: &[u8]) -> Vec<u8> {
        let mut out = family.to_be_bytes().to_vec();
        for part in [address.as_bytes(), number.as_bytes(), name, data] {
            out.extend_from_slice(&(part.len() as u16).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }

    #[test]
    fn the_entry_of_the_display_is_found() {
        let mut file = entry(256, "here", "1", SCHEME, b"one");
        file.extend(entry(256, "here", "2", b"XDM-AUTHORIZATION-1", b"other"));
        file.extend(entry(256, "here", "2", SCHEME, b"two"));
        file.extend(entry(0, "\u{1}\u{2}\u{3}\u{4}", "3", SCHEME, b"far"));
        assert_eq!(cookie(&file, &Peer::local("here"), 2).as_deref(), Some(&b"two"[..]));
        assert_eq!(cookie(&file, &Peer::local("renamed"), 1).as_deref(), Some(&b"one"[..]));
        assert_eq!(cookie(&file, &Peer::local("here"), 3), None);
        let far = Peer { family: 0, address: vec![1, 2, 3, 4] };
        assert_eq!(cookie(&file, &far, 3).as_deref(), Some(&b"far"[..]));
    }

    #[test]
    fn a_file_cut_at_any_byte_is_read_without_harm() {
        let mut file = entry(65_535, "", "", SCHEME, b"any");
        file.splice(0..0, entry(256, "here", "9", SCHEME, b"nine"));
        for end in 0..file.len() {
            assert_eq!(cookie(&file[..end], &Peer::local("here"), 1), None);
        }
        assert_eq!(cookie(&file, &Peer::local("here"), 1).as_deref(), Some(&b"any"[..]));
    }
}
