//! The session bus, and how the portal is asked: a call, then a signal that tells the outcome.
//!
//! The protocol is spoken directly: the crate made for it (`ashpd`) ends the program when a portal answers with another session
//! than was asked for, and waits for a reply to every key.
//! SOURCE: xdg-desktop-portal's interfaces org.freedesktop.portal.{Request,Session}.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use serde::Serialize;
use zbus::message::{Flags, Message, Type};
use zbus::zvariant::{DynamicType, OwnedValue, Value};
use zbus::{Connection, MatchRule, MessageStream};

use super::PortalError;
use crate::helper::{OpenRequest, Opener};

/// The portal's name on the bus.
pub const PORTAL: &str = "org.freedesktop.portal.Desktop";
/// The portal's object.
pub const OBJECT: &str = "/org/freedesktop/portal/desktop";
/// How long the portal may take for what asks nobody.
const ANSWER: Duration = Duration::from_secs(25);
/// How long the bus may take to let us in.
const GREETING: Duration = Duration::from_secs(10);

/// The first address of a list, as `DBUS_SESSION_BUS_ADDRESS` has it, that can be connected to: a path, or an abstract name after `@`.
pub fn address(list: &str) -> Option<PathBuf> {
    let unix = |one: &str| {
        let pairs = one.trim().strip_prefix("unix:")?;
        let value = |key: &str| pairs.split(',').find_map(|p| p.strip_prefix(key)?.strip_prefix('='));
        value("path")
            .map(unescaped)
            .or_else(|| value("abstract").map(|name| format!("@{}", unescaped(name))))
            .map(PathBuf::from)
    };
    list.split(';').find_map(unix)
}

/// An address's value without its %XX.
fn unescaped(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        match byte {
            b'%' => {
                let (high, low) = (hex(bytes.next()), hex(bytes.next()));
                out.extend(high.zip(low).and_then(|(h, l)| u8::try_from(16 * h + l).ok()));
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A connection to the session bus.
#[derive(Clone, Debug)]
pub struct Bus {
    connection: Connection,
}

/// The outcome of a request: its results by name.
pub type Results = HashMap<String, OwnedValue>;
/// Options of a call, by name.
pub type Options<'a> = HashMap<&'a str, Value<'a>>;

impl Bus {
    /// Connects over a socket that the opener opens.
    pub async fn connect(socket: &Path, opener: &dyn Opener) -> Result<Self, PortalError> {
        let no_bus = |reason: String| PortalError::NoBus { bus: socket.display().to_string(), reason };
        let fd = opener.open(&OpenRequest::Bus(socket.to_owned())).map_err(|e| no_bus(e.to_string()))?;
        let stream = std::os::unix::net::UnixStream::from(fd);
        stream.set_nonblocking(true).map_err(|e| no_bus(e.to_string()))?;
        let stream = tokio::net::UnixStream::from_std(stream).map_err(|e| no_bus(e.to_string()))?;
        let building = zbus::connection::Builder::unix_stream(stream).method_timeout(ANSWER).build();
        let connection = tokio::time::timeout(GREETING, building).await.map_err(|_| no_bus("no answer".into()))?;
        Ok(Self { connection: connection.map_err(|e| no_bus(e.to_string()))? })
    }

    /// Calls a method of the portal and returns its reply.
    pub async fn call<B: Serialize + DynamicType>(
        &self,
        interface: &str,
        method: &'static str,
        body: &B,
    ) -> Result<Message, PortalError> {
        let called = self.connection.call_method(Some(PORTAL), OBJECT, Some(interface), method, body).await;
        called.map_err(|error| PortalError::call(method, &error))
    }

    /// Calls a method of the portal that answers nothing. It has taken it when this returns: portals handle calls that come
    /// side by side on threads of their own, in any order.
    pub async fn tell<B: Serialize + DynamicType>(
        &self,
        interface: &str,
        method: &'static str,
        body: &B,
    ) -> Result<(), PortalError> {
        match self.connection.call_method(Some(PORTAL), OBJECT, Some(interface), method, body).await {
            Ok(_) => Ok(()),
            // one key that the portal does not want is no reason to lose the desktop
            Err(zbus::Error::MethodError(name, text, _))
                if !name.as_str().ends_with("ServiceUnknown") && !name.as_str().contains("NoReply") =>
            {
                tracing::debug!(method, error = %name, text = text.as_deref().unwrap_or_default(), "not taken");
                Ok(())
            }
            Err(error) => Err(PortalError::call(method, &error)),
        }
    }

    /// A number that an interface of the portal has; none where it has no such thing.
    pub async fn number(&self, interface: &str, property: &str) -> Result<Option<u32>, PortalError> {
        let properties = Some("org.freedesktop.DBus.Properties");
        let called = self.connection.call_method(Some(PORTAL), OBJECT, properties, "Get", &(interface, property)).await;
        let reply = match called {
            Ok(reply) => reply,
            // a portal without that interface; anything else is a portal that does not answer
            Err(zbus::Error::MethodError(name, ..))
                if !name.as_str().ends_with("ServiceUnknown") && !name.as_str().contains("NoReply") =>
            {
                return Ok(None);
            }
            Err(error) => return Err(PortalError::call("Get", &error)),
        };
        let value: OwnedValue = reply.body().deserialize().map_err(|e| PortalError::nonsense(property, &e))?;
        u32::try_from(value).map(Some).map_err(|e| PortalError::nonsense(property, &e))
    }

    /// Calls a method that answers through a request, and waits at most `limit` for the outcome.
    pub async fn request<B: Serialize + DynamicType>(
        &self,
        interface: &str,
        method: &'static str,
        token: &str,
        limit: Duration,
        body: &B,
    ) -> Result<Results, PortalError> {
        // listened to before the call: the outcome may come before its reply
        let path = format!("{OBJECT}/request/{}/{token}", self.sender());
        let mut outcome = self.signals("org.freedesktop.portal.Request", "Response", Some(&path)).await?;
        let mut gone = self.owner_changes(PORTAL).await?;
        self.call(interface, method, body).await?;
        let waited = async {
            tokio::select! {
                said = outcome.next() => said,
                _ = gone.next() => None,
            }
        };
        let said = tokio::time::timeout(limit, waited)
            .await
            .map_err(|_| PortalError::Late { method, seconds: limit.as_secs() })?;
        let said = said
            .and_then(Result::ok)
            .ok_or_else(|| PortalError::Lost(format!("the portal ended before it answered {method}")))?;
        let body = said.body();
        let (code, results): (u32, Results) = body.deserialize().map_err(|e| PortalError::nonsense(method, &e))?;
        match code {
            0 => Ok(results),
            1 => Err(PortalError::Denied),
            _ => Err(PortalError::Failed { method, code }),
        }
    }

    /// Calls a method of the portal on an object; nobody waits for the answer.
    pub async fn post<B: Serialize + DynamicType>(&self, path: &str, interface: &str, method: &str, body: &B) {
        let message = Message::method_call(path, method).and_then(|m| m.destination(PORTAL));
        let message = message.and_then(|m| m.interface(interface));
        let message = message.and_then(|m| m.with_flags(Flags::NoReplyExpected)).and_then(|m| m.build(body));
        if let Ok(message) = message {
            // on a bus that is gone there is nobody to tell
            let _ = self.connection.send(&message).await;
        }
    }

    /// Closes a session of the portal's; nobody waits for it.
    pub async fn close(&self, session: &str) {
        self.post(session, "org.freedesktop.portal.Session", "Close", &()).await;
    }

    /// The signals of a name that the portal sends.
    pub async fn signals(
        &self,
        interface: &str,
        member: &str,
        path: Option<&str>,
    ) -> Result<MessageStream, PortalError> {
        let rule = MatchRule::builder().msg_type(Type::Signal).sender(PORTAL);
        let rule = rule.and_then(|r| r.interface(interface)).and_then(|r| r.member(member));
        let rule = rule.and_then(|r| match path {
            Some(path) => r.path(path.to_owned()),
            None => Ok(r),
        });
        self.matching(rule.map_err(|e| PortalError::Lost(e.to_string()))?.build()).await
    }

    /// Tells when a name of the bus changes hands.
    pub async fn owner_changes(&self, name: &str) -> Result<MessageStream, PortalError> {
        let rule = MatchRule::builder().msg_type(Type::Signal).sender("org.freedesktop.DBus");
        let rule = rule.and_then(|r| r.member("NameOwnerChanged")).and_then(|r| r.arg(0, name.to_owned()));
        self.matching(rule.map_err(|e| PortalError::Lost(e.to_string()))?.build()).await
    }

    async fn matching(&self, rule: MatchRule<'_>) -> Result<MessageStream, PortalError> {
        let stream = MessageStream::for_match_rule(rule.to_owned(), &self.connection, Some(64)).await;
        stream.map_err(|e| PortalError::Lost(e.to_string()))
    }

    /// Our name on the bus, as it stands in the paths of requests.
    pub fn sender(&self) -> String {
        let name = self.connection.unique_name().map(|n| n.as_str()).unwrap_or_default();
        name.trim_start_matches(':').replace('.', "_")
    }
}

/// The descriptor in a reply.
pub fn descriptor(reply: &Message, method: &'static str) -> Result<OwnedFd, PortalError> {
    let fd: zbus::zvariant::OwnedFd = reply.body().deserialize().map_err(|e| PortalError::nonsense(method, &e))?;
    Ok(fd.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_unix_address_of_a_list_is_taken() {
        for (list, path) in [
            ("unix:path=/run/user/1000/bus", "/run/user/1000/bus"),
            ("tcp:host=far,port=1;unix:guid=12,path=/a%20b", "/a b"),
            ("unix:abstract=/tmp/dbus-x,guid=1", "@/tmp/dbus-x"),
        ] {
            assert_eq!(address(list), Some(PathBuf::from(path)), "{list}");
        }
        for none in ["", "unix:", "autolaunch:", "unix:runtime=yes", "path=/x"] {
            assert_eq!(address(none), None, "{none}");
        }
        assert_eq!(address("unix:path=/a%2"), Some(PathBuf::from("/a")));
    }
}
