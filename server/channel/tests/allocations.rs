//! No record allocates once the buffers have grown: counted by an allocator of the test's own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use farpane_channel::handshake::{ServerHandshake, ServerSettings, ViewerHandshake, ViewerSettings};
use farpane_channel::hello::{ClientHello, ServerHello, ViewerKind};
use farpane_channel::{Channel, Engine, Entropy, Identity, Ping, Record, Transcript, Wire};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn note() {
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is the system allocator's, with the caller's own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: `block` came from the system allocator, through `alloc`; the caller keeps the rest.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `block` came from the system allocator, through `alloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Runs `work` and returns how often this thread allocated meanwhile.
fn count(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn pair(engine: Engine) -> (Channel, Channel) {
    let now = Instant::now();
    let said = || Transcript::new(*b"RFB 003.008\n", *b"RFB 003.008\n", &[70], 70).expect("offered");
    let key = Arc::new(Identity::from_secret(&[1; 32]));
    let settings = ServerSettings { key, engine, hello: ServerHello::default() };
    let mut server = ServerHandshake::new(settings, said(), Entropy::new([3; 32]), now).expect("good settings");
    let settings = ViewerSettings { key: Arc::new(Identity::from_secret(&[2; 32])), engine };
    let mut viewer = ViewerHandshake::new(settings, said(), Entropy::new([4; 32]), now);
    let first = viewer.advance(&server.offer(), now).expect("an offer").output;
    let used = server.advance(&first, now).expect("a suite").used;
    let second = server.advance(&first[used..], now).expect("message 1").output;
    viewer.advance(&second, now).expect("message 2");
    let hello = ClientHello { viewer: ViewerKind::Other, user_hint: String::new(), first_auth: Vec::new().into() };
    let third = viewer.proceed(&hello).expect("message 3");
    server.advance(&third, now).expect("message 3");
    (server.into_channel().expect("complete"), viewer.into_channel().expect("complete"))
}

/// Sends `bytes` and opens what comes, in pieces of this size; how many bytes of RFB came.
fn pass(from: &mut Channel, to: &mut Channel, bytes: &[u8], piece: usize, wire: &mut Wire, now: Instant) -> usize {
    wire.clear();
    from.write(bytes, Some(1 << 40), now, wire).expect("open");
    from.flush(wire).expect("open");
    from.ping(Ping { answer: false, token: 7 }, wire).expect("open");
    let mut came = 0;
    for mut part in wire.pending().chunks(piece) {
        while !part.is_empty() {
            let opened = to.open(part, now).expect("good records");
            came += if let Some(Record::Rfb(data)) = opened.record { data.len() } else { 0 };
            part = &part[opened.used..];
        }
    }
    came
}

#[test]
fn an_allocation_is_seen() {
    assert_eq!(count(|| drop(std::hint::black_box(Box::new(1)))), 1);
    assert_eq!(count(|| drop(std::hint::black_box(vec![0u8; 9]))), 1);
    assert_eq!(count(|| assert_eq!(std::hint::black_box(1 + 1), 2)), 0);
}

#[test]
fn steady_records_allocate_nothing() {
    for engine in Engine::ALL {
        let (mut server, mut viewer) = pair(*engine);
        let (now, data, mut wire) = (Instant::now(), vec![5; 600_000], Wire::default());
        let sizes = [(600_000, usize::MAX), (600_000, 1_000), (60, 7), (4_096, 100_000), (100_000, 70_000)];
        let round = |server: &mut Channel, viewer: &mut Channel, wire: &mut Wire| {
            for (size, piece) in sizes {
                assert_eq!(pass(server, viewer, &data[..size], piece, wire, now), size);
                assert_eq!(pass(viewer, server, &data[..size], piece, wire, now), size);
            }
        };
        let grown = count(|| round(&mut server, &mut viewer, &mut wire));
        assert!(grown > 0, "buffers that never grew are not counted");
        let steady = count(|| {
            for _ in 0..20 {
                round(&mut server, &mut viewer, &mut wire);
            }
        });
        assert_eq!(steady, 0, "with {}", engine.name());
    }
}
