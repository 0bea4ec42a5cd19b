use super::*;
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;

use crate::auth::totp::CodeHash;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlzLg$Ru0AHo4h3MAbqFLuQwUQ8Mcs4AEbcBuTHF9jbXuS2pU";

fn scratch(name: &str) -> UserFile {
    let folder = std::env::temp_dir().join(format!("farpane-users-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    UserFile::new(folder.join("users"))
}

fn gone(file: &UserFile) {
    std::fs::remove_dir_all(file.path().parent().unwrap()).unwrap();
}

fn text(bytes: &str) -> Result<Users, String> {
    parse(bytes.as_bytes()).map_err(|error| error.to_string())
}

#[test]
fn a_file_reads_back_with_its_comments() {
    let seed = Seed::generate(CodeHash::Sha256).unwrap();
    let (_, recovery) = Recovery::generate().unwrap();
    let written = format!(
        "farpane-users 1\n# who is who\n\nalice groups=staff,admin password={HASH} totp=sha256:{} used=5,7,9 recovery={}\nbob disabled\n",
        seed.base32().reveal(),
        recovery.print()
    );
    let users = text(&written).unwrap();
    assert_eq!(*users.print(), written);
    let alice = users.get("alice").unwrap();
    assert_eq!(alice.groups, ["staff", "admin"]);
    assert!(alice.used.contains(7) && !alice.used.contains(8) && alice.recovery.left() == 10);
    assert!(users.get("bob").unwrap().disabled && users.get("carol").is_none());
    assert_eq!(users.costs(), [Cost::OWN]);
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_what_to_do() {
    for (body, says) in [
        ("", "line 1: no user file"),
        ("farpane-users 2\n", "line 1: \"farpane-users 2\" is of another version"),
        ("[users]\n", "line 1: no user file"),
        ("farpane-users 1\nalice\n#\nalice\n", "line 4: user alice stands here again"),
        ("farpane-users 1\nalice password=plain\n", "line 2: user alice: password of an unknown kind"),
        ("farpane-users 1\nalice password=plain\n", "`farpane user passwd alice`"),
        ("farpane-users 1\nalice pasword=x\n", "line 2: user alice: unknown word \"pasword\""),
        ("farpane-users 1\nalice disabled disabled\n", "line 2: user alice: disabled stands twice"),
        ("farpane-users 1\nalice disabled=no\n", "unknown word \"disabled\""),
        ("farpane-users 1\nalice groups=a,,b\n", "line 2: group name \"\""),
        ("farpane-users 1\nalice totp=sha1:short\n", "`farpane user totp alice`"),
        ("farpane-users 1\nalice used=9,7\n", "used is damaged"),
        ("farpane-users 1\nalice recovery=xx\n", "recovery is damaged"),
        ("farpane-users 1\na,b\n", "line 2: user name \"a,b\""),
    ] {
        let said = text(body).err().expect(body);
        assert!(said.contains(says), "{said}");
    }
    let said = parse(b"farpane-users 1\nalice\nb\xffb\n").err().unwrap().to_string();
    assert!(said.contains("line 3: not UTF-8"), "{said}");
    let said = text("farpane-users 1\nalice hunter2=x totp=hunter2 password=hunter2\n").err().unwrap();
    assert!(!said.contains("=x"), "{said}");
}

#[test]
fn an_error_never_shows_a_password() {
    for body in ["alice password=hunter2", "alice totp=hunter2", "alice recovery=hunter2", "alice used=hunter2"] {
        let said = text(&format!("farpane-users 1\n{body}\n")).err().unwrap();
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_change_is_private_whole_and_seen_by_those_who_have_the_file_open() {
    let file = scratch("change");
    assert_eq!(file.load().unwrap().iter().count(), 0, "no file is nobody");
    file.change(|users| users.add(User::named("alice")?)).unwrap();
    assert_eq!(std::fs::metadata(file.path()).unwrap().permissions().mode() & 0o7777, 0o600);
    let other = UserFile::new(file.path().to_owned());
    assert!(other.load().unwrap().get("alice").is_some());
    file.change(|users| users.add(User::named("bob")?)).unwrap();
    assert!(other.load().unwrap().get("bob").is_some(), "read again");
    assert!(Arc::ptr_eq(&other.load().unwrap(), &other.load().unwrap()), "and only when it changed");

    let said = file.change(|users| users.add(User::named("bob")?)).err().unwrap();
    assert!(matches!(said, UserFileError::Exists(_)), "{said}");
    file.change(|users| users.remove("alice")).unwrap();
    assert!(matches!(file.change(|users| users.remove("alice")), Err(UserFileError::Unknown(_))));
    assert_eq!(other.load().unwrap().iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["bob"]);
    gone(&file);
}

#[test]
fn a_file_that_others_read_or_that_is_wrong_is_refused_and_left_alone() {
    let file = scratch("refused");
    file.change(|users| users.add(User::named("alice")?)).unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = file.load().err().unwrap().to_string();
    assert!(said.contains("chmod 600"), "{said}");
    assert!(file.change(|users| users.remove("alice")).is_err());
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(file.path(), "farpane-users 1\nalice nonsense\n").unwrap();
    let said = file.load().err().unwrap().to_string();
    assert!(said.contains("users, line 2: user alice"), "{said}");
    assert!(file.change(|users| users.add(User::named("bob")?)).is_err());
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "farpane-users 1\nalice nonsense\n");
    gone(&file);
}

#[test]
fn many_who_change_it_at_once_lose_nothing() {
    let file = scratch("at-once");
    let path = file.path().to_owned();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let path = path.clone();
            scope.spawn(move || {
                for m in 0..5 {
                    UserFile::new(path.clone()).change(|users| users.add(User::named(&format!("u{n}-{m}"))?)).unwrap();
                }
            });
        }
    });
    assert_eq!(file.load().unwrap().iter().count(), 40);
    gone(&file);
}

#[test]
fn a_code_is_spent_once_however_many_try_at_once() {
    let file = scratch("spend");
    let (_, recovery) = Recovery::generate().unwrap();
    let (texts, mine) = Recovery::generate().unwrap();
    let hash = mine.find(texts[0].reveal()).unwrap();
    file.change(|users| users.add(User { recovery: mine, ..User::named("alice")? })).unwrap();
    file.change(|users| users.add(User { recovery, ..User::named("bob")? })).unwrap();
    for spending in [Spending::Step(57_000_000), Spending::Recovery(hash)] {
        let won: usize = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..6)
                .map(|_| scope.spawn(|| usize::from(file.spend("alice", std::slice::from_ref(&spending)).is_ok())))
                .collect();
            tries.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
    }
    assert!(file.spend("bob", &[Spending::Recovery(hash)]).is_err(), "another user's code");
    assert_eq!(file.load().unwrap().get("bob").unwrap().recovery.left(), 10);
    file.change(|users| users.get_mut("bob").map(|user| user.disabled = true)).unwrap();
    assert!(file.spend("bob", &[Spending::Step(1)]).is_err(), "disabled meanwhile");
    gone(&file);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_are_read_or_refused_and_what_is_read_prints_the_same(
        body in prop::collection::vec(prop::sample::select(vec![
            "alice", "bob", " ", "\n", "#", "=", ",", "groups=", "disabled", "password=", HASH, "totp=sha1:", "used=1,2",
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "recovery=", "\t", "\u{a0}", "\r",
        ]), 0..24),
    ) {
        let written = format!("farpane-users 1\n{}", body.concat());
        if let Ok(users) = parse(written.as_bytes()) {
            let printed = users.print();
            let again = parse(printed.as_bytes()).expect("what was printed can be read");
            prop_assert_eq!(&*again.print(), &*printed);
        }
    }
}
