//! What a server leaves behind: an audit log that is whole, and no secret in it, in the log or beside either.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{BINARY, SCENE, connect, rsa_login};
use farpane_channel::auth::{Answer, PromptKind};
use farpane_test_support::channel::{ChannelLogin, password as said};
use farpane_test_support::{Client, PATIENCE, Server, Tls, encoding};

/// Words that must stand nowhere: the user's password, wrong ones, and text that was copied.
const SECRETS: [&str; 4] =
    ["correct-horse-battery", "wrong-horse-battery", "prompted-horse-battery", "text-in-the-clipboard"];

struct Kept {
    folder: PathBuf,
}

impl Kept {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("farpane-traces-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        Kept { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("a plain path").to_owned()
    }

    fn farpane(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut child = Command::new(BINARY)
            .args(arguments)
            .env("STATE_DIRECTORY", self.path("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("farpane runs");
        child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Every file below a folder.
fn files(folder: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn logins_are_in_the_audit_log_which_is_whole_and_no_secret_is_anywhere() {
    let kept = Kept::new();
    let [right, wrong, prompted, copied] = SECRETS;
    let config = kept.path("farpane.toml");
    let audit = kept.path("audit.log");
    let text = format!("state_folder = {:?}\n[audit]\nsinks = [\"file:{audit}\"]\n", kept.path("state"));
    std::fs::write(&config, text).expect("a file");
    let (added, _) = kept.farpane(&["user", "add", "ann", "--config", &config], &format!("{right}\n{right}\n"));
    assert!(added, "no user");

    let source = format!("synthetic:{SCENE}");
    let arguments =
        ["serve", "--source", &source, "--listen", "127.0.0.1:0", "--config", &config, "--log-level", "trace"];
    let server = Server::start(BINARY, &arguments);
    for password in [right, wrong] {
        let login = ChannelLogin::begin(connect(&server), [1; 32], Some(&said("ann", password))).expect("a channel");
        let client = Client::proved(login.into_raw(PATIENCE).expect("a connection"));
        assert_eq!(client.is_ok(), password == right);
        let (raw, _) = rsa_login(&server, "ann", password);
        assert_eq!(Client::proved(raw).is_ok(), password == right);
    }
    let mut login = ChannelLogin::begin(connect(&server), [1; 32], None).expect("a channel");
    login.say(&Answer::Begin { user: "ann".into() }).expect("said");
    assert_eq!(login.asked().expect("a turn").expect("prompts").0[0].kind, PromptKind::Hidden);
    login.say(&Answer::Replies(vec![prompted.to_owned().into()])).expect("said");
    assert!(login.asked().expect("a verdict").is_none());
    drop(login);
    let tls = Tls::new(&kept.folder.join("state/tls.crt"), "127.0.0.1", None).expect("the server's certificate");
    let mut raw = super::choose(connect(&server), 19);
    raw.x509_plain(&tls, "ann", right).expect("TLS");
    let mut client = Client::proved(raw).expect("let in");
    client.set_encodings(&[encoding::RAW, encoding::CURSOR, encoding::EXTENDED_CLIPBOARD]).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&super::scene()).expect("the scene");
    client.send_text(copied).expect("a text");
    client.key(0x61, true).expect("a key");
    client.key(0x61, false).expect("a key");
    drop(client);
    server.wait_for_log("client left");
    let (log, lines) = (server.log(), server.lines().join("\n"));
    server.stop();

    let trail = std::fs::read_to_string(&audit).expect("an audit log");
    for event in ["connect", "type", "auth-ok", "auth-fail", "start", "end", "config"] {
        assert!(trail.contains(&format!("\"event\":\"{event}\"")), "no {event} in\n{trail}");
    }
    assert!(trail.contains("\"user\":\"ann\"") && trail.contains("\"factors\":[\"userfile\"]"), "{trail}");
    let (whole, said) = kept.farpane(&["audit", "verify", &audit], "");
    assert!(whole && said.starts_with("whole: "), "{said}");
    std::fs::write(&audit, trail.replacen("auth-fail", "auth-ok", 1)).expect("a file");
    assert!(!kept.farpane(&["audit", "verify", &audit], "").0, "a changed line goes unseen");

    let identity = std::fs::read_to_string(kept.path("state/identity.key")).expect("a key");
    let key = identity.lines().nth(1).expect("a key").to_owned();
    let mut left = vec![("the log".to_owned(), log), ("stdout".to_owned(), lines)];
    for path in files(&kept.folder) {
        let name = path.display().to_string();
        let text = String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned();
        if !name.ends_with("identity.key") {
            left.push((name, text));
        }
    }
    assert!(left.len() > 5, "{:?}", left.iter().map(|(name, _)| name).collect::<Vec<_>>());
    for secret in SECRETS.iter().copied().chain([key.as_str()]) {
        for (name, text) in &left {
            assert!(!text.contains(secret), "a secret stands in {name}");
        }
    }
}
