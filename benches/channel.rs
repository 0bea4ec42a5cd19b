//! The channel: sealing and opening records of 1, 16 and 64 KiB, an input event, and the handshake, with each engine.
//!
//! What was sealed is opened and compared before it is timed. What is measured is the thread's CPU time. `bare` is the library
//! alone, in place: what the processor allows.
//!
//! `cargo bench -p farpane-benches --bench channel`. Profile `ci` checks overflows in the generic code of aes-gcm, which is compiled
//! into our crate, and shows it three times slower than it is.

mod cpu_time;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use cpu_time::CpuTime;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use farpane_channel::handshake::{ServerHandshake, ServerSettings, ViewerHandshake, ViewerSettings};
use farpane_channel::hello::{ClientHello, ServerHello, ViewerKind};
use farpane_channel::{Channel, Engine, Entropy, Identity, Record, Transcript, Wire};

/// A link fast enough for the largest records.
const FAST: Option<u64> = Some(10_000_000_000);
/// The name of a size, its data bytes (the largest that fit in a record for 64 KiB) and what is said of the link.
const SIZES: [(&str, usize, Option<u64>); 4] =
    [("event", 8, None), ("1KiB", 1 << 10, None), ("16KiB", 16 << 10, None), ("64KiB", 65_518, FAST)];

fn said() -> Transcript {
    Transcript::new(*b"RFB 003.008\n", *b"RFB 003.008\n", &[70], 70).expect("offered")
}

fn server(engine: Engine, key: &Arc<Identity>, now: Instant) -> ServerHandshake {
    let settings = ServerSettings { key: Arc::clone(key) as _, engine, hello: ServerHello::default() };
    ServerHandshake::new(settings, said(), Entropy::new([3; 32]), now).expect("good settings")
}

fn viewer(engine: Engine, key: &Arc<Identity>, now: Instant) -> ViewerHandshake {
    let settings = ViewerSettings { key: Arc::clone(key) as _, engine };
    ViewerHandshake::new(settings, said(), Entropy::new([4; 32]), now)
}

/// Both ends' static keys and the viewer's two messages, which are the same every time.
struct Ends {
    engine: Engine,
    server_key: Arc<Identity>,
    device_key: Arc<Identity>,
    now: Instant,
}

impl Ends {
    fn new(engine: Engine) -> Self {
        let key = |seed| Arc::new(Identity::from_secret(&[seed; 32]));
        Self { engine, server_key: key(1), device_key: key(2), now: Instant::now() }
    }

    /// A whole handshake: both ends' work. Returns the viewer's messages too.
    fn connect(&self) -> (Channel, Channel, Vec<u8>, Vec<u8>) {
        let mut server = server(self.engine, &self.server_key, self.now);
        let mut viewer = viewer(self.engine, &self.device_key, self.now);
        let first = viewer.advance(&server.offer(), self.now).expect("an offer").output;
        let used = server.advance(&first, self.now).expect("a suite").used;
        let second = server.advance(&first[used..], self.now).expect("message 1").output;
        viewer.advance(&second, self.now).expect("message 2");
        let hello = ClientHello { viewer: ViewerKind::Native, user_hint: "ann".into(), first_auth: Vec::new().into() };
        let third = viewer.proceed(&hello).expect("message 3");
        server.advance(&third, self.now).expect("message 3");
        (server.into_channel().expect("complete"), viewer.into_channel().expect("complete"), first, third)
    }

    /// The server's work alone.
    fn accept(&self, first: &[u8], third: &[u8]) -> Channel {
        let mut server = server(self.engine, &self.server_key, self.now);
        let used = server.advance(first, self.now).expect("a suite").used;
        server.advance(&first[used..], self.now).expect("message 1");
        server.advance(third, self.now).expect("message 3");
        server.into_channel().expect("complete")
    }

    /// Channels in the middle of a burst: records are as large as they get.
    fn busy(&self) -> (Channel, Channel) {
        let (mut server, mut viewer, ..) = self.connect();
        let mut wire = Vec::new();
        server.write(&[0; 128 << 10], FAST, self.now, &mut wire).expect("open");
        server.flush(&mut wire).expect("open");
        take(&mut viewer, &wire, self.now);
        (server, viewer)
    }
}

/// Opens everything; the data bytes that came.
fn take(viewer: &mut Channel, mut wire: &[u8], now: Instant) -> Vec<u8> {
    let mut came = Vec::new();
    while !wire.is_empty() {
        let opened = viewer.open(wire, now).expect("good records");
        if let Some(Record::Rfb(data)) = opened.record {
            came.extend_from_slice(data);
        }
        wire = &wire[opened.used..];
    }
    came
}

/// Seals in place.
type Bare = Box<dyn FnMut(&mut [u8])>;

/// Sealing in place by an engine's library and nothing around it.
fn bare(engine: Engine) -> Bare {
    if engine == Engine::Portable {
        let key = Aes256Gcm::new(&[9; 32].into());
        Box::new(move |data| {
            let tag = key.encrypt_inout_detached(&[0; 12].into(), &[], data.into()).expect("sealed");
            black_box(&tag);
        })
    } else {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[9; 32]).expect("a key"));
        let nonce = || Nonce::assume_unique_for_key([0; 12]);
        Box::new(move |data| {
            let tag = key.seal_in_place_separate_tag(nonce(), Aad::empty(), data).expect("sealed");
            black_box(&tag);
        })
    }
}

fn records(c: &mut Criterion<CpuTime>) {
    for engine in Engine::ALL {
        let ends = Ends::new(*engine);
        for (name, size, rate) in SIZES {
            let data: Vec<u8> = (0..size).map(|n| (n * 31) as u8).collect();
            let mut group = c.benchmark_group(format!("channel/{}/{name}", engine.name()));
            group.sample_size(10).throughput(Throughput::Bytes(size as u64));
            let (mut server, mut viewer) = ends.busy();
            let seal = |server: &mut Channel, wire: &mut Wire| {
                server.write(&data, rate, ends.now, wire).expect("open");
                server.flush(wire).expect("open");
            };
            let mut wire = Wire::default();
            seal(&mut server, &mut wire);
            assert_eq!(wire.len(), size + 19, "one record");
            assert!(take(&mut viewer, wire.pending(), ends.now) == data, "other bytes");
            let mut bare = bare(*engine);
            let mut place = data.clone();
            group.bench_function("bare-seal", |b| b.iter(|| bare(black_box(&mut place))));
            group.bench_function("seal", |b| {
                b.iter(|| {
                    wire.clear();
                    seal(&mut server, black_box(&mut wire));
                });
            });
            let (mut server, mut viewer) = ends.busy();
            let mut second = ends.now;
            group.bench_function("open", |b| {
                b.iter_batched_ref(
                    || {
                        let mut wire = Wire::default();
                        seal(&mut server, &mut wire);
                        wire.pending().to_vec()
                    },
                    |wire: &mut Vec<u8>| {
                        // the limit of small records is per second
                        second += std::time::Duration::from_millis(1);
                        let opened = viewer.open(wire, second).expect("good records");
                        black_box(opened.used)
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

fn handshake(c: &mut Criterion<CpuTime>) {
    for engine in Engine::ALL {
        let ends = Ends::new(*engine);
        let (mut server, mut viewer, first, third) = ends.connect();
        assert_eq!(server.handshake_hash(), viewer.handshake_hash());
        assert_eq!(ends.accept(&first, &third).handshake_hash(), viewer.handshake_hash());
        let mut wire = Vec::new();
        server.write(b"x", None, ends.now, &mut wire).expect("open");
        server.flush(&mut wire).expect("open");
        assert_eq!(take(&mut viewer, &wire, ends.now), b"x");
        let mut group = c.benchmark_group(format!("channel/{}/handshake", engine.name()));
        group.bench_function("both-ends", |b| b.iter(|| black_box(ends.connect())));
        group.bench_function("server", |b| b.iter(|| black_box(ends.accept(&first, &third))));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .warm_up_time(std::time::Duration::from_millis(200))
        .measurement_time(std::time::Duration::from_secs(1));
    targets = records, handshake
}
criterion_main!(benches);
