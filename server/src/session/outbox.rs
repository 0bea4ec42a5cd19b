//! Bytes on their way to one client.
//!
//! Small messages and at most one update wait here; a client that does not read costs a bounded amount of memory and is
//! closed beyond it.

use std::collections::VecDeque;

/// Bytes that may wait besides one update: answers, clipboard texts, pointer shapes.
const MAX_WAITING: usize = 4 << 20;

/// Small messages share a block of this size: a million answers of nine bytes cost little more than their bytes.
const BLOCK: usize = 16 << 10;

/// The queue of one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Vec<u8>>,
    /// Bytes of the first block that were written.
    begun: usize,
    bytes: usize,
    /// Of `bytes`, those up to and with the last update.
    update_bytes: usize,
    unflushed: bool,
}

/// The client does not take what it is sent.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("client does not read: {waiting} bytes wait for it (at most {MAX_WAITING})")]
pub struct Overfull {
    waiting: usize,
}

impl Outbox {
    /// Queues a small message.
    ///
    /// # Errors
    /// When too much waits already.
    pub fn push(&mut self, message: Vec<u8>) -> Result<(), Overfull> {
        self.bytes += message.len();
        match self.queue.back_mut() {
            Some(last) if last.len() + message.len() <= BLOCK => last.extend_from_slice(&message),
            _ => self.queue.push_back(message),
        }
        let waiting = self.bytes.saturating_sub(self.update_bytes);
        if waiting > MAX_WAITING { Err(Overfull { waiting }) } else { Ok(()) }
    }

    /// Queues an update, or the fence in front of one; the caller sends one at a time.
    pub fn push_update(&mut self, update: Vec<u8>) {
        self.bytes += update.len();
        self.update_bytes = self.bytes;
        self.queue.push_back(update);
    }

    /// The bytes to write next.
    pub fn front(&self) -> Option<&[u8]> {
        self.queue.front()?.get(self.begun..)
    }

    /// So many bytes of the front were written.
    pub fn written(&mut self, n: usize) {
        self.bytes = self.bytes.saturating_sub(n);
        self.unflushed = true;
        self.update_bytes = self.update_bytes.saturating_sub(n);
        self.begun += n;
        if self.queue.front().is_some_and(|front| self.begun >= front.len()) {
            self.queue.pop_front();
            self.begun = 0;
        }
    }

    /// Bytes that wait, of updates and of small messages.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.bytes
    }

    /// Whether anything is still to leave.
    pub fn waits(&self) -> bool {
        self.unflushed || !self.queue.is_empty()
    }

    /// Whether bytes were written since the last flush.
    pub fn needs_flush(&self) -> bool {
        self.unflushed
    }

    /// The connection was flushed.
    pub fn flushed(&mut self) {
        self.unflushed = false;
    }

    /// Bytes up to and with the last update that have not left.
    pub fn unsent_update(&self) -> usize {
        self.update_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_counts_as_unsent_until_its_last_byte_left() {
        let mut o = Outbox::default();
        o.push(vec![1; 10]).unwrap();
        o.push_update(vec![2; 100]);
        o.push(vec![3; 5]).unwrap();
        o.written(10);
        assert_eq!((o.unsent_update(), o.front().map(|b| &b[..100])), (100, Some(&[2; 100][..])));
        o.written(99);
        assert_eq!(o.unsent_update(), 1);
        o.written(1);
        assert_eq!((o.unsent_update(), o.front()), (0, Some(&[3; 5][..])));
        o.written(5);
        assert_eq!(o.front(), None);
    }

    #[test]
    fn small_messages_share_blocks_and_come_out_in_order() {
        let mut o = Outbox::default();
        let mut want = Vec::new();
        for n in 0..10_000u32 {
            o.push(n.to_be_bytes().to_vec()).unwrap();
            want.extend(n.to_be_bytes());
            if n == 5 {
                o.written(7);
            }
        }
        assert_eq!(o.queue.len(), 40_000usize.div_ceil(BLOCK));
        let mut got = want[..7].to_vec();
        while let Some(front) = o.front() {
            let n = front.len().min(999);
            got.extend_from_slice(&front[..n]);
            o.written(n);
        }
        assert_eq!((got == want, o.bytes), (true, 0));
    }

    #[test]
    fn a_client_that_never_reads_is_given_up() {
        let mut o = Outbox::default();
        o.push_update(vec![0; MAX_WAITING * 2]);
        let pushed = (0..).take_while(|_| o.push(vec![0; 1 << 16]).is_ok()).count();
        assert_eq!(pushed, MAX_WAITING >> 16);
    }
}
