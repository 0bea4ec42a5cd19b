use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::auth::login::{Granted, Prompt, PromptKind, Turn};
use crate::auth::stored::Stored;
use crate::auth::totp::{CodeHash, Recovery, Seed};
use crate::auth::users::{User, Users};
use crate::security::SecurityKind;

/// A moment at which the tests' codes are made.
const NOW: u64 = 1_800_000_000;

struct Bench {
    judge: LocalJudge,
    clock: Arc<AtomicU64>,
    folder: PathBuf,
    seed: Seed,
    recovery: Vec<Secret>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn chains(text: &[&[FactorName]]) -> Option<Vec<Chain>> {
    Some(text.iter().map(|chain| chain.to_vec()).collect())
}

/// alice has a password and codes, bob only a password, mallory is disabled, carol came by import.
fn bench(name: &str, settings: Settings) -> Bench {
    let folder = std::env::temp_dir().join(format!("farpane-judge-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    let file = UserFile::new(folder.join("users"));
    let seed = Seed::generate(CodeHash::Sha1).unwrap();
    let (recovery, codes) = Recovery::generate().unwrap();
    let password = |text: &str| Some(Stored::new(text).unwrap());
    file.change(|users| {
        let groups = vec!["staff".to_owned()];
        let alice = User { groups, password: password("wonder"), seed: Some(seed.clone()), ..User::named("alice")? };
        users.add(User { recovery: codes, ..alice })?;
        users.add(User { password: password("builder"), ..User::named("bob")? })?;
        let mallory = User { password: password("malice"), disabled: true, ..User::named("mallory")? };
        users.add(User { seed: Some(seed.clone()), ..mallory })?;
        users.add(User { password: Some(Stored::from_vnc_file(PASSWORD)), ..User::named("carol")? })
    })
    .unwrap();
    let clock = Arc::new(AtomicU64::new(NOW));
    let told = clock.clone();
    let parts = Parts {
        settings,
        users: file.path().to_owned(),
        certificates: Some(Arc::new(|der: &[u8]| String::from_utf8(der.to_vec()).ok())),
        system: None,
        clock: Arc::new(move || told.load(Ordering::Relaxed)),
    };
    Bench { judge: LocalJudge::new(parts).unwrap(), clock, folder, seed, recovery }
}

/// "password", as `vncpasswd -f` keeps it.
const PASSWORD: [u8; 8] = [0xdb, 0xd8, 0x3c, 0xfd, 0x72, 0x7a, 0x14, 0x58];

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

fn disable(file: &UserFile, name: &str, disabled: bool) {
    let change = |users: &mut Users| users.get_mut(name).map(|user| user.disabled = disabled);
    file.change(change).unwrap();
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

impl Bench {
    fn code(&self, at: u64) -> String {
        self.seed.code(at)
    }

    async fn password(&self, user: &str, password: &str) -> Turn {
        self.judge.password(caller(), user.into(), secret(password)).await
    }

    /// Goes through prompts with one reply after the other; returns the prompts' texts and the verdict.
    async fn talk(&self, caller: Caller, user: &str, replies: &[&str]) -> (Vec<String>, Turn) {
        let mut login = self.judge.begin(caller, user.into());
        let (mut texts, mut replies) = (Vec::new(), replies.iter());
        let mut turn = login.next(Vec::new()).await;
        while let Turn::Ask(prompts) = &turn {
            texts.extend(prompts.iter().map(|p| p.text.clone()));
            let answers: Vec<Secret> =
                prompts.iter().filter(|p| p.kind.asks()).map(|_| secret(replies.next().expect("a reply"))).collect();
            turn = login.next(answers).await;
        }
        assert_eq!(login.next(Vec::new()).await, Turn::Refused, "a login ends once");
        (texts, turn)
    }
}

fn granted(user: &str, groups: &[&str], factors: &[&str]) -> Turn {
    let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    Turn::Granted(Granted { user: user.into(), groups: own(groups), factors: own(factors) })
}

#[tokio::test]
async fn a_user_file_is_the_default_once_it_has_a_user() {
    let bench = bench("default", Settings::default());
    assert_eq!(bench.judge.chains(), [[FactorName::UserFile]]);
    assert!(bench.judge.takes_passwords() && bench.judge.session_password().is_none());
    assert_eq!(bench.password("alice", "wonder").await, granted("alice", &["staff"], &["userfile"]));
    for (user, wrong) in [
        ("alice", "wonders"),
        ("alice", ""),
        ("bob", "wonder"),
        ("nobody", "wonder"),
        ("", "wonder"),
        ("mallory", "malice"),
    ] {
        assert_eq!(bench.password(user, wrong).await, Turn::Refused, "{user}");
    }
    let (texts, turn) = bench.talk(caller(), "bob", &["builder"]).await;
    assert_eq!((texts, turn), (vec!["Password".to_owned()], granted("bob", &[], &["userfile"])));
}

#[tokio::test]
async fn without_users_the_password_of_the_run_lets_in_whoever_has_it_and_proves_no_name() {
    let users = std::env::temp_dir().join(format!("farpane-judge-{}-none", std::process::id()));
    let parts =
        Parts { settings: Settings::default(), users, certificates: None, system: None, clock: Arc::new(|| NOW) };
    let judge = LocalJudge::new(parts).unwrap();
    let shown = judge.session_password().unwrap().reveal().to_owned();
    for user in ["", "root", "anybody at all"] {
        let turn = judge.password(caller(), user.into(), secret(&shown)).await;
        assert_eq!(turn, granted("", &[], &["session"]), "{user}");
    }
    assert_eq!(judge.password(caller(), "root".into(), secret("wrong")).await, Turn::Refused);
    assert_eq!(judge.hash_counts(), (0, 0));
    assert!(judge.takes_passwords() && !judge.wants_certificates());
}

#[tokio::test]
async fn known_and_unknown_users_cost_the_same_and_are_asked_the_same() {
    let settings = Settings {
        chains: chains(&[&[FactorName::UserFile, FactorName::Totp], &[FactorName::UserFile]]),
        ..Settings::default()
    };
    let bench = bench("cost", settings);
    let mut seen = Vec::new();
    for user in ["alice", "bob", "mallory", "carol", "nobody", "", "x".repeat(300).as_str()] {
        let before = bench.judge.hash_counts();
        let (texts, turn) = bench.talk(caller(), user, &["wrong", "000000"]).await;
        let after = bench.judge.hash_counts();
        seen.push((user.to_owned(), texts, turn, after.0 - before.0, after.1 - before.1));
    }
    for (user, texts, turn, argon2, bcrypt) in seen {
        assert_eq!(texts, ["Password", "Code"], "{user}");
        assert_eq!((turn, argon2, bcrypt), (Turn::Refused, 2, 0), "{user}");
    }
}

#[tokio::test]
async fn a_bcrypt_user_in_the_file_makes_everybody_cost_a_bcrypt_more_until_it_is_kept_anew() {
    let bench = bench("bcrypt", Settings::default());
    let hash = bcrypt::hash_with_salt("old password", 8, [9; 16]).unwrap().to_string();
    let file = UserFile::new(bench.folder.join("users"));
    let dave = User { password: Some(Stored::parse(&hash).unwrap()), ..User::named("dave").unwrap() };
    file.change(|users| users.add(dave)).unwrap();
    for user in ["alice", "dave", "nobody"] {
        let before = bench.judge.hash_counts();
        assert_eq!(bench.password(user, "wrong").await, Turn::Refused);
        let after = bench.judge.hash_counts();
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1), "{user}");
    }
    assert_eq!(bench.password("dave", "old password").await, granted("dave", &[], &["userfile"]));
    assert!(file.load().unwrap().get("dave").unwrap().password.as_ref().unwrap().print().starts_with("$argon2id$"));
    let before = bench.judge.hash_counts();
    assert_eq!(bench.password("dave", "old password").await, granted("dave", &[], &["userfile"]));
    assert_eq!(bench.judge.hash_counts(), (before.0 + 1, before.1));
}

#[tokio::test]
async fn an_imported_vnc_password_is_kept_anew_at_the_first_right_login_and_goes_on_to_work() {
    let bench = bench("renew", Settings::default());
    let file = UserFile::new(bench.folder.join("users"));
    let kept = || file.load().unwrap().get("carol").unwrap().password.as_ref().unwrap().print().to_string();
    assert_eq!(bench.password("carol", "passwort").await, Turn::Refused);
    assert!(kept().starts_with("vncfile:"));
    for typed in ["password and more", "password"] {
        assert_eq!(bench.password("carol", typed).await, granted("carol", &[], &["userfile"]));
        assert!(kept().starts_with("vnc8:$argon2id$"));
    }
}

#[tokio::test]
async fn both_factors_are_asked_before_either_is_judged_and_a_code_works_once() {
    let settings = Settings { chains: chains(&[&[FactorName::UserFile, FactorName::Totp]]), ..Settings::default() };
    let bench = bench("both", settings);
    assert!(!bench.judge.takes_passwords());
    let code = bench.code(NOW);
    for (password, typed) in [("wrong", code.as_str()), ("wonder", "000000"), ("wrong", "000000"), ("wonder", "")] {
        let (texts, turn) = bench.talk(caller(), "alice", &[password, typed]).await;
        assert_eq!((texts.as_slice(), turn), (["Password".to_owned(), "Code".to_owned()].as_slice(), Turn::Refused));
    }
    let right = granted("alice", &["staff"], &["userfile", "totp"]);
    assert_eq!(bench.talk(caller(), "alice", &["wonder", &code]).await.1, right, "a wrong password spent the code");
    assert_eq!(bench.talk(caller(), "alice", &["wonder", &code]).await.1, Turn::Refused, "replayed");
    bench.clock.store(NOW + 86_400, Ordering::Relaxed);
    assert_eq!(bench.talk(caller(), "alice", &["wonder", &bench.code(NOW + 86_400)]).await.1, right);
    bench.clock.store(NOW, Ordering::Relaxed);
    assert_eq!(bench.talk(caller(), "alice", &["wonder", &code]).await.1, Turn::Refused, "replayed after a jump");
    assert_eq!(
        bench.talk(caller(), "alice", &["wonder", &bench.code(NOW + 30)]).await.1,
        right,
        "locked out by a jump"
    );

    let spare = bench.recovery[0].reveal();
    assert_eq!(bench.talk(caller(), "alice", &["wonder", spare]).await.1, right);
    assert_eq!(bench.talk(caller(), "alice", &["wonder", spare]).await.1, Turn::Refused, "a recovery code twice");
    assert_eq!(bench.talk(caller(), "bob", &["builder", &bench.code(NOW)]).await.1, Turn::Refused, "bob has no codes");
    let mallory = bench.talk(caller(), "mallory", &["malice", &bench.code(NOW)]).await.1;
    assert_eq!(mallory, Turn::Refused, "disabled");
    assert_eq!(bench.password("alice", "wonder").await, Turn::Refused, "a password alone is not enough");
}

#[tokio::test]
async fn the_code_may_follow_the_password_where_the_settings_say_so() {
    let both = [FactorName::UserFile, FactorName::Totp];
    let settings = Settings { chains: chains(&[&both]), append_otp: 6, ..Settings::default() };
    let bench = bench("append", settings);
    assert!(bench.judge.takes_passwords());
    let typed = format!("wonder{}", bench.code(NOW));
    let right = granted("alice", &["staff"], &["userfile", "totp"]);
    assert_eq!(bench.password("alice", &typed).await, right);
    assert_eq!(bench.password("alice", &typed).await, Turn::Refused, "replayed");
    for wrong in ["wonder", "wonder000000", "", "000000"] {
        assert_eq!(bench.password("alice", wrong).await, Turn::Refused, "{wrong}");
    }
}

#[tokio::test]
async fn any_chain_suffices_and_nothing_is_asked_twice() {
    let settings = Settings {
        chains: chains(&[&[FactorName::UserFile, FactorName::Totp], &[FactorName::Session], &[FactorName::UserFile]]),
        ..Settings::default()
    };
    let bench = bench("any", settings);
    let shown = bench.judge.session_password().unwrap().reveal().to_owned();
    let asked = ["Password".to_owned(), "Code".to_owned()];
    let (texts, turn) = bench.talk(caller(), "bob", &[&shown, "000000"]).await;
    assert_eq!((texts.as_slice(), turn), (asked.as_slice(), granted("", &[], &["session"])));
    let (texts, turn) = bench.talk(caller(), "bob", &["builder", "000000"]).await;
    assert_eq!((texts.as_slice(), turn), (asked.as_slice(), granted("bob", &[], &["userfile"])));
    assert_eq!(bench.password("bob", "builder").await, granted("bob", &[], &["userfile"]));
    assert_eq!(bench.password("bob", &shown).await, granted("", &[], &["session"]));
}

#[tokio::test]
async fn two_passwords_of_one_chain_are_two_questions() {
    let both = [FactorName::Session, FactorName::UserFile];
    let bench = bench("two", Settings { chains: chains(&[&both]), ..Settings::default() });
    let shown = bench.judge.session_password().unwrap().reveal().to_owned();
    let (texts, turn) = bench.talk(caller(), "bob", &[&shown, "builder"]).await;
    assert_eq!(texts, ["One-time password", "Password"]);
    assert_eq!(turn, granted("bob", &[], &["session", "userfile"]));
    assert_eq!(bench.talk(caller(), "bob", &["builder", "builder"]).await.1, Turn::Refused);
    assert!(!bench.judge.takes_passwords());
}

#[tokio::test]
async fn a_certificate_asks_nothing_and_has_to_be_the_users() {
    let settings = Settings {
        chains: chains(&[&[FactorName::Certificate], &[FactorName::Certificate, FactorName::UserFile]]),
        ..Settings::default()
    };
    let bench = bench("certificate", settings);
    assert!(bench.judge.wants_certificates() && bench.judge.certificate_suffices());
    let shows = |name: &str| Caller { certificate: Some(name.as_bytes().to_vec()), ..caller() };
    let right = granted("alice", &["staff"], &["certificate"]);
    assert_eq!(bench.talk(shows("alice"), "alice", &[]).await, (vec![], right.clone()));
    assert_eq!(bench.talk(shows("alice"), "", &[]).await, (vec![], right), "no name was said");
    assert_eq!(bench.talk(shows("alice"), "bob", &["builder"]).await.1, Turn::Refused, "somebody else's");
    assert_eq!(bench.talk(shows("mallory"), "mallory", &["malice"]).await.1, Turn::Refused, "disabled");
    assert_eq!(bench.talk(shows(""), "", &["x"]).await.1, Turn::Refused, "a certificate without a name");
    assert_eq!(bench.talk(caller(), "alice", &[]).await, (vec![], Turn::Refused), "none shown");
    let turn = bench.judge.password(shows("bob"), "bob".into(), secret("builder")).await;
    assert_eq!(turn, granted("bob", &[], &["certificate", "userfile"]));
}

#[tokio::test]
async fn a_user_who_is_removed_or_disabled_is_out_at_the_next_login() {
    let bench = bench("removed", Settings::default());
    let file = UserFile::new(bench.folder.join("users"));
    let right = granted("bob", &[], &["userfile"]);
    assert_eq!(bench.password("bob", "builder").await, right);
    disable(&file, "bob", true);
    assert_eq!(bench.password("bob", "builder").await, Turn::Refused);
    disable(&file, "bob", false);
    assert_eq!(bench.password("bob", "builder").await, right);
    file.change(|users| users.remove("bob")).unwrap();
    assert_eq!(bench.password("bob", "builder").await, Turn::Refused);
    std::fs::write(file.path(), "farpane-users 1\nalice nonsense\n").unwrap();
    assert_eq!(bench.password("alice", "wonder").await, Turn::Unavailable, "a broken file says nothing about a proof");
}

#[tokio::test]
async fn replies_that_do_not_fit_end_the_login_and_long_ones_are_wrong() {
    let bench = bench("replies", Settings::default());
    for replies in [vec![], vec![secret("wonder"), secret("wonder")]] {
        let mut login = bench.judge.begin(caller(), "alice".into());
        let first = login.next(Vec::new()).await;
        assert_eq!(first, Turn::Ask(vec![Prompt { text: "Password".into(), kind: PromptKind::Hidden }]));
        assert_eq!(login.next(replies).await, Turn::Refused);
        assert_eq!(login.next(vec![secret("wonder")]).await, Turn::Refused);
    }
    let mut login = bench.judge.begin(caller(), "alice".into());
    assert_eq!(login.next(vec![secret("wonder")]).await, Turn::Refused, "a reply before a question");
    assert_eq!(bench.password("alice", &"x".repeat(1025)).await, Turn::Refused);
}

#[tokio::test]
async fn a_full_queue_says_nothing_about_the_proof() {
    let bench = bench("full", Settings::default());
    let logins = (0..32).map(|_| bench.password("alice", "wonder"));
    let turns = futures_util::future::join_all(logins).await;
    let let_in = turns.iter().filter(|turn| matches!(turn, Turn::Granted(_))).count();
    let unavailable = turns.iter().filter(|turn| **turn == Turn::Unavailable).count();
    // two run and eight wait, all of one network
    assert_eq!((let_in, unavailable), (10, 22));
    assert_eq!(bench.password("alice", "wonder").await, granted("alice", &["staff"], &["userfile"]));
}

#[test]
fn what_no_chain_could_ever_prove_is_said_at_the_start() {
    let users = std::env::temp_dir().join(format!("farpane-judge-{}-lacking", std::process::id()));
    for (chain, says) in [
        ([FactorName::UserFile].as_slice(), "userfile needs a user in"),
        (&[FactorName::UserFile], "`farpane user add NAME`"),
        (&[FactorName::Session, FactorName::Totp], "totp needs a user in"),
        (&[FactorName::Certificate], "certificate needs tls.client_ca"),
        (&[FactorName::Totp], "totp alone"),
        (&[FactorName::System], if cfg!(feature = "pam") { "system needs a process" } else { "not in this build" }),
    ] {
        let settings = Settings { chains: chains(&[chain]), ..Settings::default() };
        let parts = Parts { settings, users: users.clone(), certificates: None, system: None, clock: Arc::new(|| NOW) };
        let said = LocalJudge::new(parts).err().unwrap().to_string();
        assert!(said.contains(says), "{said}");
    }
}
