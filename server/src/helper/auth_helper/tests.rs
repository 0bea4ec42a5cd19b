use super::*;
use crate::auth::{Granted, Prompt, PromptKind};
use crate::security::SecurityKind;
use crate::security::rsa_aes::key::LocalRsaKey;
use farpane_channel::Identity;
use rustls::SignatureScheme;
use std::sync::{LazyLock, Mutex};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};
use x509_parser::prelude::FromDer;

use crate::security::tls::{CertificateError, CertificateSource, Material};

/// An RSA key, made once.
static RSA: LazyLock<(RsaPublic, Zeroizing<Vec<u8>>)> = LazyLock::new(|| {
    let (key, der) = LocalRsaKey::generate().expect("a key");
    (key.public().clone(), der)
});

/// Grants to who says "right" after a prompt, and never comes to a verdict about "slow".
struct Fake {
    given_up: Arc<AtomicU64>,
}

struct FakeLogin {
    user: String,
    turn: u32,
    given_up: Arc<AtomicU64>,
}

impl Drop for FakeLogin {
    fn drop(&mut self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }
}

/// A caller of another connection each time.
fn newcomer() -> Caller {
    static NEXT: AtomicU64 = AtomicU64::new(100);
    Caller { connection: NEXT.fetch_add(1, Ordering::Relaxed), ..caller() }
}

fn granted(user: &str) -> Turn {
    Turn::Granted(Granted { user: user.into(), groups: vec!["g".into()], factors: vec!["userfile".into()] })
}

fn prompt(bytes: usize) -> Prompt {
    Prompt { text: "p".repeat(bytes), kind: PromptKind::Hidden }
}

impl Login for FakeLogin {
    fn next(&mut self, replies: Vec<Secret>) -> Judging<'_> {
        Box::pin(async move {
            self.turn += 1;
            match (self.user.as_str(), self.turn) {
                ("slow", _) => std::future::pending().await,
                ("endless", _) => Turn::Ask(vec![prompt(1)]),
                ("many", _) => Turn::Ask(vec![prompt(2048); 16]),
                (_, 1) => Turn::Ask(vec![prompt(8)]),
                (user, _) if replies == [Secret::new("right".into())] => granted(user),
                _ => Turn::Refused,
            }
        })
    }
}

impl Judge for Fake {
    fn begin(&self, _: Caller, user: String) -> Box<dyn Login> {
        Box::new(FakeLogin { user, turn: 0, given_up: Arc::clone(&self.given_up) })
    }

    fn password(&self, caller: Caller, user: String, password: Secret) -> Judging<'_> {
        Box::pin(async move {
            match (user.as_str(), password.reveal()) {
                ("slow", _) => std::future::pending().await,
                (_, "right") => granted(&format!("{user} of {}", caller.peer)),
                _ => Turn::Refused,
            }
        })
    }

    fn takes_passwords(&self) -> bool {
        true
    }

    fn wants_certificates(&self) -> bool {
        false
    }

    fn certificate_suffices(&self) -> bool {
        true
    }
}

fn caller() -> Caller {
    Caller {
        peer: "192.0.2.1:5".into(),
        listener: "0.0.0.0:5900".into(),
        security: SecurityKind::VncAuth,
        device: None,
        certificate: None,
        known: false,
        connection: 1,
    }
}

/// An own certificate and its key.
fn certified() -> Material {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a key");
    Material { chain: vec![made.cert.der().clone()], key, client_ca: Vec::new(), client_crl: Vec::new() }
}

/// A new certificate at each load, until the file is gone.
struct Changing(Arc<Mutex<bool>>);

impl CertificateSource for Changing {
    fn load(&self, _: SystemTime) -> Result<Material, CertificateError> {
        let gone = *self.0.lock().expect("unpoisoned");
        if gone { Err(CertificateError::Missing("tls.crt".into(), "certificate")) } else { Ok(certified()) }
    }
}

struct Running {
    remote: RemoteKeys,
    given_up: Arc<AtomicU64>,
    helper: JoinHandle<Result<(), WireError>>,
    broken: Arc<Mutex<bool>>,
}

fn start() -> Running {
    let (ours, its) = UnixStream::pair().expect("a socket");
    let given_up = Arc::<AtomicU64>::default();
    let broken = Arc::new(Mutex::new(false));
    let (judge, wrong) = (Fake { given_up: Arc::clone(&given_up) }, Arc::clone(&broken));
    let helper = std::thread::spawn(move || {
        serve(its, SystemTime::now, |setup: String| {
            assert_eq!(setup, "setup");
            let rsa = LocalRsaKey::from_bytes(&RSA.1).expect("a key");
            Ok(Keys {
                identity: Some(Arc::new(Identity::from_secret(&[7; 32]))),
                rsa: Some(Arc::new(rsa)),
                certificates: Some(Box::new(Changing(wrong))),
                judge: Some(Arc::new(judge)),
                session_password: Some(Secret::new("of this run".into())),
            })
        })
    });
    let remote = RemoteKeys::start(ours, &"setup").expect("opens");
    Running { remote, given_up, helper, broken }
}

fn in_runtime<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

fn until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "not within 20 s");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn keys_elsewhere_do_what_keys_here_do() {
    let Running { mut remote, helper, .. } = start();
    let local = Identity::from_secret(&[7; 32]);
    let identity = remote.identity().expect("has one");
    assert_eq!(identity.public(), local.public());
    let their = Identity::from_secret(&[9; 32]).public();
    assert_eq!(identity.agree(&their), local.agree(&their));
    assert!(identity.agree(&their).is_some());
    assert!(identity.agree(&PublicKey::new([0; 32])).is_none(), "of low order");
    let rsa = remote.rsa().expect("has one");
    assert_eq!(rsa.public(), &RSA.0);
    let block = RSA.0.encrypt(b"secret of a session").expect("encrypts");
    assert_eq!(rsa.decrypt(&block, 19).as_deref().map(Vec::as_slice), Some(&b"secret of a session"[..]));
    for bad in [&block[1..], &[], &[7; 384]] {
        let told = rsa.decrypt(bad, 19).expect("an answer like any other");
        assert!(told.len() == 19 && told.as_slice() != b"secret of a session");
    }
    assert_eq!(remote.take_session_password(), Some(Secret::new("of this run".into())));
    assert_eq!(remote.take_session_password(), None);
    drop((remote, identity, rsa));
    helper.join().expect("ends").expect("by itself");
}

#[test]
fn tls_is_served_with_a_key_that_is_elsewhere() {
    let Running { remote, broken, .. } = start();
    let source = remote.certificates();
    let Material { chain, key, .. } = source.load(SystemTime::now()).expect("loads");
    let certified = rustls::sign::CertifiedKey::new(chain.clone(), Arc::clone(&key));
    certified.keys_match().expect("is the certificate's key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_no_client_auth()
            .with_cert_resolver(resolver.clone());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(chain[0].clone()).expect("a certificate");
        let client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().expect("a name");
        let mut client = rustls::ClientConnection::new(Arc::new(client), name).expect("a client");
        let mut server = rustls::ServerConnection::new(Arc::new(server)).expect("a server");
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).expect("room");
            server.read_tls(&mut bytes.as_slice()).expect("room");
            server.process_new_packets().expect("is signed");
            bytes.clear();
            server.write_tls(&mut bytes).expect("room");
            client.read_tls(&mut bytes.as_slice()).expect("room");
            client.process_new_packets().expect("is the certificate's signature");
        }
    }
    let pair = |m: &Material| rustls::sign::CertifiedKey::new(m.chain.clone(), Arc::clone(&m.key)).keys_match();
    let renewed = source.load(SystemTime::now()).expect("loads again");
    assert_ne!(renewed.chain, chain);
    pair(&renewed).expect("is the new certificate's key");
    *broken.lock().expect("unpoisoned") = true;
    let said = source.load(SystemTime::now()).expect_err("is gone").to_string();
    assert_eq!(said, "tls.crt: no such file; check certificate in [tls]");
    let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).expect("the key's own");
    let signature = signer.sign(b"still").expect("what was loaded before stays");
    let point = key.public_key().expect("is told");
    let verified = |message: &[u8]| {
        let public = x509_parser::x509::SubjectPublicKeyInfo::from_der(&point).expect("a key").1;
        let bytes = public.subject_public_key.data.as_ref();
        let key = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1, bytes);
        key.verify(message, &signature).is_ok()
    };
    assert!(verified(b"still") && !verified(b"other"), "by the key that it was loaded with");
    assert!(key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]).is_none());
}

#[test]
fn keys_that_nothing_is_served_with_are_forgotten_and_others_are_not() {
    let Running { remote, .. } = start();
    let source = remote.certificates();
    let first = source.load(SystemTime::now()).expect("loads");
    // more often than the helper remembers, were it not told
    for _ in 0..100 {
        source.load(SystemTime::now()).expect("loads");
    }
    let sign = |m: &Material| m.key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])?.sign(b"x").ok();
    assert!(sign(&first).is_some());
    let kept: Vec<Material> = (0..50).map_while(|_| source.load(SystemTime::now()).ok()).collect();
    assert!((20..40).contains(&kept.len()), "{}", kept.len());
    assert!(sign(&first).is_some() && kept.iter().all(|material| sign(material).is_some()));
}

#[test]
fn logins_are_judged_there_by_turns_and_at_once() {
    let Running { remote, .. } = start();
    let judge = remote.judge().expect("has one");
    assert_eq!(
        (judge.takes_passwords(), judge.wants_certificates(), judge.certificate_suffices()),
        (true, false, true)
    );
    in_runtime(async {
        let right = || Secret::new("right".into());
        let at_once = judge.password(caller(), "ann".into(), right()).await;
        assert_eq!(at_once, granted("ann of 192.0.2.1:5"));
        assert_eq!(judge.password(caller(), "ann".into(), Secret::default()).await, Turn::Refused);
        let (mut ann, mut bob) = (judge.begin(caller(), "ann".into()), judge.begin(caller(), "bob".into()));
        assert_eq!(ann.next(vec![]).await, Turn::Ask(vec![prompt(8)]));
        assert_eq!(bob.next(vec![]).await, Turn::Ask(vec![prompt(8)]));
        assert_eq!(bob.next(vec![Secret::new("wrong".into())]).await, Turn::Refused);
        assert_eq!(ann.next(vec![right()]).await, granted("ann"));
        assert_eq!(ann.next(vec![right()]).await, Turn::Unavailable, "it is over");
    });
}

#[test]
fn what_does_not_fit_a_message_or_never_ends_is_no_verdict() {
    let Running { remote, given_up, .. } = start();
    let judge = remote.judge().expect("has one");
    in_runtime(async {
        assert_eq!(judge.begin(caller(), "many".into()).next(vec![]).await, Turn::Unavailable);
        let long = Secret::new("x".repeat(wire::MAX_MESSAGE));
        assert_eq!(judge.password(caller(), "ann".into(), long).await, Turn::Unavailable);
        let mut endless = judge.begin(caller(), "endless".into());
        let mut turns = 0;
        while let Turn::Ask(_) = endless.next(vec![]).await {
            turns += 1;
            assert!(turns < 1000);
        }
    });
    until(|| given_up.load(Ordering::Relaxed) == 2);
}

#[test]
fn slow_logins_hold_up_nothing_and_end_when_they_are_given_up() {
    let Running { remote, given_up, helper, .. } = start();
    let (judge, identity) = (remote.judge().expect("has one"), remote.identity().expect("has one"));
    in_runtime(async {
        let mut logins: Vec<_> = (0..300).map(|_| judge.begin(newcomer(), "slow".into())).collect();
        let mut unavailable = 0;
        for login in &mut logins {
            match tokio::time::timeout(Duration::from_millis(1), login.next(vec![])).await {
                Err(_) => {}
                Ok(turn) => {
                    assert_eq!(turn, Turn::Unavailable);
                    unavailable += 1;
                }
            }
        }
        assert!(unavailable <= 300 - 256);
        let their = Identity::from_secret(&[9; 32]).public();
        assert!(identity.agree(&their).is_some());
        drop(logins);
        until(|| given_up.load(Ordering::Relaxed) == 300);
        assert_eq!(
            judge.password(newcomer(), "ann".into(), Secret::new("right".into())).await,
            granted("ann of 192.0.2.1:5")
        );
    });
    drop((remote, judge, identity));
    helper.join().expect("ends").expect("by itself");
}

#[test]
fn keys_that_cannot_be_opened_are_told_in_the_helper_s_words() {
    let (ours, its) = UnixStream::pair().expect("a socket");
    let helper =
        std::thread::spawn(move || serve(its, SystemTime::now, |(): ()| Err("identity.key: is no identity".into())));
    let said = RemoteKeys::start(ours, &()).err().expect("cannot be opened").to_string();
    assert_eq!(said, "identity.key: is no identity");
    helper.join().expect("ends").expect("told");
}

#[test]
fn without_its_helper_every_operation_fails_at_once() {
    let (ours, its) = UnixStream::pair().expect("a socket");
    let helper = std::thread::spawn(move || {
        let (mut sender, mut receiver) = wire::ends(its);
        receiver.receive::<()>(None).expect("the setup");
        let presented = Keys { identity: Some(Arc::new(Identity::from_secret(&[7; 32]))), ..Keys::default() };
        let judge = Some(Chains { takes_passwords: true, wants_certificates: false, certificate_suffices: false });
        let presented = Presented { judge, ..presented.presented() };
        sender.send(&Opened::Ready(Box::new(presented)), &[]).expect("sends");
    });
    let remote = RemoteKeys::start(ours, &()).expect("opens");
    helper.join().expect("ends");
    assert!(remote.identity().expect("has one").agree(&PublicKey::new([9; 32])).is_none());
    assert!(remote.certificates().load(SystemTime::now()).is_err());
    let judge = remote.judge().expect("has one");
    in_runtime(async {
        assert_eq!(judge.password(caller(), "ann".into(), Secret::default()).await, Turn::Unavailable);
        assert_eq!(judge.begin(caller(), "ann".into()).next(vec![]).await, Turn::Unavailable);
    });
}

#[test]
fn a_connection_tries_six_times_and_no_more_whatever_it_says() {
    let Running { remote, .. } = start();
    let judge = remote.judge().expect("has one");
    in_runtime(async {
        let (right, wrong) = (|| Secret::new("right".into()), || Secret::new("wrong".into()));
        for n in 0..6 {
            let turn = match n % 2 {
                0 => judge.password(caller(), "ann".into(), wrong()).await,
                _ => judge.begin(caller(), "ann".into()).next(vec![]).await,
            };
            assert_eq!(turn, if n % 2 == 0 { Turn::Refused } else { Turn::Ask(vec![prompt(8)]) }, "{n}");
        }
        assert_eq!(judge.password(caller(), "ann".into(), right()).await, Turn::Refused);
        assert_eq!(judge.begin(caller(), "ann".into()).next(vec![]).await, Turn::Refused);
        // many others later it is not forgotten, and others were never held up
        for _ in 0..1000 {
            let turn = judge.password(newcomer(), "ann".into(), right()).await;
            assert!(matches!(turn, Turn::Granted(_)), "{turn:?}");
        }
        assert_eq!(judge.password(caller(), "ann".into(), right()).await, Turn::Refused);
    });
}
