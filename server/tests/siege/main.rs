//! A server under siege on a network of the test's own: guesses by the thousand, and connections that only hold on. Whoever has
//! the password gets in all the while.
//!
//! Counts decide; the times that are promised (a right login within a second, slow connections gone within 121 s) are held where
//! `FARPANE_SIEGE_FULL=1` asks for the whole siege on a machine that does nothing else. Otherwise they have more patience and
//! the server a shorter one.

mod flood;
mod slow;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use farpane_test_support::namespace::Namespace;
use farpane_test_support::{ClientError, PATIENCE, Raw, Security, Server, Tls};
use socket2::{Domain, Socket, Type};

const FARPANE: &str = env!("CARGO_BIN_EXE_farpane");
const USER: &str = "alice";
const PASSWORD: &str = "opensesa";
const SERVER: &str = "10.91.0.1:5900";
const FRIEND: &str = "10.91.0.2";
const BESIEGER: &str = "10.91.0.66";

/// How everybody logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By eight characters and no name.
    VncAuth,
    /// By a name and a password of the server's own users, inside TLS.
    X509Plain,
    /// The same, beside the other types that a server offers by itself.
    Strong,
}

impl Way {
    /// What the server is started with, so that it offers this.
    fn offer(self) -> &'static [&'static str] {
        match self {
            Way::VncAuth => &["--security", "vncauth", "--insecure-allow", "vncauth@10.91.0.1:5900"],
            Way::X509Plain => &["--security", "x509plain"],
            Way::Strong => &["--security", "channel,x509plain,ra2_256"],
        }
    }
}

/// Whether the whole siege was asked for.
fn is_full() -> bool {
    std::env::var("FARPANE_SIEGE_FULL").is_ok_and(|v| v == "1")
}

/// How long a right login may take.
fn login_limit() -> Duration {
    if is_full() { Duration::from_secs(1) } else { PATIENCE }
}

/// A server on a network with a friend and a besieger.
struct Castle {
    others: Namespace,
    server: Server,
    way: Way,
    _home: Namespace,
    folder: std::path::PathBuf,
}

impl Castle {
    fn new(name: &str, config: &str, way: Way) -> Self {
        let (home, others) = (Namespace::new(), Namespace::new());
        home.cable("moat", &others, "road");
        home.addresses("moat", &["10.91.0.1/24"]);
        others.addresses("road", &["10.91.0.2/24", "10.91.0.66/24"]);
        let folder = std::env::temp_dir().join(format!("farpane-siege-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let path = |file: &str| folder.join(file).to_str().expect("a plain path").to_owned();
        let (config_file, password_file) = (path("farpane.toml"), path("password"));
        let state = format!("state_folder = {:?}\n", path("state"));
        std::fs::write(&config_file, state + config).expect("a file");
        let mut arguments =
            vec!["serve", "--source", "synthetic:64x64:still", "--listen", SERVER, "--config", &config_file];
        arguments.extend(way.offer());
        match way {
            Way::VncAuth => {
                make(&["password", &password_file], 1);
                arguments.extend(["--password-file", &password_file]);
            }
            Way::X509Plain | Way::Strong => make(&["user", "add", USER, "--config", &config_file], 2),
        }
        let server = home.serve(FARPANE, &arguments);
        Castle { others, server, way, _home: home, folder }
    }

    /// Logs in over a fresh connection, up to ServerInit.
    fn log_in(&self, mut raw: Raw, user: &str, password: &str) -> Result<(), ClientError> {
        match self.way {
            Way::VncAuth => raw.handshake("RFB 003.008\n", Security::VncAuth(password), true).map(|_| ()),
            Way::X509Plain | Way::Strong => {
                let tls = Tls::new(&self.folder.join("state/tls.crt"), "10.91.0.1", None)?;
                raw.handshake("RFB 003.008\n", Security::X509Plain { tls: &tls, user, password }, true).map(|_| ())
            }
        }
    }

    /// Logs the friend in again and again until `over`; every time must work at once. Returns how often and the longest time.
    fn friend_comes_and_goes(&self, over: &AtomicBool) -> (usize, Duration) {
        self.others.within(|| {
            let (mut times, mut longest) = (0, Duration::ZERO);
            while !over.load(Ordering::Relaxed) || times == 0 {
                let start = Instant::now();
                let raw = connect(FRIEND).unwrap_or_else(|e| panic!("the friend's connection {times}: {e}"));
                self.log_in(raw, USER, PASSWORD).unwrap_or_else(|e| panic!("the friend's login {times}: {e}"));
                longest = longest.max(start.elapsed());
                times += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            (times, longest)
        })
    }
}

impl Drop for Castle {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs farpane with the password on as many lines of its input.
fn make(arguments: &[&str], lines: usize) {
    let mut made = Command::new(FARPANE).args(arguments).stdin(Stdio::piped()).spawn().expect("farpane runs");
    let text = format!("{PASSWORD}\n").repeat(lines);
    made.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    assert!(made.wait().expect("it ends").success(), "{arguments:?} failed");
}

/// Says that the siege is over when it goes, also by a panic: the friend would come and go for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection to the server from this address, in the namespace of the calling thread.
fn connect(from: &str) -> Result<Raw, ClientError> {
    let to: SocketAddr = SERVER.parse().expect("an address");
    let from: SocketAddr = format!("{from}:0").parse().expect("an address");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    Raw::over(Box::new(TcpStream::from(socket)), PATIENCE)
}
