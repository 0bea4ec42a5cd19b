//! Connections that stop in the middle of the handshake and hold on.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use farpane_test_support::namespace::with_namespaces;
use farpane_test_support::{ClientError, PATIENCE, Raw};
use rustix::process::{Resource, getrlimit, setrlimit};

use super::{BESIEGER, Castle, Over, PASSWORD, Way, connect, is_full, login_limit};

const VERSION: &str = "RFB 003.008\n";
const VNC_AUTH: u8 = 2;

/// Goes as far as its phase and stops there.
type Phase = fn(&mut Raw) -> Result<(), ClientError>;
/// The same, of what is captured.
type Play<'a> = &'a (dyn Fn(&mut Raw) -> Result<(), ClientError> + Sync);

const PHASES: [(&str, Phase); 6] = [
    ("silent", |_| Ok(())),
    ("half a version", |raw| raw.send(&VERSION.as_bytes()[..6])),
    ("no type chosen", |raw| raw.versions(VERSION).and_then(|()| raw.security_types().map(|_| ()))),
    ("no answer to the challenge", |raw| {
        chooses(raw)?;
        raw.read(16).map(|_| ())
    }),
    ("half an answer", |raw| {
        chooses(raw)?;
        raw.read(16)?;
        raw.send(&[0; 8])
    }),
    ("logged in, no ClientInit", |raw| {
        chooses(raw)?;
        raw.answer_challenge(PASSWORD)?;
        raw.security_result(true)
    }),
];

/// What is said after the version in the types of a server that nobody configured, and nothing more.
const SAID: [(&str, &[u8]); 9] = [
    ("channel: nothing of it", &[70]),
    ("channel: half a message", &[70, 1, 0, 32, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("VeNCrypt: no version", &[19]),
    ("VeNCrypt: no subtype", &[19, 0, 2]),
    ("VeNCrypt: half a subtype", &[19, 0, 2, 0, 0]),
    ("TLS: no hello", &[19, 0, 2, 0, 0, 1, 6]),
    ("TLS: half a hello", &[19, 0, 2, 0, 0, 1, 6, 0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
    ("RSA-AES: no key", &[129]),
    ("RSA-AES: half a key", &[129, 0, 0, 8, 0, 0x80, 1, 2, 3]),
];

fn chooses(raw: &mut Raw) -> Result<(), ClientError> {
    raw.versions(VERSION)?;
    raw.security_types()?;
    raw.send(&[VNC_AUTH])
}

/// Sends one byte a second of what would in the end be a wrong login, on each connection, until all of them are closed.
fn trickle(connections: &mut [Raw]) {
    let bytes: Vec<u8> = VERSION.bytes().chain([VNC_AUTH]).chain([0; 16]).collect();
    for byte in bytes {
        let alive = connections.iter_mut().filter_map(|raw| raw.send(&[byte]).ok()).count();
        if alive == 0 {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Waits until the server has closed each, and returns how long after its start the last one was seen to be closed.
fn longest_life(mut connections: Vec<(Instant, Raw)>, limit: Duration, phase: &str) -> Duration {
    let mut longest = Duration::ZERO;
    for (start, raw) in &mut connections {
        let mut left = [0; 4096];
        loop {
            match raw.read_some(&mut left, *start + limit) {
                Err(_) => break,
                Ok(Some(_)) => {}
                Ok(None) => assert!(start.elapsed() < limit, "{phase}: still there after {:?}", start.elapsed()),
            }
        }
        longest = longest.max(start.elapsed());
    }
    longest
}

/// Lets this process and its children have as many connections as the system allows.
fn many_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit is always allowed");
}

/// Many connections stop in each phase, all at once, while a friend logs in again and again.
fn hold_on(castle: &Castle, phases: &[(&str, Play<'_>)], trickles: bool) {
    let (each, limit) = if is_full() { (200, Duration::from_secs(121)) } else { (40, 3 * PATIENCE) };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let friend = scope.spawn(|| castle.friend_comes_and_goes(&over));
        let end = Over(&over);
        castle.others.within(|| {
            let open = || (Instant::now(), connect(BESIEGER).expect("a connection"));
            let mut slow = Vec::new();
            for (phase, play) in phases {
                let mut connections: Vec<(Instant, Raw)> = (0..each).map(|_| open()).collect();
                // to be sent away before it gets so far is as good an end
                connections.iter_mut().for_each(|(_, raw)| drop(play(raw)));
                slow.push((*phase, connections));
            }
            if trickles {
                let (starts, mut drops): (Vec<Instant>, Vec<Raw>) = (0..each).map(|_| open()).unzip();
                trickle(&mut drops);
                slow.push(("a byte a second", starts.into_iter().zip(drops).collect()));
            }
            for (phase, connections) in slow {
                let life = longest_life(connections, limit, phase);
                println!("{phase}: the last of {each} was gone after {life:?}");
            }
        });
        drop(end);
        let (times, longest) = friend.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        println!("{times} right logins meanwhile, the longest {longest:?}");
        assert!(longest <= login_limit(), "a right login took {longest:?} (expected {:?} at most)", login_limit());
    });
}

/// Timeouts for a siege that is not the whole one.
fn short() -> &'static str {
    match is_full() {
        true => "",
        false => "[network]\nmax_unauthenticated = 2000\ngreeting_timeout_s = 3\nlogin_timeout_s = 3\n",
    }
}

#[test]
fn slow_connections_in_every_phase_go_in_time_and_keep_nobody_waiting() {
    let name = "slow::slow_connections_in_every_phase_go_in_time_and_keep_nobody_waiting";
    with_namespaces(name, &[], || {
        many_descriptors();
        let castle = Castle::new("slow", short(), Way::VncAuth);
        let phases: Vec<(&str, Play<'_>)> = PHASES.iter().map(|(name, play)| (*name, play as Play<'_>)).collect();
        hold_on(&castle, &phases, true);
    });
}

#[test]
fn slow_connections_in_every_phase_of_every_default_type_go_in_time_too() {
    let name = "slow::slow_connections_in_every_phase_of_every_default_type_go_in_time_too";
    with_namespaces(name, &[], || {
        many_descriptors();
        let castle = Castle::new("types", short(), Way::Strong);
        let says = |bytes: &'static [u8]| move |raw: &mut Raw| raw.versions(VERSION).and_then(|()| raw.send(bytes));
        let phases = SAID.map(|(name, bytes)| (name, says(bytes)));
        let phases: Vec<(&str, Play<'_>)> = phases.iter().map(|(name, play)| (*name, play as Play<'_>)).collect();
        hold_on(&castle, &phases, false);
    });
}
