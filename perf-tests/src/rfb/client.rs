//! One connection to a server under test.

use super::framing::{Element, Frames, PixelShape, RectHead};
use super::number as n;
use anyhow::{Context, bail};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Bytes of one connection that are kept to be decoded afterwards.
const MOST_KEPT: usize = 1 << 30;

/// How a viewer behaves.
#[derive(Clone, Debug)]
pub struct Style {
    /// What it lists, in order.
    pub encodings: Vec<i32>,
    /// Whether it turns continuous updates on where they are offered.
    pub continuous: bool,
    /// Whether it asks for the next update by itself when one has come.
    pub asks: bool,
    /// Whether the bytes are kept.
    pub keeps: bool,
}

/// One FramebufferUpdate.
#[derive(Clone, Debug)]
pub struct Update {
    /// When its last byte was here.
    pub at: Instant,
    /// Its length.
    pub bytes: usize,
    /// Its rectangles: head, and where head and body lie in the kept bytes.
    pub rects: Vec<(RectHead, usize, usize)>,
}

impl Update {
    /// Pixels that it carries.
    pub fn px(&self) -> u64 {
        self.rects.iter().map(|(head, ..)| head.sent_px()).sum()
    }
}

/// A connected viewer.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    style: Style,
    frames: Frames,
    /// Everything since ServerInit, or its end when nothing is kept.
    pub bytes: Vec<u8>,
    at: usize,
    open: Option<Update>,
    /// Whole updates, in order.
    pub updates: Vec<Update>,
    /// Columns.
    pub w: u16,
    /// Rows.
    pub h: u16,
    /// Bytes received since ServerInit.
    pub received: u64,
    on: bool,
}

impl Client {
    /// Connects, agrees on version 3.8, no security and 32 bits a pixel, and asks for the whole picture.
    ///
    /// # Errors
    /// When the server refuses, asks for a password or says something else than RFB.
    pub fn connect(port: u16, style: Style) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).context("connecting to the server")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let take = |count: usize| -> anyhow::Result<Vec<u8>> {
            let mut bytes = vec![0; count];
            (&stream).read_exact(&mut bytes).context("during the handshake")?;
            Ok(bytes)
        };
        let version = take(12)?;
        if !version.starts_with(b"RFB 003.") {
            bail!("the server says {:?} (expected RFB 003.xxx)", String::from_utf8_lossy(&version));
        }
        let old = version.as_slice() < b"RFB 003.007".as_slice();
        (&stream).write_all(if old { b"RFB 003.003\n" } else { b"RFB 003.008\n" })?;
        if old {
            let kind = take(4)?;
            if kind != [0, 0, 0, 1] {
                bail!("security type {kind:?} (expected none)");
            }
        } else {
            let count = take(1)?[0];
            let kinds = take(count.into())?;
            if !kinds.contains(&1) {
                bail!("security types {kinds:?} (expected 1, none, among them)");
            }
            (&stream).write_all(&[1])?;
            if take(4)? != [0; 4] {
                bail!("the server refuses");
            }
        }
        (&stream).write_all(&[1])?;
        let init = take(24)?;
        let (w, h) = (u16::from_be_bytes([init[0], init[1]]), u16::from_be_bytes([init[2], init[3]]));
        let name = u32::from_be_bytes([init[20], init[21], init[22], init[23]]);
        if name > 1 << 16 {
            bail!("a name of {name} bytes (expected at most 65536)");
        }
        take(name as usize)?;
        let mut hello = vec![0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0, 2, 0];
        hello.extend((style.encodings.len() as u16).to_be_bytes());
        hello.extend(style.encodings.iter().flat_map(|e| e.to_be_bytes()));
        (&stream).write_all(&hello)?;
        let mut new = Self {
            stream,
            style,
            frames: Frames::new(PixelShape::BGRX),
            bytes: Vec::new(),
            at: 0,
            open: None,
            updates: Vec::new(),
            w,
            h,
            received: 0,
            on: false,
        };
        new.request(false)?;
        Ok(new)
    }

    /// Asks for an update of the whole screen.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn request(&mut self, incremental: bool) -> anyhow::Result<()> {
        let mut message = vec![3, incremental.into(), 0, 0, 0, 0];
        message.extend(self.w.to_be_bytes());
        message.extend(self.h.to_be_bytes());
        Ok(self.stream.write_all(&message)?)
    }

    /// Presses or releases a key.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn key(&mut self, keysym: u32, down: bool) -> anyhow::Result<()> {
        let mut message = vec![4, down.into(), 0, 0];
        message.extend(keysym.to_be_bytes());
        Ok(self.stream.write_all(&message)?)
    }

    /// Switches whether the next update is asked for when one has come.
    pub fn set_asks(&mut self, asks: bool) {
        self.style.asks = asks;
    }

    /// Reads for so long at most; returns whether an update was completed meanwhile, at the first one.
    ///
    /// # Errors
    /// When the connection is gone or the bytes make no sense.
    pub fn read(&mut self, limit: Duration) -> anyhow::Result<bool> {
        let end = Instant::now() + limit;
        loop {
            if self.cut()? {
                return Ok(true);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.fill(left)?;
        }
    }

    fn fill(&mut self, limit: Duration) -> anyhow::Result<()> {
        self.stream.set_read_timeout(Some(limit.max(Duration::from_micros(100))))?;
        let mut piece = [0; 1 << 16];
        match self.stream.read(&mut piece) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => {
                if !self.style.keeps && self.at > 1 << 20 || self.bytes.len() > MOST_KEPT {
                    // what lies before is forgotten; places in it are no longer good
                    self.style.keeps = false;
                    self.bytes.drain(..self.at);
                    self.at = 0;
                }
                self.bytes.extend_from_slice(&piece[..count]);
                self.received += count as u64;
                Ok(())
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                Ok(())
            }
            Err(e) => Err(e).context("the connection to the server"),
        }
    }

    /// Whether everything since ServerInit was kept.
    pub fn kept(&self) -> bool {
        self.style.keeps
    }

    /// Cuts what is there; true at the end of an update.
    fn cut(&mut self) -> anyhow::Result<bool> {
        loop {
            let rest = &self.bytes[self.at..];
            let Some((element, length)) = self.frames.next(rest)? else {
                return Ok(false);
            };
            let from = self.at;
            self.at += length;
            match element {
                Element::UpdateBegins => {
                    self.open = Some(Update { at: Instant::now(), bytes: length, rects: Vec::new() });
                    // as TigerVNC's viewer does: the next one is asked for while this one comes
                    if self.style.asks && !self.on {
                        self.request(true)?;
                    }
                }
                Element::Rect(head, bytes) => self.rect(head, from, bytes),
                Element::UpdateEnds => {
                    if let Some(mut update) = self.open.take() {
                        update.at = Instant::now();
                        self.updates.push(update);
                        return Ok(true);
                    }
                }
                Element::Fence(flags, payload) if flags >> 31 == 1 => {
                    let mut answer = vec![248, 0, 0, 0];
                    answer.extend((flags & 7).to_be_bytes());
                    answer.push(payload.len() as u8);
                    answer.extend(payload);
                    self.stream.write_all(&answer)?;
                }
                Element::EndOfContinuousUpdates if self.style.continuous && !self.on => {
                    self.on = true;
                    let mut message = vec![150, 1, 0, 0, 0, 0];
                    message.extend(self.w.to_be_bytes());
                    message.extend(self.h.to_be_bytes());
                    self.stream.write_all(&message)?;
                }
                Element::EndOfContinuousUpdates | Element::Fence(..) | Element::Other => {}
            }
        }
    }

    fn rect(&mut self, head: RectHead, from: usize, bytes: usize) {
        if matches!(head.encoding, n::DESKTOP_SIZE | n::EXTENDED_DESKTOP_SIZE) {
            (self.w, self.h) = (head.w, head.h);
        }
        if let Some(open) = &mut self.open {
            open.bytes += bytes;
            open.rects.push((head, from, bytes));
        }
    }

    /// Reads until no byte has come for `quiet`, or `limit` is over.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn settle(&mut self, quiet: Duration, limit: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + limit;
        loop {
            let before = self.received;
            self.read(quiet)?;
            if self.received == before || Instant::now() >= end {
                return Ok(());
            }
        }
    }

    /// Reads until as many pixels have come as the screen has, and then until it is quiet.
    ///
    /// # Errors
    /// As [`Client::read`], and when they do not come in time.
    pub fn first_picture(&mut self, quiet: Duration, limit: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + limit;
        let want = u64::from(self.w) * u64::from(self.h);
        while self.updates.iter().map(Update::px).sum::<u64>() < want {
            anyhow::ensure!(Instant::now() < end, "no whole picture came within {} s", limit.as_secs());
            self.read(Duration::from_secs(1))?;
        }
        self.settle(quiet, limit)
    }
}
