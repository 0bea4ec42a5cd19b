//! Bytes on their way to one client.
//!
//! Small messages and at most one update wait here; a client that does not read costs a bounded amount of memory and is
//! closed beyond it.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// Bytes that may wait besides one update: answers, clipboard texts, pointer shapes.
const MAX_WAITING: usize = 4 << 20;

/// The queue of one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Bytes>,
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
        self.queue.push_back(message.into());
        let waiting = self.bytes.saturating_sub(self.update_bytes);
        if waiting > MAX_WAITING { Err(Overfull { waiting }) } else { Ok(()) }
    }

    /// Queues an update; the caller sends one at a time.
    pub fn push_update(&mut self, update: Vec<u8>) {
        self.bytes += update.len();
        self.update_bytes = self.bytes;
        self.queue.push_back(update.into());
    }

    /// The bytes to write next.
    pub fn front(&self) -> Option<&[u8]> {
        self.queue.front().map(|b| &b[..])
    }

    /// So many bytes of the front were written.
    pub fn written(&mut self, n: usize) {
        self.bytes = self.bytes.saturating_sub(n);
        self.unflushed = true;
        self.update_bytes = self.update_bytes.saturating_sub(n);
        if let Some(front) = self.queue.front_mut() {
            front.advance(n.min(front.len()));
            if front.is_empty() {
                self.queue.pop_front();
            }
        }
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
        assert_eq!((o.unsent_update(), o.front().map(<[u8]>::len)), (100, Some(100)));
        o.written(99);
        assert_eq!(o.unsent_update(), 1);
        o.written(1);
        assert_eq!((o.unsent_update(), o.front()), (0, Some(&[3; 5][..])));
        o.written(5);
        assert_eq!(o.front(), None);
    }

    #[test]
    fn a_client_that_never_reads_is_given_up() {
        let mut o = Outbox::default();
        o.push_update(vec![0; MAX_WAITING * 2]);
        let pushed = (0..).take_while(|_| o.push(vec![0; 1 << 16]).is_ok()).count();
        assert_eq!(pushed, MAX_WAITING >> 16);
    }
}
