//! Logins through PAM of a server that is shut in: the module runs in a process of a process of a process.

use farpane_channel::auth::{Answer, PromptKind};
use farpane_test_support::channel::ChannelLogin;
use farpane_test_support::pam::{Stack, has_matrix};

use super::*;

fn desk(stack: &Stack, security: &str) -> Desk {
    let config = format!(
        "[auth]\nchains = [[\"system\"]]\npam_folder = \"{}\"\n[permissions.users.alice]\nallow = [\"all\"]\n",
        stack.path().display()
    );
    Desk::new(&config, &["--security", security])
}

#[test]
fn x509plain_asks_pam_about_name_and_password() {
    if !has_matrix() {
        return;
    }
    let stack = Stack::new("plain", "auth required MATRIX passdb=DB/users\naccount required MATRIX passdb=DB/users\n");
    let desk = desk(&stack, "x509plain");
    let tls = desk.trust();
    goes_on(&mut desk.log_in(&tls, "alice", "secret").expect("is let in"));
    for (user, password) in [("alice", "Secret"), ("alice", ""), ("bob", "builder"), ("nobody", "secret")] {
        let refused = desk.log_in(&tls, user, password);
        assert!(
            matches!(&refused, Err(ClientError::Refused(why)) if why == "Authentication failed"),
            "{:?}",
            refused.err()
        );
    }
    goes_on(&mut desk.log_in(&tls, "alice", "secret").expect("is let in again"));
    let keys = helper(desk.server.pid(), "farpane-auth").expect("is there");
    until("no process of PAM is left", || helper(keys, "farpane").is_none());
}

#[test]
fn the_channel_shows_both_questions_of_a_stack_and_needs_both_answers() {
    if !has_matrix() {
        return;
    }
    let lines = "auth required MATRIX passdb=DB/users\nauth required MATRIX passdb=DB/more echo\naccount required pam_permit.so\n";
    let stack = Stack::new("two", lines);
    let desk = desk(&stack, "channel");
    for (replies, good) in [(["secret", "second"], true), (["secret", "secret"], false), (["wrong", "second"], false)] {
        let raw = Raw::connect(&desk.server.listener(), PATIENCE).expect("a connection");
        let mut login = ChannelLogin::begin(raw, [1; 32], None).expect("a channel");
        login.say(&Answer::Begin { user: "alice".into() }).expect("says");
        let mut kinds = Vec::new();
        for reply in replies {
            let Some(asked) = login.asked().expect("a turn") else { break };
            kinds.extend(asked.0.iter().map(|prompt| prompt.kind));
            login.say(&Answer::Replies(vec![reply.to_owned().into()])).expect("says");
        }
        assert!(login.asked().expect("the end").is_none());
        assert!(kinds.starts_with(&[PromptKind::Hidden]), "{kinds:?}");
        match Client::proved(login.into_raw(PATIENCE).expect("a connection")) {
            Ok(mut client) => {
                assert!(good && kinds == [PromptKind::Hidden, PromptKind::Visible], "{replies:?} {kinds:?}");
                goes_on(&mut client);
            }
            Err(ClientError::Refused(why)) => assert_eq!((good, why.as_str()), (false, "Authentication failed")),
            Err(error) => panic!("{replies:?}: {error}"),
        }
    }
}
