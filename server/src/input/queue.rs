//! Events on their way to the thread that hands them to a desktop.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::{KeyInput, PointerInput};

/// Events waiting at most; presses and motion beyond it are dropped, releases never.
const MAX_WAITING: usize = 4096;

/// What the thread is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A key goes down, up or repeats.
    Key(KeyInput),
    /// The pointer moved or its buttons changed.
    Pointer(PointerInput),
    /// The desktop was lost, or is there anew.
    Reset,
    /// Input is no longer needed.
    End,
}

/// Commands in order, with a descriptor that can be polled while some wait.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<VecDeque<Command>>,
    wake: OwnedFd,
}

impl Queue {
    /// An empty one.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { waiting: Mutex::new(VecDeque::new()), wake })
    }

    /// Puts a command in. Motion that waits is replaced by motion with the same buttons.
    pub fn push(&self, command: Command) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Command::Pointer(new), Some(Command::Pointer(last))) = (&command, waiting.back_mut())
            && new.buttons == last.buttons
        {
            *last = *new;
            return;
        }
        let droppable = matches!(&command, Command::Key(k) if k.down);
        if waiting.len() < MAX_WAITING || !droppable {
            waiting.push_back(command);
        }
        drop(waiting);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Takes the oldest command, if one waits.
    pub fn take(&self) -> Option<Command> {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.wake, &mut count);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.pop_front();
        if !waiting.is_empty() {
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
        taken
    }

    /// Waits for a command and takes it.
    pub fn wait(&self) -> Command {
        loop {
            if let Some(command) = self.take() {
                return command;
            }
            let _ = poll(&mut [PollFd::new(&self.wake, PollFlags::IN)], None);
        }
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn motion(x: u16, buttons: u16) -> Command {
        Command::Pointer(PointerInput { x, y: 0, buttons })
    }

    fn key(down: bool) -> Command {
        Command::Key(KeyInput { down, keysym: 0x61, scancode: None })
    }

    #[test]
    fn motion_is_joined_and_buttons_are_not() {
        let queue = Queue::new().expect("a descriptor");
        for command in [motion(1, 0), motion(2, 0), motion(2, 1), motion(3, 1), motion(3, 0), Command::Reset] {
            queue.push(command);
        }
        let taken: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(taken, [motion(2, 0), motion(3, 1), motion(3, 0), Command::Reset]);
        queue.push(Command::End);
        assert_eq!(queue.wait(), Command::End);
    }

    #[test]
    fn a_flood_drops_presses_and_never_releases() {
        let queue = Queue::new().expect("a descriptor");
        for _ in 0..MAX_WAITING + 100 {
            queue.push(key(true));
        }
        queue.push(key(false));
        let taken: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(taken.len(), MAX_WAITING + 1);
        assert_eq!(taken.last(), Some(&key(false)));
    }

    #[test]
    fn the_descriptor_is_ready_exactly_while_something_waits() {
        let queue = Queue::new().expect("a descriptor");
        let ready = || {
            let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::new(&queue, PollFlags::IN)], Some(&now)) == Ok(1)
        };
        assert!(!ready());
        queue.push(key(true));
        queue.push(key(false));
        assert!(ready());
        queue.take();
        assert!(ready());
        queue.take();
        assert!(!ready());
    }
}
