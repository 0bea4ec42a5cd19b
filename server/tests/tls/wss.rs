//! WebSocket inside of TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use farpane_server::auth::Source;
use farpane_server::net::{
    BindError, Listener, ListenerId, ListenerSettings, SecureError, SecureLayer, Slots, Transport, WebSocketError,
};
use farpane_server::security::tls::{CertificateStore, ClientCertificates, Settings};
use farpane_server::security::vencrypt::{Asked, Subtype, serve};
use farpane_test_support::openssl::{Ca, Folder};
use farpane_test_support::{PATIENCE, Raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{client, end, own, runtime};

type Opened = Result<Transport, WebSocketError>;

fn settings(store: Option<&Arc<CertificateStore>>) -> ListenerSettings {
    let secure = store.map(|store| SecureLayer::new(Arc::clone(store) as _));
    ListenerSettings {
        address: "wss:127.0.0.1:0".parse().unwrap(),
        allowed_origins: Vec::new(),
        unix_peers: Default::default(),
        secure,
    }
}

/// A listener that opens one connection; its address as it prints it.
fn listen(runtime: &Runtime, store: &Arc<CertificateStore>, limit: Duration) -> (String, JoinHandle<Opened>) {
    let _inside = runtime.enter();
    let listener = Listener::bind(ListenerId(0), &settings(Some(store))).unwrap();
    let address = listener.address().to_string();
    let slot = Slots::new(1).take(Source::Local, false).unwrap();
    let task = runtime.spawn(async move { listener.accept().await.unwrap().open(slot, limit).await });
    (address, task)
}

fn port(address: &str) -> &str {
    address.strip_prefix("wss:").unwrap()
}

#[test]
fn bytes_go_both_ways_inside_of_tls() {
    let state = Folder::new("state");
    let (store, _, tls) = own(state.path(), Settings::default());
    let runtime = runtime();
    let (address, task) = listen(&runtime, &store, PATIENCE);
    let mut raw = Raw::connect_websocket(&address, Some(&tls), PATIENCE).unwrap();
    let mut transport = end(&runtime, task).unwrap();
    let info = transport.info();
    assert!(info.encrypted && info.channel_binding.is_some() && info.identity.is_none());
    assert_eq!(&*info.listener_name, address);
    assert!(transport.meter().is_some() || std::env::var_os("FARPANE_REQUIRE_ALL").is_none());
    raw.send(b"to the server").unwrap();
    let sent: Vec<u8> = (0..600_000u32).map(|n| n as u8).collect();
    let copy = sent.clone();
    let serving = runtime.spawn(async move {
        let mut some = [0; 13];
        transport.read_exact(&mut some).await.unwrap();
        let (mut reader, mut writer, _) = transport.split();
        writer.write_all(&copy).await.unwrap();
        writer.flush().await.unwrap();
        (some, reader.read_u8().await.ok(), writer)
    });
    assert_eq!(raw.read(sent.len()).unwrap(), sent);
    drop(raw);
    let (some, after, _) = end(&runtime, serving);
    assert_eq!((&some, after), (b"to the server", None));
}

#[test]
fn vencrypt_plain_is_offered_inside_and_the_browsers_certificate_is_known() {
    let ca = Ca::new("Client CA");
    let state = Folder::new("state");
    let settings = Settings {
        client_certificates: ClientCertificates::Optional,
        client_ca: Some(ca.certificate()),
        ..Settings::default()
    };
    let (store, file, _) = own(state.path(), settings);
    let runtime = runtime();
    let (address, task) = listen(&runtime, &store, PATIENCE);
    let alice = ca.issue("alice", "client", &[]);
    let mut raw = Raw::connect_websocket(&address, Some(&client(&file, alice.both())), PATIENCE).unwrap();
    let transport = end(&runtime, task).unwrap();
    assert_eq!(transport.info().identity.clone().unwrap().name, "alice");
    let serving = runtime.spawn(async move { serve(transport, &[Subtype::Plain], None).await });
    assert_eq!(raw.vencrypt_offer().unwrap(), [256]);
    raw.vencrypt_choose(256).unwrap();
    raw.plain("alice", "secret").unwrap();
    let entered = end(&runtime, serving).unwrap();
    assert!(
        matches!(&entered.asked, Asked::Password { user, password } if user == "alice" && password.reveal() == "secret")
    );
    assert!(entered.transport.info().encrypted);
}

/// Sends bytes in the clear; what came back, and what the server thought.
fn clear(bytes: &[u8], limit: Duration) -> (String, Opened) {
    let state = Folder::new("state");
    let (store, ..) = own(state.path(), Settings::default());
    let runtime = runtime();
    let (address, task) = listen(&runtime, &store, limit);
    let mut stream = TcpStream::connect(port(&address)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    (answer, end(&runtime, task))
}

#[test]
fn plain_http_gets_a_clear_answer_and_everything_else_is_closed() {
    for request in ["G", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "RFB 003.008\n"] {
        let (answer, result) = clear(request.as_bytes(), PATIENCE);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{request}: {answer}");
        assert!(answer.ends_with("this port speaks TLS: use https:// or wss://\n"), "{answer}");
        assert!(matches!(result, Err(WebSocketError::Secure(SecureError::PlainHttp))));
    }
    let (answer, result) = clear(&[0, 1, 2], PATIENCE);
    assert!(answer.is_empty() && matches!(result, Err(WebSocketError::Secure(SecureError::NotTls(0)))));
    let (_, result) = clear(&[22, 3, 1, 0xff, 0xff, 1, 2, 3], Duration::from_millis(100));
    assert!(matches!(result, Err(WebSocketError::TooSlow(_) | WebSocketError::Secure(_))), "{result:?}");
}

#[test]
fn a_peer_that_says_nothing_or_half_a_handshake_is_given_up() {
    let state = Folder::new("state");
    let (store, ..) = own(state.path(), Settings::default());
    let runtime = runtime();
    for bytes in [&[][..], &[22], &[22, 3, 1, 2, 0, 1]] {
        let (address, task) = listen(&runtime, &store, Duration::from_millis(50));
        let mut stream = TcpStream::connect(port(&address)).unwrap();
        stream.write_all(bytes).unwrap();
        assert!(matches!(end(&runtime, task), Err(WebSocketError::TooSlow(_))));
    }
}

#[test]
fn a_client_that_speaks_tls_and_no_websocket_is_told_inside() {
    let state = Folder::new("state");
    let (store, _, tls) = own(state.path(), Settings::default());
    let runtime = runtime();
    let (address, task) = listen(&runtime, &store, PATIENCE);
    let mut raw = super::raw(port(&address).parse().unwrap());
    raw.start_tls(&tls).unwrap();
    raw.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let answer = raw.read_to_close().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 426 "), "{}", String::from_utf8_lossy(&answer));
    assert!(matches!(end(&runtime, task), Err(WebSocketError::NotWebSocket(_))));
}

#[test]
fn a_viewer_that_distrusts_the_certificate_is_named_as_such() {
    let state = Folder::new("state");
    let (store, ..) = own(state.path(), Settings::default());
    let other = Ca::new("Somebody else");
    let runtime = runtime();
    let (address, task) = listen(&runtime, &store, PATIENCE);
    assert!(Raw::connect_websocket(&address, Some(&client(&other.certificate(), None)), PATIENCE).is_err());
    let error = end(&runtime, task).unwrap_err().to_string();
    assert!(error.contains("does not take the server's certificate"), "{error}");
}

#[test]
fn wss_without_a_certificate_does_not_listen() {
    let runtime = runtime();
    let _inside = runtime.enter();
    assert!(matches!(Listener::bind(ListenerId(0), &settings(None)), Err(BindError::NoCertificate(_))));
}
