//! What the portal's thread is asked and told, in order.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};

use farpane_engine::capture::pipewire::StreamEvent;
use tokio::sync::Notify;

use crate::backend::{Layout, ResizeAnswer};
use crate::input::{KeyInput, PointerInput};

/// Input that waits at most; presses beyond it are dropped, releases never.
const MOST_WAITING: usize = 4096;

/// What the thread is asked and told.
pub enum Command {
    /// A key of a client.
    Key(KeyInput),
    /// The pointer of a client.
    Pointer(PointerInput),
    /// A client wishes another layout.
    Resize(Layout, SyncSender<ResizeAnswer>),
    /// A stream has something to say: which session, which stream.
    Stream(u64, usize, StreamEvent),
    /// The backend is no longer needed.
    End,
}

/// Commands on their way to the thread.
#[derive(Default)]
pub struct Queue {
    waiting: Mutex<VecDeque<Command>>,
    filled: Notify,
}

impl Queue {
    /// Puts a command in. Of several places of the pointer that wait, with the same buttons, the last counts.
    pub fn push(&self, command: Command) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Command::Pointer(new), Some(Command::Pointer(last))) = (&command, waiting.back_mut())
            && new.buttons == last.buttons
        {
            *last = *new;
            return;
        }
        let droppable = matches!(&command, Command::Key(key) if key.down);
        if waiting.len() < MOST_WAITING || !droppable {
            waiting.push_back(command);
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// The next command, when there is one.
    pub async fn pop(&self) -> Command {
        loop {
            if let Some(command) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
                return command;
            }
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_places_that_wait_the_last_counts_and_releases_are_never_dropped() {
        let queue = Queue::default();
        let at = |x, buttons| Command::Pointer(PointerInput { x, y: 0, buttons });
        let key = |down| Command::Key(KeyInput { down, keysym: 0x61, scancode: None });
        for x in 0..10 {
            queue.push(at(x, 0));
        }
        queue.push(at(10, 1));
        for _ in 0..2 * MOST_WAITING {
            queue.push(key(true));
        }
        queue.push(key(false));
        let waiting = queue.waiting.lock().unwrap();
        assert!(matches!(waiting.front(), Some(Command::Pointer(p)) if p.x == 9));
        assert!(matches!(waiting.back(), Some(Command::Key(k)) if !k.down));
        assert_eq!(waiting.len(), MOST_WAITING + 1);
    }
}
