//! The server's certificate: its own and the administrator's, good ones and bad ones.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use farpane_server::security::tls::{CertificateError, CertificateSource, Files, Purpose, Settings, own_names};
use farpane_test_support::openssl::{Ca, Folder, Pair, openssl};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{client, days, end, now, one, open, own, raw, runtime};

fn given(pair: &Pair) -> Settings {
    Settings { certificate: Some(pair.certificate.clone()), key: Some(pair.key.clone()), ..Settings::default() }
}

fn said(settings: Settings) -> String {
    let state = Folder::new("state");
    let error = open(state.path(), settings).unwrap_err();
    error.to_string()
}

#[test]
fn its_own_certificate_is_made_once_and_as_openssl_sees_it() {
    let state = Folder::new("state");
    let (store, file, _) = own(state.path(), Settings::default());
    let mode = |name: &str| std::fs::metadata(state.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("tls.key"), mode("tls.crt")), (0o600, 0o600));
    let path = file.to_str().unwrap();
    let text = |arguments: &[&str]| {
        let output = openssl(state.path(), &[&["x509", "-in", path, "-noout"], arguments].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = text(&["-fingerprint", "-sha256"]);
    assert_eq!(printed.trim().split_once('=').unwrap().1, store.facts().sha256);
    let ext = text(&["-text"]);
    for part in [
        "DNS:desk.example",
        "DNS:localhost",
        "IP Address:127.0.0.1",
        "IP Address:0:0:0:0:0:0:0:1",
        "prime256v1",
        "TLS Web Server Authentication",
        "CA:FALSE",
        "CN = desk.example",
    ] {
        assert!(ext.contains(part), "{part} in {ext}");
    }
    let openssl_fine =
        |seconds: &str| openssl(state.path(), &["x509", "-in", path, "-noout", "-checkend", seconds]).status.success();
    assert!(openssl_fine("315000000") && !openssl_fine("316000000"), "ten years");

    let again = open(state.path(), Settings::default()).unwrap();
    assert_eq!(again.facts(), store.facts());
    std::fs::remove_file(&file).unwrap();
    let renewed = open(state.path(), Settings::default()).unwrap();
    assert_ne!(renewed.facts().sha256, store.facts().sha256);
    assert_eq!(renewed.facts().key, store.facts().key, "the key stays, and so do its six words");
}

#[test]
fn its_own_certificate_is_renewed_when_it_has_expired_and_keeps_its_words() {
    let state = Folder::new("state");
    let (store, file, _) = own(state.path(), Settings::default());
    let source = Files::new(Settings::default(), state.path().to_owned(), own_names("desk.example", []));
    source.load(now() + days(3000)).unwrap();
    let before = std::fs::read(&file).unwrap();
    source.load(now() + days(4000)).unwrap();
    assert_ne!(std::fs::read(&file).unwrap(), before);
    let error = store.reload(now()).unwrap_err().to_string();
    assert!(error.contains("not valid before") && error.ends_with("the certificate in use stays"), "{error}");
}

#[test]
fn names_are_of_the_host_and_of_addresses_that_can_be_named() {
    let listeners = ["0.0.0.0:5900", "192.0.2.7:5900", "wss:[2001:db8::7]:5980", "unix:/x", "[::]:1", "127.0.0.1:2"]
        .map(|text| text.parse().unwrap());
    let names = own_names("desk", &listeners);
    assert_eq!(names, ["localhost", "127.0.0.1", "::1", "desk", "192.0.2.7", "2001:db8::7"]);
    assert_eq!(own_names("", []).len(), 3);
}

#[test]
fn a_key_without_its_certificate_is_used_and_a_certificate_without_its_key_is_not() {
    let state = Folder::new("state");
    own(state.path(), Settings::default());
    std::fs::remove_file(state.path().join("tls.key")).unwrap();
    let error = open(state.path(), Settings::default()).unwrap_err().to_string();
    assert!(error.contains("tls.key: missing beside") && error.contains("put it back"), "{error}");
}

#[test]
fn every_form_of_the_administrators_key_is_taken() {
    let ca = Ca::new("Server CA");
    let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let (ec, rsa) = (ca.issue("desk", "server", &[]), ca.issue_with("desk", "server", &rsa, &[]));
    let ed = ca.issue_with("desk", "server", &["-algorithm", "ED25519"], &[]);
    let convert = |pair: &Pair, program: &str| {
        let key = ca.folder().join(format!("{program}.converted"));
        let [from, to] = [&pair.key, &key].map(|path| path.to_str().unwrap());
        assert!(openssl(ca.folder(), &[program, "-in", from, "-out", to, "-traditional"]).status.success());
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        Pair { certificate: pair.certificate.clone(), key }
    };
    let pairs = [
        (convert(&rsa, "rsa"), "RSA PRIVATE KEY"),
        (rsa, "BEGIN PRIVATE KEY"),
        (convert_ec(&ca, &ec), "EC PRIVATE KEY"),
        (ec, "BEGIN PRIVATE KEY"),
        (ed, "BEGIN PRIVATE KEY"),
    ];
    for (pair, form) in pairs {
        assert!(std::fs::read_to_string(&pair.key).unwrap().contains(form));
        let state = Folder::new("state");
        let store = open(state.path(), given(&pair)).unwrap();
        let runtime = runtime();
        let (address, serving) =
            one(&runtime, move |t| async move { store.accept(t, Purpose::VeNCrypt("x509plain")).await });
        let mut raw = raw(address);
        raw.start_tls(&client(&ca.certificate(), None)).unwrap();
        assert!(end(&runtime, serving).unwrap().info().encrypted, "{form}");
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0, "none of its own is made");
    }
}

fn convert_ec(ca: &Ca, pair: &Pair) -> Pair {
    let key = ca.folder().join("sec1");
    let [from, to] = [&pair.key, &key].map(|path| path.to_str().unwrap());
    assert!(openssl(ca.folder(), &["ec", "-in", from, "-out", to]).status.success());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    Pair { certificate: pair.certificate.clone(), key }
}

fn file(folder: &Path, name: &str, text: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn what_is_wrong_with_the_administrators_files_is_said_with_their_names() {
    let ca = Ca::new("Server CA");
    let good = ca.issue("desk", "server", &[]);
    let other = ca.issue("desk", "server", &[]);
    let old = ca.issue("desk", "server", &["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"]);
    let early = ca.issue("desk", "server", &["-startdate", "20990101000000Z", "-enddate", "20990201000000Z"]);
    let folder = ca.folder();
    let with = |pair: &Pair, key: &Path| Pair { key: key.to_owned(), ..pair.clone() };
    let chain = |pair: &Pair, certificate: &Path| Pair { certificate: certificate.to_owned(), ..pair.clone() };
    let pem = std::fs::read_to_string(&good.certificate).unwrap();
    let broken = pem.replacen('M', "!", 3);
    let key = std::fs::read_to_string(&good.key).unwrap();
    let locked = folder.join("locked");
    let path = good.key.to_str().unwrap();
    let lock = ["pkey", "-in", path, "-aes256", "-passout", "pass:x", "-out", locked.to_str().unwrap()];
    assert!(openssl(folder, &lock).status.success());
    for (pair, name, says) in [
        (with(&good, &other.key), ".key", "is not the key of"),
        (old, ".pem", "expired on"),
        (early, ".pem", "not valid before"),
        (with(&good, &folder.join("none")), "none", "no such file; check key in [tls]"),
        (chain(&good, &folder.join("none")), "none", "no such file; check certificate in [tls]"),
        (with(&good, &locked), "locked", "without a passphrase"),
        (with(&good, &file(folder, "empty", b"")), "empty", "no private key in it"),
        (with(&good, &file(folder, "cut", &key.as_bytes()[..60])), "cut", "no private key in it"),
        (chain(&good, &file(folder, "nothing", b"hello\n")), "nothing", "no certificate in it"),
        (chain(&good, &file(folder, "broken", broken.as_bytes())), "broken", "damaged"),
        (chain(&good, &file(folder, "large", &vec![b'x'; (1 << 20) + 1])), "large", "more than 1048576 bytes"),
        (chain(&good, folder), "", "check its path and rights"),
        (chain(&good, &ca.certificate()), "ca.pem", "is not the key of"),
    ] {
        let said = said(given(&pair));
        assert!(said.contains(says) && said.contains(name), "{says}: {said}");
    }
    std::fs::set_permissions(&good.key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let said = said(given(&good));
    assert!(said.contains("lets others at it") && said.contains("chmod 600"), "{said}");
    let source = Files::new(given(&good), folder.to_owned(), Vec::new());
    assert!(matches!(source.load(now()), Err(CertificateError::Private(_))));
}

#[test]
fn a_reload_changes_the_certificate_for_newcomers_and_leaves_the_others_alone() {
    let ca = Ca::new("Server CA");
    let (first, second) = (ca.issue("desk", "server", &[]), ca.issue("desk", "server", &[]));
    let live = Pair { certificate: ca.folder().join("live.pem"), key: ca.folder().join("live.key") };
    let put = |pair: &Pair| {
        std::fs::copy(&pair.certificate, &live.certificate).unwrap();
        std::fs::copy(&pair.key, &live.key).unwrap();
    };
    put(&first);
    let state = Folder::new("state");
    let store = open(state.path(), given(&live)).unwrap();
    let tls = client(&ca.certificate(), None);
    let runtime = runtime();
    let connect = || {
        let serving = std::sync::Arc::clone(&store);
        let (address, task) =
            one(&runtime, move |t| async move { serving.accept(t, Purpose::VeNCrypt("x509plain")).await });
        let mut raw = raw(address);
        let facts = raw.start_tls(&tls).unwrap();
        (raw, end(&runtime, task).unwrap(), facts)
    };
    let (mut old, mut transport, before) = connect();

    put(&second);
    let facts = store.reload(now()).unwrap();
    let (_, _, after) = connect();
    assert_ne!(before.certificate, after.certificate);
    assert_eq!(store.facts(), facts);

    std::fs::write(&live.certificate, "gone").unwrap();
    let error = store.reload(now()).unwrap_err().to_string();
    assert!(error.contains("live.pem") && error.ends_with("the certificate in use stays"), "{error}");
    assert_eq!(connect().2.certificate, after.certificate);

    old.send(b"ping").unwrap();
    let mut four = [0; 4];
    runtime.block_on(transport.read_exact(&mut four)).unwrap();
    runtime.block_on(async {
        transport.write_all(b"pong").await.unwrap();
        transport.flush().await.unwrap();
    });
    assert_eq!((&four, &old.read(4).unwrap()[..]), (b"ping", &b"pong"[..]));
}
