//! Before anything is timed: does the server show what is on the screen?

use super::cell::Cell;
use crate::definition::Mode;
use crate::paint::Picture;
use crate::replay::{Difference, Replay, difference, fault};
use crate::rfb::Client;
use anyhow::Context;
use std::time::{Duration, Instant};
use thiserror::Error;

/// A server showed something else than the screen: it gets no number.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("wrong picture: {0}")]
pub struct WrongPicture(pub String);

/// How good the picture was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// PSNR of the picture as it was first there, before any refresh; infinite when exact.
    pub first_db: f64,
    /// Pixels of it that were not exact.
    pub first_px: u64,
    /// PSNR after the screen had been still for a while.
    pub still_db: f64,
    /// Pixels that were not exact after the screen had been still for a while.
    pub still_px: u64,
    /// Bytes a pixel of the first picture.
    pub first_bytes_per_px: f64,
}

/// How long a right picture may take; a busy machine and a slow encoder are no fault.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long a server may say nothing before its picture is taken for its last.
const SILENCE: Duration = Duration::from_secs(12);

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
        client.first_picture(quiet, PATIENCE).with_context(tail)?;
        let scene = &self.shared.scene;
        if scene.definition.mode != Mode::EncoderStill {
            for k in 0..3 {
                if scene.has_letters() {
                    drawer.letter(k)?;
                }
                if !scene.markers.is_empty() {
                    drawer.one()?;
                }
                client.settle(quiet, PATIENCE).with_context(tail)?;
            }
        }
        let want = host.picture(drawer.window())?;
        let lossy = self.encoding.lossy();
        let mut replay = Replay::new(&client, Vec::new())?;
        // the picture as it was first right, which a slow server takes its time for
        let first = self.until(&mut client, &mut replay, PATIENCE, |d| fault(d, lossy).is_none(), &want)?;
        if let Some(fault) = fault(&first, lossy) {
            return Err(WrongPicture(fault).into());
        }
        // and after a while: a server may send lossy parts again, or spoil what was right
        let after = if lossy { REFRESH } else { Duration::from_millis(700) };
        let still = self.until(&mut client, &mut replay, after, |d| lossy && d.px == 0, &want)?;
        if let Some(fault) = fault(&still, lossy) {
            return Err(WrongPicture(format!("after a while: {fault}")).into());
        }
        let update = client.updates.iter().find(|u| u.px() > 0);
        Ok(Quality {
            first_db: first.psnr,
            first_px: first.px,
            still_db: still.psnr,
            still_px: still.px,
            first_bytes_per_px: update.map_or(f64::NAN, |u| u.bytes as f64 / u.px().max(1) as f64),
        })
    }

    /// Reads and decodes until the picture is as it should be, or for so long; returns how far it is from the screen.
    fn until(
        &self,
        client: &mut Client,
        replay: &mut Replay,
        limit: Duration,
        done: impl Fn(&Difference) -> bool,
        want: &Picture,
    ) -> anyhow::Result<Difference> {
        let end = Instant::now() + limit;
        let (mut received, mut news) = (client.received, Instant::now());
        loop {
            while replay.step(client)?.is_some() {}
            let d = difference(&replay.picture(), want);
            if done(&d) || Instant::now() >= end || news.elapsed() > SILENCE {
                return Ok(d);
            }
            if client.received != received {
                (received, news) = (client.received, Instant::now());
            }
            client.settle(Duration::from_millis(300), end.saturating_duration_since(Instant::now()))?;
        }
    }
}
