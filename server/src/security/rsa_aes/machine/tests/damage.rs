//! Both machines against each other, with every kind of damage in between.

use std::collections::HashMap;
use std::sync::Mutex;

use super::super::*;
use super::{real_keys, terms};
use crate::auth::Secret;
use crate::security::rsa_aes::key::{KEY_BITS, RsaKey};

/// Who did what to which bytes, and what came of it.
type Done = HashMap<(u8, Vec<u8>), Option<Vec<u8>>>;

/// Encrypts and decrypts, each block once only.
#[derive(Default)]
struct Memory(Mutex<Done>);

impl Memory {
    fn get(&self, who: u8, what: &[u8], work: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        self.0.lock().expect("no panic").entry((who, what.to_vec())).or_insert_with(work).clone()
    }
    fn encrypt(&self, to: &RsaPublic, plain: &[u8]) -> Option<Vec<u8>> {
        self.get(0, &[to.block(), plain].concat(), || to.encrypt(plain))
    }
    fn decrypt(&self, key: usize, block: &[u8]) -> Option<Vec<u8>> {
        self.get(1 + key as u8, block, || real_keys()[key].plain_of(block).map(|plain| plain.to_vec()))
    }
}

/// What came of one handshake.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// The client saw a server that holds its key, and said its password.
    said: bool,
    login: Option<(String, String)>,
    failed: bool,
    /// Bytes of the server, and of the client.
    sent: [usize; 2],
}

/// Runs both machines; `damage` sees all that goes each way (0: of the server), with where it begins, and `cut` gives input in
/// pieces of that size.
fn run(kind: Kind, memory: &Memory, cut: usize, mut damage: impl FnMut(usize, usize, &mut Vec<u8>)) -> Outcome {
    let keys = real_keys();
    let mut server = ServerMachine::new(kind, terms(keys[0].public(), Subtype::UserPassword), &[3; 32], &[4; 32]);
    let mut client = ClientMachine::new(kind, keys[1].public().clone(), KEY_BITS, &[5; 32]);
    let mut out = Outcome::default();
    // what waits at the client, and at the server
    let mut waiting = [Vec::new(), Vec::new()];
    let mut given = [cut.min(1), cut.min(1)];
    let mut send = |from: usize, mut bytes: Vec<u8>, waiting: &mut [Vec<u8>; 2], out: &mut Outcome| {
        damage(from, out.sent[from], &mut bytes);
        out.sent[from] += bytes.len();
        waiting[from].extend(bytes);
    };
    send(0, server.offer(), &mut waiting, &mut out);
    for _ in 0..20_000 {
        let mut moved = false;
        let input = &waiting[0][..given[0].min(waiting[0].len())];
        let Ok(step) = client.advance(input) else { return Outcome { failed: true, ..out } };
        moved |= step.used > 0 || !step.is_idle();
        waiting[0].drain(..step.used);
        send(1, step.output, &mut waiting, &mut out);
        let said = match step.event {
            Some(ClientEvent::Encrypt { to, plain }) => client.encrypted(memory.encrypt(&to, &plain)),
            Some(ClientEvent::Decrypt(block)) => {
                client.decrypted(memory.decrypt(1, &block).as_deref()).map(|()| Vec::new())
            }
            Some(ClientEvent::Wanted(_)) => {
                out.said = true;
                client.log_in("ann", &Secret::new("hunter2".into()))
            }
            None => Ok(Vec::new()),
        };
        let Ok(said) = said else { return Outcome { failed: true, ..out } };
        send(1, said, &mut waiting, &mut out);
        let input = &waiting[1][..given[1].min(waiting[1].len())];
        let Ok(step) = server.advance(input) else { return Outcome { failed: true, ..out } };
        moved |= step.used > 0 || !step.is_idle();
        waiting[1].drain(..step.used);
        send(0, step.output, &mut waiting, &mut out);
        let said = match step.event {
            Some(ServerEvent::Encrypt { to, plain }) => server.encrypted(memory.encrypt(&to, &plain)),
            Some(ServerEvent::Decrypt(block)) => server.decrypted(memory.decrypt(0, &block).as_deref()),
            Some(ServerEvent::Login { user, password }) => {
                out.login = Some((user, password.reveal().to_owned()));
                return out;
            }
            None => Ok(Vec::new()),
        };
        let Ok(said) = said else { return Outcome { failed: true, ..out } };
        send(0, said, &mut waiting, &mut out);
        given = match (moved, given[0] >= usize::MAX / 2) {
            (true, _) => [cut, cut],
            (false, true) => return out,
            // what waits does not suffice: more of it
            (false, false) => given.map(|given| given.saturating_mul(2).saturating_add(1)),
        };
    }
    panic!("no end: {out:?}");
}

fn good(outcome: &Outcome) -> bool {
    outcome.said && outcome.login == Some(("ann".into(), "hunter2".into())) && !outcome.failed
}

#[test]
fn a_login_goes_through_whole_or_in_pieces_of_any_size() {
    let memory = Memory::default();
    for kind in Kind::ALL {
        for cut in [usize::MAX, 1, 2, 3, 17, 300] {
            let outcome = run(kind, &memory, cut, |_, _, _| {});
            assert!(good(&outcome), "{kind:?} in pieces of {cut}: {outcome:?}");
            let hash = if kind.is_256() { 32 } else { 20 };
            let (key, random) = (516, 258);
            assert_eq!(outcome.sent, [key + random + 18 + hash + 19, key + random + 18 + hash + 18 + 12]);
        }
    }
}

#[test]
fn no_flipped_byte_leads_to_a_login_or_shows_the_password() {
    let memory = Memory::default();
    for kind in [Kind::Ra2x256, Kind::Ra2Ne] {
        let sent = run(kind, &memory, usize::MAX, |_, _, _| {}).sent;
        for from in [0, 1] {
            for at in 0..sent[from] {
                let outcome = run(kind, &memory, usize::MAX, |who, start, bytes| {
                    if who == from && (start..start + bytes.len()).contains(&at) {
                        bytes[at - start] ^= 1 << (at % 8);
                    }
                });
                assert_eq!(outcome.login, None, "{kind:?}, byte {at} of end {from}");
                // what follows the server's proof is the client's to say
                let before_proof = from == 0 || at < sent[1] - 18 - 12;
                assert!(!before_proof || !outcome.said, "{kind:?}, byte {at} of end {from}");
            }
        }
    }
    assert!(good(&run(Kind::Ra2x256, &memory, usize::MAX, |_, _, _| {})));
}

#[test]
fn whatever_is_missing_at_the_end_there_is_no_login() {
    let memory = Memory::default();
    for from in [0, 1] {
        let sent = run(Kind::Ra2x256, &memory, usize::MAX, |_, _, _| {}).sent[from];
        for end in 0..sent {
            let outcome = run(Kind::Ra2x256, &memory, usize::MAX, |who, start, bytes| {
                if who == from {
                    bytes.truncate(end.saturating_sub(start));
                }
            });
            assert!(outcome.login.is_none() && !outcome.failed, "cut at {end} of end {from}: {outcome:?}");
        }
    }
}
