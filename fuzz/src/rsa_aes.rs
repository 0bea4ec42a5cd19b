//! The targets of RSA-AES, and their seeds. RSA itself is left out: what is "encrypted" here is written behind its length, so
//! that random changes get as far as the records.

use farpane_server::auth::Secret;
use farpane_server::net::{ConnInfo, Transport};
use farpane_server::security::rsa_aes::key::KEY_BITS;
use farpane_server::security::rsa_aes::machine::{
    ClientEvent, ClientMachine, Records, ServerEvent, ServerMachine, ServerTerms,
};
use farpane_server::security::rsa_aes::stream::RecordStream;
use farpane_server::security::rsa_aes::{Kind, RsaPublic, Subtype};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The public key of an end: odd, of 1,024 bits, and nobody holds it.
fn key(seed: u8) -> RsaPublic {
    let mut modulus = [seed | 1; 128];
    modulus[0] |= 0x80;
    RsaPublic::new(&modulus, &[1, 0, 1]).expect("a good key")
}

fn encrypt(to: &RsaPublic, plain: &[u8]) -> Vec<u8> {
    let mut block = vec![0; to.size()];
    block[0] = plain.len() as u8;
    block[1..=plain.len()].copy_from_slice(plain);
    block
}

fn decrypt(block: &[u8]) -> Option<&[u8]> {
    block.get(1..=usize::from(*block.first()?))
}

fn server(kind: Kind) -> ServerMachine {
    let terms = ServerTerms { public: key(0x11), client_bits: KEY_BITS, subtype: Subtype::UserPassword };
    ServerMachine::new(kind, terms, &[3; 32], &[4; 32])
}

fn client(kind: Kind) -> ClientMachine {
    ClientMachine::new(kind, key(0x22), KEY_BITS, &[5; 32])
}

/// What came of a handshake: the bytes of the server and of the client, the records of the server and of the client.
type Ends = (Vec<u8>, Vec<u8>, Records, Records);

/// All bytes of the server and of the client in one handshake, which is the same every time, and both ends' records.
fn handshake(kind: Kind) -> Ends {
    let (mut server, mut client) = (server(kind), client(kind));
    let (mut s2c, mut c2s, mut seen) = (server.offer(), Vec::new(), [0, 0]);
    loop {
        let step = client.advance(&s2c[seen[0]..]).expect("the server's bytes");
        seen[0] += step.used;
        c2s.extend(step.output);
        match step.event {
            Some(ClientEvent::Encrypt { to, plain }) => {
                c2s.extend(client.encrypted(Some(encrypt(&to, &plain))).expect("in turn"));
            }
            Some(ClientEvent::Decrypt(block)) => client.decrypted(decrypt(&block)).expect("in turn"),
            Some(ClientEvent::Wanted(_)) => {
                c2s.extend(client.log_in("ann", &Secret::new("pw".into())).expect("in turn"))
            }
            None => {}
        }
        let step = server.advance(&c2s[seen[1]..]).expect("the client's bytes");
        seen[1] += step.used;
        s2c.extend(step.output);
        match step.event {
            Some(ServerEvent::Encrypt { to, plain }) => {
                s2c.extend(server.encrypted(Some(encrypt(&to, &plain))).expect("in turn"));
            }
            Some(ServerEvent::Decrypt(block)) => s2c.extend(server.decrypted(decrypt(&block)).expect("in turn")),
            Some(ServerEvent::Login { .. }) => {
                let (ours, theirs) =
                    (server.into_records().expect("complete"), client.into_records().expect("complete"));
                return (s2c, c2s, ours, theirs);
            }
            None => {}
        }
    }
}

/// A client's bytes to the server's handshake. The first byte says which type and in which pieces they come.
pub fn rsa_aes_server(data: &[u8]) {
    let Some((&mode, stream)) = data.split_first() else { return };
    let mut server = server(Kind::ALL[usize::from(mode & 3)]);
    for mut piece in stream.chunks(1 + usize::from(mode >> 2) * 9) {
        while !piece.is_empty() {
            let Ok(step) = server.advance(piece) else {
                assert!(server.advance(piece).is_err() && server.into_records().is_err(), "a fault is forgotten");
                return;
            };
            assert!(step.used <= piece.len(), "{} of {} bytes used", step.used, piece.len());
            assert!(step.used > 0 || !step.is_idle(), "no progress");
            piece = &piece[step.used..];
            match step.event {
                Some(ServerEvent::Encrypt { to, plain }) => {
                    let said = server.encrypted(Some(encrypt(&to, &plain))).expect("in turn");
                    assert_eq!(said.len(), 2 + to.size());
                }
                Some(ServerEvent::Decrypt(block)) => {
                    server.decrypted(decrypt(&block)).expect("in turn");
                }
                Some(ServerEvent::Login { user, password }) => {
                    assert!(user.len() <= 255 && password.reveal().len() <= 255, "a long name or password");
                    assert!(server.into_records().is_ok(), "a login without records");
                    return;
                }
                None => {}
            }
        }
    }
    assert!(server.into_records().is_err(), "records without a login");
}

/// A server's bytes to the client's handshake. The first byte says which type and in which pieces they come.
pub fn rsa_aes_client(data: &[u8]) {
    let Some((&mode, stream)) = data.split_first() else { return };
    let mut client = client(Kind::ALL[usize::from(mode & 3)]);
    for mut piece in stream.chunks(1 + usize::from(mode >> 2) * 9) {
        while !piece.is_empty() {
            let Ok(step) = client.advance(piece) else {
                assert!(client.advance(piece).is_err() && client.into_records().is_err(), "a fault is forgotten");
                return;
            };
            assert!(step.used <= piece.len(), "{} of {} bytes used", step.used, piece.len());
            assert!(step.used > 0 || !step.is_idle(), "no progress");
            piece = &piece[step.used..];
            match step.event {
                Some(ClientEvent::Encrypt { to, plain }) => {
                    client.encrypted(Some(encrypt(&to, &plain))).expect("in turn");
                }
                Some(ClientEvent::Decrypt(block)) => {
                    let refused = client.decrypted(decrypt(&block)).is_err();
                    if refused {
                        assert!(client.advance(piece).is_err(), "a fault is forgotten");
                        return;
                    }
                }
                Some(ClientEvent::Wanted(_)) => {
                    assert!(client.log_in("ann", &Secret::new("pw".into())).is_ok() && client.into_records().is_ok());
                    return;
                }
                None => {}
            }
        }
    }
    assert!(client.into_records().is_err(), "records without a login");
}

/// Records to a server that a client has logged in to. The first byte says how many of them were read early.
pub fn rsa_aes_stream(data: &[u8]) {
    let Some((&early, stream)) = data.split_first() else { return };
    let (.., records, _) = handshake(Kind::Ra2x256);
    let stream = &stream[..stream.len().min(1 << 20)];
    let (early, late) = stream.split_at(usize::from(early).min(stream.len()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let got = runtime.block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        theirs.write_all(late).await.expect("room for all");
        theirs.shutdown().await.expect("an end");
        let below = Transport::new(ours, ConnInfo::in_process("fuzz")).into_parts().stream;
        let mut stream = RecordStream::new(below, early, records);
        let (mut block, mut got) = ([0; 4096], 0);
        loop {
            match stream.read(&mut block).await {
                Ok(0) => return got,
                Ok(n) => got += n,
                Err(_) => {
                    assert!(stream.read(&mut block).await.is_err(), "a fault is forgotten");
                    return got;
                }
            }
        }
    });
    assert!(got <= data.len(), "{got} bytes out of {}", data.len());
}

/// Good inputs of a target; none for another's name.
pub fn seeds(target: &str) -> Option<Vec<Vec<u8>>> {
    let with_mode = |mode: u8, bytes: &[u8]| [&[mode], bytes].concat();
    let all = |pick: fn(&Ends) -> &[u8]| {
        let kinds = (0u8..).zip(Kind::ALL);
        kinds.flat_map(|(n, kind)| [0, 0x10, 0xfc].map(|mode| with_mode(mode | n, pick(&handshake(kind))))).collect()
    };
    Some(match target {
        "rsa_aes_server" => all(|ends| &ends.1),
        "rsa_aes_client" => all(|ends| &ends.0),
        "rsa_aes_stream" => {
            let (.., theirs) = handshake(Kind::Ra2x256);
            let wire = client_records(theirs);
            [0, 7, 255].map(|early| with_mode(early, &wire)).to_vec()
        }
        _ => return None,
    })
}

/// What a client sends in records: a little, nothing, and much.
fn client_records(records: Records) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let below = Transport::new(ours, ConnInfo::in_process("fuzz")).into_parts().stream;
        let mut stream = RecordStream::new(below, &[], records);
        for length in [1, 10, 9000] {
            stream.write_all(&vec![7; length]).await.expect("room for all");
        }
        stream.shutdown().await.expect("room for all");
        let mut wire = Vec::new();
        theirs.read_to_end(&mut wire).await.expect("an end");
        wire
    })
}
