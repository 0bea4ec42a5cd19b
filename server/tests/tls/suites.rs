//! What `openssl s_client` sees of the server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use farpane_server::security::tls::{Purpose, Settings};
use farpane_test_support::openssl::{Folder, openssl};

use super::{end, one, own, raw, runtime};

/// Connects with `openssl s_client`; returns all it said.
fn s_client(folder: &Path, address: SocketAddr, more: &[&str]) -> String {
    let to = address.to_string();
    let output = openssl(folder, &[&["s_client", "-connect", &to, "-CAfile", "tls.crt", "-ign_eof"], more].concat());
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What a client with these arguments sees of a server with these settings, and whether the server took it.
fn seen(settings: &Settings, purpose: Purpose, more: &[&str]) -> (String, bool) {
    let state = Folder::new("state");
    let store = own(state.path(), settings.clone()).0;
    let runtime = runtime();
    let (address, serving) = one(&runtime, move |t| async move { store.accept(t, purpose).await.is_ok() });
    let said = s_client(state.path(), address, more);
    (said, end(&runtime, serving))
}

#[test]
fn the_best_of_each_version_is_agreed_on() {
    let (all, strong) = (Settings::default(), Settings { min_bits: 256, ..Settings::default() });
    for (settings, arguments, cipher) in [
        (&all, &["-tls1_3"][..], "TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384"),
        (
            &all,
            &["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"],
            "Cipher is TLS_AES_128_GCM_SHA256",
        ),
        (&all, &["-tls1_2"], "TLSv1.2, Cipher is ECDHE-ECDSA-AES256-GCM-SHA384"),
        (
            &all,
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"],
            "Cipher is ECDHE-ECDSA-AES128-GCM-SHA256",
        ),
        (
            &strong,
            &["-ciphersuites", "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"],
            "Cipher is TLS_CHACHA20_POLY1305_SHA256",
        ),
        (&all, &["-tls1_2", "-groups", "P-384:P-256"], "Cipher is ECDHE-ECDSA-AES256-GCM-SHA384"),
    ] {
        let (said, taken) = seen(settings, Purpose::VeNCrypt("x509plain"), arguments);
        assert!(said.contains(cipher) && taken, "{arguments:?}: {said}");
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(!said.contains("New Session Ticket"), "nothing is resumed: {said}");
    }
}

#[test]
fn anonymous_weak_and_old_ones_are_refused() {
    let (all, strong) = (Settings::default(), Settings { min_bits: 256, ..Settings::default() });
    for (settings, arguments) in [
        (&all, &["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"][..]),
        (&all, &["-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"]),
        (&all, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA"]),
        (&all, &["-tls1_2", "-cipher", "AES256-GCM-SHA384"]),
        (&all, &["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"]),
        (&strong, &["-ciphersuites", "TLS_AES_128_GCM_SHA256"]),
        (&strong, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]),
    ] {
        let (said, taken) = seen(settings, Purpose::VeNCrypt("x509plain"), arguments);
        assert!(!taken && said.contains("alert"), "{arguments:?}: {said}");
    }
}

#[test]
fn wss_agrees_on_http_and_vencrypt_on_nothing() {
    let settings = Settings::default();
    let (said, taken) = seen(&settings, Purpose::Https, &["-alpn", "h2,http/1.1"]);
    assert!(taken && said.contains("ALPN protocol: http/1.1"), "{said}");
    let (said, taken) = seen(&settings, Purpose::VeNCrypt("x509plain"), &["-alpn", "http/1.1"]);
    assert!(taken && said.contains("No ALPN negotiated"), "{said}");
    let (said, taken) = seen(&settings, Purpose::Https, &["-alpn", "h2"]);
    assert!(!taken, "{said}");
}

#[test]
fn a_client_that_can_gets_the_hybrid_key_exchange() {
    let state = Folder::new("state");
    let (store, _, tls) = own(state.path(), Settings::default());
    let runtime = runtime();
    let serving = Arc::clone(&store);
    let (address, task) =
        one(&runtime, move |t| async move { serving.accept(t, Purpose::VeNCrypt("x509plain")).await });
    let facts = raw(address).start_tls(&tls).unwrap();
    assert_eq!((facts.suite.as_str(), facts.group.as_str()), ("TLS13_AES_256_GCM_SHA384", "X25519MLKEM768"));
    let transport = end(&runtime, task).unwrap();
    assert_eq!(transport.info().cipher.as_deref(), Some("TLS13_AES_256_GCM_SHA384 X25519MLKEM768"));
}
