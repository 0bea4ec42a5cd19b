//! Penalties outlive the server, and an administrator sees and clears them.

use farpane_test_support::channel::{ChannelLogin, password as said};
use farpane_test_support::{Client, ClientError, PATIENCE, Raw, Server};

use super::wait_for;
use super::world::{PASSWORD, World, proxy_header, sees};

const PROXIES: &str = "security = [\"channel\", \"x509plain\"]\n[access]\nproxies = [\"127.0.0.1\"]\n";

fn from(server: &Server, peer: &str) -> Raw {
    let mut raw = server.raw();
    raw.send(&proxy_header(peer)).expect("a header");
    raw
}

fn penalties(world: &World, words: &[&str]) -> String {
    let output = world.farpane(&[&["penalties"], words].concat(), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a caller from there is offered.
fn offered(server: &Server, peer: &str) -> Vec<u8> {
    let mut raw = from(server, peer);
    raw.versions("RFB 003.008\n").expect("versions");
    raw.security_types().expect("types")
}

/// Guesses at Ann's password from there until one guess was judged; what it led to is in the audit log.
fn guesses(world: &World, server: &Server, peer: &str) {
    wait_for("a turn to guess", || match world.log_in_with(from(server, peer), "ann", "wrong", true) {
        Err(ClientError::Refused(reason)) if reason == "Authentication failed" => Some(()),
        _ => None,
    });
}

/// How long each penalty so far made that network wait, in seconds.
fn waits(world: &World) -> Vec<u64> {
    let penalties = world.events("penalty").into_iter().filter(|event| event["reason"] == "wait");
    penalties.map(|event| event["wait_ms"].as_u64().expect("a number") / 1000).collect()
}

#[test]
fn what_was_counted_before_a_restart_counts_after_it_until_an_administrator_clears_it() {
    let world = World::new(&["ann"], PROXIES);
    let guesser = "192.0.2.66";
    let server = world.serve(&[]);
    assert_eq!(offered(&server, guesser), [70, 19]);
    (0..6).for_each(|_| guesses(&world, &server, guesser));
    world.event("penalty", &[("wait_ms", "2000"), ("source", "192.0.2.66:50000"), ("user", "ann")]);
    server.stop();
    let listed = penalties(&world, &["list"]);
    assert!(listed.lines().any(|line| line.ends_with(" 6 failures  192.0.2.66")), "{listed}");

    let server = world.serve(&[]);
    guesses(&world, &server, guesser);
    world.event("penalty", &[("wait_ms", "4000")]);
    assert_eq!(waits(&world), [1, 2, 4], "the seventh failure, not the first");
    wait_for("the channel alone", || match offered(&server, guesser)[..] {
        [70] => Some(()),
        // its time was over before this looked
        _ => {
            guesses(&world, &server, guesser);
            None
        }
    });
    assert_eq!(offered(&server, "192.0.2.8"), [70, 19], "others do not wait");

    penalties(&world, &["clear", guesser]);
    world.event("penalty", &[("reason", "cleared")]);
    assert_eq!(offered(&server, guesser), [70, 19], "cleared on the running server");
    let before = waits(&world).len();
    (0..4).for_each(|_| guesses(&world, &server, guesser));
    assert_eq!(waits(&world).len(), before, "four failures are free again");
    world.log_in_with(from(&server, guesser), "ann", PASSWORD, true).expect("let in");
}

#[test]
fn a_name_that_waits_on_this_machine_is_cleared_too() {
    let world = World::new(&["ann"], "security = [\"x509plain\"]\n");
    let server = world.serve(&[]);
    let tries = |password: &str| match world.log_in_with(server.raw(), "ann", password, true) {
        Err(ClientError::Refused(reason)) => Some(reason),
        Ok(_) => None,
        Err(other) => panic!("{other}"),
    };
    // loopback is not counted by address, the pair of name and address is
    let long = ["in 4 s", "in 3 s", "in 8 s", "in 7 s"];
    wait_for("a wait of seconds", || {
        let told = tries("wrong").expect("a wrong password");
        (told.starts_with("Too many security failures") && long.iter().any(|wait| told.contains(wait))).then_some(())
    });
    penalties(&world, &["clear", "user:ann"]);
    world.event("penalty", &[("reason", "cleared")]);
    assert_eq!(tries(PASSWORD), None);
}

#[test]
fn a_known_device_gets_in_from_behind_an_address_that_waits_while_others_stop_half_way() {
    let world = World::new(&["ann"], PROXIES);
    let server = world.serve(&[]);
    let shared = "192.0.2.66";
    let device = || {
        let login = ChannelLogin::begin(from(&server, shared), [5; 32], Some(&said("ann", PASSWORD)))?;
        Client::proved(login.into_raw(PATIENCE)?)
    };
    drop(device().expect("a device that is not known yet, and need not wait"));
    (0..7).for_each(|_| guesses(&world, &server, shared));
    let stops = || {
        let mut raw = from(&server, shared);
        raw.versions("RFB 003.008\n").ok()?;
        raw.security_types().ok()?;
        // the channel, its suite, and nothing more
        raw.send(&[70, 1]).ok()?;
        Some(raw)
    };
    let held: Vec<_> = (0..3).filter_map(|_| stops()).collect();
    assert!(!held.is_empty());
    let mut client = wait_for("a turn", || device().ok());
    sees(&mut client);
}
