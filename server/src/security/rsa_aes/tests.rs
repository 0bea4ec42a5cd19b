//! `serve` against a client that shares no code with it, and against clients that leave or lie.

use std::sync::OnceLock;
use std::time::Duration;

use super::machine::tests::vectors;
use super::*;
use crate::net::ConnInfo;
use farpane_test_support::rsa_aes::{self, Shown};
use farpane_test_support::{ClientError, Raw};

const LIMIT: Duration = Duration::from_secs(20);

/// A key of 2,048 bits.
fn key() -> Arc<dyn RsaKey> {
    static KEY: OnceLock<Arc<LocalRsaKey>> = OnceLock::new();
    let made = || {
        let pem = vectors()[3]["server_private_key_pem"].as_str().unwrap().to_owned();
        Arc::new(LocalRsaKey::from_bytes(pem.as_bytes()).unwrap())
    };
    Arc::clone(KEY.get_or_init(made)) as _
}

fn on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A client in a thread of its own over a socket, and the server's end of it.
fn client<T: Send + 'static>(work: impl FnOnce(Raw) -> T + Send + 'static) -> (Transport, std::thread::JoinHandle<T>) {
    let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
    let theirs = theirs.into_std().unwrap();
    theirs.set_nonblocking(false).unwrap();
    let raw = Raw::over(Box::new(theirs), LIMIT).unwrap();
    (Transport::new(ours, ConnInfo::in_process("test")), std::thread::spawn(move || work(raw)))
}

#[test]
fn a_client_logs_in_with_every_type_and_goes_on_with_rfb() {
    for kind in Kind::ALL {
        for subtype in [Subtype::UserPassword, Subtype::Password] {
            on(async {
                let (transport, client) = client(move |raw| -> Result<(Shown, Vec<u8>), ClientError> {
                    let number = kind.security_type().0;
                    let (mut raw, shown) = rsa_aes::exchange(raw, number, "ann", "pässword", LIMIT)?;
                    raw.security_result(true)?;
                    raw.send(&[1])?;
                    let much = raw.read(100_000)?;
                    raw.send(b"done")?;
                    Ok((shown, much))
                });
                let settings = Settings { asks_for: subtype, ..Settings::default() };
                let served = serve(transport, kind, key(), &settings).await.unwrap();
                let named = subtype == Subtype::UserPassword;
                assert_eq!(
                    (served.user.as_str(), served.password.reveal()),
                    (if named { "ann" } else { "" }, "pässword")
                );
                let mut transport = served.transport;
                assert_eq!(transport.info().encrypted, kind.encrypts(), "{kind:?}");
                transport.write_all(&[0; 4]).await.unwrap();
                transport.flush().await.unwrap();
                assert_eq!(transport.read_u8().await.unwrap(), 1);
                let (mut reader, mut writer, _) = transport.split();
                writer.write_all(&[42; 100_000]).await.unwrap();
                writer.flush().await.unwrap();
                let mut done = [0; 4];
                reader.read_exact(&mut done).await.unwrap();
                assert_eq!(&done, b"done");
                let (shown, much) = client.join().unwrap().unwrap();
                assert_eq!(much, [42; 100_000]);
                let fingerprint = key().public().short_fingerprint();
                assert_eq!(shown, Shown { bits: 2048, fingerprint, subtype: if named { 1 } else { 2 } });
            });
        }
    }
}

/// A pipe that notes each write.
struct Noting(tokio::io::DuplexStream, Arc<std::sync::Mutex<Vec<usize>>>);

impl tokio::io::AsyncRead for Noting {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl tokio::io::AsyncWrite for Noting {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        self.1.lock().unwrap().push(buf.len());
        std::pin::Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl crate::net::ByteStream for Noting {
    fn split(self: Box<Self>) -> (crate::net::ReadStream, crate::net::WriteStream) {
        let (read, write) = tokio::io::split(*self);
        (Box::new(read), Box::new(write))
    }
}

#[test]
fn the_random_number_goes_out_with_its_length_in_one_write() {
    let writes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (ours, mut theirs) = tokio::io::duplex(10_000);
    let noted = Arc::clone(&writes);
    on(async move {
        let transport = Transport::new(Noting(ours, noted), ConnInfo::in_process("test"));
        let settings = Settings::default();
        let serving = serve(transport, Kind::Ra2Ne, key(), &settings);
        let client = async {
            let mut offer = [0; 516];
            theirs.read_exact(&mut offer).await.unwrap();
            // any good key of the right size
            theirs.write_all(key().public().block()).await.unwrap();
            let mut random = [0; 258];
            theirs.read_exact(&mut random).await.unwrap();
            // a number that is none: the server goes on as if it were one
            theirs.write_all(&[&[1, 0][..], &[0; 256]].concat()).await.unwrap();
            let mut hash = [0; 2 + 20 + 16];
            theirs.read_exact(&mut hash).await.unwrap();
            assert_eq!(hash[..2], [0, 20], "the hash in one record");
            theirs.write_all(&hash).await.unwrap();
        };
        let (served, ()) = tokio::join!(serving, client);
        assert_eq!(served.err().unwrap().to_string(), "rsa-aes handshake failed");
    });
    assert_eq!(*writes.lock().unwrap(), [516, 258, 38]);
}

#[test]
fn whoever_leaves_at_any_byte_has_left() {
    // up to where the hash would have to be right
    let random = key().public().encrypt(&[5; 32]).unwrap();
    let said = [key().public().block(), &[1, 0], &random, &[0, 32], &[0; 47]].concat();
    on(async {
        for end in 0..=said.len() {
            let (ours, mut theirs) = tokio::io::duplex(10_000);
            theirs.write_all(&said[..end]).await.unwrap();
            theirs.shutdown().await.unwrap();
            let transport = Transport::new(ours, ConnInfo::in_process("test"));
            let served = serve(transport, Kind::Ra2x256, key(), &Settings::default()).await;
            assert!(matches!(served.err(), Some(RsaAesError::Left)), "left at {end}");
        }
    });
}

#[test]
fn every_lie_ends_in_the_same_error() {
    let random = key().public().encrypt(&[5; 32]).unwrap();
    let start = [key().public().block(), &[1, 0]].concat();
    let lies: [(&str, Vec<u8>); 4] = [
        ("a wrong hash", [&random[..], &[0, 32], &[0; 48]].concat()),
        ("a number that is none", [&[0x77; 256][..], &[0, 32], &[0; 48]].concat()),
        ("a number above the modulus", [&[0xff; 256][..], &[0, 32], &[0; 48]].concat()),
        ("a hash of another length", [&random[..], &[0, 20], &[0; 36]].concat()),
    ];
    for (what, lie) in lies {
        let said = [&start[..], &lie].concat();
        let served = on(async {
            let (ours, mut theirs) = tokio::io::duplex(10_000);
            theirs.write_all(&said).await.unwrap();
            let served =
                serve(Transport::new(ours, ConnInfo::in_process("test")), Kind::Ra2x256, key(), &Settings::default())
                    .await;
            let mut told = Vec::new();
            theirs.read_to_end(&mut told).await.unwrap();
            assert_eq!(told.len(), 516 + 258 + 50, "{what}: nothing was told");
            served
        });
        assert!(matches!(served.err(), Some(RsaAesError::Failed(Failed))), "{what}");
    }
}

/// A holder that never answers, as a helper that is gone.
struct Gone(RsaPublic);

impl RsaKey for Gone {
    fn public(&self) -> &RsaPublic {
        &self.0
    }

    fn decrypt(&self, _block: &[u8], _length: usize) -> Option<Zeroizing<Vec<u8>>> {
        None
    }
}

#[test]
fn a_holder_that_does_not_answer_is_no_login() {
    on(async {
        let (transport, client) = client(|raw| rsa_aes::exchange(raw, 129, "ann", "pw", LIMIT).map(|_| ()));
        let gone = Arc::new(Gone(key().public().clone()));
        let served = serve(transport, Kind::Ra2x256, gone, &Settings::default()).await;
        assert!(matches!(served.err(), Some(RsaAesError::Failed(Failed) | RsaAesError::Left)));
        assert!(client.join().unwrap().is_err());
    });
}

#[test]
fn settings_that_let_nobody_in_are_refused() {
    assert_eq!(Settings::default().check(), Ok(()));
    let with =
        |least, most| Settings { least_client_bits: least, most_client_bits: most, ..Settings::default() }.check();
    assert_eq!((with(2048, 2048), with(2048, 8192)), (Ok(()), Ok(())));
    for (least, most) in [(1024, 4096), (2048, 8193), (4096, 2048), (0, 0)] {
        let said = with(least, most).unwrap_err().to_string();
        assert!(said.starts_with(&format!("keys of {least}..={most} bits")), "{said}");
    }
    let parsed: Settings = toml::from_str("least_client_bits = 3072\nasks_for = \"password\"").unwrap();
    let wanted = Settings { least_client_bits: 3072, asks_for: Subtype::Password, ..Settings::default() };
    assert_eq!(parsed, wanted);
    assert!(toml::from_str::<Settings>("bits = 3072").is_err());
}

#[test]
fn numbers_of_other_types_are_none_of_ours() {
    assert_eq!(Kind::ALL.map(|kind| kind.security_type().0), [5, 129, 6, 130]);
    assert_eq!(Kind::ALL.map(|kind| Kind::of(kind.security_type())), Kind::ALL.map(Some));
    assert_eq!(Kind::of(SecurityType::VNC_AUTH), None);
}
