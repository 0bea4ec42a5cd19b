//! The compositor's selections by ext-data-control-v1, else wlr-data-control-unstable-v1, on a thread and connection of their own.
//!
//! Texts go through pipes to and from programs that may be slow, endless or hostile. Nothing here waits for one: pipes are polled beside the
//! compositor, each transfer has a limit for silence and for its whole, texts have a cap. What we offered never comes back as an
//! event: our offers bear a type of their own, and a program that offers the same text again tells nothing new.

mod control;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use self::control::{Control, Kind, Said};
use super::Reach;
use super::connect::Target;
use super::wire::{Wire, WireError};
use crate::backend::{BackendEvent, Events};
use crate::clipboard::exchange::Exchange;
use crate::clipboard::incoming::{Incoming, State};
use crate::clipboard::outgoing::Outgoing;
use crate::clipboard::pipe::MAX_OUTGOING;
use crate::clipboard::{Clipboard, ClipboardOptions};
use crate::helper::Opener;

enum Command {
    Offer(Arc<str>),
    Watch(bool),
    Reset,
    End,
}

/// Commands on their way to the thread.
struct Mailbox {
    waiting: Mutex<VecDeque<Command>>,
    wake: OwnedFd,
}

impl Mailbox {
    /// Of several texts or watch states that wait, the last counts.
    fn send(&self, command: Command) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|c| std::mem::discriminant(c) != std::mem::discriminant(&command));
        waiting.push_back(command);
        drop(waiting);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn take(&self) -> Option<Command> {
        let mut count = [0u8; 8];
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            let _ = rustix::io::read(&self.wake, &mut count);
        }
        waiting.pop_front()
    }
}

/// The compositor's clipboard.
pub struct Selections {
    mailbox: Arc<Mailbox>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Selections {
    /// Starts the thread, which connects at once.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn start((target, opener): Reach, options: ClipboardOptions, events: Events) -> std::io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let mailbox = Arc::new(Mailbox { waiting: Mutex::new(VecDeque::new()), wake });
        let worker = Worker {
            target,
            opener,
            options,
            events,
            mailbox: Arc::clone(&mailbox),
            watched: false,
            exchange: Exchange::new(options.cap_bytes),
            incoming: None,
            outgoing: Vec::new(),
        };
        let thread = std::thread::Builder::new().name("wayland-clipboard".into()).spawn(move || worker.run())?;
        Ok(Self { mailbox, thread: Mutex::new(Some(thread)) })
    }

    /// Somebody, or nobody, is connected: copies are told while somebody is.
    pub fn watch(&self, watched: bool) {
        self.mailbox.send(Command::Watch(watched));
    }

    /// Connects anew: the compositor was lost, or is back.
    pub fn reset(&self) {
        self.mailbox.send(Command::Reset);
    }
}

impl Clipboard for Selections {
    fn offer(&self, text: Arc<str>) {
        self.mailbox.send(Command::Offer(text));
    }
}

impl Drop for Selections {
    fn drop(&mut self) {
        self.mailbox.send(Command::End);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

struct Worker {
    target: Target,
    opener: Arc<dyn Opener>,
    options: ClipboardOptions,
    events: Events,
    mailbox: Arc<Mailbox>,
    watched: bool,
    exchange: Exchange,
    incoming: Option<Incoming>,
    outgoing: Vec<Outgoing>,
}

/// A connection and what is seen through it.
struct Live {
    wire: Wire<Control>,
    control: Control,
}

impl Worker {
    fn run(mut self) {
        let mut live = self.connect();
        loop {
            while let Some(command) = self.mailbox.take() {
                match command {
                    Command::End => return,
                    Command::Reset => live = self.connect(),
                    Command::Watch(watched) => self.watched = watched,
                    Command::Offer(text) => {
                        self.incoming = None;
                        self.exchange.offer(text);
                        if let Some(live) = live.as_mut() {
                            live.control.offer(&live.wire.handle(), self.options.primary);
                        }
                    }
                }
            }
            let Some(mine) = live.as_mut() else {
                let _ = poll(&mut [PollFd::new(&self.mailbox.wake, PollFlags::IN)], None);
                continue;
            };
            if let Err(error) = self.round(mine) {
                tracing::debug!(compositor = %self.target.name, %error, "clipboard connection lost");
                live = None;
            }
        }
    }

    fn connect(&mut self) -> Option<Live> {
        self.incoming = None;
        self.outgoing.clear();
        let connection = self.target.connect(&*self.opener).map_err(|e| e.to_string());
        let live = connection.and_then(|connection| {
            let mut control = Control::default();
            let mut wire = Wire::open(connection, &mut control).map_err(|e| e.to_string())?;
            control.start(&mut wire).map_err(|e| e.to_string())?;
            Ok(Live { wire, control })
        });
        live.inspect_err(|reason| tracing::debug!(compositor = %self.target.name, reason, "no clipboard")).ok()
    }

    /// Works off what is here, then sleeps until there is more.
    fn round(&mut self, live: &mut Live) -> Result<(), WireError> {
        live.wire.dispatch(&mut live.control)?;
        let now = Instant::now();
        while let Some(said) = live.control.said.pop_front() {
            match said {
                Said::Copied(kind, offer) => {
                    let wanted = self.watched && (kind == Kind::Clipboard || self.options.primary);
                    // a text that was on its way is an older one
                    self.incoming = None;
                    if wanted && !offer.is_ours() {
                        self.incoming = offer.receive(now, self.exchange.cap_bytes());
                    }
                    offer.destroy();
                }
                Said::Wanted(mime, fd) => self.give(&mime, fd, now),
                Said::Finished => return Err(WireError::Gone("the compositor takes its clipboard back".into())),
            }
        }
        self.transfer(now);
        let until = self.outgoing.iter().map(Outgoing::deadline);
        let until = until.chain(self.incoming.as_ref().map(Incoming::deadline)).min();
        let mut others = vec![PollFd::new(&self.mailbox.wake, PollFlags::IN)];
        others.extend(self.incoming.as_ref().map(|i| PollFd::new(i, PollFlags::IN)));
        others.extend(self.outgoing.iter().map(|o| PollFd::new(o, PollFlags::OUT)));
        live.wire.wait(&others, until)
    }

    /// A program wants what we offered. Anything but the text in UTF-8 is an empty answer.
    fn give(&mut self, mime: &str, fd: OwnedFd, now: Instant) {
        let text = self.exchange.wanted(mime);
        let Some(text) = text.filter(|_| self.outgoing.len() < MAX_OUTGOING) else { return };
        self.outgoing.extend(Outgoing::new(fd, text, now));
    }

    fn transfer(&mut self, now: Instant) {
        self.outgoing.retain_mut(|out| out.go_on(now));
        let Some(incoming) = self.incoming.as_mut() else { return };
        let state = incoming.go_on(now);
        if state == State::More {
            return;
        }
        if let Some(text) = self.exchange.arrived(state) {
            let _ = self.events.send(BackendEvent::Clipboard(text));
        }
        self.incoming = None;
    }
}
