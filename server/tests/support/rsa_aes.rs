//! A viewer's end of RSA-AES (security types 5, 6, 129 and 130).

use crate::{ClientError, Raw, Wire};
use aes::{Aes128, Aes256};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{
    KeyPair, KeySize, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
    PublicKeyComponents,
};
use aws_lc_rs::signature::KeyPair as _;
use eax::{AeadInOut, Eax, KeyInit};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Read, Write};
use std::sync::OnceLock;
use std::time::Duration;

/// AES-128 for everything.
pub const RA2: u8 = 5;
/// AES-128 for the login alone.
pub const RA2_NE: u8 = 6;
/// AES-256 for everything.
pub const RA2_256: u8 = 129;
/// AES-256 for the login alone.
pub const RA2_NE_256: u8 = 130;

/// What the server asked for: a user and a password.
pub const USER_AND_PASSWORD: u8 = 1;
/// What the server asked for: a password.
pub const PASSWORD: u8 = 2;

fn wrong(text: impl Into<String>) -> ClientError {
    ClientError::Handshake(text.into())
}

/// A key of 2,048 bits, made once in each process: its decrypting half and its block.
fn our_key() -> &'static (Pkcs1PrivateDecryptingKey, Vec<u8>) {
    static KEY: OnceLock<(Pkcs1PrivateDecryptingKey, Vec<u8>)> = OnceLock::new();
    KEY.get_or_init(|| {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).expect("a key");
        let der: Pkcs8V1Der<'_> = key.as_der().expect("its bytes");
        let pair = KeyPair::from_pkcs8(der.as_ref()).expect("the same key");
        let public = pair.public_key();
        let mut block = 2048u32.to_be_bytes().to_vec();
        block.extend_from_slice(public.modulus().big_endian_without_leading_zero());
        block.resize(4 + 512, 0);
        let exponent = public.exponent().big_endian_without_leading_zero();
        block[4 + 512 - exponent.len()..].copy_from_slice(exponent);
        (Pkcs1PrivateDecryptingKey::new(key).expect("the same key"), block)
    })
}

/// One direction: a key, and how many records it has had.
struct Direction {
    key: Vec<u8>,
    records: u128,
}

impl Direction {
    /// Seals (`tag` none) or opens the bytes in place and returns the tag, or nothing when it is another one.
    fn step(&mut self, data: &mut [u8], tag: Option<[u8; 16]>) -> Option<[u8; 16]> {
        let (head, nonce) = ((data.len() as u16).to_be_bytes(), self.records.to_le_bytes());
        self.records += 1;
        macro_rules! with {
            ($aes:ty) => {{
                let cipher = Eax::<$aes>::new_from_slice(&self.key).expect("its length");
                match tag {
                    None => cipher.encrypt_inout_detached((&nonce).into(), &head, data.into()).ok().map(Into::into),
                    Some(tag) => {
                        let opened = cipher.decrypt_inout_detached((&nonce).into(), &head, data.into(), (&tag).into());
                        opened.ok().map(|()| tag)
                    }
                }
            }};
        }
        if self.key.len() == 16 { with!(Aes128) } else { with!(Aes256) }
    }

    fn seal(&mut self, data: &[u8]) -> Vec<u8> {
        let mut body = data.to_vec();
        let tag = self.step(&mut body, None).expect("short data");
        [&(data.len() as u16).to_be_bytes()[..], &body, &tag].concat()
    }
}

/// What a login found out about the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The bits of its key.
    pub bits: u32,
    /// The first eight bytes of its fingerprint.
    pub fingerprint: String,
    /// What it asked for.
    pub subtype: u8,
}

/// Chooses a type of version 3.8 and says user and password; what follows, from SecurityResult on, goes through the connection
/// that is returned.
///
/// # Errors
/// When the server does not offer the type, breaks its protocol or closes.
pub fn log_in(
    mut raw: Raw,
    kind: u8,
    user: &str,
    password: &str,
    limit: Duration,
) -> Result<(Raw, Shown), ClientError> {
    raw.versions("RFB 003.008\n")?;
    let offered = raw.security_types()?;
    if !offered.contains(&kind) {
        return Err(wrong(format!("security types {offered:?} offered")));
    }
    raw.send(&[kind])?;
    exchange(raw, kind, user, password, limit)
}

/// The same from where the type was chosen.
///
/// # Errors
/// When the server breaks the protocol or closes.
pub fn exchange(
    mut raw: Raw,
    kind: u8,
    user: &str,
    password: &str,
    limit: Duration,
) -> Result<(Raw, Shown), ClientError> {
    crate::secrets::tell(password);
    let wide = matches!(kind, RA2_256 | RA2_NE_256);
    let hash = |first: &[u8], second: &[u8]| -> Vec<u8> {
        match wide {
            true => Sha256::new().chain_update(first).chain_update(second).finalize().to_vec(),
            false => Sha1::new().chain_update(first).chain_update(second).finalize().to_vec(),
        }
    };
    let secret = if wide { 32 } else { 16 };
    let (private, ours) = our_key();

    let head = raw.read(4)?;
    let bits = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    if !(2048..=8192).contains(&bits) {
        return Err(wrong(format!("a key of {bits} bits")));
    }
    let size = bits.div_ceil(8) as usize;
    let numbers = raw.read(2 * size)?;
    let theirs = [head, numbers.clone()].concat();
    let exponent = &numbers[size..];
    let zeros = exponent.iter().take_while(|byte| **byte == 0).count();
    let public = PublicKeyComponents { n: &numbers[..size], e: &exponent[zeros..] };
    let public: PublicEncryptingKey = public.try_into().map_err(|_| wrong("the server's key is none"))?;
    let public = Pkcs1PublicEncryptingKey::new(public).map_err(|_| wrong("the server's key is none"))?;

    // a fixed number makes a run repeatable; the server's half is random
    let random = vec![0x5a; secret];
    let mut block = vec![0; size];
    public.encrypt(&random, &mut block).map_err(|_| wrong("nothing can be encrypted to the server's key"))?;
    raw.send(&[&ours[..], &(size as u16).to_be_bytes(), &block].concat())?;

    let length = raw.read(2)?;
    if length != [1, 0] {
        return Err(wrong(format!("{length:?} as the length of a block of 256 bytes")));
    }
    let (block, mut plain) = (raw.read(256)?, vec![0; 256]);
    let server_random = private.decrypt(&block, &mut plain).map_err(|_| wrong("the server's random number is none"))?;
    if server_random.len() != secret {
        return Err(wrong(format!("a random number of {} bytes", server_random.len())));
    }
    let key = |first: &[u8], second: &[u8]| Direction { key: hash(first, second)[..secret].to_vec(), records: 0 };
    let (send, receive) = (key(server_random, &random), key(&random, server_random));
    let (inbox, plain) = (Vec::new(), VecDeque::new());
    let mut wire = RecordWire { below: raw.into_wire(), send, receive, inbox, plain };

    // some viewers take exactly one record for each of these
    if wire.record()? != hash(&theirs, ours) {
        return Err(wrong("the server does not know the keys"));
    }
    wire.write_all(&hash(ours, &theirs))?;
    let subtype = wire.record()?;
    let user = match subtype[..] {
        [USER_AND_PASSWORD] => user,
        [PASSWORD] => "",
        _ => return Err(wrong(format!("subtype {subtype:?}"))),
    };
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    wire.write_all(&[text(user), text(password)].concat())?;

    let short: Vec<String> = Sha1::digest(&theirs).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let shown = Shown { bits, fingerprint: short.join("-"), subtype: subtype[0] };
    let encrypts = matches!(kind, RA2 | RA2_256);
    let wire: Box<dyn Wire> = if encrypts { Box::new(wire) } else { wire.below };
    Ok((Raw::over(wire, limit)?, shown))
}

/// Records as bytes.
struct RecordWire {
    below: Box<dyn Wire>,
    send: Direction,
    receive: Direction,
    inbox: Vec<u8>,
    plain: VecDeque<u8>,
}

impl RecordWire {
    /// The data of the next record. What came of it stays when time runs out.
    fn record(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            let need = match self.inbox[..] {
                [high, low, ..] => 2 + usize::from(u16::from_be_bytes([high, low])) + 16,
                _ => 2,
            };
            if need > 2 && self.inbox.len() == need {
                let record = std::mem::take(&mut self.inbox);
                let (mut data, tag) =
                    (record[2..need - 16].to_vec(), record[need - 16..].try_into().expect("16 bytes"));
                let opened = self.receive.step(&mut data, Some(tag));
                return opened.map(|_| data).ok_or_else(|| Error::new(ErrorKind::InvalidData, "a bad record"));
            }
            let mut block = vec![0; need - self.inbox.len()];
            match self.below.read(&mut block)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                n => self.inbox.extend_from_slice(&block[..n]),
            }
        }
    }
}

impl Read for RecordWire {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while self.plain.is_empty() {
            match self.record() {
                Ok(data) => self.plain.extend(data),
                // the server leaves between two records
                Err(e) if e.kind() == ErrorKind::UnexpectedEof && self.inbox.is_empty() => return Ok(0),
                Err(e) => return Err(e),
            }
        }
        self.plain.read(buf)
    }
}

impl Write for RecordWire {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let part = &buf[..buf.len().min(8192)];
        let record = self.send.seal(part);
        self.below.write_all(&record)?;
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.below.flush()
    }
}

impl Wire for RecordWire {
    fn set_timeout(&mut self, limit: Duration) -> std::io::Result<()> {
        self.below.set_timeout(limit)
    }
}
