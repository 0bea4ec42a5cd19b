//! Stacks of real PAM modules.

use std::fs;

use farpane_pam::{Message, PamError, Request, Style, Verdict, login};
use farpane_test_support::pam::{Stack, has_matrix};
use zeroize::Zeroizing;

struct Folder(Stack);

impl Folder {
    fn new(name: &str, lines: &str) -> Self {
        Folder(Stack::new(name, lines))
    }

    fn login(&self, user: Option<&str>, replies: &[&str]) -> (Result<Verdict, PamError>, Vec<Message>) {
        let mut said = Vec::new();
        let mut replies = replies.iter();
        let request = Request {
            service: "farpane",
            user,
            rhost: Some("192.0.2.7"),
            tty: Some("farpane"),
            folder: Some(self.0.path()),
        };
        let verdict = login(request, &mut |messages| {
            said.extend_from_slice(messages);
            let asking = messages.iter().filter(|m| m.style.asks());
            asking.map(|_| replies.next().map(|r| Zeroizing::new((*r).to_owned()))).collect()
        });
        (verdict, said)
    }
}

fn granted(user: &str) -> Verdict {
    Verdict::Granted { user: user.into() }
}

#[test]
fn the_right_password_is_granted_and_a_wrong_one_is_refused_with_code_7() {
    if !has_matrix() {
        return;
    }
    let folder =
        Folder::new("matrix", "auth required MATRIX passdb=DB/users\naccount required MATRIX passdb=DB/users\n");
    let (verdict, said) = folder.login(Some("alice"), &["secret"]);
    assert_eq!(verdict.unwrap(), granted("alice"));
    assert_eq!(said.iter().map(|m| m.style).collect::<Vec<_>>(), [Style::Hidden]);
    for (user, wrong) in [("alice", "Secret"), ("alice", ""), ("bob", "secret")] {
        assert_eq!(folder.login(Some(user), &[wrong]).0.unwrap(), Verdict::Refused(7), "{user}");
    }
    assert!(matches!(folder.login(Some("nobody"), &["secret"]).0.unwrap(), Verdict::Refused(7 | 10)));
    let (other, _) = folder.login(Some("bob"), &["builder"]);
    assert!(matches!(other.unwrap(), Verdict::Refused(_)), "the right password and another service's account");
}

#[test]
fn a_stack_with_two_questions_needs_both() {
    if !has_matrix() {
        return;
    }
    let folder = Folder::new(
        "two",
        "auth required MATRIX passdb=DB/users\nauth required MATRIX passdb=DB/more echo\naccount required pam_permit.so\n",
    );
    let (verdict, said) = folder.login(Some("alice"), &["secret", "second"]);
    assert_eq!(verdict.unwrap(), granted("alice"));
    assert_eq!(said.iter().map(|m| m.style).collect::<Vec<_>>(), [Style::Hidden, Style::Visible]);
    for wrong in [["secret", "secret"], ["second", "second"]] {
        assert_eq!(folder.login(Some("alice"), &wrong).0.unwrap(), Verdict::Refused(7));
    }
    let (left, _) = folder.login(Some("alice"), &["secret"]);
    assert!(matches!(left.unwrap(), Verdict::Refused(_)), "who leaves at the second question");
}

#[test]
fn what_modules_only_say_reaches_the_conversation() {
    if !has_matrix() {
        return;
    }
    let folder = Folder::new(
        "verbose",
        "auth required CHATTY num_lines=2 info error\nauth required pam_permit.so\naccount required pam_permit.so\n",
    );
    let (verdict, said) = folder.login(Some("alice"), &[]);
    assert_eq!(verdict.unwrap(), granted("alice"));
    let styles: Vec<Style> = said.iter().map(|m| m.style).collect();
    assert!(styles.contains(&Style::Info) && styles.contains(&Style::Error), "{said:?}");
}

#[test]
fn permit_deny_and_an_expired_account_are_what_they_say() {
    let folder = Folder::new("permit", "auth required pam_permit.so\naccount required pam_permit.so\n");
    assert_eq!(folder.login(Some("alice"), &[]).0.unwrap(), granted("alice"));
    folder.0.write("auth required pam_deny.so\naccount required pam_permit.so\n");
    assert_eq!(folder.login(Some("alice"), &[]).0.unwrap(), Verdict::Refused(7));
    folder.0.write("auth required pam_permit.so\naccount required pam_debug.so acct=acct_expired\n");
    assert_eq!(folder.login(Some("alice"), &[]).0.unwrap(), Verdict::Refused(13));
    folder.0.write("auth required pam_permit.so\naccount required pam_debug.so acct=new_authtok_reqd\n");
    assert_eq!(folder.login(Some("alice"), &[]).0.unwrap(), Verdict::Refused(12), "a password that has to be changed");
}

#[test]
fn a_module_that_cannot_get_at_a_user_refuses_like_any_other() {
    let folder =
        Folder::new("unavail", "auth required pam_debug.so auth=authinfo_unavail\naccount required pam_permit.so\n");
    assert_eq!(folder.login(Some("alice"), &[]).0.unwrap(), Verdict::Refused(9));
}

#[test]
fn what_pam_cannot_judge_is_an_error_and_no_verdict() {
    let folder = Folder::new("broken", "auth required pam_no_such_module.so\naccount required pam_permit.so\n");
    assert!(matches!(folder.login(Some("alice"), &[]).0, Err(PamError::Broken { .. })));
    fs::remove_file(folder.0.path().join("farpane")).unwrap();
    assert!(matches!(folder.login(Some("alice"), &[]).0, Err(PamError::Broken { .. })), "no service file");
    assert!(matches!(folder.login(Some("al\0ice"), &[]).0, Err(PamError::Nul("user"))));
}

#[test]
fn a_conversation_that_misbehaves_or_panics_ends_the_login() {
    if !has_matrix() {
        return;
    }
    let folder = Folder::new("panic", "auth required MATRIX passdb=DB/users\naccount required pam_permit.so\n");
    let request =
        Request { service: "farpane", user: Some("alice"), rhost: None, tty: None, folder: Some(folder.0.path()) };
    let secret = || Zeroizing::new("secret".to_owned());
    let two = login(request, &mut |_| Some(vec![secret(), secret()]));
    assert!(matches!(two.unwrap(), Verdict::Refused(_)), "a reply too many");
    let nul = login(request, &mut |_| Some(vec![Zeroizing::new("sec\0ret".to_owned())]));
    assert!(matches!(nul.unwrap(), Verdict::Refused(_)), "a reply that C cannot say");
    let panics = login(request, &mut |_| panic!("planted"));
    assert!(matches!(panics.unwrap(), Verdict::Refused(_)), "a panic");
}
