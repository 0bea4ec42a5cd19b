//! A server with a configuration, users and an audit log of its own, and those who log in to it.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use farpane_test_support::channel::{ChannelLogin, password as said};
use farpane_test_support::openssl::Folder;
use farpane_test_support::{Client, ClientError, PATIENCE, Raw, Security, Server, Tls, encoding, secrets};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use super::{BINARY, SCENE, wait_for};

/// Everybody's password.
pub const PASSWORD: &str = "correct-horse-battery";

/// What a server is started with, and what it leaves behind.
pub struct World {
    folder: Folder,
}

impl World {
    /// A world of these users, who are in the groups behind their name (`ann staff`), and a configuration that says this besides
    /// where state and audit log lie.
    pub fn new(users: &[&str], config: &str) -> Self {
        let world = World { folder: Folder::new("promises") };
        world.configure(config);
        for words in users {
            let mut words = words.split(' ');
            let name = words.next().expect("a name");
            let groups: Vec<&str> = words.flat_map(|group| ["--groups", group]).collect();
            let added = world.farpane(&[&["user", "add", name], &groups[..]].concat(), PASSWORD);
            assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        }
        world
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a plain path").to_owned()
    }

    /// Writes a file of its folder; its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("a file");
        self.path(name)
    }

    /// Says something else in the configuration.
    pub fn configure(&self, config: &str) {
        let (state, audit) = (self.path("state"), self.path("audit.log"));
        // keys at the top come before the sections
        let head = format!("state_folder = {state:?}\n");
        self.file("farpane.toml", &format!("{head}{config}\n[audit]\nsinks = [\"file:{audit}\"]\n"));
    }

    /// Runs farpane with this configuration and `input` on as many lines as it may ask for.
    pub fn farpane(&self, arguments: &[&str], input: &str) -> Output {
        run(&[arguments, &["--config", &self.path("farpane.toml")]].concat(), input)
    }

    /// Starts the server on a loopback port with the built-in scene.
    pub fn serve(&self, more: &[&str]) -> Server {
        self.serve_source(&format!("synthetic:{SCENE}"), more)
    }

    /// The same with another desktop.
    pub fn serve_source(&self, source: &str, more: &[&str]) -> Server {
        let config = self.path("farpane.toml");
        let mut arguments = vec!["serve", "--source", source, "--config", &config];
        if !more.contains(&"--listen") {
            arguments.extend(["--listen", "127.0.0.1:0"]);
        }
        arguments.extend(more);
        Server::start_in(BINARY, &arguments, &[("XDG_RUNTIME_DIR", &self.path(""))])
    }

    /// What a viewer trusts that has seen the server's own certificate.
    pub fn tls(&self) -> Tls {
        Tls::new(&PathBuf::from(self.path("state/tls.crt")), "127.0.0.1", None).expect("a certificate")
    }

    /// Logs in by X509Plain.
    pub fn log_in(&self, server: &Server, user: &str) -> Result<Client, ClientError> {
        self.log_in_with(server.raw(), user, PASSWORD, true)
    }

    /// Logs in by X509Plain over a connection, with a password, sharing or not.
    pub fn log_in_with(&self, raw: Raw, user: &str, password: &str, shared: bool) -> Result<Client, ClientError> {
        let tls = self.tls();
        Client::handshake(raw, "RFB 003.008\n", Security::X509Plain { tls: &tls, user, password }, shared)
    }

    /// Every event of the audit log so far.
    pub fn trail(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("audit.log")).unwrap_or_default();
        // the last line may be half written
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The events of one kind.
    pub fn events(&self, name: &str) -> Vec<Value> {
        self.trail().into_iter().filter(|event| event["event"] == name).collect()
    }

    /// Waits for the first event of a kind in which these members say this.
    pub fn event(&self, name: &str, says: &[(&str, &str)]) -> Value {
        let fits = |event: &Value| says.iter().all(|(key, value)| text(&event[*key]) == *value);
        wait_for(&format!("{name} with {says:?} in\n{:#?}", self.trail()), || self.events(name).into_iter().find(fits))
    }

    /// What `farpane audit verify` says; none when the log is not whole.
    pub fn verified(&self) -> Option<String> {
        let output =
            Command::new(BINARY).args(["audit", "verify", &self.path("audit.log")]).output().expect("farpane runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        secrets::tell_keys(Path::new(&self.path("state")));
        let files = std::fs::read_dir(self.folder.path()).expect("a folder").flatten();
        let trails = files.filter(|file| file.file_name().to_string_lossy().starts_with("audit.log"));
        for trail in trails {
            let found = secrets::found_in(&std::fs::read_to_string(trail.path()).unwrap_or_default());
            assert!(found.is_empty(), "secrets in {}: {found:?}", trail.path().display());
        }
    }
}

/// Runs farpane with `input` on as many lines as it may ask for.
pub fn run(arguments: &[&str], input: &str) -> Output {
    input.lines().for_each(secrets::tell);
    let mut child = Command::new(BINARY)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("farpane runs");
    // what asks for nothing may be gone before this is written
    let _ = child.stdin.take().expect("a pipe").write_all(format!("{input}\n{input}\n").as_bytes());
    child.wait_with_output().expect("it ends")
}

/// A value without the quotes of a text.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A channel to the server as the device of this secret, logged in as far as `answer` goes.
pub fn by_channel(server: &Server, device: u8, user: &str, password: &str) -> Result<Client, ClientError> {
    Client::proved(ChannelLogin::begin(server.raw(), [device; 32], Some(&said(user, password)))?.into_raw(PATIENCE)?)
}

/// A connection to the server from this address of loopback.
pub fn connect_from(server: &Server, from: &str) -> Raw {
    let to: SocketAddr = server.listener().parse().expect("an address");
    let from: SocketAddr = format!("{from}:0").parse().expect("an address");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&from.into()).expect("an address of loopback");
    socket.connect_timeout(&to.into(), PATIENCE).expect("a connection");
    Raw::over(Box::new(TcpStream::from(socket)), PATIENCE).expect("a connection")
}

/// A header of PROXY version 2 for a peer with this address, as a proxy sends it.
pub fn proxy_header(peer: &str) -> Vec<u8> {
    let address: std::net::Ipv4Addr = peer.parse().expect("an address");
    let head = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[0x21, 0x11, 0, 12]].concat();
    [&head[..], &address.octets(), &[10, 0, 0, 1], &[0xc3, 0x50, 0x17, 0x0c]].concat()
}

/// Asks for the picture until it is the scene's.
pub fn sees(client: &mut Client) {
    client.set_encodings(&[encoding::ZRLE, encoding::CURSOR, encoding::FENCE, encoding::DESKTOP_NAME]).expect("a list");
    client.watch().expect("a request");
    let spec = farpane_engine::capture::synthetic::parse(SCENE).expect("a good scene");
    let rgb: Vec<u8> = farpane_engine::capture::synthetic::picture(&spec, 0)
        .iter()
        .flat_map(|p| farpane_engine::pixel::Layout::BGRX.rgb(*p))
        .collect();
    client.wait_for_picture(&rgb).expect("the scene");
}

/// Goes on until the server closes the connection; the names that the desktop had meanwhile.
pub fn until_closed(client: &mut Client) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let ended = client.wait_until("the end", |c| {
        if let Some(name) = c.picture().name().filter(|name| names.last().is_none_or(|last| last != name)) {
            names.push(name.to_owned());
        }
        false
    });
    assert!(matches!(ended, Err(ClientError::Closed | ClientError::Io(_))), "{ended:?}");
    names
}
