//! The pipeline as a whole: a scripted source on one side, clients with the reference decoder on the other.

mod canvas;
mod client;
#[cfg(feature = "h264")]
mod films;
mod outputs;
mod scaled;
mod updates;
mod yields;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use canvas::Canvas;
use farpane_engine::damage::CpuDamage;
use farpane_engine::geometry::Point;
use farpane_engine::pipeline::{Lanes, Output, OutputEvent, View, ViewOutput};

const LIMIT: Duration = Duration::from_secs(20);

fn pool() -> Lanes {
    Lanes::new(2, 0).unwrap()
}

fn one_output(canvas: &Canvas) -> (View, Arc<Output>, Arc<Mutex<Vec<String>>>) {
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let events = {
        let log = Arc::clone(&log);
        Box::new(move |e: OutputEvent| log.lock().unwrap().push(format!("{e:?}")))
    };
    let output = Output::spawn(canvas.source(), Box::new(CpuDamage::new()), events, Instant::now()).unwrap();
    let output = Arc::new(output);
    let size = output.info().size;
    let view =
        View { canvas: size, outputs: vec![ViewOutput { output: Arc::clone(&output), at: Point::new(0, 0), size }] };
    (view, output, log)
}

fn wait_for(what: &str, mut test: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !test() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        std::thread::yield_now();
    }
}

fn noise(x: u16, y: u16) -> u32 {
    let v = (u32::from(x) << 16 | u32::from(y)).wrapping_mul(0x9e37_79b9);
    let v = (v ^ v >> 15).wrapping_mul(0x85eb_ca6b);
    (v ^ v >> 13) & 0x00ff_ffff
}
