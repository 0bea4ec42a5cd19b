//! The thread that speaks to the portal: opens a session, serves it, and finds the desktop again when it went.
//!
//! When a session ends, its end is looked at for a moment: if the compositor or the portal went with it, it is opened again, with the
//! restore token where there is one; if only the session was closed, the person at the desktop stopped the sharing, and it stays stopped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use farpane_engine::capture::pipewire::PipeWire;
use farpane_engine::frame::DmaBufs;
use tokio::time::Instant;

use super::clipboard::Selections;
use super::live::Live;
use super::queue::{Command, Queue};
use super::session::{KEYBOARD, POINTER};
use super::token::TokenFile;
use super::{PortalError, Target};
use crate::backend::{BackendEvent, Events, Layout, OutputId, ResizeAnswer};
use crate::helper::Opener;

/// The first and the longest pause between attempts to open a session again.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(3)];

/// Why a session is served no more.
pub(super) enum Ended {
    /// The backend is no longer needed.
    Asked,
    /// The desktop went: it may come again.
    Lost(String),
    /// It is not to be asked for again.
    Stopped(String),
}

/// What the thread is made of.
pub struct Desk {
    runtime: tokio::runtime::Runtime,
    pub(super) target: Target,
    pub(super) dma_bufs: DmaBufs,
    pub(super) opener: Arc<dyn Opener>,
    events: Events,
    pub(super) queue: Arc<Queue>,
    pub(super) clipboard: Arc<Selections>,
}

/// What outlives a session.
pub(super) struct Memory {
    /// The ids of monitors by their names.
    pub(super) ids: HashMap<String, OutputId>,
    /// What was told last.
    pub(super) layout: Layout,
    pub(super) token: TokenFile,
    pub(super) pipewire: Arc<PipeWire>,
    /// Counts sessions, so that what an old stream says late is not taken for a new one's.
    pub(super) sessions: u64,
    /// libei was tried and did not do: input is told to the portal.
    pub(super) without_ei: bool,
}

impl Desk {
    /// Prepares the thread's runtime.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn new(
        target: Target,
        dma_bufs: DmaBufs,
        opener: Arc<dyn Opener>,
        events: Events,
        queue: Arc<Queue>,
        clipboard: Arc<Selections>,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, target, dma_bufs, opener, events, queue, clipboard })
    }

    /// Runs until it is told to end. Says once whether the desktop could be opened, and whether it takes input.
    pub fn run(self, opened: &SyncSender<Result<bool, PortalError>>) {
        self.runtime.block_on(self.serve(opened));
        // a name that is looked up, or a call that nobody answers, holds up nothing
        self.runtime.shutdown_background();
    }

    async fn serve(&self, opened: &SyncSender<Result<bool, PortalError>>) {
        let pipewire = match PipeWire::start() {
            Ok(pipewire) => Arc::new(pipewire),
            Err(error) => {
                let _ = opened.send(Err(error.into()));
                return;
            }
        };
        let token = TokenFile::open(self.target.token.clone(), &*self.opener);
        let (ids, layout) = (HashMap::new(), Layout::default());
        let mut memory = Memory { ids, layout, token, pipewire, sessions: 0, without_ei: false };
        let mut ended = match Live::open(self, &mut memory).await {
            Ok(mut live) => {
                let _ = opened.send(Ok(live.devices & (KEYBOARD | POINTER) != 0));
                live.serve(self, &mut memory).await
            }
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        loop {
            match ended {
                Ended::Asked => return,
                Ended::Stopped(reason) => {
                    tracing::warn!(reason, "the desktop is no longer shared");
                    self.send(BackendEvent::Lost(reason));
                    return self.wait_for_the_end().await;
                }
                Ended::Lost(reason) => {
                    tracing::warn!(reason, "the desktop is gone; waiting for it");
                    self.send(BackendEvent::Lost(reason));
                }
            }
            ended = match self.again(&mut memory).await {
                Ok(mut live) => {
                    self.send(BackendEvent::Back);
                    live.serve(self, &mut memory).await
                }
                Err(ended) => ended,
            };
        }
    }

    /// Tells the hub.
    pub(super) fn send(&self, event: BackendEvent) {
        let _ = self.events.send(event);
    }

    /// Tries to open a session until that succeeds, is refused, or nobody needs it any more.
    async fn again(&self, memory: &mut Memory) -> Result<Live, Ended> {
        let mut pause = BACK_OFF[0];
        loop {
            if self.idle_for(pause).await {
                return Err(Ended::Asked);
            }
            pause = (pause * 2).min(BACK_OFF[1]);
            match Live::open(self, memory).await {
                Ok(live) => return Ok(live),
                // whoever does not want to be asked is asked once
                Err(error @ (PortalError::Denied | PortalError::Late { method: "Start", .. })) => {
                    return Err(Ended::Stopped(error.to_string()));
                }
                Err(error) => tracing::debug!(%error, "the desktop is not back"),
            }
        }
    }

    /// Refuses what is asked meanwhile; returns whether the backend is no longer needed.
    async fn idle_for(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        while let Ok(command) = tokio::time::timeout_at(end, self.queue.pop()).await {
            match command {
                Command::End => return true,
                Command::Resize(_, answer) => {
                    let _ = answer.try_send(ResizeAnswer::Prohibited);
                }
                Command::Key(_) | Command::Pointer(_) | Command::Stream(..) => {}
            }
        }
        false
    }

    async fn wait_for_the_end(&self) {
        while !self.idle_for(Duration::from_secs(3600)).await {}
    }
}
