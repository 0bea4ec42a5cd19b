//! A log that goes away and comes back, while the server is shut in.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::*;

/// A syslog server on a Unix socket.
struct Log(UnixDatagram);

impl Log {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a limit");
        Log(socket)
    }

    /// The next event of that name.
    fn next(&self, event: &str) -> serde_json::Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut bytes = [0; 4096];
            let n = self.0.recv(&mut bytes).unwrap_or_else(|error| panic!("no {event}: {error}"));
            let text = String::from_utf8_lossy(&bytes[..n]).into_owned();
            let json = text.find('{').map(|at| text[at..].to_owned()).expect("an object");
            let value: serde_json::Value = serde_json::from_str(&json).expect("an object");
            if value["event"] == event {
                return value;
            }
            assert!(Instant::now() < end, "no {event} but {value}");
        }
    }
}

#[test]
fn a_log_that_returns_is_connected_anew_and_told_what_it_missed() {
    let folder = Folder::new("processes-syslog");
    let path = folder.path().join("log");
    let log = Log::at(&path);
    let desk = Desk::new(&format!("[audit]\nsinks = [\"syslog:unix:{}\"]\n", path.display()), &["--security", "none"]);
    log.next("config");
    drop(desk.server.client().expect("is let in"));
    log.next("end");

    let mut log = Some(log);
    for opener_killed in [false, true] {
        if opener_killed {
            let before = helper(desk.server.pid(), "farpane-open").expect("is there");
            kill_process(process(before), Signal::KILL).expect("is ours");
            desk.server.wait_for_log("the helper process was started again");
        }
        let failures = desk.server.log().matches("audit events are lost").count();
        drop(log.take());
        std::fs::remove_file(&path).expect("is ours");
        drop(desk.server.client().expect("is let in all the same"));
        until("a line in the log", || desk.server.log().matches("audit events are lost").count() > failures);
        let back = Log::at(&path);
        drop(desk.server.client().expect("is let in"));
        let lost = back.next("lost");
        assert!(lost["count"].as_u64() >= Some(1), "{lost}");
        back.next("connect");
        desk.server.wait_for_log("events were not written");
        log = Some(back);
    }
}
