//! `farpane bench`: what farpane's parts cost on this machine, in one table or as JSON.
//!
//! Pictures go through the same functions as a session's do. Whatever is timed was verified before: encoders by the reference
//! decoder, damage by the mirror it leaves and the region it names. What fails gets no figures and is listed as excluded.
//! The clocks are arguments.

mod damage;
mod encoders;
#[cfg(feature = "gpu")]
pub mod gpu;
mod report;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use farpane_engine::capture::synthetic;
use farpane_engine::damage::Mirror;
use farpane_engine::geometry::Size;
use farpane_engine::kernel::CpuLevel;
use farpane_engine::pixel::Layout;

pub use encoders::Encoder;
pub use report::{CaptureRow, DamageRow, Desktop, EncoderRow, Excluded, PictureInfo, Report};

/// Size of the built-in pictures as users get them.
pub const BUILT_IN: Size = Size::new(1280, 720);

/// The built-in pictures: what they are called, and the scene each is the first picture of.
const CONTENTS: [(&str, &str); 4] = [("text", "scroll"), ("ui", "still"), ("photo", "video"), ("noise", "noise")];

/// The clocks that times are read from.
#[derive(Clone, Copy)]
pub struct Clocks<'a> {
    /// CPU time of the thread that asks.
    pub cpu: &'a dyn Fn() -> Duration,
    /// Time as it passes.
    pub wall: &'a dyn Fn() -> Duration,
}

/// A picture that encoders are measured on.
pub struct Picture {
    /// What it is called in the table.
    pub name: String,
    /// Where it comes from.
    pub what: String,
    /// Its pixels.
    pub mirror: Mirror,
}

/// What was captured of the user's desktop.
pub struct Captured {
    /// The picture.
    pub picture: Picture,
    /// How long each capture of a whole frame took, in wall time.
    pub times: Vec<Duration>,
}

/// What to measure.
pub struct Plan {
    /// The encoders, in the order of the table.
    pub encoders: Vec<Encoder>,
    /// Size of the built-in pictures: [`BUILT_IN`], or less for a test.
    pub size: Size,
    /// About how long it may take. Everything is measured once at least.
    pub budget: Duration,
    /// The user's desktop, or why there is none.
    pub desktop: Result<Captured, String>,
}

/// The built-in pictures in a size that scenes can have.
fn built_in(size: Size) -> Vec<Picture> {
    let pictures = CONTENTS.into_iter().filter_map(|(name, scene)| {
        let spec = synthetic::parse(&format!("{size}:{scene}")).ok()?;
        let mirror = Mirror::new(size, Layout::BGRX, Instant::now());
        mirror.write().pixels.copy_from_slice(&synthetic::picture(&spec, 0));
        Some(Picture { name: name.into(), what: format!("synthetic:{size}:{scene}"), mirror })
    });
    pictures.collect()
}

/// Measures everything of a plan.
pub fn run(plan: Plan, clocks: Clocks<'_>) -> Report {
    run_with(plan, clocks, &encoders::encode)
}

fn run_with(plan: Plan, clocks: Clocks<'_>, encode: &encoders::Encode<'_>) -> Report {
    let mut pictures = built_in(plan.size);
    let (desktop, capture) = match plan.desktop {
        Ok(captured) => {
            let mut times = captured.times;
            let row = median(&mut times).map(|time| CaptureRow {
                width: captured.picture.mirror.read().size().w,
                height: captured.picture.mirror.read().size().h,
                runs: times.len(),
                wall_ms: time.as_secs_f64() * 1e3,
            });
            let desktop = Desktop { source: Some(captured.picture.what.clone()), missing: None };
            pictures.push(captured.picture);
            (desktop, row)
        }
        Err(why) => (Desktop { source: None, missing: Some(why) }, None),
    };
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION").into(),
        cpu_level: format!("{:?}", CpuLevel::current()).to_lowercase(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        encoder_cores: 1,
        damage_cores: damage::cores(),
        desktop,
        pictures: pictures.iter().map(PictureInfo::of).collect(),
        capture,
        ..Report::default()
    };
    let rows = pictures.len() * plan.encoders.len() + damage::CASES;
    let share = plan.budget / u32::try_from(rows).unwrap_or(u32::MAX).max(1);
    for picture in &pictures {
        let data = picture.mirror.read();
        for encoder in &plan.encoders {
            let name = format!("{} of {}", encoder.name(), picture.name);
            match encoders::measure(&data, *encoder, share, clocks, encode) {
                Ok(figures) => report.encoders.push(EncoderRow::new(&picture.name, *encoder, figures)),
                Err(reason) => report.excluded.push(Excluded { row: name, reason }),
            }
        }
    }
    damage::measure(share, clocks, &mut report);
    report
}

/// The middle one of some times; none of none.
fn median<T: Ord + Copy>(times: &mut [T]) -> Option<T> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}
