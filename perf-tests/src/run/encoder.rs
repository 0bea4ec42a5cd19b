//! The whole screen asked for again and again: what one picture costs.

use super::cell::{Cell, Sample, Window};
use super::host::Host;
use crate::definition::Mode;
use crate::draw::Drawer;
use crate::replay::Replay;
use crate::rfb::Client;
use std::time::{Duration, Instant};

/// Pictures asked for at most.
const MOST: u32 = 60;

impl Cell<'_> {
    pub(super) fn encoder(&self, host: &Host, drawer: &Drawer) -> anyhow::Result<Sample> {
        let scene = &self.shared.scene;
        let still = scene.definition.mode == Mode::EncoderStill;
        // no request is left open, so that nothing is sent but the answers
        let (mut client, _link) = self.viewer(host, false)?;
        let screen_px = u64::from(scene.w) * u64::from(scene.h);
        answer(&mut client, 0, screen_px)?;
        client.settle(Duration::from_millis(700), Duration::from_secs(5))?;
        // one that is not counted: threads are started, memory is there
        let mut warm = 2;
        let mut asked = Vec::new();
        let mut window = Window::begin(host);
        let mut end = Instant::now() + Duration::from_secs(3600);
        let (mut count, mut first_update, mut waited) = (0, 0, 0.0);
        while (Instant::now() < end || count < 2) && count < MOST {
            if warm == 0 && count == 0 {
                (window, first_update) = (Window::begin(host), client.updates.len());
                end = Instant::now() + Duration::from_secs_f64(self.seconds);
            }
            let frame = if still { 0 } else { drawer.one()?.number };
            let (from, began) = (client.updates.len(), Instant::now());
            client.request(false)?;
            answer(&mut client, from, screen_px)?;
            if warm > 0 {
                warm -= 1;
            } else {
                count += 1;
                waited += began.elapsed().as_secs_f64();
                asked.push((frame, client.updates.len()));
            }
        }
        let (seconds, vnc, display, _) = window.end(host);
        let counted = &client.updates[first_update..];
        let px = counted.iter().map(|u| u.px()).sum::<u64>() as f64;
        let bytes = counted.iter().map(|u| u.bytes).sum::<usize>() as f64;
        let mut s = Sample::default();
        s.set("ns_per_px", vnc * 1e9 / px);
        s.set("ns_per_px_with_display", (vnc + display) * 1e9 / px);
        s.set("answer_mpx_per_s", px / waited / 1e6);
        s.set("cpu_s_per_s", (vnc + display) / seconds);
        s.set("answers", f64::from(count));
        s.set("updates_per_answer", counted.len() as f64 / f64::from(count));
        s.set("bytes_per_px_shown", bytes / px);
        self.fresh(&mut s, &client, &asked)?;
        Ok(s)
    }

    /// Which of the answers showed the frame they were asked for, found by the numbers in the picture.
    fn fresh(&self, s: &mut Sample, client: &Client, asked: &[(u32, usize)]) -> anyhow::Result<()> {
        let scene = &self.shared.scene;
        let interest = scene
            .markers
            .iter()
            .map(|(x, y)| crate::paint::Area::new(*x, *y, crate::marker::MARKER_W, crate::marker::MARKER_H));
        let mut replay = Replay::new(client, interest.collect())?;
        let (mut done, mut fresh) = (0, 0);
        for (frame, updates) in asked {
            while done < *updates {
                replay.step(client)?;
                done += 1;
            }
            fresh += usize::from(replay.frame(&scene.markers) == Some(*frame));
        }
        s.set("fresh_answers", fresh as f64 / asked.len() as f64);
        Ok(())
    }
}

/// Reads until the whole screen has come since update `from`; what is missing is asked for, as a viewer does.
fn answer(client: &mut Client, from: usize, screen_px: u64) -> anyhow::Result<()> {
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        let got: u64 = client.updates[from..].iter().map(|u| u.px()).sum();
        if got >= screen_px {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < give_up, "{got} of {screen_px} pixels of an answer came within 20 s");
        if client.read(Duration::from_secs(1))? {
            let got: u64 = client.updates[from..].iter().map(|u| u.px()).sum();
            if got < screen_px {
                client.request(true)?;
            }
        }
    }
}
