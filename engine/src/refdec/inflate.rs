//! One compressed stream that lives as long as the connection: zlib, or zstd frames one after the other.

use super::DecodeError;
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as Unzstd, InBuffer, Operation, OutBuffer};

/// Largest compressed chunk taken, TigerVNC's buffer.
const MAX_CHUNK: usize = 32 << 20;
/// Largest window of a zstd frame taken: 8 MiB.
const WINDOW_BITS: u32 = 23;

/// A stream and its history.
pub(super) struct Inflater {
    stream: &'static str,
    state: State,
    /// Whether a zlib stream's last block may come; gtk-vnc takes none in its streams.
    may_finish: bool,
}

enum State {
    Zlib(Decompress),
    /// As UltraVNC's viewer has it: one decoder for all frames. Each chunk must be one whole frame, for bVNC's sake.
    Zstd(Unzstd<'static>),
}

/// What one step of a decoder did.
struct Step {
    taken: usize,
    given: usize,
    ended: bool,
}

impl State {
    fn step(&mut self, chunk: &[u8], out: &mut [u8]) -> Result<Step, String> {
        match self {
            Self::Zlib(state) => {
                let (taken, given) = (state.total_in(), state.total_out());
                let status = state.decompress(chunk, out, FlushDecompress::Sync).map_err(|e| e.to_string())?;
                Ok(Step {
                    taken: (state.total_in() - taken) as usize,
                    given: (state.total_out() - given) as usize,
                    ended: status == Status::StreamEnd,
                })
            }
            Self::Zstd(state) => {
                let (mut from, mut to) = (InBuffer::around(chunk), OutBuffer::around(out));
                let hint = state.run(&mut from, &mut to).map_err(|e| e.to_string())?;
                Ok(Step { taken: from.pos(), given: to.pos(), ended: hint == 0 })
            }
        }
    }
}

impl Inflater {
    pub(super) fn new(stream: &'static str) -> Self {
        Self { stream, state: State::Zlib(Decompress::new(true)), may_finish: false }
    }

    /// A stream of zstd frames.
    ///
    /// # Errors
    /// When the decoder cannot be made.
    pub(super) fn zstd(stream: &'static str) -> Result<Self, DecodeError> {
        let fault = |e: std::io::Error| DecodeError::Inflate { stream, fault: e.to_string() };
        let mut state = Unzstd::new().map_err(fault)?;
        state.set_parameter(DParameter::WindowLogMax(WINDOW_BITS)).map_err(fault)?;
        Ok(Self { stream, state: State::Zstd(state), may_finish: true })
    }

    /// Forgets a zlib stream: the next chunk starts with a zlib header.
    pub(super) fn reset(&mut self) {
        self.state = State::Zlib(Decompress::new(true));
    }

    /// Inflates one chunk, which must be used up and give at most `limit` bytes.
    pub(super) fn inflate(&mut self, chunk: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        let fault = |fault: &str| DecodeError::Inflate { stream: self.stream, fault: fault.into() };
        if chunk.len() > MAX_CHUNK {
            return Err(fault("a chunk of more than 32 MiB"));
        }
        let mut out = Vec::new();
        let mut block = vec![0; (limit + 1).min(1 << 16)];
        let mut used = 0;
        loop {
            let Step { taken, given, ended } = self.state.step(&chunk[used..], &mut block).map_err(|e| fault(&e))?;
            used += taken;
            out.extend_from_slice(&block[..given]);
            if out.len() > limit {
                return Err(fault("more bytes than the rectangle holds"));
            }
            if ended {
                if !self.may_finish {
                    return Err(fault("the stream was finished"));
                }
                break;
            }
            if taken == 0 && given == 0 || used == chunk.len() && given < block.len() {
                if matches!(self.state, State::Zstd(_)) {
                    return Err(fault("the frame goes on after its rectangle"));
                }
                break;
            }
        }
        if used < chunk.len() {
            return Err(DecodeError::Trailing { what: self.stream, bytes: chunk.len() - used });
        }
        Ok(out)
    }

    /// Inflates one chunk that must give exactly `size` bytes.
    pub(super) fn inflate_exact(&mut self, chunk: &[u8], size: usize) -> Result<Vec<u8>, DecodeError> {
        let out = self.inflate(chunk, size)?;
        if out.len() < size {
            return Err(DecodeError::Truncated { what: self.stream, need: size, have: out.len() });
        }
        Ok(out)
    }
}

/// Inflates a zlib stream of its own, finished or only flushed, that gives at most `limit` bytes: the body of an
/// extended clipboard message.
///
/// # Errors
/// When it does not inflate, gives more, or bytes are left over.
pub fn inflate_message(bytes: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut inflater = Inflater::new("clipboard stream");
    inflater.may_finish = true;
    inflater.inflate(bytes, limit)
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inflater({})", self.stream)
    }
}
