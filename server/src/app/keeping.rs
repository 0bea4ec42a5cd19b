//! Keeps on disk who failed how often: soon after it changed, and not while nothing does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::auth::throttle::Kept;

use super::gate::now;

/// Changes wait this long for others, so that many cost one write.
const GATHER: Duration = Duration::from_secs(1);

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

    /// Saves what changes; never ends. Dropping it loses at most what changed within a second: call [`Keeper::save`] then.
    pub(super) async fn run(&self) {
        loop {
            self.changed.notified().await;
            tokio::time::sleep(GATHER).await;
            let kept = Arc::clone(&self.kept);
            let saved = tokio::task::spawn_blocking(move || kept.save(now())).await;
            if let Ok(Err(error)) = saved {
                tracing::warn!(%error, "penalties cannot be saved");
            }
        }
    }

    /// Saves what is not saved.
    pub(super) fn save(&self) {
        if let Err(error) = self.kept.save(now()) {
            tracing::warn!(%error, "penalties cannot be saved");
        }
    }

    /// Carries out what `farpane penalties clear` asked for. Blocks on the disk for a moment.
    pub(super) fn take_requests(&self) {
        for error in self.kept.tick(now()) {
            tracing::warn!(%error, "penalties");
        }
    }
}
