//! Tickets, and what came of them until somebody asks.

use std::collections::VecDeque;

use super::{Progress, Ticket};

/// Numbers tickets and keeps their answers.
#[derive(Default)]
pub(super) struct Answers {
    next: u64,
    done: VecDeque<(Ticket, Progress)>,
}

impl Answers {
    /// A new ticket.
    pub(super) fn ticket(&mut self) -> Ticket {
        self.next += 1;
        Ticket(self.next - 1)
    }

    /// Keeps an answer.
    pub(super) fn put(&mut self, ticket: Ticket, progress: Progress) {
        self.done.push_back((ticket, progress));
    }

    /// The answer to a ticket, once.
    pub(super) fn take(&mut self, ticket: Ticket) -> Progress {
        let at = self.done.iter().position(|(t, _)| *t == ticket);
        at.and_then(|i| self.done.remove(i)).map_or(Progress::Pending, |(_, progress)| progress)
    }

    /// Forgets all that nobody asked for.
    pub(super) fn clear(&mut self) {
        self.done.clear();
    }
}
