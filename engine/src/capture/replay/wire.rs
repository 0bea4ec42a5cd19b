//! The bytes of a trace.

use std::io::{ErrorKind, Read};

use super::TraceError;
use crate::capture::OutputInfo;
use crate::geometry::{Point, Rect, Size};
use crate::pixel::Fourcc;

/// What a trace begins with; the last byte is the version.
pub(super) const MAGIC: &[u8; 8] = b"FPTRACE\x01";
/// Pixels of a picture: 16384 x 8192.
pub const MAX_PIXELS: u64 = 1 << 27;
/// Rectangles of one frame.
pub const MAX_RECTS: usize = 65_536;
/// Compressed bytes of one frame.
pub const MAX_RECORD: usize = 1 << 29;
/// Bytes of an output's name.
const MAX_NAME: usize = 255;

pub(super) const KIND_END: u8 = 0;
pub(super) const KIND_FRAME: u8 = 1;
pub(super) const KIND_RESIZE: u8 = 2;

/// Something that happened, at its time after the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Microseconds after the start of the recording; never less than those of the record before.
    pub time_us: u64,
    /// What.
    pub kind: RecordKind,
}

/// What a record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Rectangles that changed and their pixels, one rectangle after the other, rows without padding.
    Frame {
        /// Where.
        rects: Vec<Rect>,
        /// The new pixels.
        pixels: Vec<u32>,
    },
    /// The output has another size; all of it is black until the next frame, which covers it.
    Resize(Size),
    /// The recording ended in order.
    End,
}

/// Reads a trace record by record.
#[derive(Debug)]
pub struct TraceReader<R> {
    from: R,
    at: u64,
    info: OutputInfo,
    size: Size,
    time_us: u64,
    ended: bool,
}

impl<R: Read> TraceReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When this is no trace, or one of another version.
    pub fn new(from: R) -> Result<Self, TraceError> {
        let info = OutputInfo {
            name: String::new(),
            position: Point::default(),
            size: Size::default(),
            fourcc: Fourcc::XRGB8888,
        };
        let mut me = Self { from, at: 0, info, size: Size::default(), time_us: 0, ended: false };
        let magic: [u8; 8] = me.bytes("the magic")?;
        if magic[..7] != MAGIC[..7] {
            return Err(me.bad(0, "no farpane trace".to_owned()));
        }
        if magic[7] != MAGIC[7] {
            return Err(me.bad(7, format!("version {} (expected {})", magic[7], MAGIC[7])));
        }
        let fourcc = Fourcc(u32::from_le_bytes(me.bytes("the header")?));
        if fourcc.layout().is_none() {
            return Err(me.bad(8, format!("pixel format {fourcc:?} (expected a 32-bit format)")));
        }
        let position = Point::new(me.u16("the header")?, me.u16("the header")?);
        let size = me.read_size()?;
        let len = usize::from(me.u16("the header")?);
        if len > MAX_NAME {
            return Err(me.bad(20, format!("name of {len} bytes (expected at most {MAX_NAME})")));
        }
        let name = me.block(len, "the name")?;
        let name = String::from_utf8(name).map_err(|_| me.bad(22, "name is not UTF-8".to_owned()))?;
        me.info = OutputInfo { name, position, size, fourcc };
        me.size = size;
        Ok(me)
    }

    /// The output at the start of the recording.
    pub fn info(&self) -> &OutputInfo {
        &self.info
    }

    /// The next record; none after the last.
    ///
    /// # Errors
    /// When the file is cut off or damaged; nothing can be read after it.
    pub fn next_record(&mut self) -> Result<Option<Record>, TraceError> {
        if self.ended {
            return Ok(None);
        }
        let record = self.read_record();
        self.ended = !matches!(&record, Ok(r) if r.kind != RecordKind::End);
        record.map(Some)
    }

    fn read_record(&mut self) -> Result<Record, TraceError> {
        let start = self.at;
        let [kind] = self.bytes("a record")?;
        let time_us = u64::from_le_bytes(self.bytes("a record")?);
        if time_us < self.time_us {
            return Err(self.bad(start, format!("time {time_us} us (expected at least {})", self.time_us)));
        }
        self.time_us = time_us;
        let kind = match kind {
            KIND_END => RecordKind::End,
            KIND_RESIZE => {
                self.size = self.read_size()?;
                RecordKind::Resize(self.size)
            }
            KIND_FRAME => self.read_frame(start)?,
            other => return Err(self.bad(start, format!("record kind {other} (expected 0..=2)"))),
        };
        Ok(Record { time_us, kind })
    }

    fn read_frame(&mut self, start: u64) -> Result<RecordKind, TraceError> {
        let count = u32::from_le_bytes(self.bytes("a frame")?) as usize;
        if count > MAX_RECTS {
            return Err(self.bad(start, format!("{count} rectangles (expected at most {MAX_RECTS})")));
        }
        let mut rects = Vec::new();
        let mut area = 0;
        for _ in 0..count {
            let [x, y, w, h] = [self.u16("a frame")?, self.u16("a frame")?, self.u16("a frame")?, self.u16("a frame")?];
            let rect = Rect::new(x, y, w, h);
            if rect.is_empty() || rect.size() != Size::new(w, h) || !self.size.rect().contains(&rect) {
                return Err(self.bad(start, format!("rectangle {w}x{h}+{x}+{y} (expected inside {})", self.size)));
            }
            area += rect.area();
            rects.push(rect);
        }
        if area > self.size.area() {
            return Err(self.bad(start, format!("{area} pixels (expected at most {})", self.size.area())));
        }
        let len = u32::from_le_bytes(self.bytes("a frame")?) as usize;
        if len > MAX_RECORD {
            return Err(self.bad(start, format!("{len} compressed bytes (expected at most {MAX_RECORD})")));
        }
        let packed = self.block(len, "a frame's pixels")?;
        let wanted = area as usize * 4;
        let raw = zstd::bulk::decompress(&packed, wanted).map_err(|e| self.bad(start, format!("pixels: {e}")))?;
        if raw.len() != wanted {
            return Err(self.bad(start, format!("{} bytes of pixels (expected {wanted})", raw.len())));
        }
        let pixels = raw.as_chunks::<4>().0.iter().map(|p| u32::from_le_bytes(*p)).collect();
        Ok(RecordKind::Frame { rects, pixels })
    }

    fn read_size(&mut self) -> Result<Size, TraceError> {
        let start = self.at;
        let size = Size::new(self.u16("a size")?, self.u16("a size")?);
        if size.area() == 0 || size.area() > MAX_PIXELS {
            return Err(self.bad(start, format!("size {size} (expected 1..={MAX_PIXELS} pixels)")));
        }
        Ok(size)
    }

    fn bad(&self, at: u64, what: String) -> TraceError {
        TraceError::Value { at, what }
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, TraceError> {
        Ok(u16::from_le_bytes(self.bytes(what)?))
    }

    fn bytes<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], TraceError> {
        let mut out = [0; N];
        match self.from.read_exact(&mut out) {
            Ok(()) => {
                self.at += N as u64;
                Ok(out)
            }
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(TraceError::Cut { at: self.at, what }),
            Err(e) => Err(e.into()),
        }
    }

    /// Reads `len` bytes, taking memory only as they come.
    fn block(&mut self, len: usize, what: &'static str) -> Result<Vec<u8>, TraceError> {
        let mut out = Vec::new();
        let got = self.from.by_ref().take(len as u64).read_to_end(&mut out)?;
        if got < len {
            return Err(TraceError::Cut { at: self.at + got as u64, what });
        }
        self.at += len as u64;
        Ok(out)
    }
}
