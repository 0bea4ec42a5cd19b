//! The table and the JSON of a measurement. The JSON's keys are documented in the README and kept stable.

use std::fmt::{self, Display};

use serde::Serialize;

use super::Picture;
use super::encoders::{Encoder, Figures};

/// Everything that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// farpane's version.
    pub version: String,
    /// The vector instructions in use: scalar, avx2 or neon.
    pub cpu_level: String,
    /// Cores of this machine that the process may use.
    pub cores: usize,
    /// Cores that each encoder was timed on.
    pub encoder_cores: usize,
    /// Cores that the compare was spread over.
    pub damage_cores: usize,
    /// The user's desktop.
    pub desktop: Desktop,
    /// The pictures that encoders were timed on.
    pub pictures: Vec<PictureInfo>,
    /// One row for each picture and encoder.
    pub encoders: Vec<EncoderRow>,
    /// One row for each way a frame can differ.
    pub damage: Vec<DamageRow>,
    /// The capture of a whole frame of the user's desktop.
    pub capture: Option<CaptureRow>,
    /// Rows that were wrong and so have no figures.
    pub excluded: Vec<Excluded>,
}

/// The desktop that was captured, or why none was.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Desktop {
    /// The source.
    pub source: Option<String>,
    /// Why there is none.
    pub missing: Option<String>,
}

/// A picture.
#[derive(Clone, Debug, Serialize)]
pub struct PictureInfo {
    /// Its name in the rows.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// Its width.
    pub width: u16,
    /// Its height.
    pub height: u16,
}

/// An encoder on a picture.
#[derive(Clone, Debug, Serialize)]
pub struct EncoderRow {
    /// The picture.
    pub picture: String,
    /// The encoder.
    pub encoder: String,
    /// Pixels encoded in a run.
    pub px: u64,
    /// Runs that were timed.
    pub runs: usize,
    /// CPU time of one core for a million pixels, in milliseconds; the median run.
    pub cpu_ms_per_mpx: f64,
    /// Bytes on the wire for a pixel.
    pub bytes_per_px: f64,
    /// How much of the picture went out lossy, 0 to 100.
    pub lossy_percent: f64,
}

/// A kind of frame through the compare.
#[derive(Clone, Debug, Serialize)]
pub struct DamageRow {
    /// How the frame differs from the one before.
    pub case: String,
    /// The frame's width.
    pub width: u16,
    /// The frame's height.
    pub height: u16,
    /// Runs that were timed.
    pub runs: usize,
    /// Wall time in milliseconds; the median run.
    pub wall_ms: f64,
}

/// A capture.
#[derive(Clone, Debug, Serialize)]
pub struct CaptureRow {
    /// The frame's width.
    pub width: u16,
    /// The frame's height.
    pub height: u16,
    /// Captures that were timed.
    pub runs: usize,
    /// Wall time in milliseconds from asking to having the whole frame; the median.
    pub wall_ms: f64,
}

/// A row without figures.
#[derive(Clone, Debug, Serialize)]
pub struct Excluded {
    /// What would have been measured.
    pub row: String,
    /// What was wrong.
    pub reason: String,
}

impl PictureInfo {
    pub(super) fn of(picture: &Picture) -> Self {
        let size = picture.mirror.read().size();
        Self { name: picture.name.clone(), source: picture.what.clone(), width: size.w, height: size.h }
    }
}

impl EncoderRow {
    pub(super) fn new(picture: &str, encoder: Encoder, figures: Figures) -> Self {
        let px = figures.px.max(1) as f64;
        Self {
            picture: picture.into(),
            encoder: encoder.name().into(),
            px: figures.px,
            runs: figures.runs,
            cpu_ms_per_mpx: figures.cpu.as_secs_f64() * 1e9 / px,
            bytes_per_px: figures.bytes as f64 / px,
            lossy_percent: figures.lossy_px as f64 * 100.0 / px,
        }
    }
}

impl Report {
    /// The report as one JSON object with a line's end.
    ///
    /// # Errors
    /// When a figure is no number.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, cpu_level, cores, damage_cores, .. } = self;
        writeln!(f, "farpane {version}, {cpu_level}, {cores} cores; encoders on 1, compare on {damage_cores}")?;
        for picture in &self.pictures {
            writeln!(f, "picture {}: {}, {}x{}", picture.name, picture.source, picture.width, picture.height)?;
        }
        writeln!(
            f,
            "\n{:<10} {:<9} {:>12} {:>9} {:>7} {:>5}",
            "picture", "encoder", "cpu ms/Mpx", "bytes/px", "lossy", "runs"
        )?;
        for r in &self.encoders {
            writeln!(
                f,
                "{:<10} {:<9} {:>12.2} {:>9.3} {:>5.0} % {:>5}",
                r.picture, r.encoder, r.cpu_ms_per_mpx, r.bytes_per_px, r.lossy_percent, r.runs
            )?;
        }
        writeln!(f, "\n{:<26} {:>9} {:>9} {:>5}", "frame", "size", "wall ms", "runs")?;
        for r in &self.damage {
            let size = format!("{}x{}", r.width, r.height);
            writeln!(f, "{:<26} {size:>9} {:>9.3} {:>5}", r.case, r.wall_ms, r.runs)?;
        }
        if let Some(r) = &self.capture {
            let size = format!("{}x{}", r.width, r.height);
            writeln!(f, "{:<26} {size:>9} {:>9.3} {:>5}", "capture, whole frame", r.wall_ms, r.runs)?;
        }
        for Excluded { row, reason } in &self.excluded {
            writeln!(f, "EXCLUDED {row}: {reason}")?;
        }
        Ok(())
    }
}
