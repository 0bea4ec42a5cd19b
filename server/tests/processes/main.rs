//! The processes of a running server together: what each holds, and what becomes of the others when one ends.

mod audit;
mod certificates;
mod helpers;
#[cfg(feature = "pam")]
mod pam;

use std::path::Path;
use std::time::{Duration, Instant};

use farpane_test_support::openssl::Folder;
use farpane_test_support::{Client, ClientError, PATIENCE, Raw, Server, Tls, TlsFacts, helper};
use rustix::process::{Pid, Signal, kill_process};

const BINARY: &str = env!("CARGO_BIN_EXE_farpane");
/// VeNCrypt's number among the security types.
const VENCRYPT: u8 = 19;
/// VeNCrypt's subtype of a name and a password inside of TLS.
const X509_PLAIN: u32 = 262;

/// A server with a configuration and a folder of its own.
struct Desk {
    server: Server,
    folder: Folder,
}

impl Desk {
    /// A server with this configuration.
    fn new(config: &str, more: &[&str]) -> Self {
        let folder = Folder::new("processes");
        let file = folder.path().join("farpane.toml");
        let state = folder.path().join("state");
        std::fs::write(&file, format!("state_folder = \"{}\"\n{config}", state.display())).expect("a file");
        let file = file.to_str().expect("plain");
        let start = ["serve", "--config", file, "--source", "synthetic:64x48", "--listen", "127.0.0.1:0"];
        Desk { server: Server::start(BINARY, &[&start[..], more].concat()), folder }
    }

    /// The password of the run.
    fn password(&self) -> String {
        let start = "farpane: password for this run, with any user name: ";
        self.server.wait_for_line(start);
        self.server.lines().iter().find_map(|line| line.strip_prefix(start)).expect("was waited for").to_owned()
    }

    /// What trusts the server's own certificate.
    fn trust(&self) -> Tls {
        Tls::new(&self.folder.path().join("state/tls.crt"), "127.0.0.1", None).expect("its own certificate")
    }

    /// TLS inside of VeNCrypt.
    fn tls(&self, tls: &Tls) -> Result<(Raw, TlsFacts), ClientError> {
        let mut raw = Raw::connect(&self.server.listener(), PATIENCE)?;
        raw.versions("RFB 003.008\n")?;
        if !raw.security_types()?.contains(&VENCRYPT) {
            return Err(ClientError::Handshake("VeNCrypt is not offered".into()));
        }
        raw.send(&[VENCRYPT])?;
        raw.vencrypt_offer()?;
        raw.vencrypt_choose(X509_PLAIN)?;
        let facts = raw.start_tls(tls)?;
        Ok((raw, facts))
    }

    /// A whole login by X509Plain.
    fn log_in(&self, tls: &Tls, user: &str, password: &str) -> Result<Client, ClientError> {
        let (mut raw, _) = self.tls(tls)?;
        raw.plain(user, password)?;
        Client::proved(raw)
    }
}

/// Waits until it is done.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A client's session goes on: what it asks for comes.
fn goes_on(client: &mut Client) {
    let (seen, all) = (client.traffic.updates.len(), client.picture().size().rect());
    client.request(false, all).expect("asks");
    client.wait_until("an update", |c| c.traffic.updates.len() > seen).expect("comes");
}

fn process(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("small")).expect("a process")
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}
