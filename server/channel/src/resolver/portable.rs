//! AES-256-GCM by the `aes-gcm` crate.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use snow::types::Cipher;

use super::nonce;
use crate::limits::TAG;

/// The cipher with its key expanded.
#[derive(Default)]
pub(super) struct AesGcm(Option<Aes256Gcm>);

impl AesGcm {
    fn seal(&self, counter: u64, ad: &[u8], plain: &[u8], out: &mut [u8]) -> Option<usize> {
        let (sealed, rest) = out.split_at_mut_checked(plain.len())?;
        let place = rest.get_mut(..TAG)?;
        let buffer = InOutBuf::new(plain, sealed).ok()?;
        let tag = self.0.as_ref()?.encrypt_inout_detached(&nonce(counter).into(), ad, buffer).ok()?;
        place.copy_from_slice(&tag);
        plain.len().checked_add(TAG)
    }

    fn open(&self, counter: u64, ad: &[u8], sealed: &[u8], out: &mut [u8]) -> Option<usize> {
        let (body, tag) = sealed.split_last_chunk::<TAG>()?;
        let buffer = InOutBuf::new(body, out.get_mut(..body.len())?).ok()?;
        let tag = (*tag).into();
        self.0.as_ref()?.decrypt_inout_detached(&nonce(counter).into(), ad, buffer, &tag).ok()?;
        Some(body.len())
    }
}

impl Cipher for AesGcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = Some(Aes256Gcm::new(key.into()));
    }

    // a length of 0 says that nothing was sealed: whoever asked compares
    fn encrypt(&self, counter: u64, ad: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        self.seal(counter, ad, plain, out).unwrap_or(0)
    }

    fn decrypt(&self, counter: u64, ad: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<usize, snow::Error> {
        self.open(counter, ad, sealed, out).ok_or(snow::Error::Decrypt)
    }
}
