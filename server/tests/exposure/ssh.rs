//! The printed SSH command, typed.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use farpane_test_support::namespace::find;
use farpane_test_support::xvfb::skip;
use farpane_test_support::{Client, PATIENCE, Raw, Security, Server};

use super::{FARPANE, Scratch, farpane, wait_for};

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // it may have ended already
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

fn must(command: &mut Command) {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn write(path: &str, mode: u32, text: &str) {
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode");
}

/// An SSH server of the test's own, which lets in whoever has the test's key.
fn sshd(scratch: &Scratch, port: u16) -> Running {
    let sshd = find("sshd").expect("sshd was looked for");
    if rustix::process::geteuid().is_root() {
        // what Debian's service makes before it starts sshd
        std::fs::create_dir_all("/run/sshd").expect("the folder that sshd wants");
    }
    for name in ["host", "user"] {
        must(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &scratch.path(name)]));
    }
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n",
        scratch.path("host"),
        scratch.path("user.pub"),
    );
    write(&scratch.path("sshd_config"), 0o600, &config);
    let log = std::fs::File::create(scratch.path("sshd.log")).expect("a file");
    let child = Command::new(sshd)
        .args(["-D", "-e", "-f", &scratch.path("sshd_config")])
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("sshd starts");
    Running(child)
}

/// The folder of an `ssh` that uses the test's key and knows the test's host, and adds nothing else to what is typed.
fn own_ssh(scratch: &Scratch, port: u16) -> String {
    let host = std::fs::read_to_string(scratch.path("host.pub")).expect("a public key");
    write(&scratch.path("known_hosts"), 0o600, &format!("[127.0.0.1]:{port} {host}"));
    let config = format!(
        "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nStrictHostKeyChecking yes\nBatchMode yes\nLogLevel ERROR\n",
        scratch.path("user"),
        scratch.path("known_hosts"),
    );
    write(&scratch.path("ssh_config"), 0o600, &config);
    let real = find("ssh").expect("ssh was looked for");
    let folder = scratch.path("bin");
    std::fs::create_dir_all(&folder).expect("a folder");
    let script = format!("#!/bin/sh\nexec {} -F {} \"$@\"\n", real.display(), scratch.path("ssh_config"));
    write(&format!("{folder}/ssh"), 0o755, &script);
    folder
}

#[test]
fn the_printed_command_leads_a_viewer_through_ssh_to_the_unix_socket() {
    for program in ["sshd", "ssh", "ssh-keygen", "id"] {
        if find(program).is_none() {
            return skip(&format!("{program} is not installed"));
        }
    }
    let scratch = Scratch::new("ssh");
    let socket = scratch.path("farpane.sock");
    let listener = format!("unix:{socket}");
    let common = ["serve", "--source", "synthetic:64x64:still", "--security", "none", "--listen", &listener];
    let server = Server::start(FARPANE, &common);

    let (ssh_port, local_port) = (free_port(), free_port());
    let _sshd = sshd(&scratch, ssh_port);
    let folder = own_ssh(&scratch, ssh_port);
    let user = Command::new("id").arg("-un").output().expect("id runs").stdout;
    let user = String::from_utf8(user).expect("a name").trim().to_owned();
    let (ssh_port, local_port) = (ssh_port.to_string(), local_port.to_string());
    let wish = ["--user", &user, "--host", "127.0.0.1", "--port", &ssh_port, "--local-port", &local_port];
    let printed = farpane(&[&["ssh-command", "--listen", &listener][..], &wish].concat());
    let line = printed.lines().find(|l| l.starts_with("ssh ")).unwrap_or_else(|| panic!("{printed}"));
    assert_eq!(line, format!("ssh -N -p {ssh_port} -L {local_port}:{socket} {user}@127.0.0.1"));
    assert!(printed.contains(&format!("vncviewer 127.0.0.1::{local_port}")), "{printed}");

    wait_for("sshd", || std::net::TcpStream::connect(format!("127.0.0.1:{ssh_port}")).is_ok());
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
    let log = std::fs::File::create(scratch.path("ssh.log")).expect("a file");
    let mut typed = Command::new("sh");
    typed.args(["-c", &format!("exec {line}")]).env("PATH", path).stdin(Stdio::null()).stderr(log);
    let _ssh = Running(typed.spawn().expect("a shell"));
    let to = format!("127.0.0.1:{local_port}");
    let mut raw = None;
    let end = std::time::Instant::now() + PATIENCE;
    while raw.is_none() && std::time::Instant::now() < end {
        raw = Raw::connect(&to, PATIENCE).ok();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let said = |name: &str| std::fs::read_to_string(scratch.path(name)).unwrap_or_default();
    let raw = raw.unwrap_or_else(|| panic!("no tunnel\nssh: {}\nsshd: {}", said("ssh.log"), said("sshd.log")));
    let client = Client::handshake(raw, "RFB 003.008\n", Security::None, true);
    let client = client.unwrap_or_else(|e| panic!("{e}\nssh: {}\nsshd: {}", said("ssh.log"), said("sshd.log")));
    assert_eq!((client.init().size.w, client.init().size.h), (64, 64));
    drop(client);
    server.stop();
}
