//! Logins through the encrypted channel.

use super::{connect, password, serve, told};
use farpane_channel::auth::{Answer, PromptKind};
use farpane_test_support::channel::{ChannelLogin, password as said};
use farpane_test_support::{Client, ClientError, PATIENCE, encoding};

#[test]
fn the_password_of_the_run_lets_any_name_in_and_the_picture_comes_through() {
    let server = serve(&[]);
    let login = ChannelLogin::begin(connect(&server), [1; 32], Some(&said("anybody", &password(&server)))).unwrap();
    assert_eq!(login.key.fingerprint().phrase().to_string(), told(&server, "catchphrase"));
    let mut client = Client::proved(login.into_raw(PATIENCE).unwrap()).unwrap();
    client.set_encodings(&[encoding::TIGHT, encoding::CURSOR, encoding::FENCE, encoding::CONTINUOUS_UPDATES]).unwrap();
    client.watch().unwrap();
    let expected = super::scene();
    client.wait_for_picture(&expected).unwrap();
    drop(client);
    server.wait_for_log("client left");
}

#[test]
fn prompts_do_the_same_and_a_wrong_password_is_refused_with_one_reason() {
    let server = serve(&["--security", "channel"]);
    for (password, good) in [(password(&server), true), ("wrong".into(), false)] {
        let mut login = ChannelLogin::begin(connect(&server), [1; 32], None).unwrap();
        login.say(&Answer::Begin { user: "ann".into() }).unwrap();
        let asked = login.asked().unwrap().expect("a prompt");
        assert_eq!(asked.0.iter().map(|prompt| prompt.kind).collect::<Vec<_>>(), [PromptKind::Hidden]);
        login.say(&Answer::Replies(vec![password.into()])).unwrap();
        assert!(login.asked().unwrap().is_none());
        let entered = Client::proved(login.into_raw(PATIENCE).unwrap());
        match entered {
            Ok(_) => assert!(good),
            Err(ClientError::Refused(reason)) => assert_eq!((good, reason.as_str()), (false, "Authentication failed")),
            Err(error) => panic!("{error}"),
        }
    }
    for wrong in [said("", "wrong"), said("root", ""), said("root", &"x".repeat(1024))] {
        let login = ChannelLogin::begin(connect(&server), [1; 32], Some(&wrong)).unwrap();
        let entered = Client::proved(login.into_raw(PATIENCE).unwrap());
        assert!(matches!(entered, Err(ClientError::Refused(reason)) if reason == "Authentication failed"));
    }
}

#[test]
fn the_server_keeps_its_key_and_what_is_no_login_ends_the_connection() {
    let first = serve(&["--security", "channel"]);
    let phrase = told(&first, "catchphrase");
    for wrong in [Answer::Replies(vec![]), Answer::Replies(vec!["x".to_owned().into()])] {
        let mut login = ChannelLogin::begin(connect(&first), [1; 32], Some(&wrong)).unwrap();
        assert!(matches!(login.asked(), Err(ClientError::Closed | ClientError::Io(_))));
    }
    first.wait_for_log("nothing was asked");
    first.stop();
    assert_eq!(told(&serve(&["--security", "channel"]), "catchphrase"), phrase);
}
