//! Fence (-312): marks that a peer puts into its stream and gets back.

use crate::error::ProtocolError;
use crate::limits;
use crate::wire::{Put, Reader};

/// Bits of a fence's flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FenceFlags(pub u32);

impl FenceFlags {
    /// Everything before the fence is done before the answer.
    pub const BLOCK_BEFORE: Self = Self(1);
    /// Nothing after the fence is begun before the answer.
    pub const BLOCK_AFTER: Self = Self(2);
    /// The next message is done together with the answer.
    pub const SYNC_NEXT: Self = Self(4);
    /// This is a request and wants an answer.
    pub const REQUEST: Self = Self(1 << 31);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// All bits of both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The bits that an answer carries: known ones, without Request.
    pub const fn answered(self) -> Self {
        Self(self.0 & 7)
    }
}

/// A fence of either direction.
///
/// ```
/// use farpane_rfb::ext::fence::{Fence, FenceFlags};
/// let asked = Fence::new(FenceFlags(0x8000_0107), b"mark").unwrap();
/// let answer = asked.answer().unwrap();
/// assert_eq!((answer.flags(), answer.payload()), (FenceFlags(7), &b"mark"[..]));
/// assert!(answer.answer().is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    flags: FenceFlags,
    length: u8,
    bytes: [u8; limits::FENCE_PAYLOAD],
}

impl Fence {
    /// A fence; `None` when `payload` is longer than [`limits::FENCE_PAYLOAD`].
    pub fn new(flags: FenceFlags, payload: &[u8]) -> Option<Self> {
        let mut bytes = [0; limits::FENCE_PAYLOAD];
        bytes.get_mut(..payload.len())?.copy_from_slice(payload);
        Some(Self { flags, length: u8::try_from(payload.len()).ok()?, bytes })
    }

    /// The fence by which a server says, once, that it knows fences.
    pub fn announcement() -> Self {
        Self { flags: FenceFlags::REQUEST, length: 1, bytes: [0; limits::FENCE_PAYLOAD] }
    }

    /// Its flags.
    pub fn flags(&self) -> FenceFlags {
        self.flags
    }

    /// Its payload.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Whether it wants an answer.
    pub fn is_request(&self) -> bool {
        self.flags.contains(FenceFlags::REQUEST)
    }

    /// The answer to a request; `None` for an answer.
    pub fn answer(&self) -> Option<Self> {
        self.is_request().then_some(Self { flags: self.flags.answered(), ..*self })
    }

    /// Reads what follows the message type; `None` when incomplete.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, ProtocolError> {
        let mut head = || {
            reader.pad(3)?;
            Some((reader.u32()?, reader.u8()?))
        };
        let Some((flags, length)) = head() else { return Ok(None) };
        if usize::from(length) > limits::FENCE_PAYLOAD {
            return Err(ProtocolError::FencePayload(length));
        }
        let Some(payload) = reader.take(usize::from(length)) else { return Ok(None) };
        Ok(Self::new(FenceFlags(flags), payload))
    }

    /// Writes the whole message; both directions look alike.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put(&[248, 0, 0, 0]);
        out.put_u32(self.flags.0);
        out.put_u8(self.length);
        out.put(self.payload());
    }
}

impl std::fmt::Debug for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fence {{ flags: {:#x}, payload: {:02x?} }}", self.flags.0, self.payload())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_of_64_passes_and_of_65_does_not() {
        assert_eq!(Fence::new(FenceFlags(0), &[7; 64]).unwrap().payload(), [7; 64]);
        assert!(Fence::new(FenceFlags(0), &[7; 65]).is_none());
        let wire = [0, 0, 0, 0, 0, 0, 0, 65];
        assert_eq!(Fence::read(&mut Reader::new(&wire)), Err(ProtocolError::FencePayload(65)));
    }

    #[test]
    fn the_announcement_is_the_one_viewers_know() {
        let mut out = Vec::new();
        Fence::announcement().write(&mut out);
        assert_eq!(out, [0xf8, 0, 0, 0, 0x80, 0, 0, 0, 1, 0]);
    }
}
