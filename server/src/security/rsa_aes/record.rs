//! Records: `u16 length`, as many bytes of AES-EAX, a tag of 16. The length is the associated data; the nonce is the record's
//! number in its direction, 16 bytes little endian.
//!
//! INVARIANT: a number is used once; sealing and opening allocate nothing but what the caller's buffer lacks.
//!
//! SOURCE: the RFB protocol's community document, sections RA2 and RA2_256; what TigerVNC, noVNC and neatvnc do.

use aes::{Aes128, Aes256};
use eax::{AeadInOut, Eax, KeyInit};
use zeroize::Zeroizing;

/// Bytes of the length field.
pub(super) const HEAD: usize = 2;
/// Bytes of the tag.
pub(super) const TAG: usize = 16;
/// The most data that is put into a record: viewers of TigerVNC have buffers of this size.
pub(super) const WRITTEN: usize = 8192;
/// The longest record that a length field can tell.
pub(super) const LONGEST: usize = HEAD + 65_535 + TAG;

/// A record that is not what the peer with the key sealed next, or one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record refused")]
pub struct BadRecord;

/// The key of one direction.
#[derive(Clone)]
pub(super) enum RecordKey {
    Aes128(Zeroizing<[u8; 16]>),
    Aes256(Zeroizing<[u8; 32]>),
}

impl RecordKey {
    fn seal(&self, nonce: &[u8; TAG], head: [u8; HEAD], data: &mut [u8]) -> Option<[u8; TAG]> {
        // the cipher keeps the key alone and expands it as often as it needs it
        let (nonce, data) = (nonce.into(), data.into());
        let tag = match self {
            Self::Aes128(key) => Eax::<Aes128>::new((&**key).into()).encrypt_inout_detached(nonce, &head, data),
            Self::Aes256(key) => Eax::<Aes256>::new((&**key).into()).encrypt_inout_detached(nonce, &head, data),
        };
        tag.ok().map(Into::into)
    }

    fn open(&self, nonce: &[u8; TAG], head: [u8; HEAD], data: &mut [u8], tag: &[u8; TAG]) -> Option<()> {
        let (nonce, data, tag) = (nonce.into(), data.into(), tag.into());
        match self {
            Self::Aes128(key) => Eax::<Aes128>::new((&**key).into()).decrypt_inout_detached(nonce, &head, data, tag),
            Self::Aes256(key) => Eax::<Aes256>::new((&**key).into()).decrypt_inout_detached(nonce, &head, data, tag),
        }
        .ok()
    }
}

/// Counts the records of one direction; none once all numbers are used.
struct Counter(Option<u128>);

impl Counter {
    const fn new() -> Self {
        Self(Some(0))
    }

    fn next(&mut self) -> Option<[u8; TAG]> {
        let number = self.0?;
        self.0 = number.checked_add(1);
        Some(number.to_le_bytes())
    }
}

/// Seals what one end sends.
pub(super) struct Sealer {
    key: RecordKey,
    counter: Counter,
}

impl Sealer {
    pub(super) const fn new(key: RecordKey) -> Self {
        Self { key, counter: Counter::new() }
    }

    /// Appends a record of at most 65,535 bytes.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), BadRecord> {
        out.reserve(plain.len().saturating_add(HEAD + TAG));
        let start = begin(out);
        out.extend_from_slice(plain);
        self.finish(out, start)
    }

    /// Makes a record of what was appended since [`begin`].
    pub(super) fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(), BadRecord> {
        let sealed = self.try_finish(out, start);
        if sealed.is_none() {
            // nothing unsealed may leave
            out.truncate(start);
        }
        sealed.ok_or(BadRecord)
    }

    fn try_finish(&mut self, out: &mut Vec<u8>, start: usize) -> Option<()> {
        let (head, data) = out.get_mut(start..)?.split_first_chunk_mut::<HEAD>()?;
        *head = u16::try_from(data.len()).ok()?.to_be_bytes();
        let tag = self.key.seal(&self.counter.next()?, *head, data)?;
        out.extend_from_slice(&tag);
        Some(())
    }
}

/// Begins a record: append its data and call [`Sealer::finish`] with what this returns.
pub(super) fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    start
}

/// Opens what the other end sent.
pub(super) struct Opener {
    key: RecordKey,
    counter: Counter,
}

impl Opener {
    pub(super) const fn new(key: RecordKey) -> Self {
        Self { key, counter: Counter::new() }
    }

    /// Opens one whole record where it lies and returns its data.
    pub(super) fn open<'a>(&mut self, record: &'a mut [u8]) -> Result<&'a mut [u8], BadRecord> {
        let (head, rest) = record.split_first_chunk_mut::<HEAD>().ok_or(BadRecord)?;
        let (data, tag) = rest.split_last_chunk_mut::<TAG>().ok_or(BadRecord)?;
        if data.len() != usize::from(u16::from_be_bytes(*head)) {
            return Err(BadRecord);
        }
        let nonce = self.counter.next().ok_or(BadRecord)?;
        self.key.open(&nonce, *head, data, tag).ok_or(BadRecord)?;
        Ok(data)
    }
}

/// The length of the record whose first bytes these are, once it is known.
pub(super) fn record_len(start: &[u8]) -> Option<usize> {
    let head = start.first_chunk::<HEAD>()?;
    Some(usize::from(u16::from_be_bytes(*head)).saturating_add(HEAD + TAG))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(wide: bool) -> (Sealer, Opener) {
        let key = match wide {
            false => RecordKey::Aes128(Zeroizing::new([5; 16])),
            true => RecordKey::Aes256(Zeroizing::new([5; 32])),
        };
        (Sealer::new(key.clone()), Opener::new(key))
    }

    fn sealed(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        sealer.seal(plain, &mut out).unwrap();
        out
    }

    #[test]
    fn a_published_vector_of_eax_holds() {
        // SOURCE: Bellare, Rogaway, Wagner, "The EAX mode of operation", appendix: third vector
        let hex = |text: &str| -> Vec<u8> {
            (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
        };
        let key: [u8; 16] = hex("01F74AD64077F2E704C0F60ADA3DD523").try_into().unwrap();
        let nonce: [u8; 16] = hex("70C3DB4F0D26368400A10ED05D2BFF5E").try_into().unwrap();
        let mut data = hex("1A47CB4933");
        let tag = Eax::<Aes128>::new((&key).into())
            .encrypt_inout_detached((&nonce).into(), &hex("234A3463C1264AC6"), data.as_mut_slice().into())
            .unwrap();
        assert_eq!([&data[..], &tag[..]].concat(), hex("D851D5BAE03A59F238A23E39199DC9266626C40F80"));
    }

    #[test]
    fn numbers_are_little_endian_from_zero_and_end() {
        let mut counter = Counter::new();
        assert_eq!(counter.next(), Some([0; 16]));
        assert_eq!(counter.next().unwrap()[..2], [1, 0]);
        counter = Counter(Some(0x0102));
        assert_eq!(counter.next().unwrap()[..3], [2, 1, 0]);
        let (mut sealer, mut opener) = pair(true);
        (sealer.counter, opener.counter) = (Counter(Some(u128::MAX)), Counter(Some(u128::MAX)));
        let mut last = sealed(&mut sealer, b"last");
        assert_eq!(opener.open(&mut last).unwrap(), b"last");
        let mut out = b"before".to_vec();
        assert_eq!(sealer.seal(b"one too many", &mut out), Err(BadRecord));
        assert_eq!(out, b"before", "nothing unsealed is left");
        assert_eq!(opener.open(&mut sealed(&mut pair(true).0, b"x")), Err(BadRecord));
    }

    #[test]
    fn records_replayed_swapped_lost_or_of_another_key_are_refused() {
        for wide in [false, true] {
            let (mut sealer, _) = pair(wide);
            let records: Vec<_> = (0..3u8).map(|n| sealed(&mut sealer, &[n; 40])).collect();
            let open = |order: &[usize]| {
                let mut opener = pair(wide).1;
                order.iter().map(|n| opener.open(&mut records[*n].clone()).map(|data| data[0])).collect::<Vec<_>>()
            };
            assert_eq!(open(&[0, 1, 2]), [Ok(0), Ok(1), Ok(2)]);
            assert_eq!(open(&[0, 0])[1], Err(BadRecord), "replayed");
            assert_eq!(open(&[1])[0], Err(BadRecord), "swapped");
            assert_eq!(open(&[0, 2])[1], Err(BadRecord), "lost");
            assert_eq!(pair(!wide).1.open(&mut records[0].clone()), Err(BadRecord));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        for wide in [false, true] {
            let record = sealed(&mut pair(wide).0, b"twenty-one bytes here");
            assert_eq!(record.len(), HEAD + 21 + TAG);
            assert_eq!(pair(wide).1.open(&mut record.clone()).unwrap(), b"twenty-one bytes here");
            for at in 0..record.len() {
                for bit in 0..8 {
                    let mut bad = record.clone();
                    bad[at] ^= 1 << bit;
                    assert_eq!(pair(wide).1.open(&mut bad), Err(BadRecord), "byte {at} bit {bit}");
                }
                assert_eq!(pair(wide).1.open(&mut record[..at].to_vec()), Err(BadRecord), "cut at {at}");
            }
        }
    }

    #[test]
    fn the_longest_record_is_65535_bytes() {
        let (mut sealer, mut opener) = pair(true);
        let mut out = Vec::new();
        assert_eq!(sealer.seal(&[0; 65_536], &mut out), Err(BadRecord));
        sealer.seal(&[1; 65_535], &mut out).unwrap();
        assert_eq!((out.len(), record_len(&out), record_len(&out[..1])), (LONGEST, Some(LONGEST), None));
        assert_eq!(opener.open(&mut out).unwrap(), [1; 65_535]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_sealed_opens_in_order(wide: bool, plains in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20)) {
            let (mut sealer, mut opener) = pair(wide);
            for plain in plains {
                let mut record = sealed(&mut sealer, &plain);
                prop_assert_eq!(&*opener.open(&mut record).unwrap(), &plain[..]);
            }
        }
    }
}
