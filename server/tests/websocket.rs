//! RFB over WebSocket, as browsers and others try it.

use std::sync::Arc;
use std::time::Duration;

use farpane_server::auth::Source;
use farpane_server::net::{Listener, ListenerId, ListenerSettings, Slots, Transport, WebSocketError, origin_allowed};
use futures_util::{SinkExt, StreamExt};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

const PATIENCE: Duration = Duration::from_secs(10);

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("in time") })
}

fn listener(origins: &[&str]) -> (Arc<Listener>, u16) {
    let allowed_origins = origins.iter().map(|o| (*o).to_owned()).collect();
    let settings = ListenerSettings {
        address: "ws:127.0.0.1:0".parse().unwrap(),
        allowed_origins,
        unix_peers: Default::default(),
        secure: None,
    };
    let listener = Listener::bind(ListenerId(3), &settings).unwrap();
    let port = listener.address().host_port().unwrap().port();
    (Arc::new(listener), port)
}

async fn accept(listener: Arc<Listener>, limit: Duration) -> Result<Transport, WebSocketError> {
    let slot = Slots::new(1).take(Source::Local, false).unwrap();
    listener.accept().await.unwrap().open(slot, limit).await
}

/// Sends a raw request; returns the status line and what the server thought.
async fn raw(request: &str, origins: &[&str]) -> (String, Result<Transport, WebSocketError>) {
    let (listener, port) = listener(origins);
    let server = tokio::spawn(accept(listener, PATIENCE));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let result = server.await.unwrap();
    let mut answer = vec![0; 512];
    let n = stream.read(&mut answer).await.unwrap_or(0);
    (String::from_utf8_lossy(&answer[..n]).lines().next().unwrap_or("").to_owned(), result)
}

fn request(extra: &str) -> String {
    format!(
        "GET /websockify HTTP/1.1\r\nHost: 127.0.0.1:5700\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    )
}

#[test]
fn bytes_go_both_ways_whatever_the_messages_are() {
    run(async {
        let (listener, port) = listener(&[]);
        let server = tokio::spawn(accept(listener, PATIENCE));
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut asked = format!("ws://127.0.0.1:{port}/any/path").into_client_request().unwrap();
        asked.headers_mut().insert("Sec-WebSocket-Protocol", "base64, binary".parse().unwrap());
        let (mut client, response) = tokio_tungstenite::client_async(asked, stream).await.unwrap();
        assert_eq!(response.headers().get("Sec-WebSocket-Protocol").unwrap(), "binary");
        let transport = server.await.unwrap().unwrap();
        assert_eq!(transport.info().listener, ListenerId(3));
        assert!(transport.info().local && transport.info().listener_name.starts_with("ws:127.0.0.1:"));
        let (mut reader, mut writer, _) = transport.split();
        for part in ["a", "bcd", "", "ef"] {
            client.send(Message::binary(part.as_bytes().to_vec())).await.unwrap();
        }
        client.send(Message::Ping(Default::default())).await.unwrap();
        let mut six = [0; 6];
        reader.read_exact(&mut six).await.unwrap();
        assert_eq!(&six, b"abcdef");
        let sent: Vec<u8> = (0..600_000u32).map(|n| n as u8).collect();
        let copy = sent.clone();
        let sending = tokio::spawn(async move {
            writer.write_all(&copy).await.unwrap();
            writer.flush().await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let mut got = Vec::new();
        while let Some(Ok(message)) = client.next().await {
            if let Message::Binary(bytes) = message {
                got.extend_from_slice(&bytes);
            }
        }
        sending.await.unwrap();
        assert_eq!(got, sent);
        assert_eq!(reader.read(&mut six).await.unwrap(), 0, "a close is the end of the stream");
    });
}

#[test]
fn a_text_message_and_an_unmasked_frame_end_the_connection() {
    run(async {
        for frame in [&[0x81, 0x81, 0, 0, 0, 0, b'x'][..], &[0x82, 0x01, b'x']] {
            let (listener, port) = listener(&[]);
            let server = tokio::spawn(accept(listener, PATIENCE));
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.write_all(request("").as_bytes()).await.unwrap();
            // The frame may come in one packet with the request.
            stream.write_all(frame).await.unwrap();
            let mut transport = server.await.unwrap().unwrap();
            let error = transport.read(&mut [0; 4]).await.unwrap_err().to_string();
            assert!(error.starts_with("peer misbehaved: WebSocket"), "{error}");
        }
    });
}

#[test]
fn only_a_proper_request_from_an_allowed_page_is_upgraded() {
    run(async {
        for (text, status) in [
            (request(""), "101"),
            (request("Origin: http://localhost:6080\r\n"), "101"),
            (request("Origin: https://[::1]\r\n"), "101"),
            (request("Origin: https://viewer.example\r\n"), "101"),
            (request("Origin: https://evil.example\r\n"), "403"),
            (request("Origin: null\r\n"), "403"),
            (request("Origin: http://127.0.0.1.evil.example\r\n"), "403"),
            (request("Sec-WebSocket-Protocol: base64\r\n"), "400"),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "426"),
            ("POST / HTTP/1.1\r\n\r\n".to_owned(), "400"),
            ("RFB 003.008\n".to_owned(), "400"),
            (request(&format!("Padding: {}\r\n", "x".repeat(8192))), "431"),
        ] {
            let (line, result) = raw(&text, &["https://viewer.example"]).await;
            assert!(line.starts_with(&format!("HTTP/1.1 {status}")), "{text}: {line}");
            assert_eq!(result.is_ok(), status == "101", "{text}");
        }
    });
}

#[test]
fn a_peer_that_sends_no_request_is_given_up() {
    run(async {
        let (listener, port) = listener(&[]);
        let server = tokio::spawn(accept(listener, Duration::from_millis(50)));
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"GET / HT").await.unwrap();
        assert!(matches!(server.await.unwrap(), Err(WebSocketError::TooSlow(_))));
    });
}

#[test]
fn a_name_that_could_point_anywhere_is_not_the_same_host() {
    assert!(origin_allowed("http://192.0.2.1:80", Some("192.0.2.1:5700"), &[]));
    assert!(!origin_allowed("http://192.0.2.1", Some("192.0.2.2:5700"), &[]));
    assert!(!origin_allowed("http://rebound.example:5700", Some("rebound.example:5700"), &[]));
    assert!(!origin_allowed("file://localhost", Some("localhost"), &[]));
    assert!(origin_allowed("http://anything.example", None, &["*".into()]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_origin_panics(origin in "(https?://)?[a-z0-9.:\\[\\]/@-]{0,24}", host in proptest::option::of("[a-z0-9.:\\[\\]]{0,16}")) {
        let _ = origin_allowed(&origin, host.as_deref(), &[]);
    }
}
