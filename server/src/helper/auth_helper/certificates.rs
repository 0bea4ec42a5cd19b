//! Certificates on their way from the process that has their key to the one that shows them: nothing secret.
//!
//! What a load came to has a number that the server chose, and stays until the server says that nothing is served with it any more:
//! a connection that began before a reload is signed for with the key that it began with.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::sign::SigningKey;

use super::super::calls::{CallError, Calls};
use super::hex::Hex;
use super::remote_key::RemoteSigningKey;
use super::{Ask, Loaded, OPEN_LIMIT, Told, bytes};
use crate::security::tls::{CertificateError, CertificateSource, Material};

/// Bytes of a piece: twice as many digits fit a message.
pub(super) const PIECE: usize = 7 * 1024;
/// Bytes of all certificates and lists of revoked ones at most.
pub(super) const MOST: usize = 64 << 20;

/// Chain, authorities of clients and lists of revoked certificates, one after the other.
pub(super) fn pack(material: &Material) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut list = |items: Vec<&[u8]>| {
        packed.extend_from_slice(&length(items.len()));
        for item in items {
            packed.extend_from_slice(&length(item.len()));
            packed.extend_from_slice(item);
        }
    };
    list(material.chain.iter().map(AsRef::as_ref).collect());
    list(material.client_ca.iter().map(AsRef::as_ref).collect());
    list(material.client_crl.iter().map(AsRef::as_ref).collect());
    packed
}

fn length(of: usize) -> [u8; 4] {
    // more than fits is refused where it is read: it is longer than what follows
    u32::try_from(of).unwrap_or(u32::MAX).to_be_bytes()
}

/// What [`pack`] packed, with its key; none where it is no such thing.
fn unpack(mut packed: &[u8], key: Arc<dyn SigningKey>) -> Option<Material> {
    let chain = list(&mut packed)?;
    let (client_ca, crl) = (list(&mut packed)?, list(&mut packed)?);
    let der = |items: Vec<Vec<u8>>| items.into_iter().map(CertificateDer::from).collect();
    let client_crl = crl.into_iter().map(Into::into).collect();
    packed.is_empty().then(|| Material { chain: der(chain), key, client_ca: der(client_ca), client_crl })
}

fn number(packed: &mut &[u8]) -> Option<usize> {
    let (head, rest) = packed.split_first_chunk::<4>()?;
    *packed = rest;
    usize::try_from(u32::from_be_bytes(*head)).ok()
}

fn list(packed: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let count = number(packed)?;
    // an item has four bytes at least: no count is believed beyond that
    let mut items = Vec::with_capacity(count.min(packed.len() / 4));
    for _ in 0..count {
        let length = number(packed)?;
        let (item, rest) = packed.split_at_checked(length)?;
        items.push(item.to_vec());
        *packed = rest;
    }
    Some(items)
}

/// Certificates whose key another process holds: it reads the files, and reads them again when it is asked to.
pub struct RemoteCertificates {
    pub(super) calls: Arc<Calls<Ask, Told>>,
}

impl RemoteCertificates {
    fn fetch(&self) -> Result<Material, CallError> {
        let number = self.calls.number();
        let loaded = match self.calls.call(Ask::Load { number }, OPEN_LIMIT)?.0 {
            Told::Loaded(loaded) => loaded,
            Told::Failed(why) => return Err(CallError::Unfit(why)),
            Told::Bytes(_) | Told::Turn(_) => return Err(CallError::Strange),
        };
        let Loaded { bytes: size, schemes, algorithm, public } = loaded;
        let key = Arc::new(RemoteSigningKey::new(Arc::clone(&self.calls), number, schemes, algorithm, public));
        if size > MOST {
            return Err(CallError::Unfit(format!("{size} bytes of certificates (expected at most {MOST})")));
        }
        let mut packed = Vec::with_capacity(size);
        while packed.len() < size {
            let piece = bytes(&self.calls, Ask::Public { number, at: packed.len() }).ok_or(CallError::Strange)?;
            if piece.is_empty() || piece.len() > size - packed.len() {
                return Err(CallError::Strange);
            }
            packed.extend_from_slice(&piece);
        }
        unpack(&packed, key).ok_or(CallError::Strange)
    }
}

impl CertificateSource for RemoteCertificates {
    /// Dates are compared by the other process's clock: whoever asks may have been taken over.
    fn load(&self, _now: SystemTime) -> Result<Material, CertificateError> {
        self.fetch().map_err(|error| match error {
            CallError::Unfit(why) => CertificateError::Elsewhere(why),
            error => CertificateError::Elsewhere(format!("auth-helper: {error}")),
        })
    }
}

/// What a load came to, in the process that has the key.
pub(super) struct Held {
    pub(super) key: Arc<dyn SigningKey>,
    /// Until it has been told.
    packed: Vec<u8>,
}

impl Held {
    pub(super) fn new(material: &Material) -> Self {
        Held { key: Arc::clone(&material.key), packed: pack(material) }
    }

    pub(super) fn len(&self) -> usize {
        self.packed.len()
    }

    /// The piece that begins there. After the last one there is no other.
    pub(super) fn piece(&mut self, at: usize) -> Option<Hex> {
        let end = at.saturating_add(PIECE).min(self.packed.len());
        let piece = self.packed.get(at..end).filter(|piece| !piece.is_empty()).map(Hex::of)?;
        if end == self.packed.len() {
            self.packed = Vec::new();
        }
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Arc<dyn SigningKey> {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let der = rustls::pki_types::PrivatePkcs8KeyDer::from(pair.serialize_der()).into();
        rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).expect("a key")
    }

    fn material(key: &Arc<dyn SigningKey>) -> Material {
        let der = |n: u8| CertificateDer::from(vec![n; usize::from(n)]);
        Material {
            chain: vec![der(1), der(200)],
            key: Arc::clone(key),
            client_ca: vec![der(0)],
            client_crl: vec![vec![9; 3 * PIECE].into()],
        }
    }

    #[test]
    fn what_is_packed_comes_back_in_pieces_once() {
        let key = key();
        let from = material(&key);
        let mut held = Held::new(&from);
        let (size, mut packed) = (held.len(), Vec::new());
        while packed.len() < size {
            packed.extend_from_slice(held.piece(packed.len()).expect("a piece").bytes());
        }
        assert!(held.piece(0).is_none() && held.piece(size).is_none() && held.piece(usize::MAX).is_none());
        let to = unpack(&packed, key).expect("is one");
        assert_eq!((to.chain, to.client_ca, to.client_crl), (from.chain, from.client_ca, from.client_crl));
    }

    #[test]
    fn what_is_cut_or_longer_or_lies_about_its_length_is_nothing() {
        let key = key();
        let packed = pack(&material(&key));
        for end in (0..300).chain([packed.len() - 1]) {
            assert!(unpack(&packed[..end], Arc::clone(&key)).is_none(), "{end}");
        }
        let more = [&packed[..], &[0]].concat();
        assert!(unpack(&more, Arc::clone(&key)).is_none());
        assert!(unpack(&[0xff; 12], key).is_none());
    }
}
