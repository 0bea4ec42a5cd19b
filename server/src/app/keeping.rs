//! Keeps on disk who failed how often: soon after it changed, and not while nothing does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::auth::throttle::Kept;

use super::gate::now;

/// Requests to clear are looked for so often while anything is counted, and changes saved that are due.
const TICK: Duration = Duration::from_secs(1);

/// The throttle, and who saves it.
pub(super) struct Keeper {
    kept: Arc<Kept>,
    changed: Notify,
}

impl Keeper {
    pub(super) fn new(kept: Kept) -> Self {
        Keeper { kept: Arc::new(kept), changed: Notify::new() }
    }

    /// The throttle.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Something was counted.
    pub(super) fn note(&self) {
        self.changed.notify_one();
    }

    /// Saves what changes and carries out what `farpane penalties clear` asks for; never ends. Rests while nothing is counted.
    /// Dropping it loses at most what changed within five seconds: call [`Keeper::save`] then.
    /// `told` hears how many penalties were cleared.
    pub(super) async fn run(&self, told: impl Fn(usize)) {
        loop {
            if self.kept.is_idle() {
                self.changed.notified().await;
            }
            tokio::time::sleep(TICK).await;
            let kept = Arc::clone(&self.kept);
            let ticked = tokio::task::spawn_blocking(move || kept.tick(now())).await;
            let (cleared, wrong) = ticked.unwrap_or_default();
            if cleared > 0 {
                told(cleared);
            }
            for error in wrong {
                tracing::warn!(%error, "penalties");
            }
        }
    }

    /// Saves what is not saved.
    pub(super) fn save(&self) {
        if let Err(error) = self.kept.save(now()) {
            tracing::warn!(%error, "penalties cannot be saved");
        }
    }
}
