//! Logins through PAM as the server has them: a process for each, stacks of real modules, no rights needed.
#![cfg(feature = "pam")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_server::auth::{
    Caller, FactorName, Judge, LocalJudge, Parts, Prompt, PromptKind, Secret, Settings, SystemHelper, Turn,
};
use farpane_server::security::SecurityKind;
use farpane_test_support::pam::{Stack, has_matrix};
use tokio::sync::Mutex;

const FARPANE: &str = env!("CARGO_BIN_EXE_farpane");
/// One test at a time: some look at this process's children.
static ONE: Mutex<()> = Mutex::const_new(());

struct Bench {
    judge: LocalJudge,
    stack: Stack,
}

/// A judge whose one chain is PAM with this stack.
fn bench(name: &str, stack: &str, limit: Duration) -> Bench {
    let stack = Stack::new(name, stack);
    let settings = Settings {
        chains: Some(vec![vec![FactorName::System]]),
        pam_folder: Some(stack.path().to_owned()),
        ..Settings::default()
    };
    let system = Some(SystemHelper { program: FARPANE.into(), limit });
    let users = stack.path().join("none");
    let judge = LocalJudge::new(Parts { settings, users, certificates: None, system, clock: Arc::new(|| 0) });
    Bench { judge: judge.unwrap(), stack }
}

const LONG: Duration = Duration::from_secs(120);

fn caller() -> Caller {
    Caller {
        peer: "192.0.2.7:50312".into(),
        listener: "0.0.0.0:5900".into(),
        security: SecurityKind::X509Plain,
        device: None,
        certificate: None,
        known: false,
        connection: 1,
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

impl Bench {
    async fn password(&self, user: &str, password: &str) -> Turn {
        self.judge.password(caller(), user.into(), secret(password)).await
    }
}

fn groups(turn: &Turn) -> Option<&[String]> {
    match turn {
        Turn::Granted(granted) => {
            assert_eq!(granted.factors, ["system"]);
            Some(&granted.groups)
        }
        _ => None,
    }
}

/// This process's children that run `pam-helper`, dead ones not counted.
fn helpers() -> Vec<u32> {
    let me = std::process::id().to_string();
    let ours = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        let mut words = after.split(' ');
        words.next().is_some_and(|state| state != "Z") && words.next() == Some(me.as_str())
    };
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(ours).collect()
}

async fn no_helper_is_left() {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !helpers().is_empty() {
        assert!(Instant::now() < deadline, "left: {:?}", helpers());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_right_password_lets_in_with_the_groups_of_the_system() {
    let _one = ONE.lock().await;
    if !has_matrix() {
        return;
    }
    let bench = bench("right", "auth required MATRIX passdb=DB/users\naccount required MATRIX passdb=DB/users\n", LONG);
    assert!(bench.judge.takes_passwords());
    let alice = bench.password("alice", "secret").await;
    assert_eq!(groups(&alice), Some([].as_slice()), "{alice:?}");
    let root = bench.password("root", "secret").await;
    assert!(groups(&root).unwrap().contains(&"root".to_owned()), "{root:?}");
    for (user, wrong) in
        [("alice", "Secret"), ("alice", ""), ("nobody else", "secret"), ("", "secret"), ("a\0", "secret")]
    {
        assert_eq!(bench.password(user, wrong).await, Turn::Refused, "{user}");
    }
    no_helper_is_left().await;
}

#[tokio::test]
async fn two_questions_are_two_turns_and_a_viewer_that_asks_only_once_is_refused() {
    let _one = ONE.lock().await;
    if !has_matrix() {
        return;
    }
    let stack = "auth required CHATTY num_lines=1 info\nauth required MATRIX passdb=DB/users\n\
                 auth required MATRIX passdb=DB/more echo\naccount required pam_permit.so\n";
    let bench = bench("two", stack, LONG);
    let kinds = |turn: &Turn| match turn {
        Turn::Ask(prompts) => prompts.iter().map(|p: &Prompt| p.kind).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    for (second, lets_in) in [("second", true), ("secret", false)] {
        let mut login = bench.judge.begin(caller(), "alice".into());
        let first = login.next(Vec::new()).await;
        // what is only said comes with the next question
        let kinds_of_first = kinds(&first);
        assert!(matches!(kinds_of_first[..], [PromptKind::Info, .., PromptKind::Hidden]), "{first:?}");
        let next = login.next(vec![secret("secret")]).await;
        assert_eq!(kinds(&next), [PromptKind::Visible], "{next:?}");
        let verdict = login.next(vec![secret(second)]).await;
        assert_eq!(matches!(verdict, Turn::Granted(_)), lets_in, "{verdict:?}");
    }
    assert_eq!(bench.password("alice", "secret").await, Turn::Refused);
    no_helper_is_left().await;
}

#[tokio::test]
async fn permit_deny_an_expired_account_and_a_broken_stack_are_told_apart() {
    let _one = ONE.lock().await;
    for (name, stack, expected) in [
        ("permit", "auth required pam_permit.so\naccount required pam_permit.so\n", None),
        ("deny", "auth required pam_deny.so\naccount required pam_permit.so\n", Some(Turn::Refused)),
        (
            "expired",
            "auth required pam_permit.so\naccount required pam_debug.so acct=acct_expired\n",
            Some(Turn::Refused),
        ),
        ("broken", "auth required pam_no_such.so\naccount required pam_permit.so\n", Some(Turn::Unavailable)),
    ] {
        let bench = bench(name, stack, LONG);
        let turn = bench.password("alice", "x").await;
        match expected {
            Some(expected) => assert_eq!(turn, expected, "{name}"),
            None => assert!(groups(&turn).is_some(), "{turn:?}"),
        }
    }
    no_helper_is_left().await;
}

#[tokio::test]
async fn a_module_that_hangs_is_ended_and_says_nothing_about_the_proof() {
    let _one = ONE.lock().await;
    if !has_matrix() {
        return;
    }
    let bench =
        bench("hang", "auth required MATRIX passdb=DB/fifo\naccount required pam_permit.so\n", Duration::from_secs(2));
    let made = Command::new("mkfifo").arg(bench.stack.path().join("fifo")).status().unwrap();
    assert!(made.success());
    // the module waits for somebody to write its users
    assert_eq!(bench.password("alice", "secret").await, Turn::Unavailable);
    no_helper_is_left().await;
}

#[tokio::test]
async fn a_login_that_is_given_up_takes_its_process_along_and_nothing_secret_is_seen_of_it() {
    let _one = ONE.lock().await;
    if !has_matrix() {
        return;
    }
    let bench = bench("dropped", "auth required MATRIX passdb=DB/users\naccount required pam_permit.so\n", LONG);
    let mut login = bench.judge.begin(caller(), "alice".into());
    assert!(matches!(login.next(Vec::new()).await, Turn::Ask(_)));
    let [pid] = helpers()[..] else { panic!("one process: {:?}", helpers()) };
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(String::from_utf8(line).unwrap(), format!("{FARPANE}\0pam-helper\0"));
    // whom the system does not let look sees nothing at all
    assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap_or_default(), b"");
    drop(login);
    no_helper_is_left().await;
}

#[tokio::test]
async fn a_program_that_is_no_helper_or_not_there_gives_no_verdict() {
    let _one = ONE.lock().await;
    for program in ["/nonexistent/farpane", "/bin/true", "/bin/cat"] {
        let settings = Settings { chains: Some(vec![vec![FactorName::System]]), ..Settings::default() };
        let system = Some(SystemHelper { program: program.into(), limit: LONG });
        let users = Path::new("/nonexistent/users").to_owned();
        let parts = Parts { settings, users, certificates: None, system, clock: Arc::new(|| 0) };
        let turn = LocalJudge::new(parts).unwrap().password(caller(), "alice".into(), secret("x")).await;
        assert_eq!(turn, Turn::Unavailable, "{program}");
    }
    no_helper_is_left().await;
}

#[test]
fn the_helper_ends_with_an_error_when_nobody_talks_to_it() {
    let done = Command::new(FARPANE).arg("pam-helper").stdin(Stdio::null()).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(done.stdout.is_empty());
}
