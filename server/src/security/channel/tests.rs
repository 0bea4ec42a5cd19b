//! The channel over real sockets, against a viewer's end that blocks.

use std::io::{Read, Write};
use std::net::TcpStream as Blocking;
use std::sync::Arc;
use std::thread::JoinHandle;

use farpane_channel::auth::{Answer, Prompt as Shown, PromptKind as Kind};
use farpane_channel::{Engine, Identity};
use farpane_rfb::handshake::SecurityType;
use farpane_rfb::version::Banner;
use farpane_test_support::channel::{ChannelLogin as Viewer, password};
use farpane_test_support::{ClientError, PATIENCE, Raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ChannelFailed, ChannelLogin, ChannelServer, Negotiated, Said};
use crate::auth::{Prompt, PromptKind};
use crate::net::{ConnInfo, Transport};

const OFFER: &[u8] = b"RFB 003.008\n\x02\x46\x13";

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

fn server() -> ChannelServer {
    ChannelServer::new(Arc::new(Identity::from_secret(&[7; 32])), Engine::Portable, true)
}

/// Plays the version and the choice of the type, and hands both ends over: the server's has taken the key exchange.
async fn met<T: Send + 'static>(
    viewer: impl FnOnce(Raw) -> T + Send + 'static,
) -> (Result<ChannelLogin, ChannelFailed>, JoinHandle<T>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let viewer = std::thread::spawn(move || {
        let raw = Raw::over(Box::new(Blocking::connect(to).unwrap()), PATIENCE).unwrap();
        viewer(raw)
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(OFFER).await.unwrap();
    let mut said = [0; 13];
    stream.read_exact(&mut said).await.unwrap();
    let negotiated = Negotiated {
        banner: Banner::parse(&said[..12]).unwrap().unwrap(),
        offer: vec![SecurityType::CHANNEL, SecurityType::VENCRYPT],
        chosen: SecurityType(said[12]),
    };
    let transport = Transport::new(stream, ConnInfo::in_process("test"));
    (server().accept(transport, &negotiated).await, viewer)
}

#[test]
fn a_password_in_the_hello_and_a_megabyte_each_way_come_through() {
    run(async {
        let data: Vec<u8> = (0..1_000_003u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        let expected = data.clone();
        let (login, viewer) = met(move |raw| {
            let mut login = Viewer::begin(raw, [9; 32], Some(&password("ann", "s3cret"))).unwrap();
            assert!(login.asked().unwrap().is_none());
            let key = login.key;
            let mut wire = login.into_raw(PATIENCE).unwrap().into_wire();
            let mut back = vec![0; expected.len()];
            wire.read_exact(&mut back).unwrap();
            assert_eq!(back, expected);
            for part in back.chunks(7001) {
                wire.write_all(part).unwrap();
            }
            key
        })
        .await;
        let mut login = login.unwrap();
        assert!(login.info().encrypted);
        let Said::Password { user, password } = login.begin().await.unwrap() else { panic!("no password") };
        assert_eq!((user.as_str(), password.reveal()), ("ann", "s3cret"));
        let device = login.device();
        let transport = login.into_transport();
        assert!(transport.meter().is_some() || std::env::var("FARPANE_REQUIRE_ALL").is_err());
        let (mut reader, mut writer, info) = transport.split();
        assert_eq!(info.identity.unwrap().name, device.to_string());
        assert_eq!(info.channel_binding.unwrap().len(), 32);
        // both at once: neither half may wait for the other
        let sending = async {
            for part in data.chunks(30_011) {
                writer.write_all(part).await.unwrap();
                writer.flush().await.unwrap();
            }
        };
        let mut got = vec![0; data.len()];
        let ((), read) = tokio::join!(sending, reader.read_exact(&mut got));
        read.unwrap();
        assert_eq!(got, data);
        assert_eq!(reader.read(&mut got).await.unwrap(), 0, "the close record is the end");
        assert_eq!(viewer.join().unwrap(), server().public());
    });
}

#[test]
fn prompts_are_shown_in_turns_and_answered_one_by_one() {
    run(async {
        let (login, viewer) = met(|raw| {
            let mut login = Viewer::begin(raw, [9; 32], None).unwrap();
            login.say(&Answer::Begin { user: "ann".into() }).unwrap();
            let first = login.asked().unwrap().unwrap();
            assert_eq!(first.0[1], Shown { kind: Kind::Hidden, text: "Password: ".into() });
            login.say(&Answer::Replies(vec!["pw".to_owned().into()])).unwrap();
            assert_eq!(login.asked().unwrap().unwrap().0.len(), 1);
            // one too many
            login.say(&Answer::Replies(vec!["1".to_owned().into(), "2".to_owned().into()])).unwrap();
            login.asked()
        })
        .await;
        let mut login = login.unwrap();
        assert!(matches!(login.begin().await.unwrap(), Said::Begin { user } if user == "ann"));
        let prompt = |text: &str, kind| Prompt { text: text.into(), kind };
        let prompts = [prompt("Welcome", PromptKind::Info), prompt("Password: ", PromptKind::Hidden)];
        let replies = login.ask(&prompts).await.unwrap();
        assert_eq!(replies.iter().map(|r| r.reveal()).collect::<Vec<_>>(), ["pw"]);
        let wrong = login.ask(&[prompt("Code: ", PromptKind::Visible)]).await.unwrap_err().to_string();
        assert!(wrong.contains("another number of replies"), "{wrong}");
        drop(login);
        assert!(matches!(viewer.join().unwrap(), Err(ClientError::Io(_) | ClientError::Closed)));
    });
}

#[test]
fn an_end_without_a_close_record_and_a_changed_byte_are_faults() {
    for (fault, expected) in [
        (&b""[..], std::io::ErrorKind::UnexpectedEof),
        (&[0, 20, 1, 2], std::io::ErrorKind::UnexpectedEof),
        (&[0; 3], std::io::ErrorKind::InvalidData),
        (&[0, 17, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], std::io::ErrorKind::InvalidData),
    ] {
        run(async {
            let (login, viewer) = met(move |raw| {
                let mut login = Viewer::begin(raw, [9; 32], Some(&password("", "x"))).unwrap();
                assert!(login.asked().unwrap().is_none());
                let mut below = login.abandon();
                below.write_all(fault).unwrap();
            })
            .await;
            let mut login = login.unwrap();
            login.begin().await.unwrap();
            let mut transport = login.into_transport();
            transport.write_all(&[0; 4]).await.unwrap();
            transport.flush().await.unwrap();
            let error = transport.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), expected, "{fault:?}: {error}");
            viewer.join().unwrap();
        });
    }
}
