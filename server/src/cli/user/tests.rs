use super::*;

struct Desk {
    file: UserFile,
    folder: PathBuf,
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const NOW: u64 = 1_800_000_000;

impl Desk {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("farpane-cli-user-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Desk { file: UserFile::new(folder.join("users")), folder }
    }

    fn run(&self, what: What, typed: &str) -> Result<String, String> {
        let mut out = Vec::new();
        let mut input = typed.as_bytes();
        let done = carry_out(&what, &self.file, &mut Replies::Lines(&mut input), &mut out, NOW);
        done.map(|()| String::from_utf8(out).unwrap()).map_err(|error| format!("{error:#}"))
    }

    fn add(&self, name: &str) {
        let add = What::Add { name: name.into(), groups: vec!["staff".into()] };
        assert_eq!(self.run(add, "correct horse\n").as_deref(), Ok(""));
    }

    fn list(&self) -> String {
        self.run(What::List, "").unwrap()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file.path()).unwrap()
    }
}

#[test]
fn users_are_added_changed_listed_and_removed_without_a_secret_shown() {
    let desk = Desk::new("life");
    assert!(desk.list().contains("no users in"));
    desk.add("alice");
    let first = desk.text();
    assert!(first.contains("alice groups=staff password=$argon2id$") && !first.contains("horse"), "{first}");
    assert_eq!(desk.list(), "alice            password (argon2id); groups staff\n");
    desk.run(What::Passwd { name: "alice".into() }, "battery staple").unwrap();
    assert_ne!(desk.text(), first);
    desk.run(What::Disable { name: "alice".into() }, "").unwrap();
    assert!(desk.list().contains("disabled"));
    desk.run(What::Enable { name: "alice".into() }, "").unwrap();
    assert!(!desk.list().contains("disabled"));
    desk.run(What::Remove { name: "alice".into() }, "").unwrap();
    assert!(desk.list().contains("no users in"));
}

#[test]
fn what_cannot_be_done_says_so_and_changes_nothing() {
    let desk = Desk::new("wrong");
    desk.add("alice");
    let before = desk.text();
    let name = || "bob".to_owned();
    let add = |name: &str| What::Add { name: name.into(), groups: Vec::new() };
    for (what, typed, says) in [
        (add("bob"), "", "no password on stdin"),
        (add("bob"), "short12\n", "password of 7 characters (expected at least 8)"),
        (add("bob"), &"x".repeat(1025) as &str, "more than 1024 bytes"),
        (add("alice"), "correct horse\n", "user alice: is in the file; `farpane user passwd alice`"),
        (add("b b"), "correct horse\n", "user name \"b b\""),
        (What::Add { name: name(), groups: vec!["a b".into()] }, "correct horse\n", "group name \"a b\""),
        (What::Passwd { name: name() }, "correct horse\n", "user bob: not in the file"),
        (What::Totp { name: name(), sha256: false }, "000000\n", "user bob: not in the file"),
        (What::Remove { name: name() }, "", "user bob: not in the file"),
        (What::Disable { name: name() }, "", "user bob: not in the file"),
        (What::Totp { name: "alice".into(), sha256: false }, "00000a\n", "nothing was changed"),
    ] {
        let said = desk.run(what, typed).unwrap_err();
        assert!(said.contains(says), "{said}");
        assert!(!said.contains("horse"), "{said}");
    }
    assert_eq!(desk.text(), before);
}

/// Types the code of the secret that is shown.
struct App<'a> {
    shown: &'a std::cell::RefCell<Vec<u8>>,
    line: Vec<u8>,
}

impl io::Read for App<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = io::Read::read(&mut self.fill_buf()?, into)?;
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for App<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.line.is_empty() {
            let shown = String::from_utf8(self.shown.borrow().clone()).unwrap();
            let secret = shown.split("secret=").nth(1).unwrap().get(..32).unwrap();
            let seed = Seed::from_base32(secret, CodeHash::Sha1).unwrap();
            self.line = format!("{}\n", seed.code(NOW)).into_bytes();
        }
        Ok(&self.line)
    }

    fn consume(&mut self, n: usize) {
        self.line.drain(..n);
    }
}

struct Screen<'a>(&'a std::cell::RefCell<Vec<u8>>);

impl Write for Screen<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn codes_are_set_up_once_one_is_shown_to_work_and_that_one_is_spent() {
    let desk = Desk::new("totp");
    desk.add("alice");
    let shown = std::cell::RefCell::new(Vec::new());
    let mut app = App { shown: &shown, line: Vec::new() };
    let what = What::Totp { name: "alice".into(), sha256: false };
    carry_out(&what, &desk.file, &mut Replies::Lines(&mut app), &mut Screen(&shown), NOW).unwrap();
    let shown = String::from_utf8(shown.into_inner()).unwrap();
    assert!(shown.contains("otpauth://totp/farpane:alice?secret="), "{shown}");
    let spare: Vec<&str> = shown.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(spare.len(), 10, "{shown}");
    let users = desk.file.load().unwrap();
    let alice = users.get("alice").unwrap();
    assert!(alice.seed.is_some() && alice.used.contains(NOW / 30) && !alice.used.contains(NOW / 30 + 1));
    assert!(spare.iter().all(|code| alice.recovery.find(code).is_some() && !desk.text().contains(code)));
    let list = desk.list();
    assert!(list.contains("codes (sha1), 10 recovery codes left"), "{list}");
    assert!(!list.contains(alice.seed.as_ref().unwrap().base32().reveal()), "{list}");
}

#[test]
fn users_of_other_programs_are_imported_whole_or_not_at_all() {
    let desk = Desk::new("import");
    desk.add("alice");
    let from = desk.folder.join("from");
    let import = |bytes: &[u8], name: Option<&str>| {
        std::fs::write(&from, bytes).unwrap();
        desk.run(What::Import { from: from.clone(), name: name.map(str::to_owned) }, "")
    };
    let bcrypt = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    let before = desk.text();
    for (bytes, name, says) in [
        (format!("bob:{bcrypt}\nalice:{bcrypt}\n"), None, "user alice: is in the file"),
        (format!("bob:{bcrypt}\ncarol:$apr1$x$y\n"), None, "line 2: user carol has no bcrypt hash"),
        (format!("bob:{bcrypt}\ncarol\n"), None, "line 2: no NAME:BCRYPT"),
        (format!("b b:{bcrypt}\n"), None, "line 1: user name"),
        (format!("bob:{bcrypt}\n"), Some("bob"), "no VNC password file"),
        ("12345678".to_owned(), None, "expected --name NAME"),
    ] {
        let said = import(bytes.as_bytes(), name).unwrap_err();
        assert!(said.contains(says), "{said}");
        assert_eq!(desk.text(), before, "{said}");
    }
    let said = import(format!("# of httpd\n\nbob:{bcrypt}\n").as_bytes(), None).unwrap();
    assert_eq!(said, "imported: bob\n");
    let said =
        import(&[0xdb, 0xd8, 0x3c, 0xfd, 0x72, 0x7a, 0x14, 0x58, 1, 2, 3, 4, 5, 6, 7, 8], Some("carol")).unwrap();
    assert!(
        said.contains("only the first 8 bytes count") && said.contains("view-only password was left out"),
        "{said}"
    );
    let list = desk.list();
    assert!(list.contains("bob              password (bcrypt)") && list.contains("VNC file, weak"), "{list}");
}
