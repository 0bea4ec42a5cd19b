//! The second implementation: `tests/webcrypto.mjs`, on WebCrypto, run by Node over a pipe.

use super::*;
use crate::identity::StaticKey;
use crate::record::{Close, CloseReason};
use std::io::{ErrorKind, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Node and the script; none, said aloud, when there is no Node. With FARPANE_REQUIRE_ALL=1 that is a failure.
fn node(rekey: u64, rounds: u64) -> Option<Child> {
    let words = bip39::Language::English.word_list().join(" ");
    let settings = format!(r#"{{"types":[70,19,129],"rekey":{rekey},"rounds":{rounds},"words":"{words}"}}"#);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/webcrypto.mjs");
    let mut command = Command::new("node");
    command.arg(script).arg(settings).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match command.spawn() {
        Ok(child) => Some(child),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let required = std::env::var("FARPANE_REQUIRE_ALL").is_ok_and(|v| v == "1");
            assert!(!required, "no node on this machine, and FARPANE_REQUIRE_ALL=1");
            eprintln!("skipped: no node on this machine");
            None
        }
        Err(error) => panic!("node: {error}"),
    }
}

/// Reads until one more record, or the handshake's event, has come.
struct Pipe {
    from: std::process::ChildStdout,
    to: std::process::ChildStdin,
    unread: Vec<u8>,
}

impl Pipe {
    fn send(&mut self, bytes: &[u8]) {
        self.to.write_all(bytes).and_then(|()| self.to.flush()).expect("node reads");
    }

    fn more(&mut self) {
        let mut block = [0; 65_536];
        let n = self.from.read(&mut block).expect("a pipe");
        assert!(n > 0, "node ended early");
        self.unread.extend_from_slice(&block[..n]);
    }

    fn record(&mut self, channel: &mut Channel, at: Instant) -> Got {
        loop {
            let opened = channel.open(&self.unread, at).expect("a good record");
            let (used, got) = (opened.used, opened.record.map(Got::of));
            self.unread.drain(..used);
            match got {
                Some(got) => return got,
                None if used == 0 || self.unread.is_empty() => self.more(),
                None => {}
            }
        }
    }
}

/// Speaks with the script: `rounds` records each way, a new key every `rekey`.
fn speak(rekey: u64, rounds: u64, size: impl Fn(u64) -> usize) {
    let Some(mut child) = node(rekey, rounds) else { return };
    let (from, to) = (child.stdout.take().expect("piped"), child.stdin.take().expect("piped"));
    let mut errors = child.stderr.take().expect("piped");
    // a script that hangs is ended, and then the pipe ends
    let (done, waits) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let _ = waits.recv_timeout(Duration::from_secs(300));
        let _ = child.kill();
        child.wait()
    });
    let mut pipe = Pipe { from, to, unread: Vec::new() };
    let mut server = server();
    pipe.send(&server.offer());
    let (device, said) = loop {
        let step = server.advance(&pipe.unread, Instant::now()).expect("a good handshake");
        pipe.unread.drain(..step.used);
        pipe.send(&step.output);
        match step.event {
            Some(ServerEvent::Viewer { key, hello }) => break (key, hello),
            None if step.used == 0 => pipe.more(),
            None => {}
        }
    };
    assert_eq!((said.viewer, said.user_hint.as_str()), (ViewerKind::Browser, "ann"));
    let mut channel = server.into_channel().expect("complete");
    channel.rekey_every = rekey;
    let (begun, mut wire) = (Instant::now(), Vec::new());
    channel.auth(b"who?", &mut wire).expect("open");
    pipe.send(&wire);
    assert_eq!(pipe.record(&mut channel, begun), Got::Auth(b"ann".to_vec()));
    for n in 0..rounds {
        let data: Vec<u8> = (0..size(n)).map(|i| (i as u64 * 7 + n) as u8).collect();
        // the limit of small records is per second
        let at = begun + Duration::from_millis(n);
        wire.clear();
        channel.write(&data, None, at, &mut wire).expect("open");
        channel.flush(&mut wire).expect("open");
        pipe.send(&wire);
        let back: Vec<u8> = data.iter().map(|byte| !byte).collect();
        assert_eq!(pipe.record(&mut channel, at), Got::Rfb(back), "record {n}");
    }
    wire.clear();
    channel.close(Close { reason: CloseReason::Stopping, retry_after_s: 258 }, &mut wire).expect("open");
    pipe.send(&wire);
    assert_eq!(pipe.record(&mut channel, begun), Got::Close(Close::because(CloseReason::Done)));
    assert!(channel.end().is_ok());
    let mut found = String::new();
    errors.read_to_string(&mut found).expect("a pipe");
    drop(done);
    watch.join().expect("no panic").expect("an end");
    let found: serde_json::Value = serde_json::from_str(found.lines().last().unwrap_or_default()).expect("json");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let phrase = Identity::from_secret(&[1; 32]).public().fingerprint().phrase().words().join(" ");
    let sent = rounds + 2;
    let wanted = serde_json::json!({
        "hash": hex(channel.handshake_hash()),
        "binding": hex(channel.binding().as_bytes()),
        "phrase": phrase,
        "device": device.to_string(),
        "hello": hex(&ServerHello { auth: AuthKinds::PASSWORD, ..ServerHello::default() }.to_bytes()),
        "asked": hex(b"who?"),
        "close": "010102",
        "sent": sent,
        "received": sent,
    });
    assert_eq!(found, wanted);
}

/// `FARPANE_NODE_REKEY=65536` makes it the real interval, which takes a minute.
#[test]
fn webcrypto_agrees_on_phrase_hash_and_records_across_rekeys() {
    let every = std::env::var("FARPANE_NODE_REKEY").map_or(8, |n| n.parse().expect("a number"));
    speak(every, every + 52, |n| [1, 63, 4096, 100][(n % 4) as usize]);
}
