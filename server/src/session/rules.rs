//! What a session keeps to while it runs: permissions, the hold at the gate, and how long it lasts.

use std::time::Instant;

use super::state::{Session, SessionError};
use super::terms::Due;
use crate::policy::{Permission, Permissions};

impl Session {
    /// What the client may do.
    pub(super) fn permissions(&self) -> Permissions {
        self.entry.who.permissions()
    }

    /// Whether the client may do what it tries; a no is noted once.
    pub(super) fn may(&mut self, permission: Permission) -> bool {
        if self.permissions().has(permission) {
            return true;
        }
        if !self.denied.has(permission) {
            self.denied = self.denied.with(permission);
            tracing::info!(client = %self.id, user = self.entry.who.access.user, %permission, "not permitted; ignored from here on");
            if let Some(log) = self.hub.log() {
                log.denied(&self.entry.who, permission);
            }
        }
        false
    }

    /// Whether the client's keys or pointer reach the desktop. What comes while the desktop is asked about another client is
    /// dropped: kept back, it would be played to whatever has the focus afterwards.
    pub(super) fn may_touch(&mut self, permission: Permission, now: Instant) -> bool {
        if !self.may(permission) {
            return false;
        }
        self.touched(now);
        !self.hub.gate().is_asking()
    }

    /// The client typed, pointed or copied.
    pub(super) fn touched(&mut self, now: Instant) {
        self.terms.touched(now);
        self.entry.touched(now);
    }

    /// Warns the client of its end, or ends it, and takes old words from the desktop's name.
    ///
    /// # Errors
    /// When the session is over.
    pub(super) fn keep_terms(&mut self, now: Instant) -> Result<(), SessionError> {
        let mut renamed = self.notices.expire(now);
        match self.terms.check(now) {
            Due::Nothing => {}
            Due::Warn(ending, left) => {
                let seconds = left.as_secs_f64().ceil();
                tracing::info!(client = %self.id, seconds, reason = ending.warning(), "will be closed");
                self.notices.warning(Some(format!("will be closed in {seconds} s: {}", ending.warning())));
                renamed = true;
            }
            Due::Unwarn => {
                self.notices.warning(None);
                renamed = true;
            }
            Due::Over(ending) => return Err(SessionError::Closed(ending.goodbye())),
        }
        self.pseudo.name |= renamed && self.caps.desktop_name;
        Ok(())
    }
}
