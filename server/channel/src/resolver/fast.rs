//! AES-256-GCM by `aws-lc-rs`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use snow::types::Cipher;

use super::nonce;
use crate::limits::TAG;

/// The cipher with its key expanded.
#[derive(Default)]
pub(super) struct AesGcm(Option<LessSafeKey>);

impl AesGcm {
    fn seal(&self, counter: u64, ad: &[u8], plain: &[u8], out: &mut [u8]) -> Option<usize> {
        let (sealed, rest) = out.split_at_mut_checked(plain.len())?;
        let (key, nonce) = (self.0.as_ref()?, Nonce::assume_unique_for_key(nonce(counter)));
        key.seal_out_of_place_scatter(nonce, Aad::from(ad), plain, sealed, &[], rest.get_mut(..TAG)?).ok()?;
        plain.len().checked_add(TAG)
    }

    fn open(&self, counter: u64, ad: &[u8], sealed: &[u8], out: &mut [u8]) -> Option<usize> {
        let (body, tag) = sealed.split_last_chunk::<TAG>()?;
        let (key, nonce) = (self.0.as_ref()?, Nonce::assume_unique_for_key(nonce(counter)));
        key.open_separate_gather(nonce, Aad::from(ad), body, tag, out.get_mut(..body.len())?).ok()?;
        Some(body.len())
    }
}

impl Cipher for AesGcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new);
    }

    // a length of 0 says that nothing was sealed: whoever asked compares
    fn encrypt(&self, counter: u64, ad: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        self.seal(counter, ad, plain, out).unwrap_or(0)
    }

    fn decrypt(&self, counter: u64, ad: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<usize, snow::Error> {
        self.open(counter, ad, sealed, out).ok_or(snow::Error::Decrypt)
    }
}
