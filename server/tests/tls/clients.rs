//! Certificates of clients, good ones and bad ones.

use std::sync::Arc;

use farpane_server::net::Transport;
use farpane_server::security::tls::identity::NameField;
use farpane_server::security::tls::{CertificateStore, ClientCertificates, Purpose, Settings, TlsError};
use farpane_test_support::openssl::{Ca, Folder, Pair, openssl};

use super::{client, end, now, one, open, own, raw, runtime};

fn demanding(ca: &Ca) -> Settings {
    Settings {
        client_certificates: ClientCertificates::Demanded,
        client_ca: Some(ca.certificate()),
        ..Settings::default()
    }
}

/// A client with this certificate comes; what became of it at the server, and whether it could go on.
fn come(store: &Arc<CertificateStore>, state: &Folder, pair: Option<&Pair>) -> (Result<Transport, TlsError>, bool) {
    let runtime = runtime();
    let serving = Arc::clone(store);
    let (address, task) =
        one(&runtime, move |t| async move { serving.accept(t, Purpose::VeNCrypt("x509plain")).await });
    let tls = client(&state.path().join("tls.crt"), pair.and_then(Pair::both));
    let mut raw = raw(address);
    let started = raw.start_tls(&tls);
    let result = end(&runtime, task);
    if let Ok(transport) = &result {
        assert_eq!(transport.info().channel_binding.as_deref(), started.as_ref().ok().map(|f| &f.binding[..]));
        return (result, started.is_ok());
    }
    // in TLS 1.3 the client learns what the server thinks of its certificate by its first read
    let told = raw.read(1).is_ok();
    (result, told)
}

#[test]
fn only_good_certificates_get_in_where_one_is_demanded() {
    let (ca, stranger) = (Ca::new("Client CA"), Ca::new("Client CA"));
    let good = ca.issue("alice", "client", &[]);
    let revoked = ca.issue("mallory", "client", &[]);
    let expired = ca.issue("old", "client", &["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"]);
    let early = ca.issue("early", "client", &["-startdate", "20990101000000Z", "-enddate", "20990201000000Z"]);
    let usage = ca.issue("server", "server", &[]);
    let wrong_ca = stranger.issue("alice", "client", &[]);
    ca.revoke(&revoked);
    let state = Folder::new("state");
    let settings = Settings { client_crl: vec![ca.revoked_list(&[])], ..demanding(&ca) };
    let store = own(state.path(), settings).0;

    let (result, goes_on) = come(&store, &state, Some(&good));
    let info = result.unwrap().info().clone();
    assert!(goes_on && info.encrypted);
    let identity = info.identity.unwrap();
    assert_eq!((identity.name.as_str(), identity.method), ("alice", "x509"));
    let der = openssl(ca.folder(), &["x509", "-in", good.certificate.to_str().unwrap(), "-outform", "DER"]).stdout;
    assert_eq!(info.certificate.as_deref(), Some(&der[..]));

    use rustls::CertificateError as Why;
    for (name, pair, expected) in [
        ("expired", &expired, "expired"),
        ("early", &early, "not valid yet"),
        ("revoked", &revoked, "revoked"),
        ("wrong CA", &wrong_ca, "signature"),
        ("wrong usage", &usage, "ext"),
    ] {
        let (result, goes_on) = come(&store, &state, Some(pair));
        let why = match result {
            Err(TlsError::Certificate(why)) => why,
            other => panic!("{name}: {other:?}"),
        };
        assert!(!goes_on, "{name}");
        let fits = match expected {
            "expired" => matches!(why, Why::Expired | Why::ExpiredContext { .. }),
            "not valid yet" => matches!(why, Why::NotValidYet | Why::NotValidYetContext { .. }),
            "revoked" => matches!(why, Why::Revoked),
            "signature" => matches!(why, Why::UnknownIssuer | Why::BadSignature),
            _ => matches!(why, Why::InvalidPurpose | Why::InvalidPurposeContext { .. }),
        };
        assert!(fits, "{name}: {why:?}");
    }
    let (result, goes_on) = come(&store, &state, None);
    assert!(matches!(result, Err(TlsError::NoCertificate)) && !goes_on);
}

#[test]
fn where_one_is_optional_none_is_fine_and_a_bad_one_is_not() {
    let (ca, stranger) = (Ca::new("Client CA"), Ca::new("Other CA"));
    let state = Folder::new("state");
    let settings = Settings { client_certificates: ClientCertificates::Optional, ..demanding(&ca) };
    let store = own(state.path(), settings).0;
    let (result, goes_on) = come(&store, &state, None);
    assert!(goes_on && result.unwrap().info().identity.is_none());
    let (result, _) = come(&store, &state, Some(&ca.issue("alice", "client", &[])));
    assert_eq!(result.unwrap().info().identity.clone().unwrap().name, "alice");
    let (result, goes_on) = come(&store, &state, Some(&stranger.issue("alice", "client", &[])));
    assert!(matches!(result, Err(TlsError::Certificate(_))) && !goes_on);
}

#[test]
fn a_name_outside_of_the_table_is_nobodys() {
    let ca = Ca::new("Client CA");
    let state = Folder::new("state");
    let mut settings = demanding(&ca);
    settings.client_users.insert("alice".into(), "al".into());
    let store = own(state.path(), settings).0;
    let identity = |name| come(&store, &state, Some(&ca.issue(name, "client", &[]))).0.unwrap().info().identity.clone();
    assert_eq!(identity("alice").unwrap().name, "al");
    assert_eq!(identity("Alice"), None);

    let settings = Settings { client_name: NameField::Email, ..demanding(&ca) };
    let store = own(state.path(), settings).0;
    let found = come(&store, &state, Some(&ca.issue("alice", "client", &[]))).0.unwrap();
    assert_eq!(found.info().identity, None, "a common name is no e-mail address");
    assert!(found.info().certificate.is_some());
}

#[test]
fn a_reload_brings_a_new_list_of_revoked_ones() {
    let ca = Ca::new("Client CA");
    let alice = ca.issue("alice", "client", &[]);
    let state = Folder::new("state");
    let settings = Settings { client_crl: vec![ca.revoked_list(&[])], ..demanding(&ca) };
    let store = own(state.path(), settings).0;
    assert!(come(&store, &state, Some(&alice)).0.is_ok());
    ca.revoke(&alice);
    ca.revoked_list(&[]);
    assert!(come(&store, &state, Some(&alice)).0.is_ok(), "before the reload");
    store.reload(now()).unwrap();
    let (result, _) = come(&store, &state, Some(&alice));
    assert!(matches!(result, Err(TlsError::Certificate(rustls::CertificateError::Revoked))));
}

/// A pair whose certificate file holds the chain up to the root.
fn with_chain(pair: &Pair, ca: &Ca) -> Pair {
    let certificate = pair.certificate.with_extension("chain");
    let parts = [&pair.certificate, &ca.certificate()].map(|path| std::fs::read_to_string(path).unwrap());
    std::fs::write(&certificate, parts.concat()).unwrap();
    Pair { certificate, key: pair.key.clone() }
}

#[test]
fn a_list_of_the_issuer_is_needed_and_a_revoked_ca_in_between_is_found() {
    let root = Ca::new("Root");
    let (middle, bad) = (root.below("Middle"), root.below("Bad"));
    let [alice, mallory] = [(&middle, "alice"), (&bad, "mallory")].map(|(ca, name)| {
        let pair = ca.issue(name, "client", &[]);
        with_chain(&pair, ca)
    });
    let state = Folder::new("state");
    let lists = |crls: Vec<std::path::PathBuf>| {
        let settings = Settings { client_crl: crls, ..demanding(&root) };
        own(state.path(), settings).0
    };
    // no lists: the chain alone counts
    assert!(come(&lists(vec![]), &state, Some(&mallory)).0.is_ok());
    // a list of the root says nothing about what Middle signed
    let store = lists(vec![root.revoked_list(&[])]);
    assert!(matches!(come(&store, &state, Some(&alice)).0, Err(TlsError::Certificate(_))));
    // lists of the issuers are enough
    let (of_middle, of_bad) = (middle.revoked_list(&[]), bad.revoked_list(&[]));
    let store = lists(vec![of_middle.clone(), of_bad.clone()]);
    assert!(come(&store, &state, Some(&alice)).0.is_ok());
    assert!(come(&store, &state, Some(&mallory)).0.is_ok());
    // and with the root's, a CA that the root revoked is out with all it signed
    let issued = std::fs::read_dir(root.folder().join("issued")).unwrap().map(|e| e.unwrap().path());
    let bad_ca = issued.max().unwrap();
    root.revoke(&Pair { certificate: bad_ca, key: root.folder().join("ca.key") });
    let store = lists(vec![of_middle, of_bad, root.revoked_list(&[])]);
    assert!(come(&store, &state, Some(&alice)).0.is_ok());
    let (result, _) = come(&store, &state, Some(&mallory));
    assert!(matches!(result, Err(TlsError::Certificate(rustls::CertificateError::Revoked))), "{result:?}");
}

#[test]
fn lists_and_cas_that_cannot_be_used_are_named() {
    let ca = Ca::new("Client CA");
    let state = Folder::new("state");
    let said = |settings: Settings| open(state.path(), settings).unwrap_err().to_string();
    let file = |name: &str, text: &str| {
        let path = ca.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let crl = |path| Settings { client_crl: vec![path], ..demanding(&ca) };
    let dates = ["-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", "20200201000000Z"];
    let old = ca.folder().join("old.pem");
    std::fs::copy(ca.revoked_list(&dates), &old).unwrap();
    for (settings, name, says) in [
        (crl(old), "old.pem", "expired on"),
        (crl(ca.folder().join("none")), "none", "check client_crl in [tls]"),
        (crl(file("text", "hello")), "text", "no list of revoked certificates"),
        (crl(ca.certificate()), "ca.pem", "no list of revoked certificates"),
        (Settings { client_ca: Some(file("no-ca", "")), ..demanding(&ca) }, "no-ca", "no certificate in it"),
        (
            Settings { client_ca: Some(ca.folder().join("absent")), ..demanding(&ca) },
            "absent",
            "check client_ca in [tls]",
        ),
    ] {
        let said = said(settings);
        assert!(said.contains(name) && said.contains(says), "{said}");
    }
    let fine = ca.revoked_list(&[]);
    let der = ca.folder().join("crl.der");
    let convert = ["crl", "-in", fine.to_str().unwrap(), "-outform", "DER", "-out", der.to_str().unwrap()];
    assert!(openssl(ca.folder(), &convert).status.success());
    assert!(open(state.path(), crl(der)).is_ok(), "a list in DER is fine too");
}
