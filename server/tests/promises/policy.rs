//! The administrator's policy folder. It is `/etc/farpane/policy.d` and root's, so each server here runs where `/etc` is a folder
//! of the test's.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use farpane_test_support::openssl::Folder;
use farpane_test_support::xvfb::skip;
use farpane_test_support::{PATIENCE, Server};

use super::BINARY;
use super::world::{World, sees, text};

const SCRIPT: &str = "mount --bind \"$0\" /etc && exec \"$@\"";

/// An `/etc` with a policy.
struct Etc {
    folder: Folder,
    flags: &'static [&'static str],
}

impl Etc {
    /// None, having said so, where nobody may make a mount namespace.
    fn new() -> Option<Self> {
        let may = |flags: &&[&str]| {
            let tried = Command::new("unshare").args(*flags).arg("true").stderr(Stdio::null()).status();
            tried.is_ok_and(|status| status.success())
        };
        let Some(flags) = [&["-m"][..], &["-U", "-r", "-m"]].into_iter().find(may) else {
            skip("no right to make mount namespaces (root, or unprivileged user namespaces)");
            return None;
        };
        let etc = Etc { folder: Folder::new("etc"), flags };
        for file in ["passwd", "group", "nsswitch.conf", "hosts"] {
            // what is not there is not needed
            let _ = std::fs::copy(format!("/etc/{file}"), etc.folder.path().join(file));
        }
        std::fs::create_dir_all(etc.path("")).expect("a folder");
        for folder in ["farpane", "farpane/policy.d"] {
            let path = etc.folder.path().join(folder);
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        Some(etc)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("farpane/policy.d").join(name)
    }

    /// A file of the policy.
    fn says(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).expect("a file");
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// The words that run farpane with this `/etc`, behind `unshare`.
    fn words<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let etc = self.folder.path().to_str().expect("a plain path");
        [self.flags, &["sh", "-c", SCRIPT, etc, BINARY], arguments].concat()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new("unshare").args(self.words(arguments)).stdin(Stdio::null()).output().expect("unshare runs")
    }

    fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
fn a_locked_key_is_changed_by_neither_file_nor_command_line_and_who_tries_is_written_down() {
    let Some(etc) = Etc::new() else { return };
    etc.says("10-desk.toml", "[session]\nview_only = true\nmax_fps = 7\n", 0o644);
    etc.says("20-later.toml", "[session]\nmax_fps = 9\n", 0o600);
    let world = World::new(&["ann"], "[session]\nview_only = false\nmax_fps = 30\nidle_timeout_s = 77\n");
    let config = world.path("farpane.toml");
    let explain = |key: &str| etc.said(&["config", "explain", key, "--config", &config, "--max-fps", "20"]);
    assert_eq!(
        explain("session.max_fps"),
        format!(
            "session.max_fps = 9\n  from policy /etc/farpane/policy.d/20-later.toml (locked)\n  over command line: 20\n  \
             over file {config}: 30\n"
        )
    );
    assert_eq!(explain("session.idle_timeout_s"), format!("session.idle_timeout_s = 77\n  from file {config}\n"));
    assert_eq!(explain("session.lossless"), "session.lossless = false\n  from default\n");
    let source = "synthetic:96x64:still";
    let serve = ["serve", "--source", source, "--listen", "127.0.0.1:0", "--config", &config, "--max-fps", "20"];
    let server = Server::start("unshare", &etc.words(&serve));
    let mut client = world.log_in(&server, "ann").expect("let in");
    sees(&mut client);
    client.key(0x61, true).expect("a key");
    world.event("perm-denied", &[("user", "ann"), ("permission", "keyboard")]);
    server.wait_for_log("setting is locked by policy");
    let told = |reason: &str| {
        let events = world.events("policy").into_iter().filter(|event| event["reason"] == reason);
        let mut settings: Vec<String> = events.map(|event| text(&event["setting"])).collect();
        settings.sort();
        settings
    };
    assert_eq!(told("locked"), ["session.max_fps", "session.view_only"]);
    // by the command line and by the file
    assert_eq!(told("change-refused"), ["session.max_fps", "session.max_fps", "session.view_only"]);
    // the setting's name, and no value
    for event in world.events("policy") {
        let keys: Vec<&String> = event.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["chain", "event", "reason", "setting", "time"], "{event}");
    }
}

#[test]
fn without_a_policy_the_command_line_counts_before_the_file_and_the_file_before_the_default() {
    let Some(etc) = Etc::new() else { return };
    let world = World::new(&[], "[session]\nmax_fps = 30\n");
    let config = world.path("farpane.toml");
    let both = etc.said(&["config", "explain", "session.max_fps", "--config", &config, "--max-fps", "20"]);
    assert_eq!(both, format!("session.max_fps = 20\n  from command line\n  over file {config}: 30\n"));
    let file = etc.said(&["config", "explain", "session.max_fps", "--config", &config]);
    assert_eq!(file, format!("session.max_fps = 30\n  from file {config}\n"));
}

#[test]
fn a_policy_that_others_can_write_or_that_is_not_roots_lets_no_server_start() {
    let Some(etc) = Etc::new() else { return };
    let refused = |what: &str| {
        let serve = ["serve", "--source", "synthetic:96x64:still", "--listen", "127.0.0.1:0"];
        let mut server = Server::spawn("unshare", &etc.words(&serve));
        let status = server.wait_for_end(PATIENCE);
        assert_eq!(status.code(), Some(2), "{what}: {}", server.log());
        assert_eq!(server.lines(), Vec::<String>::new(), "{what}");
        assert!(server.log().contains("expected root, and no writing by others"), "{what}: {}", server.log());
        assert_eq!(etc.run(&["check"]).status.code(), Some(2), "{what}");
    };
    let policy = "[session]\nview_only = true\n";
    for mode in [0o664, 0o646] {
        etc.says("10-desk.toml", policy, mode);
        refused(&format!("mode {mode:o}"));
    }
    etc.says("10-desk.toml", policy, 0o644);
    assert!(etc.said(&["check"]).contains("view_only = true"));
    let folder = etc.path("");
    for mode in [0o775, 0o757] {
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).expect("a mode");
        refused(&format!("a folder of mode {mode:o}"));
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    match std::os::unix::fs::chown(etc.path("10-desk.toml"), Some(12_345), None) {
        Ok(()) => refused("somebody else's file"),
        Err(error) => skip(&format!("no right to give a file away: {error}")),
    }
    std::fs::remove_file(etc.path("10-desk.toml")).expect("no file");
    etc.says("10-desk.toml", "[session]\nview_onyl = true\n", 0o644);
    let typo = etc.run(&["check"]);
    assert_eq!(typo.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&typo.stderr).contains("did you mean `view_only`"));
}
