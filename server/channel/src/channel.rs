//! The channel after the handshake: records both ways.
//!
//! A record is `u16 length`, then as many bytes of AES-GCM: the data, one byte for its kind, the tag. Everything is counted:
//! what a flipped, swapped, repeated or missing record does is that the next tag is wrong, and then the channel is over.
//!
//! INVARIANTS: RFB flows only after the server has ended authentication; each direction takes a new key every
//! [`limits::REKEY_EVERY`] records; no record allocates once the buffers have grown (`tests/allocations.rs`).

use std::time::{Duration, Instant};

use hkdf::Hkdf;
use sha2::Sha256;
use snow::{HandshakeState, TransportState};
use zeroize::Zeroize;

use crate::error::{ChannelError, HandshakeError};
use crate::identity::PublicKey;
use crate::limits;
use crate::record::{Close, Kind, Ping, Record, RecordSize};
use crate::wire::Sink;

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Viewer,
}

/// What binds a proof to this channel and no other: HKDF-SHA256 of the handshake hash for `"farpane-bind/1"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding([u8; 32]);

impl Binding {
    fn of(handshake_hash: &[u8; 32]) -> Self {
        let mut binding = [0; 32];
        // INVARIANT: 32 bytes are far below HKDF's limit, so that this cannot fail
        if Hkdf::<Sha256>::new(None, handshake_hash).expand(b"farpane-bind/1", &mut binding).is_err() {
            binding = *handshake_hash;
        }
        Self(binding)
    }

    /// The 32 bytes that a proof signs.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What one call of [`Channel::open`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// Bytes of the input that were used; the rest must be given again.
    pub used: usize,
    /// The record, once whole. Its bytes hold until the next call.
    pub record: Option<Record<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Authentication messages.
    Auth,
    /// RFB.
    Rfb,
}

/// What is sent.
struct Outgoing {
    /// RFB that waits for a record to fill, with room for the kind.
    plain: Vec<u8>,
    size: RecordSize,
    /// The most data bytes that the peer takes in a record.
    most: usize,
    records: u64,
    closed: bool,
}

/// What is received.
struct Incoming {
    /// The start of a record that has not come whole.
    wire: Vec<u8>,
    /// The record opened last, and behind it what earlier ones left: it is as long as the longest.
    plain: Vec<u8>,
    /// How long that record is.
    length: usize,
    /// It is an authentication message, and to be wiped.
    secret: bool,
    /// The longest record that is taken.
    most: usize,
    records: u64,
    before_auth: usize,
    small: SmallRecords,
    close: Option<Close>,
}

/// Counts records of little data, second by second.
#[derive(Default)]
struct SmallRecords {
    since: Option<Instant>,
    count: u32,
}

impl SmallRecords {
    /// Notes one; whether that many are allowed.
    fn allow(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count = self.count.saturating_add(1);
        self.count <= limits::SMALL_RECORDS_PER_SECOND
    }
}

/// One end of an encrypted connection.
pub struct Channel {
    noise: TransportState,
    role: Role,
    phase: Phase,
    broken: bool,
    outgoing: Outgoing,
    incoming: Incoming,
    peer: PublicKey,
    handshake_hash: [u8; 32],
    /// Tests take fewer.
    pub(crate) rekey_every: u64,
}

impl Channel {
    /// After a complete handshake. `takes` and `gives`: the longest records that we and the peer read.
    pub(crate) fn new(noise: HandshakeState, role: Role, takes: usize, gives: usize) -> Result<Self, HandshakeError> {
        let hash = noise.get_handshake_hash().try_into().map_err(|_| HandshakeError::OutOfTurn)?;
        let key = noise.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(HandshakeError::OutOfTurn)?;
        let noise = noise.into_transport_mode().map_err(|_| HandshakeError::OutOfTurn)?;
        let outgoing = Outgoing {
            plain: Vec::new(),
            size: RecordSize::default(),
            most: gives.saturating_sub(limits::RECORD_MIN),
            records: 0,
            closed: false,
        };
        let incoming = Incoming {
            wire: Vec::new(),
            plain: Vec::new(),
            length: 0,
            secret: false,
            most: takes,
            records: 0,
            before_auth: 0,
            small: SmallRecords::default(),
            close: None,
        };
        let rekey_every = limits::REKEY_EVERY;
        let (peer, handshake_hash) = (PublicKey::new(key), hash);
        Ok(Self {
            noise,
            role,
            phase: Phase::Auth,
            broken: false,
            outgoing,
            incoming,
            peer,
            handshake_hash,
            rekey_every,
        })
    }

    /// The key that the peer proved to hold.
    pub const fn peer(&self) -> PublicKey {
        self.peer
    }

    /// What binds a proof to this channel.
    pub fn binding(&self) -> Binding {
        Binding::of(&self.handshake_hash)
    }

    /// The hash of the whole handshake, the same at both ends.
    pub const fn handshake_hash(&self) -> &[u8; 32] {
        &self.handshake_hash
    }

    /// Whether authentication has ended: the server sent its first RFB, or the viewer received it.
    pub fn is_authenticated(&self) -> bool {
        self.phase == Phase::Rfb
    }

    /// Seals one authentication message.
    ///
    /// # Errors
    /// When authentication has ended, the message is too long, or the channel is.
    pub fn auth(&mut self, message: &[u8], out: &mut impl Sink) -> Result<(), ChannelError> {
        self.may_send()?;
        if self.phase == Phase::Rfb {
            return Err(ChannelError::OutOfTurn);
        }
        if message.len() > limits::AUTH_MESSAGE || message.len() > self.outgoing.most {
            return Err(ChannelError::AuthTooLong(message.len()));
        }
        let sealed = self.seal_data(message, Kind::Auth, out);
        // it may be a password
        self.outgoing.plain.zeroize();
        sealed
    }

    /// Takes RFB, and seals as many records as fill; `flush` seals the rest. The server's first call ends authentication.
    ///
    /// `rate`: bits per second of the link as far as they are known. Cost: one copy of the bytes, no allocation in steady
    /// state.
    ///
    /// # Errors
    /// When a viewer sends before the server ended authentication, or the channel is closed or broken.
    pub fn write(
        &mut self,
        mut bytes: &[u8],
        rate: Option<u64>,
        now: Instant,
        out: &mut impl Sink,
    ) -> Result<(), ChannelError> {
        self.may_send()?;
        match (self.phase, self.role) {
            (Phase::Rfb, _) => {}
            (Phase::Auth, Role::Server) => self.phase = Phase::Rfb,
            (Phase::Auth, Role::Viewer) => return Err(ChannelError::OutOfTurn),
        }
        while !bytes.is_empty() {
            let size = self.outgoing.size.next(now, rate).min(self.outgoing.most);
            let room = size.saturating_sub(self.outgoing.plain.len());
            let (part, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.outgoing.plain.extend_from_slice(part);
            self.outgoing.size.sent(part.len(), now);
            bytes = rest;
            if self.outgoing.plain.len() >= size {
                self.seal(Kind::Rfb, out)?;
            }
        }
        Ok(())
    }

    /// Seals what `write` has kept: call it at the end of each update.
    ///
    /// # Errors
    /// When the channel is closed or broken.
    pub fn flush(&mut self, out: &mut impl Sink) -> Result<(), ChannelError> {
        self.may_send()?;
        if self.outgoing.plain.is_empty() { Ok(()) } else { self.seal(Kind::Rfb, out) }
    }

    /// Asks for a sign of life, or gives one: pass on what [`Record::Ping`] brought with `answer` set.
    ///
    /// # Errors
    /// When the channel is closed or broken.
    pub fn ping(&mut self, ping: Ping, out: &mut impl Sink) -> Result<(), ChannelError> {
        self.flush(out)?;
        self.seal_data(&ping.to_bytes(), Kind::Ping, out)
    }

    /// Flushes and says that nothing more will be sent.
    ///
    /// # Errors
    /// When the channel is closed already, or broken.
    pub fn close(&mut self, close: Close, out: &mut impl Sink) -> Result<(), ChannelError> {
        self.flush(out)?;
        self.seal_data(&close.to_bytes(), Kind::Close, out)?;
        self.outgoing.closed = true;
        Ok(())
    }

    fn may_send(&self) -> Result<(), ChannelError> {
        match (self.broken, self.outgoing.closed) {
            (true, _) => Err(ChannelError::Broken),
            (false, true) => Err(ChannelError::Closed),
            (false, false) => Ok(()),
        }
    }

    fn seal_data(&mut self, data: &[u8], kind: Kind, out: &mut impl Sink) -> Result<(), ChannelError> {
        self.outgoing.plain.clear();
        // with room for the kind: growing later would leave a copy behind
        self.outgoing.plain.reserve(data.len().saturating_add(1));
        self.outgoing.plain.extend_from_slice(data);
        self.seal(kind, out)
    }

    /// Seals the plaintext that waits, behind a length field.
    fn seal(&mut self, kind: Kind, out: &mut impl Sink) -> Result<(), ChannelError> {
        let sealed = self.try_seal(kind, out);
        self.broken |= sealed.is_none();
        sealed.ok_or(ChannelError::Broken)
    }

    fn try_seal(&mut self, kind: Kind, out: &mut impl Sink) -> Option<()> {
        let plain = &mut self.outgoing.plain;
        plain.push(kind as u8);
        let length = plain.len().checked_add(limits::TAG)?;
        let head = u16::try_from(length).ok()?.to_be_bytes();
        let record = length.checked_add(head.len())?;
        let written = out.extend_by(record).split_first_chunk_mut().and_then(|(place, sealed)| {
            *place = head;
            self.noise.write_message(plain, sealed).ok()
        });
        if written != Some(length) {
            // nothing unsealed may leave
            out.take_back(record);
            return None;
        }
        plain.clear();
        self.outgoing.records = self.outgoing.records.wrapping_add(1);
        if self.outgoing.records.checked_rem(self.rekey_every) == Some(0) {
            self.noise.rekey_outgoing();
        }
        Some(())
    }

    /// Seals what no end would send.
    #[cfg(test)]
    pub(crate) fn seal_plain_for_test(&mut self, plain: &[u8], out: &mut [u8]) -> usize {
        self.noise.write_message(plain, out).expect("room")
    }

    /// Takes input of any length; call it again with the rest until it uses nothing.
    ///
    /// After the peer's close record whatever follows is used and dropped. Cost: no allocation in steady state; a record
    /// that lies whole in the input is not copied before it is opened.
    ///
    /// # Errors
    /// [`ChannelError::Broken`], for every fault, and from then on for every call.
    pub fn open(&mut self, input: &[u8], now: Instant) -> Result<Opened<'_>, ChannelError> {
        if self.broken {
            return Err(ChannelError::Broken);
        }
        if self.incoming.close.is_some() {
            return Ok(Opened { used: input.len(), record: None });
        }
        if std::mem::take(&mut self.incoming.secret) {
            self.incoming.plain.zeroize();
            self.incoming.length = 0;
        }
        let Some((used, whole)) = self.next_record(input, now) else {
            self.broken = true;
            return Err(ChannelError::Broken);
        };
        // parsed once more: a borrow that is returned cannot be one that a failure gives up
        let record = if whole { Record::parse(self.incoming.record()) } else { None };
        Ok(Opened { used, record })
    }

    /// How much of the input was used and whether a good record is in `plain`; nothing when the peer broke the protocol.
    fn next_record(&mut self, input: &[u8], now: Instant) -> Option<(usize, bool)> {
        let (used, whole) = self.gather(input)?;
        if self.phase == Phase::Auth && self.role == Role::Server {
            self.incoming.before_auth = self.incoming.before_auth.saturating_add(used);
            if self.incoming.before_auth > limits::BEFORE_AUTH {
                return None;
            }
        }
        if !whole {
            return Some((used, false));
        }
        let incoming = &mut self.incoming;
        // the record lies in the input unless its start came earlier
        let sealed = if incoming.wire.is_empty() { input.get(..used)? } else { incoming.wire.as_slice() };
        let sealed = sealed.get(limits::RECORD_HEAD..)?;
        incoming.length = sealed.len().checked_sub(limits::TAG)?;
        if incoming.plain.len() < incoming.length {
            incoming.plain.resize(incoming.length, 0);
        }
        let length = self.noise.read_message(sealed, incoming.plain.get_mut(..incoming.length)?).ok()?;
        if length != incoming.length {
            return None;
        }
        incoming.wire.clear();
        incoming.records = incoming.records.wrapping_add(1);
        if incoming.records.checked_rem(self.rekey_every) == Some(0) {
            self.noise.rekey_incoming();
        }
        self.accept(now)?;
        Some((used, true))
    }

    /// Takes bytes up to the end of one record; whether it is whole.
    fn gather(&mut self, input: &[u8]) -> Option<(usize, bool)> {
        let incoming = &mut self.incoming;
        if incoming.wire.is_empty()
            && let Some(head) = input.first_chunk()
        {
            let end = incoming.record_end(*head)?;
            if input.len() >= end {
                return Some((end, true));
            }
        }
        let mut used = incoming.top_up(limits::RECORD_HEAD, input);
        let Some(head) = incoming.wire.first_chunk() else { return Some((used, false)) };
        let end = incoming.record_end(*head)?;
        used = used.checked_add(incoming.top_up(end, input.get(used..)?))?;
        Some((used, incoming.wire.len() >= end))
    }

    /// Whether the record in `plain` may come at this time; notes what it says.
    fn accept(&mut self, now: Instant) -> Option<()> {
        let incoming = &mut self.incoming;
        let record = Record::parse(incoming.plain.get(..incoming.length)?)?;
        let small = incoming.length.saturating_sub(1) < limits::SMALL_RECORD;
        if small && !incoming.small.allow(now) {
            return None;
        }
        match (record, self.phase, self.role) {
            (Record::Rfb(_), Phase::Auth, Role::Server) | (Record::Auth(_), Phase::Rfb, _) => return None,
            (Record::Rfb(_), Phase::Auth, Role::Viewer) => self.phase = Phase::Rfb,
            (Record::Auth(_), Phase::Auth, _) => incoming.secret = true,
            (Record::Close(close), ..) => incoming.close = Some(close),
            _ => {}
        }
        Some(())
    }

    /// The peer's stream has ended: what its close record said.
    ///
    /// # Errors
    /// [`ChannelError::Truncated`] when there was none: the stream was cut off, and what came last may not be all.
    pub fn end(&mut self) -> Result<Close, ChannelError> {
        match (self.incoming.close, self.broken) {
            (Some(close), _) => Ok(close),
            (None, true) => Err(ChannelError::Broken),
            (None, false) => {
                self.broken = true;
                Err(ChannelError::Truncated)
            }
        }
    }
}

impl Incoming {
    /// The record opened last.
    fn record(&self) -> &[u8] {
        self.plain.get(..self.length).unwrap_or_default()
    }

    /// Where a record with this length field ends; nothing when it cannot be.
    fn record_end(&self, head: [u8; 2]) -> Option<usize> {
        let length = usize::from(u16::from_be_bytes(head));
        let possible = (limits::RECORD_MIN..=self.most).contains(&length);
        possible.then(|| length.checked_add(limits::RECORD_HEAD)).flatten()
    }

    /// Adds what is missing to `need` bytes; how many were taken.
    fn top_up(&mut self, need: usize, input: &[u8]) -> usize {
        let missing = need.saturating_sub(self.wire.len());
        let taken = input.get(..missing).unwrap_or(input);
        self.wire.extend_from_slice(taken);
        taken.len()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.outgoing.plain.zeroize();
        self.incoming.plain.zeroize();
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel")
            .field("role", &self.role)
            .field("phase", &self.phase)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Got, fresh, receive};

    #[test]
    fn an_authentication_message_is_wiped_once_it_was_read_or_sent() {
        let (mut server, mut viewer) = fresh();
        let mut wire = Vec::new();
        viewer.auth(b"hunter2", &mut wire).expect("open");
        assert!(viewer.outgoing.plain.is_empty());
        assert_eq!(receive(&mut server, &wire), Ok(vec![Got::Auth(b"hunter2".to_vec())]));
        assert!(server.incoming.secret && !server.incoming.plain.is_empty());
        // even when the server ended authentication in between
        server.write(&[0; 4], None, Instant::now(), &mut wire).expect("the end");
        assert_eq!(server.open(&[], Instant::now()), Ok(Opened { used: 0, record: None }));
        assert!(!server.incoming.secret && server.incoming.plain.is_empty());
    }
}
