//! `[access]` and `[session]` from a configuration: from where, how many, how long.

use farpane_test_support::{ClientError, Server};

use super::wait_for;
use super::world::{PASSWORD, World, by_channel, connect_from, proxy_header, sees, text, until_closed};

/// Whether a peer that a listed proxy speaks for is talked to; the words of the refusal if not.
fn comes(server: &Server, peer: &str) -> Result<(), String> {
    let mut raw = server.raw();
    raw.send(&proxy_header(peer)).expect("a header");
    let banner = raw.read(12).expect("a banner");
    if banner == b"RFB 003.008\n" {
        return Ok(());
    }
    assert_eq!(banner, b"RFB 003.003\n", "the words for a peer that is not served");
    Err(match raw.imposed_type() {
        Err(ClientError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    })
}

#[test]
fn the_first_rule_that_matches_decides_and_what_none_matches_may_come() {
    let rules = r#"
[access]
proxies = ["127.0.0.1"]
rules = ["deny 192.0.2.7", "allow 192.0.2.0/24", "deny 192.0.0.0/16", "deny 198.51.100.0/24", "allow 198.51.100.9"]
"#;
    let world = World::new(&["ann"], rules);
    let server = world.serve(&[]);
    for (peer, may) in [
        ("192.0.2.7", false),
        ("192.0.2.8", true),
        ("192.0.3.1", false),
        // the rule before it has decided already
        ("198.51.100.9", false),
        ("203.0.113.1", true),
    ] {
        match comes(&server, peer) {
            Ok(()) => assert!(may, "{peer}"),
            Err(reason) => {
                assert_eq!(
                    (may, reason.as_str()),
                    (false, "Connections from your network are not taken here"),
                    "{peer}"
                );
                let source = format!("{peer}:50000");
                let event = world.event("refused", &[("source", &source), ("reason", "ip-rule")]);
                assert_eq!(
                    (text(&event["via"]), text(&event["listener"])),
                    ("proxy 127.0.0.1".into(), server.listener())
                );
            }
        }
    }
    wait_for("three refusals", || (world.events("refused").len() == 3).then_some(()));
}

#[test]
fn who_wants_to_be_alone_is_refused_or_takes_over_as_configured_and_permitted() {
    let permissions = "[permissions.groups.staff]\nallow = [\"view\"]\n[permissions.users.boss]\nallow = [\"all\"]\n";
    for (exclusive, newcomer, takes_over) in [
        ("take_over", "boss", true),
        ("take_over", "bob", false),
        ("take_over", "ann", true),
        ("refuse", "boss", false),
    ] {
        let config = format!("[session]\nexclusive = {exclusive:?}\n{permissions}");
        let world = World::new(&["ann staff", "bob staff", "boss"], &config);
        let server = world.serve(&[]);
        let mut there = world.log_in(&server, "ann").expect("let in");
        let mut comes = world.log_in_with(server.raw(), newcomer, PASSWORD, false).expect("an init");
        let case = format!("{exclusive} {newcomer}");
        if takes_over {
            until_closed(&mut there);
            sees(&mut comes);
            world.event("end", &[("user", "ann"), ("reason", "taken-over")]);
        } else {
            let name = &comes.init().name;
            assert!(name.starts_with("Refused: ann is connected"), "{case}: {name}");
            assert_eq!(comes.raw().read_to_close().expect("a close"), b"", "{case}");
            sees(&mut there);
            world.event("end", &[("reason", "exclusive")]);
        }
    }
}

#[test]
fn who_does_nothing_is_warned_and_closed_and_who_types_is_not() {
    let world = World::new(&["ann", "bob"], "[session]\nidle_timeout_s = 4\n");
    let server = world.serve(&[]);
    let (mut idle, mut types) = (world.log_in(&server, "ann").unwrap(), world.log_in(&server, "bob").unwrap());
    sees(&mut types);
    sees(&mut idle);
    let names = std::thread::scope(|scope| {
        let waits = scope.spawn(|| until_closed(&mut idle));
        while !waits.is_finished() {
            types.key(0x61, true).expect("a key");
            types.key(0x61, false).expect("a key");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        waits.join().expect("it ends")
    });
    assert!(names.iter().any(|name| name.contains("will be closed in 2 s")), "{names:?}");
    let end = world.event("end", &[("user", "ann"), ("reason", "idle")]);
    assert!(end["duration_ms"].as_u64().is_some_and(|ms| ms >= 4000), "{end}");
    assert!(world.events("end").iter().all(|end| end["user"] != "bob"));
    types.key(0x62, true).expect("a connection that lives");
}

#[test]
fn a_session_lasts_no_longer_than_it_may_whatever_its_client_does() {
    let world = World::new(&["ann"], "[session]\nmax_time_s = 3\n");
    let server = world.serve(&[]);
    let mut client = world.log_in(&server, "ann").unwrap();
    sees(&mut client);
    let names = until_closed(&mut client);
    assert!(names.iter().any(|name| name.contains("will be closed in")), "{names:?}");
    let end = world.event("end", &[("user", "ann"), ("reason", "time-up")]);
    assert!(end["duration_ms"].as_u64().is_some_and(|ms| ms >= 3000), "{end}");
}

#[test]
fn one_viewer_too_many_is_told_so_and_finds_a_place_when_one_goes() {
    let world = World::new(&["ann"], "[session]\nmax_clients = 1\n");
    let server = world.serve(&[]);
    let first = by_channel(&server, 1, "ann", PASSWORD).expect("let in");
    let mut second = server.raw();
    second.versions("RFB 003.008\n").ok();
    // the words come in place of the version, as everything that is said so early
    let told = second.read_to_close().expect("words");
    assert!(String::from_utf8_lossy(&told).contains("too many clients (at most 1)"), "{told:?}");
    world.event("end", &[("reason", "full")]);
    drop(first);
    wait_for("a free place", || by_channel(&server, 1, "ann", PASSWORD).ok());
}

#[test]
fn places_of_strangers_go_to_the_latest_and_a_half_done_login_keeps_its_own() {
    let world = World::new(&["ann"], "[network]\nmax_unauthenticated = 3\n");
    let server = world.serve(&[]);
    // shown the certificate, and a person is typing
    let mut typing = server.raw();
    typing.versions("RFB 003.008\n").unwrap();
    typing.security_types().unwrap();
    typing.send(&[19]).unwrap();
    typing.vencrypt_offer().unwrap();
    typing.vencrypt_choose(262).unwrap();
    typing.start_tls(&world.tls()).unwrap();
    let mut flood: Vec<_> = (0..20).map(|_| connect_from(&server, "127.0.0.9")).collect();
    for raw in &mut flood[..17] {
        let bytes = raw.read_to_close().expect("closed for the sake of another");
        assert!(bytes.len() <= 12, "nothing but the banner: {bytes:?}");
    }
    typing.plain("ann", PASSWORD).unwrap();
    typing.security_result(true).unwrap();
    let made_way = || world.events("refused").iter().filter(|event| event["reason"] == "made-way").count();
    wait_for("seventeen told", || (made_way() >= 17).then_some(()));
    drop(flood);
    world.log_in(&server, "ann").expect("let in");
}
