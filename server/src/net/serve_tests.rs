//! The accept loop with a handler that only notes who came.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::*;
use crate::auth::Source;

/// Greets each connection with the address that it counts for, and holds on to it.
#[derive(Default)]
struct Greeter {
    denied: Vec<&'static str>,
    known: Vec<&'static str>,
    made_way: Mutex<Vec<String>>,
}

fn listed(list: &[&str], info: &ConnInfo) -> bool {
    info.peer_ip.is_some_and(|ip| list.contains(&ip.to_string().as_str()))
}

fn refusal(reason: &str) -> Refusal {
    Refusal { reason: reason.to_owned(), bytes: format!("refused: {reason}").into_bytes() }
}

impl ConnectionHandler for Greeter {
    fn admit(&self, info: &ConnInfo) -> Result<(), Refusal> {
        if listed(&self.denied, info) { Err(refusal("denied")) } else { Ok(()) }
    }
    fn busy(&self, _: &ConnInfo) -> Refusal {
        refusal("busy")
    }
    fn turned_away(&self, _: &ConnInfo, why: TurnedAway) -> Refusal {
        let (TurnedAway::Stranger(reason) | TurnedAway::NoProxyHeader(reason)) = why;
        refusal(&reason)
    }
    fn knows(&self, info: &ConnInfo) -> bool {
        listed(&self.known, info)
    }
    fn made_way(&self, info: &ConnInfo) {
        self.made_way.lock().unwrap().push(info.peer.clone());
    }
    fn connection(&self, mut transport: Transport) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let info = transport.info();
            let hello = format!("{} {} {}\n", info.peer, info.source(), info.local);
            let _ = transport.write_all(hello.as_bytes()).await;
            let _ = transport.read(&mut [0]).await;
        })
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a test against a server on loopback, which is a listed proxy if asked.
fn with_server<F: Future<Output = ()>>(
    greeter: Greeter,
    limits: SlotLimits,
    proxy: bool,
    test: impl FnOnce(SocketAddr, Arc<Greeter>) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = ListenerSettings {
            address: "127.0.0.1:0".parse().unwrap(),
            allowed_origins: Vec::new(),
            unix_peers: UnixPeers::default(),
            secure: None,
        };
        let proxies: &[ipnet::IpNet] = if proxy { &["127.0.0.0/8".parse().unwrap()] } else { &[] };
        let listener = Listener::bind(ListenerId(0), &settings).unwrap().with_proxies(proxies.into());
        let address = listener.address().host_port().unwrap().socket_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let greeter = Arc::new(greeter);
        let handler: Arc<dyn ConnectionHandler> = Arc::clone(&greeter) as _;
        let server = tokio::spawn(serve(listener, Slots::with(limits), PATIENCE, handler, stopped));
        tokio::time::timeout(PATIENCE, test(address, greeter)).await.expect("in time");
        stop.send_replace(true);
        server.await.unwrap();
    });
}

fn header(from: &str) -> Vec<u8> {
    let from: SocketAddr = from.parse().unwrap();
    let SocketAddr::V4(from) = from else { panic!("IPv4 alone") };
    let port = from.port().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &from.ip().octets(), &[10, 0, 0, 5], &port, &[0, 1]].concat()
}

async fn connect(to: SocketAddr, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream
}

/// What the server says until its next line ends or it closes.
async fn heard(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        if byte == b'\n' {
            break;
        }
        text.push(byte);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_listed_proxy_says_who_is_there() {
    let greeter = Greeter { denied: vec!["192.0.2.66"], ..Greeter::default() };
    with_server(greeter, SlotLimits::default(), true, |to, _| async move {
        let mut one = connect(to, &header("192.0.2.7:50000")).await;
        assert_eq!(heard(&mut one).await, "192.0.2.7:50000 192.0.2.7 false");
        let mut denied = connect(to, &header("192.0.2.66:50000")).await;
        assert_eq!(heard(&mut denied).await, "refused: denied");
        // what a proxy calls loopback is not this machine
        let mut sly = connect(to, &header("127.0.0.1:50000")).await;
        assert_eq!(heard(&mut sly).await, "127.0.0.1:50000 proxy false");
        let mut alone = connect(to, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").await;
        let said = heard(&mut alone).await;
        assert!(said.starts_with("127.0.0.1:") && said.ends_with(" proxy false"), "{said}");
        let mut without = connect(to, b"RFB 003.008\n").await;
        let said = heard(&mut without).await;
        assert!(said.starts_with("refused: no PROXY header of version 2"), "{said}");
    });
}

#[test]
fn the_header_of_anybody_else_is_bytes_like_any_others() {
    with_server(Greeter::default(), SlotLimits::default(), false, |to, _| async move {
        let mut one = connect(to, &header("192.0.2.7:50000")).await;
        let said = heard(&mut one).await;
        assert!(said.starts_with("127.0.0.1:") && said.ends_with(&format!(" {} true", Source::Local)), "{said}");
    });
}

#[test]
fn who_only_holds_on_makes_way_and_known_callers_stay() {
    let greeter = Greeter { known: vec!["192.0.2.9"], ..Greeter::default() };
    let limits = SlotLimits { overall: 4, per_network: 2, reserved: 1 };
    with_server(greeter, limits, true, |to, greeter| async move {
        let mut held = Vec::new();
        for from in ["192.0.2.9:1", "192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.2:1", "192.0.2.3:1"] {
            let mut stream = connect(to, &header(from)).await;
            assert!(heard(&mut stream).await.starts_with(from));
            held.push(stream);
        }
        // the third of one network pushed out its first; then the greediest network lost its oldest
        for n in [1, 2] {
            assert_eq!(held[n].read(&mut [0]).await.unwrap_or(0), 0, "{n}");
        }
        assert_eq!(*greeter.made_way.lock().unwrap(), ["192.0.2.1:1", "192.0.2.1:2"]);
        for n in [0, 3, 4, 5] {
            assert!(held[n].try_read(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock), "{n}");
        }
    });
}
