//! The everyday ways to expose a server, each as a user would go it: a Unix socket through SSH, an interface of a VPN, a
//! firewall in front. Networks are namespaces of the test's own.

mod firewall;
mod iface;
mod ssh;
mod unix;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use farpane_test_support::{PATIENCE, Raw};
use socket2::{Domain, Socket, Type};

const FARPANE: &str = env!("CARGO_BIN_EXE_farpane");
/// How long a connection that should not come about is tried.
const IN_VAIN: Duration = Duration::from_millis(700);

/// A folder of one test's own, removed at its end.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("farpane-exposure-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Scratch(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a plain path").to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A connection from one address of this namespace to another.
fn connect(from: &str, to: &str, limit: Duration) -> io::Result<TcpStream> {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().expect("an address"), to.parse().expect("an address"));
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), limit)?;
    Ok(socket.into())
}

/// Whether the server says its version to a caller from that address.
fn answers(from: &str, to: &str, limit: Duration) -> bool {
    let Ok(stream) = connect(from, to, limit) else { return false };
    let mut raw = Raw::over(Box::new(stream), PATIENCE).expect("a connection");
    raw.read(12).is_ok_and(|version| version == b"RFB 003.008\n")
}

/// Waits for a state, and fails in these words when it does not come.
fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What `farpane` with these arguments prints.
fn farpane(arguments: &[&str]) -> String {
    let output = std::process::Command::new(FARPANE)
        .args(arguments)
        .env("HOME", "/nonexistent")
        .env_remove("XDG_CONFIG_HOME")
        .output()
        .expect("farpane runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
