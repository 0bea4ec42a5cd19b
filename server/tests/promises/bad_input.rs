//! Bad input before the login, in every encrypted security type. `docs/bad-input.md` is the whole list with the test of each item.

use std::collections::BTreeSet;
use std::io::{Read, Result as IoResult, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farpane_test_support::channel::{ChannelLogin, password as said};
use farpane_test_support::{Client, ClientError, PATIENCE, Raw, Security, Server, Wire, rsa_aes};

use super::wait_for;
use super::world::{PASSWORD, World, connect_from, sees};

/// What a client does once it has said as much as it is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Says nothing more and stays.
    Stays,
    /// Leaves.
    Leaves,
}

/// A connection that carries only so many bytes to the server.
struct Short {
    tcp: TcpStream,
    left: usize,
    then: Then,
    /// How many bytes were written after each write.
    writes: Arc<Mutex<Vec<usize>>>,
    written: usize,
}

impl Read for Short {
    fn read(&mut self, into: &mut [u8]) -> IoResult<usize> {
        self.tcp.read(into)
    }
}

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        let part = bytes.len().min(self.left);
        self.tcp.write_all(&bytes[..part])?;
        self.left -= part;
        self.written += part;
        self.writes.lock().unwrap().push(self.written);
        if self.left == 0 && self.then == Then::Leaves {
            self.tcp.shutdown(Shutdown::Both)?;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}

impl Wire for Short {
    fn set_timeout(&mut self, limit: Duration) -> IoResult<()> {
        self.tcp.set_timeout(limit)
    }
}

/// How somebody logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Channel,
    X509Plain,
    RsaAes,
}

const WAYS: [Way; 3] = [Way::Channel, Way::X509Plain, Way::RsaAes];

impl Way {
    fn log_in(self, world: &World, raw: Raw) -> Result<Client, ClientError> {
        match self {
            Way::Channel => {
                let login = ChannelLogin::begin(raw, [9; 32], Some(&said("ann", PASSWORD)))?;
                Client::proved(login.into_raw(PATIENCE)?)
            }
            Way::X509Plain => {
                let security = Security::X509Plain { tls: &world.tls(), user: "ann", password: PASSWORD };
                Client::handshake(raw, "RFB 003.008\n", security, true)
            }
            Way::RsaAes => Client::proved(rsa_aes::log_in(raw, rsa_aes::RA2_256, "ann", PASSWORD, PATIENCE)?.0),
        }
    }

    /// Logs in over a connection that carries so many bytes.
    fn short(
        self,
        world: &World,
        server: &Server,
        left: usize,
        then: Then,
    ) -> (Result<Client, ClientError>, Vec<usize>) {
        let tcp = TcpStream::connect(server.listener()).expect("a connection");
        let writes = Arc::new(Mutex::new(Vec::new()));
        let short = Short { tcp, left, then, writes: Arc::clone(&writes), written: 0 };
        let came = self.log_in(world, Raw::over(Box::new(short), PATIENCE).expect("a connection"));
        let writes = writes.lock().unwrap().clone();
        (came, writes)
    }
}

/// How many events of these names there are.
fn count(world: &World, names: &[&str]) -> usize {
    names.iter().map(|name| world.events(name).len()).sum()
}

const WORLD: &str = "security = [\"channel\", \"x509plain\", \"ra2_256\"]\n[network]\nmax_unauthenticated = 200\n";

#[test]
fn whoever_leaves_at_any_byte_of_any_handshake_harms_nobody_and_is_told() {
    let world = World::new(&["ann"], WORLD);
    let server = world.serve(&[]);
    // every byte where asked for; else every one of the beginnings, and around every message's end
    let full = std::env::var("FARPANE_SIEGE_FULL").is_ok_and(|v| v == "1");
    for way in WAYS {
        let (came, writes) = way.short(&world, &server, usize::MAX, Then::Leaves);
        sees(&mut came.unwrap_or_else(|e| panic!("{way:?}: {e}")));
        let ends = writes.iter().flat_map(|end| end.saturating_sub(1)..=end + 1);
        // ClientInit, of one byte, and what follows it is no login
        let login = writes.iter().take_while(|end| **end < *writes.last().unwrap_or(&0)).max().copied().unwrap_or(0);
        let mut cuts: Vec<usize> = (0..40).chain(ends).chain((40..login).step_by(if full { 1 } else { 53 })).collect();
        cuts.retain(|cut| *cut < login.saturating_sub(1));
        cuts.sort();
        cuts.dedup();
        assert!(cuts.len() > 40, "{way:?}: {cuts:?} of {writes:?}");
        for cut in cuts {
            let (came, _) = way.short(&world, &server, cut, Then::Leaves);
            assert!(came.is_err(), "{way:?} got in after {cut} bytes");
        }
        sees(&mut way.log_in(&world, server.raw()).expect("others get in"));
    }
    // of those within the bound of floods each has its end, and nobody has two
    let numbers = |names: [&str; 2]| -> Vec<u64> {
        let events = world.trail().into_iter().filter(|event| names.iter().any(|name| event["event"] == *name));
        events.map(|event| event["session"].as_u64().expect("a number")).collect()
    };
    let mut ends = Vec::new();
    wait_for("one end for each connection", || {
        ends = numbers(["end", "refused"]);
        numbers(["connect", "connect"]).iter().all(|number| ends.contains(number)).then_some(())
    });
    let (all, distinct) = (ends.len(), ends.iter().collect::<BTreeSet<_>>().len());
    assert!(all == distinct && all > 100, "{all} ends of {distinct} connections");
    assert_eq!(count(&world, &["auth-ok"]), 6, "three logins, and one after each kind of leaving");
    assert_eq!(count(&world, &["auth-fail", "penalty"]), 0, "leaving is no wrong password");
}

#[test]
fn what_a_machine_says_by_itself_in_a_key_exchange_has_ten_seconds_in_every_type() {
    let world = World::new(&["ann"], &format!("{WORLD}login_timeout_s = 600\n"));
    let server = world.serve(&[]);
    // where each message of a client ends, and that some of them only machines say
    let stops = |way: Way| -> Vec<usize> {
        let (came, mut writes) = way.short(&world, &server, usize::MAX, Then::Leaves);
        drop(came.unwrap_or_else(|e| panic!("{way:?}: {e}")));
        writes.dedup();
        let from = |at: usize| writes[at];
        match way {
            // version, type | suite and message 1: nothing of it, and half of it
            Way::Channel => vec![from(1), from(1) + 20],
            // version, type | version of VeNCrypt | subtype | hello: nothing of each, and half a hello
            Way::X509Plain => vec![from(1), from(1) + 1, from(2), from(2) + 3, from(3), from(3) + 100],
            // version, type | key (before it a person may be looking), random number | hash: nothing of the last two, and some
            Way::RsaAes => vec![from(1) + 516, from(1) + 516 + 9, from(2), from(2) + 5],
        }
    };
    let cases: Vec<(Way, usize)> =
        WAYS.into_iter().flat_map(|way| stops(way).into_iter().map(move |at| (way, at))).collect();
    std::thread::scope(|scope| {
        for (way, at) in &cases {
            let (world, server) = (&world, &server);
            scope.spawn(move || {
                let came = way.short(world, server, *at, Then::Stays).0;
                assert!(matches!(came, Err(ClientError::Closed | ClientError::Io(_))), "{way:?} {at}: {came:?}");
            });
        }
    });
    let slow = || world.events("end").iter().filter(|end| end["reason"] == "too-slow").count();
    wait_for("an end of each", || (slow() == cases.len()).then_some(()));
    for words in [
        "no handshake message 0 within 10 s",
        "no handshake message 1 within 10 s",
        "no VeNCrypt version and subtype within 10 s",
        "no TLS hello within 10 s",
        "key exchange not through within 10 s of the peer's key",
    ] {
        server.wait_for_log(words);
    }
}

#[test]
fn where_a_person_may_be_looking_or_typing_the_time_for_the_login_counts() {
    let world = World::new(&["ann"], &format!("{WORLD}login_timeout_s = 2\n"));
    let server = world.serve(&[]);
    let mut cases = 0;
    for way in WAYS {
        let (came, mut writes) = way.short(&world, &server, usize::MAX, Then::Leaves);
        drop(came.unwrap_or_else(|e| panic!("{way:?}: {e}")));
        writes.dedup();
        // before the client takes the server's key, and before it has said its password
        let stops = match way {
            // version, type, suite, message 1
            Way::Channel => vec![12 + 1 + 1 + 34],
            Way::X509Plain => vec![writes[4], writes[5]],
            Way::RsaAes => vec![writes[1], writes[3]],
        };
        for at in stops {
            let (came, _) = way.short(&world, &server, at, Then::Stays);
            assert!(matches!(came, Err(ClientError::Closed | ClientError::Io(_))), "{way:?} {at}: {came:?}");
            cases += 1;
        }
    }
    let slow = || world.events("end").iter().filter(|end| end["reason"] == "too-slow").count();
    wait_for("an end of each", || (slow() == cases).then_some(()));
    server.wait_for_log("handshake not through within 2s");
}

#[test]
fn nobody_sends_more_than_64_kib_before_a_login_however_well_formed() {
    let world = World::new(&["ann"], WORLD);
    let server = world.serve(&["--listen", "127.0.0.1:0", "--listen", "ws:127.0.0.1:0"]);
    let words = "more than 65536 bytes before it has logged in";
    // pings of WebSocket are taken at any time, and never end
    let mut raw = Raw::connect(server.listeners()[1].trim_start_matches("ws:"), PATIENCE).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    raw.send(request.as_bytes()).unwrap();
    let ping = [&[0x89, 0x80 | 100, 0, 0, 0, 0][..], &[7; 100]].concat();
    endless(&mut raw, &ping, 64 * 1024 - request.len());
    server.wait_for_log(words);
    world.event("end", &[("reason", "protocol")]);
    // and what is not well-formed ends sooner, whatever type it was meant for
    for chosen in [&[][..], &[70], &[19], &[129], &[70, 1], &[19, 0, 2], &[19, 0, 2, 0, 0, 1, 6]] {
        let mut raw = server.raw();
        raw.versions("RFB 003.008\n").unwrap();
        raw.security_types().unwrap();
        if !chosen.is_empty() {
            raw.send(chosen).unwrap();
        }
        endless(&mut raw, &[0; 1024], 0);
    }
    sees(&mut world.log_in(&server, "ann").expect("others get in"));
}

/// Sends this over and over until the server has closed, which is not before `least` bytes and soon after 64 KiB.
fn endless(raw: &mut Raw, bytes: &[u8], least: usize) {
    let mut sent = 0;
    // what lies in the buffers of both sockets was sent, and not read
    let most = 16 << 20;
    while sent < most && raw.send(bytes).is_ok() {
        sent += bytes.len();
    }
    assert!((least..most).contains(&sent), "{sent} bytes were taken");
}

#[test]
fn a_flood_from_256_addresses_of_this_machine_keeps_nobody_out() {
    let world = World::new(&["ann"], "");
    let server = world.serve(&[]);
    let mut held = Vec::new();
    for n in 0..=255u8 {
        for _ in 0..2 {
            held.push(connect_from(&server, &format!("127.77.{n}.1")));
        }
        if n % 32 == 31 {
            sees(&mut world.log_in(&server, "ann").unwrap_or_else(|e| panic!("after {n}: {e}")));
        }
    }
    drop(server);
    // each of them connected and made way; what is not written one by one is counted
    let written = count(&world, &["connect", "refused"]);
    let kept_back: u64 = world.events("unwritten").iter().filter_map(|event| event["count"].as_u64()).sum();
    assert!((190..300).contains(&written), "{written} events of strangers");
    assert!(written as u64 + kept_back >= 512 + 512 - 16, "{written} written, {kept_back} counted");
    drop(held);
}
