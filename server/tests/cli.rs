//! The program as its users meet it: command line, exit statuses, what it prints and how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use farpane_server::security::vnc_auth;

const FARPANE: &str = env!("CARGO_BIN_EXE_farpane");
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder of one test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("farpane-cli-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// farpane that finds no configuration and no desktop of whoever runs the tests.
fn farpane(args: &[&str]) -> Command {
    let mut command = Command::new(FARPANE);
    let state = std::env::temp_dir().join(format!("farpane-cli-{}-state", std::process::id()));
    command
        .args(args)
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("PATH", "/usr/bin:/bin")
        .env("STATE_DIRECTORY", state);
    command
}

fn run(args: &[&str]) -> Output {
    farpane(args).stdin(Stdio::null()).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A running server; killed when the test ends without ending it.
struct Server {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut child =
            farpane(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Server { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line on stdout")
    }

    /// The address of the next "listening on" line.
    fn address(&self) -> String {
        let line = self.line();
        line.strip_prefix("farpane: listening on ").unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    fn end(mut self, signal: &str) -> (Option<i32>, Duration) {
        let pid = self.child.id().to_string();
        let start = Instant::now();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        (status.code(), start.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bytes<const N: usize>(stream: &mut impl Read) -> [u8; N] {
    let mut out = [0; N];
    stream.read_exact(&mut out).unwrap();
    out
}

fn text(stream: &mut impl Read) -> String {
    let length = u32::from_be_bytes(bytes(stream));
    let mut out = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Plays a client up to ServerInit; returns the desktop's size, or why it was not let in.
fn log_in(stream: &mut (impl Read + Write), password: Option<&str>) -> Result<(u16, u16), String> {
    let banner: [u8; 12] = bytes(stream);
    if &banner == b"RFB 003.003\n" {
        assert_eq!(bytes(stream), [0; 4]);
        return Err(text(stream));
    }
    assert_eq!(&banner, b"RFB 003.008\n");
    stream.write_all(&banner).unwrap();
    let [count] = bytes(stream);
    assert_eq!(count, 1);
    let kind: [u8; 1] = bytes(stream);
    assert_eq!(kind, [if password.is_some() { 2 } else { 1 }]);
    stream.write_all(&kind).unwrap();
    if let Some(password) = password {
        let challenge = bytes(stream);
        stream.write_all(&vnc_auth::answer(password, &challenge).unwrap()).unwrap();
    }
    if bytes(stream) != [0; 4] {
        return Err(text(stream));
    }
    stream.write_all(&[1]).unwrap();
    let [w0, w1, h0, h1] = bytes(stream);
    let _format: [u8; 16] = bytes(stream);
    text(stream);
    Ok((u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1])))
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn help_names_every_command_and_bad_usage_is_status_2() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for word in ["serve", "demo", "record", "bench", "probe", "check", "password", "man", "--log-format"] {
        assert!(stdout(&help).contains(word), "{word}");
    }
    for args in [&["serve", "--lsiten", "x"][..], &[], &["serve", "--listen", "5900"], &["serve", "--security", "vnc"]]
    {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn the_man_page_prints() {
    let output = run(&["man"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains(".TH farpane") && stdout(&output).contains("insecure"));
}

#[test]
fn what_check_prints_is_read_back_as_the_same_print() {
    let scratch = Scratch::new("check");
    let first = run(&[
        "check",
        "--source",
        "x11:1",
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "unix:/tmp/a b",
        "--max-rate",
        "20M",
        "--max-fps",
        "30",
        "--lossless",
        "--view-only",
        "--security",
        "none,vncauth",
        "--log-format",
        "json",
    ]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    for part in ["source = \"x11::1\"", "max_rate_kbps = 20000", "max_fps = 30", "address = \"unix:/tmp/a b\""] {
        assert!(stdout(&first).contains(part), "{part} in {}", stdout(&first));
    }
    let file = scratch.file("printed.toml", &stdout(&first));
    let second = run(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(stdout(&second), stdout(&first));
}

#[test]
fn an_unknown_key_is_status_2_and_one_line_with_the_nearest_name() {
    let scratch = Scratch::new("unknown");
    let file = scratch.file("farpane.toml", "[session]\nmax_fsp = 3\n");
    let output = run(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("line 2: unknown key `max_fsp`: did you mean `max_fps`?"), "{}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1);
    let missing = run(&["check", "--config", "/nonexistent/farpane.toml"]);
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn the_users_own_file_is_found() {
    let scratch = Scratch::new("own");
    std::fs::create_dir_all(scratch.0.join(".config/farpane")).unwrap();
    scratch.file(".config/farpane/farpane.toml", "[session]\nmax_fps = 7\n");
    let output = farpane(&["check"]).env("HOME", &scratch.0).output().unwrap();
    assert!(stdout(&output).contains("max_fps = 7"));
}

#[test]
fn policy_refuses_before_listening_with_status_2_and_says_what_to_do() {
    for (args, says) in [
        (&["--listen", "0.0.0.0:0", "--security", "none"][..], "--insecure-allow none@0.0.0.0:0"),
        (&["--listen", "[::]:0", "--security", "vncauth"], "security vncauth on [::]:0 is refused"),
        (&["--listen", "127.0.0.1:0", "--password-file", "/x"], "no listener offers vncauth"),
        (&["--listen", "ws:0.0.0.0:0", "--security", "vncauth"], "--insecure-allow vncauth@ws:0.0.0.0:0"),
        (&["--listen", "0.0.0.0:0", "--security", "ra2ne"], "--insecure-allow ra2ne@0.0.0.0:0"),
        (&["--listen", "127.0.0.1:0", "--security", "x509none"], "would let everybody in"),
        (&["--listen", "0.0.0.0:0", "--security", "none", "--insecure-allow", "none@0.0.0.0:1"], "refused"),
        (&["--listen", "127.0.0.1:0", "--insecure-allow", "none@0.0.0.0:1"], "names no listener"),
    ] {
        let output = run(&[&["serve", "--source", "synthetic:64x48"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
        assert_eq!((stdout(&output).as_str(), stderr(&output).lines().count()), ("", 1), "{args:?}");
    }
}

#[test]
fn an_exception_by_name_serves_and_warns_at_every_start() {
    let mut child = farpane(&[
        "serve",
        "--source",
        "synthetic:64x48",
        "--listen",
        "0.0.0.0:0",
        "--security",
        "none",
        "--insecure-allow",
        "none@0.0.0.0:0",
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("farpane: listening on 0.0.0.0:"), "{line}");
    assert!(log.contains("WARN") && log.contains("insecure by request"), "{log}");
}

#[test]
fn a_port_in_use_is_status_1_and_one_line_that_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["serve", "--source", "synthetic:64x48", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let last = stderr(&output).lines().last().unwrap().to_owned();
    assert!(last.contains(&address) && last.contains("in use") && last.contains("--listen"), "{last}");
    assert_eq!(stdout(&output), "");
}

#[test]
fn clients_get_in_as_soon_as_the_line_is_printed_and_signals_end_it_within_a_second() {
    for signal in ["-TERM", "-INT"] {
        let server =
            Server::start(&["serve", "--source", "synthetic:64x48", "--listen", "127.0.0.1:0", "--security", "none"]);
        let address = server.address();
        let mut client = connect(&address);
        assert_eq!(log_in(&mut client, None), Ok((64, 48)));
        let (status, took) = server.end(signal);
        assert_eq!(status, Some(0), "{signal}");
        assert!(took < Duration::from_secs(1), "{signal}: {took:?}");
        let mut rest = Vec::new();
        assert!(client.read_to_end(&mut rest).is_ok(), "the client is told");
    }
}

#[test]
fn a_unix_socket_is_private_replaces_a_stale_one_and_goes_at_the_end() {
    let scratch = Scratch::new("unix");
    let path = scratch.0.join("farpane.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a stale socket stands in the way");
    let listen = format!("unix:{}", path.display());
    let args = ["serve", "--source", "synthetic:64x48", "--listen", listen.as_str(), "--security", "none"];
    let server = Server::start(&args);
    assert_eq!(server.address(), listen);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(log_in(&mut UnixStream::connect(&path).unwrap(), None), Ok((64, 48)));
    let second = run(&args);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another server answers there"), "{}", stderr(&second));
    assert_eq!(server.end("-TERM").0, Some(0));
    assert!(!path.exists());
}

#[test]
fn socket_paths_that_cannot_be_used_are_one_line_and_nothing_is_removed() {
    let scratch = Scratch::new("paths");
    let precious = scratch.file("precious", "text");
    for (path, says) in [(precious.as_path(), "is no socket"), (Path::new("/nonexistent/x.sock"), "folder must exist")]
    {
        let listen = format!("unix:{}", path.display());
        let output = run(&["serve", "--source", "synthetic:64x48", "--listen", &listen, "--security", "none"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).lines().last().unwrap().contains(says), "{}", stderr(&output));
    }
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "text");
}

#[test]
fn a_password_file_is_made_private_and_lets_in_whoever_knows_it() {
    let scratch = Scratch::new("password");
    let file = scratch.0.join("passwd");
    let mut child = farpane(&["password", file.to_str().unwrap()]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"sesame\nlook\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let server = Server::start(&[
        "serve",
        "--source",
        "synthetic:64x48",
        "--listen",
        "127.0.0.1:0",
        "--security",
        "vncauth",
        "--password-file",
        file.to_str().unwrap(),
    ]);
    let address = server.address();
    assert_eq!(log_in(&mut connect(&address), Some("sesame")), Ok((64, 48)));
    assert_eq!(log_in(&mut connect(&address), Some("look")), Ok((64, 48)));
    assert_eq!(log_in(&mut connect(&address), Some("open")), Err("Authentication failed".into()));
    let empty = run(&["password", scratch.0.join("none").to_str().unwrap()]);
    assert_eq!(empty.status.code(), Some(1));
    assert!(!scratch.0.join("none").exists());
}

#[test]
fn guessing_is_slowed_down_and_the_peer_is_told() {
    let scratch = Scratch::new("guessing");
    // what is counted is kept, and is to slow down no other test's server
    let config = scratch.file("farpane.toml", &format!("state_folder = {:?}\n", scratch.0.join("state")));
    let config = config.to_str().unwrap();
    let listen = ["--listen", "127.0.0.1:0", "--security", "vncauth", "--config", config];
    let server = Server::start(&[&["serve", "--source", "synthetic:64x48"], &listen[..]].concat());
    let address = server.address();
    let guess = |_| log_in(&mut connect(&address), Some("wrong")).unwrap_err();
    let answers: Vec<String> = (0..8).map(guess).collect();
    assert_eq!(answers[0], "Authentication failed");
    let told = &answers[7];
    assert!(told.starts_with("Too many security failures; try again in "), "{told}");
}

#[test]
fn without_a_password_file_a_one_time_password_is_printed_and_works() {
    let server =
        Server::start(&["serve", "--source", "synthetic:64x48", "--listen", "127.0.0.1:0", "--security", "vncauth"]);
    let address = server.address();
    let line = server.line();
    let password = line.strip_prefix("farpane: one-time password: ").unwrap_or_else(|| panic!("{line}"));
    assert_eq!(password.len(), 8);
    assert_eq!(log_in(&mut connect(&address), Some(password)), Ok((64, 48)));
}

#[test]
fn the_demo_prints_all_that_is_needed_to_see_4k() {
    let server = Server::start(&["demo"]);
    let address = server.address();
    let (host, port) = address.rsplit_once(':').unwrap();
    let line = server.line();
    let password = line.strip_prefix("farpane: one-time password: ").unwrap();
    assert_eq!(server.line(), format!("farpane: look at it with: vncviewer {host}::{port}"));
    assert_eq!(log_in(&mut connect(&address), Some(password)), Ok((3840, 2160)));
    assert_eq!(server.end("-TERM").0, Some(0));
}

#[test]
fn strangers_are_capped_and_those_who_are_in_do_not_count() {
    let scratch = Scratch::new("cap");
    let file = scratch.file(
        "farpane.toml",
        "[network]\nmax_unauthenticated = 2\n[[listener]]\naddress = \"127.0.0.1:0\"\nsecurity = \"none\"\n",
    );
    let server = Server::start(&["serve", "--source", "synthetic:64x48", "--config", file.to_str().unwrap()]);
    let address = server.address();
    let mut inside: Vec<TcpStream> = (0..3).map(|_| connect(&address)).collect();
    // the oldest made way for the third
    let gone = inside.remove(0).read_to_end(&mut Vec::new()).unwrap();
    assert!(gone <= 12, "{gone} bytes beyond the version");
    for client in &mut inside {
        assert_eq!(log_in(client, None), Ok((64, 48)));
    }
    assert_eq!(log_in(&mut connect(&address), None), Ok((64, 48)));
}

#[test]
fn the_log_can_be_json_and_a_helper_that_is_not_there_is_named() {
    let words = ["serve", "--source", "kms", "--listen", "127.0.0.1:0", "--log-format", "json", "--log-level", "debug"];
    let output = farpane(&words).env("FARPANE_KMS_SOCKET", "/nonexistent/kms").stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("no helper at /nonexistent/kms: No such file or directory (os error 2); as root: ")
    );
    assert!(stderr(&output).lines().next().unwrap().starts_with("{\"timestamp\""), "{}", stderr(&output));
}

#[test]
fn probe_gives_a_reason_for_every_no() {
    let output = run(&["probe"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(text.lines().any(|l| l.starts_with("yes synthetic")), "{text}");
    assert!(text.lines().filter(|l| l.starts_with("no ")).all(|l| l.contains(": ")), "{text}");
}

#[test]
fn bench_goes_on_without_a_desktop_and_prints_every_row_it_was_asked_for() {
    // a display that nobody has; `auto` would find one of whoever runs the tests
    let output = run(&["bench", "--seconds", "1", "--encoder", "raw,zrle,raw", "--source", "x11::59999"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stderr(&output);
    assert_eq!(said.lines().filter(|l| l.contains("no picture of a desktop")).count(), 1, "{said}");
    let table = stdout(&output);
    for picture in ["text", "ui", "photo", "noise"] {
        for encoder in ["raw", "zrle"] {
            let rows = table.lines().filter(|l| l.split_whitespace().take(2).eq([picture, encoder]));
            assert_eq!(rows.count(), 1, "{picture}, {encoder}: {table}");
        }
    }
    assert!(table.contains("one letter differs") && !table.contains("EXCLUDED"), "{table}");
}

#[test]
fn bench_measures_on_the_desktop_it_is_given_and_speaks_json() {
    let output =
        run(&["bench", "--seconds", "1", "--encoder", "tight", "--source", "synthetic:333x227:still", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = json["encoders"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    let row = rows.iter().find(|r| r["picture"] == "desktop").unwrap();
    assert_eq!((&row["encoder"], &row["px"]), (&"tight".into(), &(333 * 227).into()));
    assert_eq!((&json["capture"]["width"], &json["capture"]["height"]), (&333.into(), &227.into()));
    assert_eq!(json["excluded"].as_array().map(Vec::len), Some(0));
}

#[test]
fn bench_refuses_what_it_does_not_know_and_names_what_was_meant() {
    let output = run(&["bench", "--encoder", "zlre"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("zrle was meant"), "{}", stderr(&output));
    for wrong in [&["bench", "--seconds", "0"][..], &["bench", "--seconds", "601"], &["bench", "--encoder", ""]] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
