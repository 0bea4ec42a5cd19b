//! VeNCrypt over real connections, with the client of the tests.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use farpane_server::net::{ConnInfo, Identity, Transport};
use farpane_server::security::tls::{CertificateStore, ClientCertificates, Settings, TlsError};
use farpane_server::security::vencrypt::{Asked, Entered, Subtype, VeNCryptError, serve};
use farpane_test_support::openssl::{Ca, Folder, Pair};
use farpane_test_support::{ClientError, Raw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{client, end, one, own, raw, runtime};

type Served = Result<Entered, VeNCryptError>;

fn start(runtime: &Runtime, store: &Arc<CertificateStore>, offer: &[Subtype]) -> (Raw, JoinHandle<Served>) {
    let (raw_address, task) = listen(runtime, store, offer);
    (raw(raw_address), task)
}

fn listen(
    runtime: &Runtime,
    store: &Arc<CertificateStore>,
    offer: &[Subtype],
) -> (std::net::SocketAddr, JoinHandle<Served>) {
    let (store, offer) = (Arc::clone(store), offer.to_vec());
    one(runtime, move |transport| async move { serve(transport, &offer, Some(&store)).await })
}

fn password(entered: &Entered) -> (&str, &str) {
    match &entered.asked {
        Asked::Password { user, password } => (user, password.reveal()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn user_and_password_come_through_tls_and_so_does_what_follows() {
    let state = Folder::new("state");
    let (store, _, tls) = own(state.path(), Settings::default());
    let runtime = runtime();
    let (mut raw, task) = start(&runtime, &store, &[Subtype::X509Plain]);
    assert_eq!(raw.vencrypt_offer().unwrap(), [262]);
    raw.vencrypt_choose(262).unwrap();
    let facts = raw.start_tls(&tls).unwrap();
    raw.plain("alice", "correct horse").unwrap();
    // what comes in one breath with the password belongs to what follows
    raw.send(b"ClientInit").unwrap();
    let mut entered = end(&runtime, task).unwrap();
    assert_eq!((entered.subtype, password(&entered)), (Subtype::X509Plain, ("alice", "correct horse")));
    assert!(!format!("{entered:?}").contains("horse"));
    let info = entered.transport.info();
    assert!(info.encrypted && info.identity.is_none());
    assert_eq!(info.channel_binding.as_deref(), Some(&facts.binding[..]));
    assert!(entered.transport.meter().is_some() || std::env::var_os("FARPANE_REQUIRE_ALL").is_none());
    runtime.block_on(async {
        let mut ten = [0; 10];
        entered.transport.read_exact(&mut ten).await.unwrap();
        assert_eq!(&ten, b"ClientInit");
        entered.transport.write_all(&[0; 4]).await.unwrap();
        entered.transport.flush().await.unwrap();
    });
    assert_eq!(raw.read(4).unwrap(), [0; 4]);
    drop(raw);
    let gone = runtime.block_on(entered.transport.read(&mut [0; 4])).unwrap();
    assert_eq!(gone, 0, "a viewer that goes without a word has gone, and that is no error");
}

#[test]
fn a_large_update_arrives_whole_while_the_client_sends() {
    let state = Folder::new("state");
    let (store, _, tls) = own(state.path(), Settings::default());
    let runtime = runtime();
    let (mut raw, task) = start(&runtime, &store, &[Subtype::X509Plain]);
    raw.x509_plain(&tls, "", "x").unwrap();
    let entered = end(&runtime, task).unwrap();
    let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
    let copy = sent.clone();
    let (mut reader, mut writer, _) = entered.transport.split();
    let writing = runtime.spawn(async move {
        let halves = copy.split_at(copy.len() / 2);
        let mut slices = [std::io::IoSlice::new(halves.0), std::io::IoSlice::new(halves.1)];
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let n = writer.write_vectored(left).await.unwrap();
            std::io::IoSlice::advance_slices(&mut left, n);
        }
        writer.flush().await.unwrap();
        writer
    });
    let reading = runtime.spawn(async move {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        all
    });
    let mut got = Vec::new();
    while got.len() < sent.len() {
        raw.send(b"key").unwrap();
        got.extend(raw.read((sent.len() - got.len()).min(100_000)).unwrap());
    }
    assert_eq!(got, sent);
    let mut writer = end(&runtime, writing);
    drop(raw);
    assert_eq!(end(&runtime, reading), b"key".repeat(30));
    let _ = runtime.block_on(writer.shutdown());
}

#[test]
fn x509none_lets_in_whom_the_certificate_names_and_nobody_else() {
    let ca = Ca::new("Client CA");
    let state = Folder::new("state");
    let mut settings = Settings {
        client_certificates: ClientCertificates::Demanded,
        client_ca: Some(ca.certificate()),
        ..Settings::default()
    };
    settings.client_users.insert("alice".into(), "al".into());
    let (store, file, _) = own(state.path(), settings);
    let runtime = runtime();
    let come = |pair: Option<&Pair>| {
        let (mut raw, task) = start(&runtime, &store, &[Subtype::X509Plain, Subtype::X509None]);
        assert_eq!(raw.vencrypt_offer().unwrap(), [262, 260]);
        raw.vencrypt_choose(260).unwrap();
        let _ = raw.start_tls(&client(&file, pair.and_then(Pair::both)));
        end(&runtime, task)
    };
    let entered = come(Some(&ca.issue("alice", "client", &[]))).unwrap();
    assert_eq!((entered.subtype, &entered.asked), (Subtype::X509None, &Asked::Nothing));
    let alice = Identity { name: "al".into(), method: "x509" };
    assert_eq!(entered.transport.info().identity, Some(alice));
    assert!(matches!(come(Some(&ca.issue("bob", "client", &[]))), Err(VeNCryptError::Nobody)));
    assert!(matches!(come(None), Err(VeNCryptError::Tls(TlsError::NoCertificate))));
}

#[test]
fn vncauth_begins_inside_of_tls() {
    let state = Folder::new("state");
    let (store, _, tls) = own(state.path(), Settings::default());
    let runtime = runtime();
    let (mut raw, task) = start(&runtime, &store, &[Subtype::X509Vnc]);
    assert_eq!(raw.vencrypt_offer().unwrap(), [261]);
    raw.vencrypt_choose(261).unwrap();
    raw.start_tls(&tls).unwrap();
    let mut entered = end(&runtime, task).unwrap();
    assert_eq!(entered.asked, Asked::VncAuth);
    runtime.block_on(async {
        entered.transport.write_all(&[7; 16]).await.unwrap();
        entered.transport.flush().await.unwrap();
        raw.answer_challenge("password").unwrap();
        let mut response = [0; 16];
        entered.transport.read_exact(&mut response).await.unwrap();
        assert_ne!(response, [0; 16]);
    });
}

#[test]
fn what_does_not_belong_on_a_connection_is_not_offered_there() {
    let state = Folder::new("state");
    let (store, ..) = own(state.path(), Settings::default());
    let runtime = runtime();
    let offered = |info: ConnInfo, offer: &[Subtype], store: Option<&CertificateStore>| {
        runtime.block_on(async {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let served = serve(Transport::new(ours, info), offer, store);
            let result = tokio::select! {
                result = served => Some(result.map(drop)),
                _ = theirs.read_u8() => None,
            };
            match result {
                None => true,
                Some(Err(VeNCryptError::Unfit(..) | VeNCryptError::Nothing)) => false,
                Some(other) => panic!("{other:?}"),
            }
        })
    };
    let local = ConnInfo::in_process("local");
    let open = ConnInfo { local: false, ..local.clone() };
    let encrypted = ConnInfo { encrypted: true, ..open.clone() };
    assert!(!offered(open.clone(), &[Subtype::Plain], Some(&store)));
    assert!(offered(local.clone(), &[Subtype::Plain], None));
    assert!(offered(encrypted, &[Subtype::Plain], None));
    assert!(!offered(local.clone(), &[Subtype::X509Plain], None));
    assert!(offered(open.clone(), &[Subtype::X509Plain], Some(&store)));
    assert!(!offered(open.clone(), &[Subtype::X509None], Some(&store)), "nothing would be proved");
    assert!(!offered(open, &[], Some(&store)));
    assert!(!offered(local, &[Subtype::X509Plain, Subtype::X509None], Some(&store)));
}

#[test]
fn refusals_reach_the_client() {
    let state = Folder::new("state");
    let (store, ..) = own(state.path(), Settings::default());
    let runtime = runtime();
    let (mut raw, task) = start(&runtime, &store, &[Subtype::X509Plain]);
    raw.read(2).unwrap();
    raw.send(&[0, 1]).unwrap();
    assert_eq!(raw.read_to_close().unwrap(), [0xff]);
    assert!(matches!(end(&runtime, task), Err(VeNCryptError::Version(0, 1))));
    for number in [257, 258, 259, 260, 261, 256] {
        let (mut raw, task) = start(&runtime, &store, &[Subtype::X509Plain]);
        raw.vencrypt_offer().unwrap();
        raw.send(&u32::to_be_bytes(number)).unwrap();
        let told: &[u8] = if number == 256 { &[] } else { &[0] };
        assert_eq!(raw.read_to_close().unwrap(), told);
        assert!(matches!(end(&runtime, task), Err(VeNCryptError::NotOffered(n)) if n == number));
    }
}

#[test]
fn a_password_sent_before_tls_is_never_read_as_one() {
    let state = Folder::new("state");
    let (store, ..) = own(state.path(), Settings::default());
    let runtime = runtime();
    let (mut raw, task) = start(&runtime, &store, &[Subtype::X509Plain]);
    let choice = [&[0, 2][..], &262u32.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 0, 1, b'a', b'b']].concat();
    raw.send(&choice).unwrap();
    let answer = raw.read_to_close().unwrap();
    assert_eq!(answer[..9], [0, 2, 0, 1, 0, 0, 1, 6, 1]);
    assert!(matches!(end(&runtime, task), Err(VeNCryptError::Tls(TlsError::Misbehaved(_)))));
}

#[test]
fn tls_that_came_early_is_not_lost() {
    let state = Folder::new("state");
    let (store, ..) = own(state.path(), Settings::default());
    let runtime = runtime();
    // the client's first flight of TLS lies in the bytes that were read with the choice
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let task = runtime.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut early = vec![0; 512];
        let n = stream.read(&mut early).await.unwrap();
        let mut transport = Transport::new(stream, ConnInfo::in_process("test"));
        transport.unread(&early[..n]);
        let result = serve(transport, &[Subtype::X509Plain], Some(&store)).await;
        (n, result)
    });
    let mut stream = TcpStream::connect(address).unwrap();
    let config = tls_config(state.path());
    let mut session = rustls::ClientConnection::new(config, "127.0.0.1".try_into().unwrap()).unwrap();
    let mut hello = [&[0, 2][..], &262u32.to_be_bytes()].concat();
    session.write_tls(&mut hello).unwrap();
    stream.write_all(&hello).unwrap();
    let mut told = [0; 9];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(told, [0, 2, 0, 1, 0, 0, 1, 6, 1]);
    let mut inside = rustls::Stream::new(&mut session, &mut stream);
    inside.write_all(&[0, 0, 0, 1, 0, 0, 0, 1, b'a', b'b']).unwrap();
    let (early, result) = end(&runtime, task);
    assert!(early > 6, "{early} bytes came early");
    assert_eq!(password(&result.unwrap()), ("a", "b"));
}

fn tls_config(state: &std::path::Path) -> Arc<rustls::ClientConfig> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(state.join("tls.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let config = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    Arc::new(config.with_no_client_auth())
}

/// Keeps what a client sent, to send a part of it again.
struct Tap(TcpStream, Arc<std::sync::Mutex<usize>>, usize);

impl Read for Tap {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut sent = self.1.lock().unwrap();
        let take = bytes.len().min(self.2.saturating_sub(*sent));
        self.0.write_all(&bytes[..take])?;
        *sent += bytes.len();
        if take < bytes.len() {
            self.0.shutdown(Shutdown::Write)?;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_client_that_leaves_at_any_byte_leaves_an_error_and_nothing_else() {
    let state = Folder::new("state");
    let (store, ..) = own(state.path(), Settings::default());
    let runtime = runtime();
    let config = tls_config(state.path());
    // what the client sends goes through a tap that closes after `most` bytes; returns what it would have sent in all
    let cut = |most: usize| {
        let (address, task) = listen(&runtime, &store, &[Subtype::X509Plain]);
        let sent = Arc::new(std::sync::Mutex::new(0));
        let mut tap = Tap(TcpStream::connect(address).unwrap(), Arc::clone(&sent), most);
        let _ = (|| -> std::io::Result<()> {
            tap.write_all(&[0, 2])?;
            tap.write_all(&262u32.to_be_bytes())?;
            tap.read_exact(&mut [0; 9])?;
            let mut session = rustls::ClientConnection::new(Arc::clone(&config), "127.0.0.1".try_into().unwrap())
                .map_err(std::io::Error::other)?;
            rustls::Stream::new(&mut session, &mut tap).write_all(&[0, 0, 0, 1, 0, 0, 0, 1, b'a', b'b'])
        })();
        let result = end(&runtime, task);
        let total = *sent.lock().unwrap();
        (total, result)
    };
    let (total, whole) = cut(usize::MAX);
    assert!(whole.is_ok());
    // every byte of what is in the clear and of the records' heads; of the large first flight every 97th
    let steps = (0..30).chain((30..total - 120).step_by(97)).chain(total - 120..total);
    for most in steps {
        match cut(most).1 {
            Err(VeNCryptError::Left | VeNCryptError::Io(_) | VeNCryptError::Tls(TlsError::Io(_))) => {}
            other => panic!("cut at {most} of {total}: {other:?}"),
        }
    }
}

#[test]
fn a_login_over_the_tests_own_client_says_when_it_is_refused() {
    let state = Folder::new("state");
    let (store, _, tls) = own(state.path(), Settings::default());
    let runtime = runtime();
    let (address, task) = listen(&runtime, &store, &[Subtype::X509Plain]);
    let client = std::thread::spawn(move || {
        let mut raw = raw(address);
        raw.x509_plain(&tls, "alice", "wrong")?;
        raw.security_result(true)
    });
    let mut entered = end(&runtime, task).unwrap();
    runtime.block_on(async {
        entered.transport.write_all(b"\0\0\0\x01\0\0\0\x02no").await.unwrap();
        entered.transport.flush().await.unwrap();
    });
    assert!(matches!(client.join().unwrap(), Err(ClientError::Refused(why)) if why == "no"));
}
