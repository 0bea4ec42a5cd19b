//! Latency from a key to the update that shows its letter.

use super::cell::{Cell, Sample, Window};
use super::host::Host;
use crate::draw::Drawer;
use crate::replay::{Replay, difference};
use crate::rfb::Client;
use crate::scene::Scene;
use std::time::{Duration, Instant};

/// Most letters that one turn types.
const MOST: u32 = 300;

/// A letter that was typed.
struct Typed {
    number: u32,
    /// When the key left the viewer, or, where keys do not reach the drawing program, when the letter was drawn.
    began: Instant,
    /// When the letter was on the screen.
    drawn: Instant,
}

impl Cell<'_> {
    /// Brings letter `k` about: by a key through the server, or by hand.
    fn type_one(&self, client: &mut Client, drawer: &Drawer, k: u32) -> anyhow::Result<Option<Typed>> {
        if !self.server.keys {
            let drawn = drawer.letter(k)?.at;
            return Ok(Some(Typed { number: k, began: drawn, drawn }));
        }
        let keysym = 0x61 + k % 26;
        let began = Instant::now();
        client.key(keysym, true)?;
        // the letter is drawn while we wait; the viewer reads meanwhile through its socket
        let drawn = drawer.next_typed(Duration::from_secs(5));
        client.key(keysym, false)?;
        Ok(drawn.map(|d| Typed { number: d.number, began, drawn: d.at }))
    }

    pub(super) fn keys(&self, host: &Host, drawer: &Drawer) -> anyhow::Result<Sample> {
        let (mut client, _link) = self.viewer(host, true)?;
        client.first_picture(Duration::from_secs(2), Duration::from_secs(30))?;
        let mut typed = Vec::new();
        let window = Window::begin(host);
        let end = window.began() + Duration::from_secs_f64(self.seconds);
        let (bytes, mut k, mut pause) = (client.received, 0, 0x2545_f491_u32);
        while (Instant::now() < end || k < 10) && k < MOST {
            let Some(one) = self.type_one(&mut client, drawer, k)? else {
                anyhow::bail!("the key of letter {k} did not reach the X client within 5 s");
            };
            let place = Scene::letter_at(one.number);
            let (x, y) = (place.x + place.w / 2, place.y + place.h / 2);
            typed.push(one);
            k += 1;
            let give_up = Instant::now() + Duration::from_secs(5);
            while Instant::now() < give_up {
                let shown = client.updates.last().is_some_and(|u| {
                    u.rects.iter().any(|(r, ..)| {
                        let (rx, ry) = (u32::from(r.x), u32::from(r.y));
                        r.encoding >= 0 && rx <= x && x < rx + u32::from(r.w) && ry <= y && y < ry + u32::from(r.h)
                    })
                });
                if shown && client.updates.last().is_some_and(|u| typed.last().is_some_and(|t| u.at >= t.began)) {
                    break;
                }
                client.read(Duration::from_secs(1))?;
            }
            // a person's pause, never in step with a server's clock
            pause = pause.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let until = Instant::now() + Duration::from_millis(60 + u64::from(pause >> 27));
            while Instant::now() < until {
                client.read(until.saturating_duration_since(Instant::now()))?;
            }
        }
        let (seconds, vnc, display, _) = window.end(host);
        client.settle(Duration::from_millis(500), Duration::from_secs(5))?;
        let mut s = Sample::default();
        s.set("cpu_s_per_s", (vnc + display) / seconds);
        s.set("cpu_vnc_s_per_s", vnc / seconds);
        s.set("cpu_ms_per_event", (vnc + display) * 1e3 / f64::from(k));
        s.set("bytes_per_event", (client.received - bytes) as f64 / f64::from(k));
        self.letters(&mut s, &client, &typed)?;
        Ok(s)
    }

    pub(super) fn keys_beside(&self, host: &Host, drawer: &Drawer) -> anyhow::Result<Sample> {
        let d = &self.shared.scene.definition;
        let (mut client, link) = self.viewer(host, true)?;
        // the first picture may take its time over a slow link
        client.first_picture(Duration::from_secs(2), Duration::from_secs(120))?;
        drawer.run(d.hz)?;
        let read_until = |client: &mut Client, until: Instant| -> anyhow::Result<()> {
            while Instant::now() < until {
                client.read(until.saturating_duration_since(Instant::now()))?;
            }
            Ok(())
        };
        read_until(&mut client, Instant::now() + Duration::from_secs(2))?;
        drawer.take_drawn();
        let window = Window::begin(host);
        let carried = || link.as_ref().map_or(0, |l| l.carried.load(std::sync::atomic::Ordering::SeqCst));
        let (before, end) = (carried(), window.began() + Duration::from_secs_f64(self.seconds.max(4.0)));
        let (mut typed, mut sent, mut k, mut pause) = (Vec::new(), Vec::new(), 0_u32, 0x2545_f491_u32);
        while Instant::now() < end && k < MOST {
            if self.server.keys {
                sent.push(Instant::now());
                client.key(0x61 + k % 26, true)?;
                client.key(0x61 + k % 26, false)?;
            } else {
                // the drawer is busy with frames and takes no orders: letters come with keys alone
                anyhow::bail!("{} brings no keys to X clients here", self.server.name);
            }
            k += 1;
            pause = pause.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            read_until(&mut client, Instant::now() + Duration::from_millis(200 + u64::from(pause >> 26)))?;
        }
        let (seconds, vnc, display, _) = window.end(host);
        let used = carried() - before;
        drawer.stop();
        client.settle(Duration::from_secs(1), Duration::from_secs(10))?;
        while let Some(drawn) = drawer.next_typed(Duration::from_millis(10)) {
            if let Some(began) = sent.get(drawn.number as usize) {
                typed.push(Typed { number: drawn.number, began: *began, drawn: drawn.at });
            }
        }
        let mut s = Sample::default();
        s.set("cpu_s_per_s", (vnc + display) / seconds);
        s.set("cpu_vnc_s_per_s", vnc / seconds);
        if d.link_mbit > 0.0 {
            s.set("link_used", used as f64 * 8.0 / seconds / (d.link_mbit * 1e6));
            s.set("mbit_per_s", used as f64 * 8.0 / seconds / 1e6);
        }
        let shown = self.letters(&mut s, &client, &typed)?;
        s.set("keys_unseen", f64::from(k) - shown as f64);
        Ok(s)
    }

    /// When each letter was in the viewer's picture; returns how many were.
    fn letters(&self, s: &mut Sample, client: &Client, typed: &[Typed]) -> anyhow::Result<usize> {
        let scene = &self.shared.scene;
        let mut places: Vec<_> = typed.iter().map(|t| Scene::letter_at(t.number)).collect();
        places.sort_by_key(|p| (p.y, p.x));
        places.dedup();
        let mut replay = Replay::new(client, places)?;
        let mut open: Vec<&Typed> = typed.iter().collect();
        let (mut from_key, mut from_drawn, mut exact) = (Vec::new(), Vec::new(), 0);
        while let Some(update) = replay.step(client)? {
            open.retain(|t| {
                if update.at < t.began {
                    return true;
                }
                let want = &scene.pictures[scene.letter_picture(t.number)];
                let d = difference(&replay.part(Scene::letter_at(t.number)), want);
                // a letter in JPEG is a letter too, but not an exact one
                if d.px > 0 && d.psnr < 16.0 {
                    return true;
                }
                exact += usize::from(d.px == 0);
                from_key.push((update.at - t.began).as_secs_f64() * 1e3);
                from_drawn.push(update.at.saturating_duration_since(t.drawn).as_secs_f64() * 1e3);
                false
            });
        }
        let shown = from_key.len();
        s.set("keys_seen", shown as f64);
        s.set("exact_at_once", exact as f64 / shown as f64);
        if let Some(p50) = crate::stats::percentile(&from_drawn, 0.5) {
            s.set("from_drawn_p50_ms", p50);
        }
        s.set_latencies(from_key);
        Ok(shown)
    }
}
