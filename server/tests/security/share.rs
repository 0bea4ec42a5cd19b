//! What encryption takes of a server that streams up to 400 Mbit/s: film, and noise that costs little to encode. Measured by hand, since it is seconds and not counts:
//! `FARPANE_CHANNEL_SHARE=1 cargo test --release -p farpane-server --test security share -- --nocapture`.

use super::{BINARY, connect, password};
use farpane_test_support::channel::{ChannelLogin, password as said};
use farpane_test_support::{Client, PATIENCE, Security, Server, encoding};
use std::time::{Duration, Instant};

/// Of each window, in turns.
const WINDOW: Duration = Duration::from_secs(4);
const ROUNDS: usize = 6;
const CHUNK: usize = 1 << 20;

/// Processor time that a process has used, all threads.
fn used(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    // after the name: user and system time are the 12th and 13th, in hundredths of a second
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|t| t.parse::<u64>().ok()).expect("a time");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

struct Stream {
    server: Server,
    client: Client,
}

impl Stream {
    fn start(engine: Option<&str>, scene: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("farpane-share-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join(engine.unwrap_or("none"));
        let text = engine.map_or_else(String::new, |engine| format!("[channel]\nengine = \"{engine}\"\n"));
        std::fs::write(&file, format!("{text}[session]\nmax_rate_kbps = 400000\n")).expect("a file");
        let security = if engine.is_some() { "channel" } else { "none" };
        let file = file.to_str().expect("a path");
        let scene = format!("synthetic:3840x2160@60:{scene}");
        let server = Server::start(
            BINARY,
            &["serve", "--source", &scene, "--listen", "127.0.0.1:0", "--security", security, "--config", file],
        );
        let mut client = if engine.is_some() {
            let login =
                ChannelLogin::begin(connect(&server), [1; 32], Some(&said("a", &password(&server)))).expect("login");
            Client::proved(login.into_raw(PATIENCE).expect("raw")).expect("client")
        } else {
            Client::handshake(connect(&server), "RFB 003.008\n", Security::None, true).expect("client")
        };
        // JPEG of the best quality
        client.set_encodings(&[encoding::TIGHT, -23, encoding::CONTINUOUS_UPDATES]).expect("encodings");
        client.watch_continuously().expect("updates");
        Stream { server, client }
    }

    /// Reads for a window; bytes and the server's processor time.
    fn window(&mut self) -> (u64, Duration, Duration) {
        let (start, before) = (Instant::now(), used(self.server.pid()));
        let (mut bytes, mut chunk) = (0, vec![0; CHUNK]);
        while start.elapsed() < WINDOW {
            let read = self.client.raw().read_some(&mut chunk, start + WINDOW).expect("a stream");
            bytes += read.unwrap_or(0) as u64;
        }
        (bytes, used(self.server.pid()) - before, start.elapsed())
    }
}

#[test]
fn share_of_encryption_in_a_stream() {
    if std::env::var_os("FARPANE_CHANNEL_SHARE").is_none() {
        return;
    }
    let engines = [None, Some("aes-gcm"), Some("aws-lc-rs")];
    for scene in ["video", "noise"] {
        let mut sums = [(0u64, Duration::ZERO, Duration::ZERO); 3];
        for _ in 0..ROUNDS {
            for (engine, sum) in engines.iter().zip(&mut sums) {
                let mut stream = Stream::start(*engine, scene);
                stream.window();
                let (bytes, cpu, time) = stream.window();
                *sum = (sum.0 + bytes, sum.1 + cpu, sum.2 + time);
            }
        }
        for (engine, (bytes, cpu, time)) in engines.iter().zip(sums) {
            let (mbit, cores) = (bytes as f64 * 8e-6 / time.as_secs_f64(), cpu.as_secs_f64() / time.as_secs_f64());
            let per_byte = cpu.as_secs_f64() * 1e9 / bytes as f64;
            let engine = engine.unwrap_or("none");
            println!("{scene} {engine:<10} {mbit:6.1} Mbit/s {cores:5.3} cores {per_byte:6.3} ns/byte");
        }
    }
}
