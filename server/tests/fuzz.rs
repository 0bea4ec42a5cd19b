//! The fuzz targets over golden transcripts, hand-made seeds and random changes of both; see `fuzz/README.md`.

#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use farpane_engine::capture::OutputInfo;
use farpane_engine::capture::replay::TraceWriter;
use farpane_engine::frame::{Frame, Hint, Memory, Piece};
use farpane_engine::geometry::{Point, Size};
use farpane_engine::pixel::{Fourcc, Modifier};

/// How far a target is run.
#[derive(Clone, Copy)]
struct Effort {
    /// Changed inputs at most.
    runs: usize,
    /// How long they may take together; a slow machine does fewer.
    span: Duration,
    /// Which changes.
    seed: u64,
}

/// In the ordinary tests: the same changes every time.
const ORDINARY: Effort = Effort { runs: 10_000, span: Duration::from_secs(2), seed: 0x9e37_79b9_7f4a_7c15 };

/// `make fuzz`: for so many seconds in all, with changes of their own.
fn asked() -> Option<Effort> {
    let seconds: u64 = std::env::var("FARPANE_FUZZ_SECONDS").ok()?.parse().expect("FARPANE_FUZZ_SECONDS is a number");
    let span = Duration::from_secs(seconds) / u32::try_from(targets::TARGETS.len()).expect("few targets");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    Some(Effort {
        runs: usize::MAX,
        span,
        seed: u64::try_from(now.as_nanos() & u128::from(u64::MAX)).expect("64 bits") | 1,
    })
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the server lies in the workspace").to_path_buf()
}

/// A file of each transcript in `folder`, with the transcript's name.
fn transcripts(folder: &str, file: &str) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(top().join(folder))
        .expect("a folder of golden files")
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, std::fs::read(path.join(file)).ok()?))
        })
        .collect();
    found.sort();
    found
}

/// Bytes of the handshake of version 3.8 without security: of the client, and of the server.
const CLIENT_HELLO: usize = 12 + 1 + 1;
fn server_hello(bytes: &[u8]) -> usize {
    let init = 12 + 1 + usize::from(bytes[12]) + 4;
    let name = u32::from_be_bytes(bytes[init + 20..init + 24].try_into().expect("four bytes"));
    init + 24 + name as usize
}

fn with_mode(mode: u8, bytes: &[u8]) -> Vec<u8> {
    [&[mode], bytes].concat()
}

fn a_trace() -> Vec<u8> {
    let size = Size::new(20, 10);
    let info = OutputInfo { name: "fuzz".into(), position: Point::new(0, 0), size, fourcc: Fourcc::XRGB8888 };
    let begun = Instant::now();
    let mut writer = TraceWriter::new(Vec::new(), &info).expect("a trace");
    for seq in 0..3 {
        let frame = Frame {
            size,
            fourcc: Fourcc::XRGB8888,
            modifier: Modifier::LINEAR,
            pieces: vec![Piece { rect: size.rect(), offset: 0, stride: 80 }],
            memory: Memory::Heap((0..200u32).map(|p| (p * 77 * (seq as u32 + 1)) & 0x00ff_ffff).collect()),
            hint: Hint::Everything,
            acquire: None,
            seq,
            captured_at: begun + Duration::from_millis(seq),
            release: None,
        };
        writer.frame(&frame).expect("a frame");
    }
    writer.finish(begun + Duration::from_millis(9)).expect("an end")
}

fn an_authority() -> Vec<u8> {
    let mut out = Vec::new();
    for (family, address, number) in [(256u16, &b"here"[..], &b"1"[..]), (0, &[1, 2, 3, 4], b"0"), (65_535, b"", b"")] {
        out.extend(family.to_be_bytes());
        for part in [address, number, b"MIT-MAGIC-COOKIE-1", &[9; 16]] {
            out.extend((part.len() as u16).to_be_bytes());
            out.extend(part);
        }
    }
    out
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: binary\r\n\r\n";

const CONFIG: &str = "source = \"synthetic:640x480@30:still\"\nsecurity = [\"none\"]\n[session]\nmax_fps = 30\nview_only = true\n\
    [[listener]]\naddress = \"127.0.0.1:5901\"\n[[listener]]\naddress = \"unix:/tmp/x\"\nsecurity = [\"vncauth\"]\n";

/// Good inputs of a target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let (all, handshakes) = ("engine/tests/golden", "server/rfb/tests/golden");
    match target {
        "client_messages" => transcripts(all, "c2s.bin")
            .iter()
            .flat_map(|(_, bytes)| [0x00, 0x03, 0xff].map(|mode| with_mode(mode, &bytes[CLIENT_HELLO..])))
            .collect(),
        "server_messages" => {
            transcripts(all, "s2c.bin").iter().map(|(_, bytes)| bytes[server_hello(bytes)..].to_vec()).collect()
        }
        "viewer" => transcripts(all, "s2c.bin")
            .iter()
            .map(|(name, bytes)| {
                let format = if name.contains("565le") { 1 } else { 2 * u8::from(name.contains("565be")) };
                with_mode(0xfc | format, &bytes[server_hello(bytes)..])
            })
            .collect(),
        "server_handshake" => transcripts(handshakes, "c2s.bin")
            .iter()
            .flat_map(|(_, bytes)| [0x00, 0x05, 0x0a, 0xf9, 0x03].map(|mode| with_mode(mode, bytes)))
            .collect(),
        "client_handshake" => transcripts(handshakes, "s2c.bin")
            .iter()
            .flat_map(|(_, bytes)| [0, 200].map(|mode| with_mode(mode, &bytes[..bytes.len().min(600)])))
            .collect(),
        "extended_clipboard" => {
            // caps, request, peek, notify, and a text of three bytes in a stored block
            let caps = [0x1f, 0, 0, 1, 0, 0x10, 0, 0].to_vec();
            let text =
                [&[0x10, 0, 0, 1, 0x78, 1, 1, 8, 0, 0xf7, 0xff][..], &[0, 0, 0, 4], b"abc\0", &[5, 0x5c, 1, 0x2b]];
            vec![caps, vec![2, 0, 0, 1], vec![4, 0, 0, 0], vec![8, 0, 0, 1], text.concat()]
        }
        "websocket" => {
            let frame = |kind: u8, body: &[u8]| [&[kind, 0x80 | body.len() as u8, 0, 0, 0, 0][..], body].concat();
            let frames = [frame(0x82, b"RFB 003.008\n"), frame(0x89, b"ping"), frame(0x02, b"a"), frame(0x80, b"b")];
            let (text, close) = (frame(0x81, b"text"), frame(0x88, &[3, 0xe8]));
            vec![REQUEST.to_vec(), [REQUEST, &frames.concat(), &close].concat(), [REQUEST, &text].concat()]
        }
        "trace" => vec![a_trace()],
        "xauthority" => vec![an_authority()],
        "config" => {
            let words = [CONFIG, "", "[::1]:5900", "unix:/run/x", "ws:127.0.0.1:6080", "x11::1", "kms:card0-DP-1"];
            words.iter().map(|text| text.as_bytes().to_vec()).collect()
        }
        other => targets::channel::seeds(other)
            .or_else(|| targets::tls::seeds(other))
            .or_else(|| targets::rsa_aes::seeds(other))
            .or_else(|| targets::strangers::seeds(other))
            .unwrap_or_else(|| panic!("no seeds for {other}")),
    }
}

/// A small generator of pseudo-random numbers (xorshift), the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }
}

/// Changes a few bytes: other values, borders, cuts, insertions, and parts of another input.
fn mutate(input: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..1 + random.below(4) {
        // most of what decides stands near the start
        let reach = if random.below(2) == 0 { out.len().min(64) } else { out.len() };
        let at = random.below(reach);
        match random.below(7) {
            0 if !out.is_empty() => out[at] ^= 1 << random.below(8),
            1 if !out.is_empty() => out[at] = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'9'][random.below(7)],
            2 => out.truncate(at),
            3 => {
                let value = [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x0001_0000][random.below(6)];
                value.to_be_bytes().iter().zip(out.iter_mut().skip(at)).for_each(|(v, byte)| *byte = *v);
            }
            4 => {
                let end = out.len().min(at + random.below(20));
                out.drain(at..end);
            }
            5 => {
                let from = random.below(other.len());
                let part = &other[from..other.len().min(from + random.below(40))];
                out.splice(at..at, part.iter().copied());
            }
            _ => {
                let bytes: Vec<u8> = (0..random.below(9)).map(|_| random.below(256) as u8).collect();
                out.splice(at..at, bytes);
            }
        }
    }
    out
}

/// Runs a target over its seeds and changes of them; returns the first input that makes it panic.
fn run(target: fn(&[u8]), seeds: &[Vec<u8>], effort: Effort) -> Result<usize, Vec<u8>> {
    let try_one = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| target(input))).map_err(|_| input.to_vec());
    seeds.iter().try_for_each(|seed| try_one(seed))?;
    try_one(&[])?;
    let (end, mut random) = (Instant::now() + effort.span, Random(effort.seed));
    for n in 0..effort.runs {
        if Instant::now() >= end {
            return Ok(n);
        }
        let (seed, other) = (&seeds[random.below(seeds.len())], &seeds[random.below(seeds.len())]);
        try_one(&mutate(seed, other, &mut random))?;
    }
    Ok(effort.runs)
}

#[test]
fn no_bytes_from_elsewhere_break_anything() {
    let effort = asked();
    for (name, target) in targets::TARGETS {
        match run(target, &seeds(name), effort.unwrap_or(ORDINARY)) {
            Ok(runs) if effort.is_some() => println!("{runs:>10} runs of {name}"),
            Ok(_) => {}
            Err(input) => panic!("{name} breaks on {} bytes: {:02x?}", input.len(), &input[..input.len().min(2000)]),
        }
    }
}

#[test]
fn a_target_that_breaks_is_noticed() {
    fn breaks(data: &[u8]) {
        assert!(!data.starts_with(b"good") || data.get(4) != Some(&0xff), "planted");
    }
    let found =
        run(breaks, &[b"good bytes".to_vec()], Effort { runs: 100_000, ..ORDINARY }).expect_err("a broken input");
    assert!(found.starts_with(b"good\xff"), "{found:?}");
}

/// Writes the seeds where cargo-fuzz looks for them, when FARPANE_CORPUS names the folder (`fuzz/corpus`); else to a folder of
/// the test's own, to see that every target has some.
#[test]
fn every_target_has_a_corpus_that_can_be_written() {
    let asked = std::env::var_os("FARPANE_CORPUS").map(std::path::PathBuf::from);
    let own = std::env::temp_dir().join(format!("farpane-corpus-{}", std::process::id()));
    let corpus = asked.as_ref().unwrap_or(&own);
    for (name, _) in targets::TARGETS {
        let folder = corpus.join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seed");
        for (n, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{n:03}")), seed).expect("a file");
        }
    }
    if asked.is_none() {
        std::fs::remove_dir_all(&own).expect("our own folder");
    }
}
