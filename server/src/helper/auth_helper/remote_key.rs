//! The TLS key of another process.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::super::calls::Calls;
use super::hex::Hex;
use super::{Ask, Told, bytes};

/// A key that signs elsewhere. When nothing is served with it any more, its holder is told to forget it.
pub(super) struct RemoteSigningKey {
    lent: Arc<Lent>,
    schemes: Vec<SignatureScheme>,
    algorithm: SignatureAlgorithm,
    public: Option<SubjectPublicKeyInfoDer<'static>>,
}

/// What was loaded under a number.
struct Lent {
    calls: Arc<Calls<Ask, Told>>,
    number: u64,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.calls.tell(Ask::Forget { number: self.number });
    }
}

impl RemoteSigningKey {
    pub(super) fn new(
        calls: Arc<Calls<Ask, Told>>,
        number: u64,
        schemes: Vec<u16>,
        algorithm: u8,
        public: Option<Hex>,
    ) -> Self {
        RemoteSigningKey {
            lent: Arc::new(Lent { calls, number }),
            schemes: schemes.into_iter().map(SignatureScheme::from).collect(),
            algorithm: algorithm.into(),
            public: public.map(|public| public.bytes().to_vec().into()),
        }
    }
}

impl fmt::Debug for RemoteSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSigningKey").field("schemes", &self.schemes).finish_non_exhaustive()
    }
}

impl SigningKey for RemoteSigningKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = *self.schemes.iter().find(|scheme| offered.contains(scheme))?;
        Some(Box::new(RemoteSigner { lent: Arc::clone(&self.lent), scheme }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.public.clone()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

struct RemoteSigner {
    lent: Arc<Lent>,
    scheme: SignatureScheme,
}

impl fmt::Debug for RemoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSigner").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

impl Signer for RemoteSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let question = Ask::Sign { number: self.lent.number, scheme: self.scheme.into(), message: Hex::of(message) };
        let signature = bytes(&self.lent.calls, question).map(|signature| signature.to_vec());
        signature.ok_or_else(|| rustls::Error::General("the process that holds the key gave no signature".into()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
