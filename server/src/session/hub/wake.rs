//! A desktop that is started on demand, as those see it who are let in: they wait until it is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::follow::end;
use super::{DesktopState, Hub, HubEvent, State};
use crate::backend::Came;
use crate::session::log::{EndKind, Goodbye};

/// How long a client that was let in waits for the desktop at most.
pub const WAKE_LIMIT: Duration = Duration::from_secs(15);

/// Rung when there may be a desktop, or none will come: then with the reason.
#[derive(Default)]
pub(super) struct Waking(watch::Sender<Option<Arc<str>>>);

impl Waking {
    /// Those who wait look again.
    pub fn ring(&self) {
        self.0.send_replace(None);
    }
}

impl Hub {
    /// Whether the desktop is one that is started on demand, and is not there.
    pub fn sleeps(&self) -> bool {
        self.backend.on_demand().is_some_and(|desktop| !desktop.is_up() || !self.is_ready())
    }

    /// Has a desktop on demand started, and waits until it is there; does nothing where it is.
    ///
    /// # Errors
    /// When it does not come, or not in time: why, for the client that waits.
    pub async fn wake(&self) -> Result<(), String> {
        self.wake_within(WAKE_LIMIT).await
    }

    async fn wake_within(&self, limit: Duration) -> Result<(), String> {
        match tokio::time::timeout(limit, self.come()).await {
            Ok(come) => come,
            Err(_) => Err(format!("the desktop was not there within {limit:?}; try again later")),
        }
    }

    async fn come(&self) -> Result<(), String> {
        let mut bell = self.waking.0.subscribe();
        while self.sleeps() {
            if let Some(desktop) = self.backend.on_demand() {
                desktop.wake();
            }
            // it goes with the hub, which is here
            let _ = bell.changed().await;
            if let Some(why) = &*bell.borrow_and_update() {
                return Err(format!("the desktop did not start: {why}"));
            }
        }
        Ok(())
    }

    pub(super) fn on_demand(&self, came: Came) {
        match came {
            Came::Up => self.waking.ring(),
            Came::NotUp(why) => {
                tracing::warn!(why, "the desktop did not start");
                self.waking.0.send_replace(Some(why.into()));
            }
            Came::Ended => {
                tracing::info!("the desktop has ended; the next login starts another one");
                self.forget();
                self.waking.ring();
            }
        }
    }

    /// Nothing of the desktop is left, and nobody has anything to look at.
    fn forget(&self) {
        let mut state = self.lock();
        let State { outputs, desktop, resizing, .. } = &mut *state;
        let gone = std::mem::take(outputs);
        *desktop = DesktopState::default();
        *resizing = None;
        state.tell(HubEvent::Close(Goodbye::new(EndKind::ServerEnds, "the desktop has ended")), None);
        drop(state);
        gone.into_values().for_each(|output| end(Some(output)));
    }
}

#[cfg(test)]
mod tests;
