//! Before anything is timed: does the server show what is on the screen?

use super::cell::Cell;
use crate::definition::Mode;
use crate::replay::{Replay, difference, fault};
use anyhow::{Context, bail};
use std::time::Duration;
use thiserror::Error;

/// A server showed something else than the screen: it gets no number.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("wrong picture: {0}")]
pub struct WrongPicture(pub String);

/// How good the picture was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// PSNR of the first picture, before any refresh; infinite when exact.
    pub first_db: f64,
    /// PSNR after the screen had been still for a while.
    pub still_db: f64,
    /// Pixels that were not exact after the screen had been still for a while.
    pub still_px: u64,
    /// Bytes a pixel of the first picture.
    pub first_bytes_per_px: f64,
}

/// How long a picture that came in JPEG may take to become exact before it counts as one that stays.
const REFRESH: Duration = Duration::from_secs(4);

impl Cell<'_> {
    /// Shows a few frames and compares the viewer's picture with the screen, pixel by pixel.
    ///
    /// # Errors
    /// When the server does not start, its bytes cannot be decoded, or the picture is wrong.
    pub fn check(&self) -> anyhow::Result<Quality> {
        let (host, drawer) = self.open()?;
        let tail = || format!("{}; its log ends:\n{}", self.server.name, host.tail());
        let (mut client, _link) = self.viewer(&host, true).with_context(tail)?;
        let quiet = Duration::from_millis(300);
        client.settle(quiet, Duration::from_secs(60)).with_context(tail)?;
        let scene = &self.shared.scene;
        if scene.definition.mode != Mode::EncoderStill {
            for k in 0..3 {
                if scene.has_letters() {
                    drawer.letter(k)?;
                }
                if !scene.markers.is_empty() {
                    drawer.one()?;
                }
                client.settle(quiet, Duration::from_secs(30)).with_context(tail)?;
            }
        }
        let want = host.picture()?;
        // the picture as it was first there, before a server sends lossy parts again; a slow one is not whole yet
        let near = client.updates.len();
        let still = if self.encoding.lossy() { REFRESH } else { Duration::from_millis(900) };
        client.settle(still, Duration::from_secs(30)).with_context(tail)?;
        let mut replay = Replay::new(&client, Vec::new())?;
        let mut first = None;
        let mut done = 0;
        let first_picture = client.updates.iter().position(|u| u.px() > 0).unwrap_or(0);
        while replay.step()?.is_some() {
            done += 1;
            if done == near {
                first = Some(difference(&replay.picture(), &want));
            }
        }
        let Some(first) = first else { bail!("{} sent no update", self.server.name) };
        let still = difference(&replay.picture(), &want);
        if let Some(fault) = fault(&still, self.encoding.lossy()) {
            return Err(WrongPicture(fault).into());
        }
        let update = client.updates.get(first_picture);
        Ok(Quality {
            first_db: first.psnr,
            still_db: still.psnr,
            still_px: still.px,
            first_bytes_per_px: update.map_or(f64::NAN, |u| u.bytes as f64 / u.px().max(1) as f64),
        })
    }
}
