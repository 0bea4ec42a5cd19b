//! Logins as today's viewers make them: TLS with a certificate, RSA-AES, and both kinds of browsers' logins inside wss.

use super::{choose, connect, password, rsa_login, scene, serve, state, told};
use farpane_test_support::{Client, ClientError, PATIENCE, Raw, Tls, encoding, rsa_aes};

/// VeNCrypt's number among the security types.
const VENCRYPT: u8 = 19;
/// VeNCrypt's Plain.
const PLAIN: u32 = 256;

/// What trusts the servers' own certificate, which the first of them has made.
fn trust() -> Tls {
    Tls::new(&state().join("tls.crt"), "127.0.0.1", None).expect("the server's own certificate")
}

fn shows_the_scene(raw: Raw) {
    let mut client = Client::proved(raw).expect("let in");
    client.set_encodings(&[encoding::ZRLE, encoding::CURSOR]).expect("a list");
    client.watch().expect("a request");
    client.wait_for_picture(&scene()).expect("the scene");
}

fn is_refused(raw: Raw) {
    let refused = Client::proved(raw).expect_err("refused");
    assert!(matches!(&refused, ClientError::Refused(reason) if reason == "Authentication failed"), "{refused}");
}

#[test]
fn x509plain_lets_in_by_the_servers_own_certificate_and_refuses_a_wrong_password() {
    let server = serve(&[]);
    let tls = trust();
    for (password, good) in [(password(&server), true), ("wrong".to_owned(), false)] {
        let mut raw = choose(connect(&server), VENCRYPT);
        raw.x509_plain(&tls, "ann", &password).expect("TLS");
        if good { shows_the_scene(raw) } else { is_refused(raw) }
    }
}

#[test]
fn ra2_256_lets_in_and_refuses_a_wrong_password() {
    let server = serve(&[]);
    let (raw, shown) = rsa_login(&server, "ann", &password(&server));
    assert_eq!(shown.fingerprint, told(&server, "RSA key"));
    shows_the_scene(raw);
    let (raw, _) = rsa_login(&server, "ann", "wrong");
    is_refused(raw);
}

#[test]
fn inside_wss_browsers_log_in_by_ra2ne_or_plain() {
    let server = serve(&["--listen", "wss:127.0.0.1:0"]);
    let tls = trust();
    let listener = server.listeners().into_iter().find(|l| l.starts_with("wss:")).expect("a listener");
    let connect = || Raw::connect_websocket(&listener, Some(&tls), PATIENCE).expect("a connection");
    let mut raw = connect();
    raw.versions("RFB 003.008\n").expect("versions");
    assert_eq!(raw.security_types().expect("types"), [70, 6, 19]);
    drop(raw);
    let (raw, _) = rsa_aes::log_in(connect(), 6, "ann", &password(&server), PATIENCE).expect("a login");
    shows_the_scene(raw);
    let mut raw = choose(connect(), VENCRYPT);
    assert_eq!(raw.vencrypt_offer().expect("subtypes"), [PLAIN]);
    raw.vencrypt_choose(PLAIN).expect("Plain");
    raw.plain("ann", &password(&server)).expect("a login");
    shows_the_scene(raw);
}
