//! PROXY protocol version 2 from a configuration.

use farpane_test_support::{ClientError, Raw, Server};

use super::wait_for;
use super::world::{PASSWORD, World, connect_from, proxy_header, sees, text};

const PROXIES: &str = "security = [\"x509plain\"]\n[access]\nproxies = [\"127.0.0.2\", \"127.0.1.0/24\"]\n";

/// A connection through a listed proxy for this peer.
fn through(server: &Server, proxy: &str, peer: &str) -> Raw {
    let mut raw = connect_from(server, proxy);
    raw.send(&proxy_header(peer)).expect("a header");
    raw
}

#[test]
fn whom_a_listed_proxy_speaks_for_is_in_the_audit_log_and_counts_in_the_throttle() {
    let world = World::new(&["ann", "bob"], PROXIES);
    let server = world.serve(&[]);
    let mut client = world.log_in_with(through(&server, "127.0.0.2", "192.0.2.7"), "ann", PASSWORD, true).unwrap();
    sees(&mut client);
    for name in ["connect", "type", "identity-shown", "auth-ok", "start"] {
        let event = world.event(name, &[("source", "192.0.2.7:50000")]);
        assert_eq!(text(&event["via"]), "proxy 127.0.0.2", "{event}");
    }
    // guessing from one address makes that one wait, through whichever proxy it comes
    let wrong = |peer| world.log_in_with(through(&server, "127.0.1.77", peer), "bob", "wrong", true);
    let refused = wait_for("a refusal before the version", || {
        assert!(wrong("192.0.2.66").is_err());
        through(&server, "127.0.0.2", "192.0.2.66").words_in_place_of_the_version()
    });
    assert!(refused.starts_with("Too many security failures; try again in"), "{refused}");
    world.event("penalty", &[("source", "192.0.2.66:50000"), ("reason", "wait")]);
    world.event("refused", &[("source", "192.0.2.66:50000"), ("reason", "waiting")]);
    world.log_in_with(through(&server, "127.0.1.77", "192.0.2.8"), "bob", PASSWORD, true).expect("others get in");
}

/// What a connection brings that the server does not talk to.
trait Words {
    /// The words of a refusal that comes in place of the version, if one does.
    fn words_in_place_of_the_version(self) -> Option<String>;
}

impl Words for Raw {
    fn words_in_place_of_the_version(mut self) -> Option<String> {
        if self.read(12).expect("a banner") == b"RFB 003.008\n" {
            return None;
        }
        match self.imposed_type() {
            Err(ClientError::Refused(reason)) => Some(reason),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_header_from_anybody_else_is_no_rfb_and_ends_the_connection() {
    let world = World::new(&["ann"], PROXIES);
    let server = world.serve(&[]);
    let mut raw = connect_from(&server, "127.0.0.3");
    raw.send(&proxy_header("192.0.2.7")).expect("bytes");
    assert_eq!(raw.read_to_close().expect("a close"), b"RFB 003.008\n");
    let end = world.event("end", &[("reason", "protocol")]);
    assert!(text(&end["source"]).starts_with("127.0.0.3:") && text(&end["via"]) == "direct", "{end}");
    // without one it is served as itself
    world.log_in_with(connect_from(&server, "127.0.0.3"), "ann", PASSWORD, true).expect("let in");
}

#[test]
fn a_listed_proxy_that_sends_something_else_is_refused() {
    let world = World::new(&["ann"], PROXIES);
    let server = world.serve(&[]);
    let good = proxy_header("192.0.2.7");
    let edited = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    for (garbage, says) in [
        (b"RFB 003.008\n\x13aaaaaaaaaaa".to_vec(), "no PROXY header of version 2"),
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 5900\r\n".to_vec(), "no PROXY header of version 2"),
        (edited(12, 0x11), "PROXY version 1"),
        (edited(12, 0x2f), "PROXY command 15"),
        (edited(13, 0x12), "address family and protocol 0x12"),
        (edited(14, 0xff), "PROXY header of"),
        (edited(15, 11), "11 bytes for addresses"),
    ] {
        let mut raw = connect_from(&server, "127.0.0.2");
        raw.send(&garbage).expect("bytes");
        let reason = raw.words_in_place_of_the_version().expect("a refusal");
        assert!(reason.contains(says), "{reason}");
    }
    let refused = world.event("refused", &[("reason", "no-proxy-header")]);
    assert!(text(&refused["source"]).starts_with("127.0.0.2:"), "{refused}");
    wait_for("seven refusals", || (world.events("refused").len() == 7).then_some(()));
    let mut client =
        world.log_in_with(through(&server, "127.0.0.2", "192.0.2.7"), "ann", PASSWORD, true).expect("let in");
    sees(&mut client);
}
