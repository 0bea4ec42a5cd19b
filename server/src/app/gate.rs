//! Who gets in through which listener.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use farpane_rfb::handshake::{SecurityType, ServerHandshake};

use crate::auth::{Attempt, Moment, Throttle, Try};
use crate::config::Config;
use crate::net::{ConnInfo, ConnectionHandler, Refusal, Transport};
use crate::security::{Grant, Passwords, SecurityKind, vnc_auth};
use crate::session::{self, Access, Authenticator, Denied, Hub};

/// A wrong password is answered after this long, so that guessing takes time.
const WRONG_DELAY: Duration = Duration::from_millis(100);

fn now() -> Moment {
    Moment::of(SystemTime::now())
}

/// A try of a security type that knows no names.
fn attempt(info: &ConnInfo) -> Attempt<'static> {
    Attempt { source: info.source(), user: "", device: None }
}

/// What one listener asks and lets do.
struct Door {
    kinds: Vec<SecurityKind>,
    view_only: bool,
}

/// Decides for every connection of the server.
pub(super) struct Gate {
    doors: Vec<Door>,
    passwords: Option<Passwords>,
    throttle: Mutex<Throttle>,
}

impl Gate {
    /// The doors of a checked configuration, in its order of listeners.
    pub(super) fn new(config: &Config, passwords: Option<Passwords>) -> Self {
        let door = |l| {
            let kinds = config.offer(l).to_vec();
            Door { kinds, view_only: l.view_only }
        };
        Gate {
            doors: config.listeners.iter().map(door).collect(),
            passwords,
            throttle: Mutex::new(Throttle::new([0; 16])),
        }
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view_only(&self, info: &ConnInfo) -> bool {
        self.doors.get(info.listener.0).is_none_or(|door| door.view_only)
    }

    fn kinds(&self, info: &ConnInfo) -> &[SecurityKind] {
        self.doors.get(info.listener.0).map_or(&[], |door| &door.kinds)
    }

    /// How long this peer has to wait before it may guess again.
    fn wait(&self, info: &ConnInfo) -> Option<Denied> {
        if self.kinds(info).contains(&SecurityKind::None) {
            return None;
        }
        match self.throttle().may_try(&attempt(info), now()) {
            Try::Now { .. } => None,
            Try::Later(wait) => {
                Some(Denied { reason: format!("Too many security failures; {wait}"), delay: Duration::ZERO })
            }
        }
    }
}

impl Authenticator for Gate {
    fn offer(&self, info: &ConnInfo) -> Result<Vec<SecurityType>, Denied> {
        if let Some(denied) = self.wait(info) {
            return Err(denied);
        }
        let number = |kind: &SecurityKind| match kind {
            SecurityKind::None => Some(SecurityType::NONE),
            SecurityKind::VncAuth => Some(SecurityType::VNC_AUTH),
            _ => None,
        };
        Ok(self.kinds(info).iter().filter_map(number).collect())
    }

    fn challenge(&self) -> Result<[u8; 16], Denied> {
        vnc_auth::challenge().map_err(|error| {
            tracing::error!(%error, "no challenge");
            Denied { reason: "internal error".into(), delay: Duration::ZERO }
        })
    }

    fn vnc_auth(&self, info: &ConnInfo, challenge: &[u8; 16], response: &[u8; 16]) -> Result<Access, Denied> {
        // Many connections may have been let in before the first of them failed.
        if let Some(denied) = self.wait(info) {
            return Err(denied);
        }
        match self.passwords.as_ref().and_then(|p| p.check(challenge, response)) {
            Some(grant) => {
                self.throttle().right(&attempt(info), now());
                Ok(Access { view_only: grant == Grant::ViewOnly || self.view_only(info) })
            }
            None => {
                self.throttle().wrong(&attempt(info), now());
                Err(Denied { reason: "Authentication failed".into(), delay: WRONG_DELAY })
            }
        }
    }

    fn none(&self, info: &ConnInfo) -> Access {
        Access { view_only: self.view_only(info) }
    }
}

/// Takes connections to sessions.
pub(super) struct Sessions {
    pub(super) gate: Arc<Gate>,
    pub(super) hub: Arc<Hub>,
    /// Of each listener, in the configuration's order.
    pub(super) settings: Vec<Arc<session::Settings>>,
}

fn refusal(reason: String) -> Refusal {
    Refusal { bytes: ServerHandshake::early_refusal(&reason), reason }
}

impl ConnectionHandler for Sessions {
    fn admit(&self, info: &ConnInfo) -> Result<(), Refusal> {
        self.gate.wait(info).map_or(Ok(()), |denied| Err(refusal(denied.reason)))
    }

    fn busy(&self) -> Refusal {
        refusal("Too many connections are waiting to log in; try again later".into())
    }

    fn turned_away(&self, reason: String) -> Refusal {
        refusal(reason)
    }

    fn connection(&self, transport: Transport) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let authenticator: Arc<dyn Authenticator> = self.gate.clone();
        let settings = self.settings.get(transport.info().listener.0).map(Arc::clone).unwrap_or_default();
        Box::pin(session::serve(transport, Arc::clone(&self.hub), settings, authenticator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ListenerId;

    fn gate(text: &str) -> Gate {
        let config = Config::parse(text, None).unwrap().with(Default::default()).unwrap();
        Gate::new(&config, Some(Passwords::new("right", Some("look")).unwrap()))
    }

    fn peer(ip: &str, listener: usize) -> ConnInfo {
        ConnInfo { peer_ip: Some(ip.parse().unwrap()), listener: ListenerId(listener), ..ConnInfo::in_process("p") }
    }

    fn try_with(gate: &Gate, info: &ConnInfo, password: &str) -> Result<Access, Denied> {
        let challenge = gate.challenge().unwrap();
        gate.vnc_auth(info, &challenge, &vnc_auth::answer(password, &challenge).unwrap())
    }

    #[test]
    fn each_listener_offers_its_own_types_and_rights() {
        let gate = gate(
            "[[listener]]\naddress=\"127.0.0.1:1\"\nsecurity=\"none\"\nview_only=true\n[[listener]]\naddress=\"127.0.0.1:2\"",
        );
        assert_eq!(gate.offer(&peer("127.0.0.1", 0)).unwrap(), [SecurityType::NONE]);
        assert_eq!(gate.offer(&peer("127.0.0.1", 1)).unwrap(), [SecurityType::VNC_AUTH]);
        assert_eq!(gate.offer(&peer("127.0.0.1", 9)).unwrap(), []);
        assert!(gate.none(&peer("127.0.0.1", 0)).view_only);
        assert_eq!(try_with(&gate, &peer("127.0.0.1", 1), "right"), Ok(Access { view_only: false }));
        assert_eq!(try_with(&gate, &peer("127.0.0.1", 1), "look"), Ok(Access { view_only: true }));
    }

    #[test]
    fn too_many_wrong_passwords_close_the_gate_to_that_peer_alone() {
        let gate = gate("");
        let guesser = peer("192.0.2.9", 0);
        for _ in 0..6 {
            let _ = try_with(&gate, &guesser, "wrong");
        }
        let denied = gate.offer(&guesser).unwrap_err();
        assert!(denied.reason.starts_with("Too many security failures; try again in "), "{}", denied.reason);
        assert!(try_with(&gate, &guesser, "right").is_err(), "even the right password has to wait");
        assert!(gate.offer(&peer("192.0.2.8", 0)).is_ok());
    }
}
