//! The way that a session's input takes: told to the portal event by event, or by libei.

use std::os::fd::OwnedFd;

use zbus::zvariant::ObjectPath;

use super::PortalError;
use super::bus::{Bus, Options, descriptor};
use super::desk::Memory;
use super::ei::{Ei, EiError};
use super::input::Tell;
use super::layout::Monitor;
use super::session::{Abilities, KEYBOARD, POINTER, REMOTE};
use crate::input::KeyInput;

/// The way that input takes.
pub(super) enum Way {
    /// Each event is told to the portal.
    Notify,
    /// By libei.
    Ei(Box<Ei>),
    /// It was libei, which ended: the session takes no more.
    Ended,
}

impl Way {
    /// Takes libei where the portal has it and it did not fail before.
    ///
    /// # Errors
    /// When the portal gave a socket that does not do: the session takes no other input then.
    pub(super) async fn open(
        bus: &Bus,
        can: &Abilities,
        session: &ObjectPath<'static>,
        devices: u32,
        memory: &mut Memory,
    ) -> Result<Self, EiError> {
        let offered = can.remote.is_some_and(|(version, _)| version >= 2) && devices & (KEYBOARD | POINTER) != 0;
        if !offered || memory.without_ei {
            return Ok(Self::Notify);
        }
        let none: Options<'_> = Options::new();
        let reply = match bus.call(REMOTE, "ConnectToEIS", &(session, none)).await {
            Ok(reply) => reply,
            Err(error) => {
                // the session is as it was
                let reason = match error {
                    PortalError::NoPortal(reason) | PortalError::Lost(reason) => reason,
                    other => other.to_string(),
                };
                tracing::info!(reason, "no input by libei: told to the portal");
                memory.without_ei = true;
                return Ok(Self::Notify);
            }
        };
        memory.without_ei = true;
        let socket: OwnedFd =
            descriptor(&reply, "ConnectToEIS").map_err(|error| EiError::Nonsense(error.to_string()))?;
        let ei = Ei::open(socket, devices).await?;
        memory.without_ei = false;
        tracing::info!("input by libei");
        Ok(Self::Ei(Box::new(ei)))
    }

    /// Waits for what libei says; for ever where it is not used.
    ///
    /// # Errors
    /// When it ended, with the reason.
    pub(super) async fn hear(&mut self) -> Result<(), String> {
        let heard = match self {
            Self::Ei(ei) => ei.hear().await,
            Self::Notify | Self::Ended => std::future::pending().await,
        };
        self.judge(heard)
    }

    /// Gives a key to libei; none where it is not used.
    pub(super) async fn key(&mut self, key: KeyInput) -> Option<Result<(), String>> {
        match self {
            Self::Notify => None,
            Self::Ei(ei) => {
                let done = ei.key(key).await;
                Some(self.judge(done))
            }
            Self::Ended => Some(Ok(())),
        }
    }

    /// Gives something else to libei; none where it is not used. `at` is the monitor that a place is on, with its stream's name.
    pub(super) async fn tell(&mut self, tell: Tell, at: Option<(Monitor, Option<&str>)>) -> Option<Result<(), String>> {
        match self {
            Self::Notify => None,
            Self::Ei(ei) => {
                let done = ei.tell(tell, at).await;
                Some(self.judge(done))
            }
            Self::Ended => Some(Ok(())),
        }
    }

    /// The lock keys as RFB's LED state has them, where they are others than were told last.
    pub(super) fn leds(&mut self) -> Option<u8> {
        match self {
            Self::Ei(ei) => ei.leds(),
            Self::Notify | Self::Ended => None,
        }
    }

    /// Lets go of everything that libei holds.
    pub(super) async fn end(&mut self) {
        if let Self::Ei(ei) = self {
            ei.end().await;
        }
    }

    fn judge(&mut self, done: Result<(), EiError>) -> Result<(), String> {
        done.map_err(|error| {
            *self = Self::Ended;
            format!("input by libei: {error}")
        })
    }
}
