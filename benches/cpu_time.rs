//! CPU time of the running thread as a measurement, so that a busy machine gives nearly the figures of a quiet one.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use std::time::Duration;

/// CPU time of this thread, from the kernel's scheduler statistics.
pub struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        // giving the core away for a moment makes the kernel bring its sum up to date
        std::thread::yield_now();
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("scheduler statistics");
        let on_cpu_ns = text.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a count first");
        Duration::from_nanos(on_cpu_ns)
    }

    fn end(&self, start: Duration) -> Duration {
        self.start().saturating_sub(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
