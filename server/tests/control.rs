//! `farpane session` against the built server, and those who misuse its control socket.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use farpane_test_support::{Client, ClientError, PATIENCE, Raw, Security, Server, encoding};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_farpane");
const SERVE: &[&str] = &[
    "serve",
    "--source",
    "synthetic:96x64:still",
    "--listen",
    "127.0.0.1:0",
    "--security",
    "none",
    "--desktop-name",
    "desk",
];

/// A folder of a test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("farpane-control-test-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("a folder");
        Folder(path)
    }

    fn text(&self) -> &str {
        self.0.to_str().expect("a path of text")
    }

    fn start(&self, more: &[&str]) -> Server {
        let environment = [("XDG_RUNTIME_DIR", self.text()), ("HOME", self.text()), ("XDG_CONFIG_HOME", self.text())];
        Server::start_in(BINARY, &[SERVE, more].concat(), &environment)
    }

    fn session(&self, words: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.arg("session").args(words).env("XDG_RUNTIME_DIR", &self.0).output().expect("the binary")
    }

    /// What a command that succeeds prints.
    fn said(&self, words: &[&str]) -> String {
        let output = self.session(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// What a command that fails says, with status 1.
    fn refused(&self, words: &[&str]) -> String {
        let output = self.session(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        String::from_utf8(output.stderr).expect("text")
    }

    fn list(&self) -> Vec<Value> {
        serde_json::from_str(&self.said(&["list", "--json"])).expect("JSON")
    }

    fn socket(&self, server: &Server) -> PathBuf {
        self.0.join(format!("farpane/control-{}.sock", server.pid()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn watching(server: &Server) -> Client {
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::ZRLE, encoding::CURSOR, encoding::DESKTOP_NAME, encoding::FENCE]).expect("a list");
    client.watch().expect("a request");
    client.wait_until("a picture", |c| !c.traffic.updates.is_empty()).expect("a picture");
    client
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn sessions_are_listed_spoken_to_and_ended() {
    let folder = Folder::new("list");
    let server = folder.start(&[]);
    assert_eq!((mode(&folder.socket(&server)), mode(&folder.0.join("farpane"))), (0o600, 0o700));
    assert_eq!(folder.said(&["list"]), "nobody is connected\n");
    let (mut first, mut second) = (watching(&server), watching(&server));
    let list = folder.list();
    assert_eq!(list.len(), 2);
    let id = |n: usize| list[n]["id"].to_string();
    for told in &list {
        assert_eq!((told["state"].as_str(), told["security"].as_str()), (Some("open"), Some("None (1)")));
        assert_eq!(
            (told["encoding"].as_str(), told["listener"].as_str()),
            (Some("zrle, no h264: the viewer does not list it"), Some(&*server.listener()))
        );
        assert!(told["bytes_out"].as_u64() > Some(100) && told["bytes_in"].as_u64() > Some(20), "{told}");
        assert!(told["permissions"].as_array().is_some_and(|p| p.contains(&"keyboard".into())), "{told}");
    }
    let table = folder.said(&["list"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.starts_with("id") && table.contains("zrle") && table.contains("127.0.0.1:"), "{table}");

    assert_eq!(folder.said(&["message", "all", "lunch", "at 12"]), "2 viewers show it, 0 only rang their bell\n");
    for client in [&mut first, &mut second] {
        client.wait_until("the message", |c| c.picture().name() == Some("lunch at 12 - desk")).expect("a message");
        client.wait_until("the bell", |c| c.traffic.bells == 1).expect("a bell");
    }
    let done: Value = serde_json::from_str(&folder.said(&["message", &id(0), "you", "--json"])).expect("JSON");
    assert_eq!((done["sessions"].as_u64(), done["shown"].as_u64()), (Some(1), Some(1)));

    assert_eq!(folder.said(&["kick", &id(0), "time", "is up"]), format!("session {} ended\n", id(0)));
    first.raw().read_to_close().expect("a close");
    server.wait_for_log("kicked: time is up");
    assert!(folder.refused(&["kick", "999"]).contains("no session 999"));
    assert!(folder.refused(&["accept", &id(1)]).contains("no client that waits"));
    second.wait_until("life", |c| c.traffic.bells == 1).expect("the other one stays");
    let end = Instant::now() + PATIENCE;
    while folder.list().len() != 1 {
        assert!(Instant::now() < end, "the one that was kicked is listed still");
    }
    let path = folder.socket(&server);
    server.stop();
    assert!(!path.exists(), "the socket outlives its server");
    assert!(folder.refused(&["list"]).contains("no server of yours runs"));
}

#[test]
fn of_several_servers_one_has_to_be_named() {
    let folder = Folder::new("several");
    let servers = [folder.start(&[]), folder.start(&[])];
    let _client = watching(&servers[1]);
    let refused = folder.refused(&["list"]);
    for server in &servers {
        assert!(refused.contains(&server.pid().to_string()), "{refused}");
    }
    assert_eq!(folder.said(&["list", "--server", &servers[0].pid().to_string()]), "nobody is connected\n");
    let socket = folder.socket(&servers[1]);
    assert!(folder.said(&["list", "--socket", socket.to_str().expect("text")]).contains("zrle"));
}

fn comes(server: &Server) -> std::thread::JoinHandle<Result<Client, ClientError>> {
    let raw: Raw = server.raw();
    std::thread::spawn(move || Client::handshake(raw, "RFB 003.008\n", Security::None, true))
}

fn waiting(folder: &Folder) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(told) = folder.list().iter().find(|s| s["state"] == "waiting") {
            return told["id"].to_string();
        }
        assert!(Instant::now() < end, "nobody waits");
    }
}

#[test]
fn who_waits_at_the_gate_is_let_in_or_refused_by_command() {
    let folder = Folder::new("gate");
    let config = folder.0.join("ask.toml");
    std::fs::write(&config, "[session]\ngatekeeping = \"ask\"\ngatekeeping_timeout_s = 300\n").expect("a file");
    let server = folder.start(&["--config", config.to_str().expect("text")]);
    let client = comes(&server);
    let id = waiting(&folder);
    assert_eq!(folder.said(&["accept", &id]), format!("{id} let in\n"));
    let client = client.join().expect("a thread").expect("let in");
    assert_eq!(folder.list()[0]["id"].to_string(), id);
    let other = comes(&server);
    let id = waiting(&folder);
    assert_eq!(folder.said(&["refuse", &id]), format!("{id} refused\n"));
    match other.join().expect("a thread") {
        Err(ClientError::Refused(reason)) => assert!(reason.contains("refused"), "{reason}"),
        other => panic!("{other:?}"),
    }
    drop(client);
}

#[test]
fn a_hook_is_asked_and_told_who_comes() {
    let folder = Folder::new("hook");
    let (config, told, answer) = (folder.0.join("ask.toml"), folder.0.join("told"), folder.0.join("answer"));
    let hook = format!("cat >{}; exit $(cat {})", told.display(), answer.display());
    std::fs::write(
        &config,
        format!("[session]\ngatekeeping = \"ask\"\ngatekeeping_hook = [\"sh\", \"-c\", \"{hook}\"]\nallow_if_nobody = true\n"),
    )
    .expect("a file");
    let server = folder.start(&["--config", config.to_str().expect("text")]);
    for (status, gets_in) in [("0", true), ("2", true), ("1", false)] {
        std::fs::write(&answer, status).expect("a file");
        assert_eq!(server.client().is_ok(), gets_in, "{status}");
        let told: Value = serde_json::from_slice(&std::fs::read(&told).expect("a file")).expect("JSON");
        assert_eq!((told["security"].as_str(), told["seconds"].as_u64()), (Some("None (1)"), Some(30)));
    }
}

/// What is left of the connection, as text.
fn rest(stream: &mut UnixStream) -> String {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn those_who_misuse_the_control_socket_are_closed_and_sessions_go_on() {
    let folder = Folder::new("misuse");
    let server = folder.start(&[]);
    let mut client = watching(&server);
    let connect = || {
        let stream = UnixStream::connect(folder.socket(&server)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream
    };
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\0\0\0\n", b"{\"do\":\"kick\"}\n", &[b'x'; 100_000]] {
        let mut stream = connect();
        // one that is closed in the middle of a flood has said enough
        let _ = stream.write_all(bytes);
        let answer = rest(&mut stream);
        assert!(answer.contains("\"error\"") || bytes.len() > 1000, "{answer}");
    }
    // more silent ones than are served at once: they are closed in time, and then others are served
    let mut silent: Vec<UnixStream> = (0..12).map(|_| connect()).collect();
    silent[0].write_all(b"{\"do\":").expect("a beginning");
    let began = Instant::now();
    assert_eq!(rest(&mut silent[0]), "");
    assert!(began.elapsed() < PATIENCE, "it was served for ever");
    drop(silent);
    assert_eq!(folder.list().len(), 1);
    let before = client.traffic.pongs.len();
    client.send_fence(0, b"alive").expect("a fence");
    client.wait_until("its answer", |c| c.traffic.pongs.len() > before).expect("an answer");
    client.bytes_within(Duration::from_millis(1)).expect("a connection");
}
