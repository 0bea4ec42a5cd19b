//! One zlib stream that lives as long as the connection.

use super::DecodeError;
use flate2::{Decompress, FlushDecompress, Status};

/// Largest compressed chunk taken, TigerVNC's buffer.
const MAX_CHUNK: usize = 32 << 20;

/// A zlib stream and its history.
pub(super) struct Inflater {
    stream: &'static str,
    state: Decompress,
    /// Whether the stream's last block may come; gtk-vnc takes none in its streams.
    may_finish: bool,
}

impl Inflater {
    pub(super) fn new(stream: &'static str) -> Self {
        Self { stream, state: Decompress::new(true), may_finish: false }
    }

    /// Forgets the stream: the next chunk starts with a zlib header.
    pub(super) fn reset(&mut self) {
        self.state = Decompress::new(true);
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
            let (in_before, out_before) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(&chunk[used..], &mut block, FlushDecompress::Sync)
                .map_err(|e| fault(&e.to_string()))?;
            let taken = (self.state.total_in() - in_before) as usize;
            let given = (self.state.total_out() - out_before) as usize;
            used += taken;
            out.extend_from_slice(&block[..given]);
            if out.len() > limit {
                return Err(fault("more bytes than the rectangle holds"));
            }
            if status == Status::StreamEnd {
                if !self.may_finish {
                    return Err(fault("the stream was finished"));
                }
                break;
            }
            if taken == 0 && given == 0 || used == chunk.len() && given < block.len() {
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
        write!(f, "Inflater({}, {} in, {} out)", self.stream, self.state.total_in(), self.state.total_out())
    }
}
