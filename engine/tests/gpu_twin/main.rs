//! Shaders against their scalar twins, bit for bit, and the damage engine that runs them against a plain model. Any Vulkan device will do, a
//! program that plays one too. `FARPANE_REQUIRE_GPU=1`, or `FARPANE_REQUIRE_ALL=1`, makes a failure of a machine without any.
#![cfg(feature = "gpu")]

mod frames;
mod imports;
mod kernels;

use std::sync::{Arc, OnceLock};

use farpane_engine::gpu::{Choice, Gpu};
use farpane_test_support::xvfb::skip;

/// The device of the tests that leave it as it is.
fn gpu() -> Option<&'static Arc<Gpu>> {
    static GPU: OnceLock<Option<Arc<Gpu>>> = OnceLock::new();
    GPU.get_or_init(own_gpu).as_ref()
}

/// A device of a test's own.
fn own_gpu() -> Option<Arc<Gpu>> {
    match Gpu::open(Choice::Any) {
        Ok(gpu) => {
            println!("on {}", gpu.adapter());
            Some(gpu)
        }
        Err(error) => {
            let required = std::env::var("FARPANE_REQUIRE_GPU").is_ok_and(|v| v == "1");
            assert!(!required, "{error}");
            skip(&error.to_string());
            None
        }
    }
}

/// A small generator, so that large pictures need no large input.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n.max(1)
    }
}
