//! A doorkeeper that shows a notification with two buttons on the desktop (freedesktop.org's Desktop Notifications 1.2).

use std::collections::HashMap;
use std::io;

use futures_util::StreamExt;
use zbus::zvariant::Value;

use super::{Asking, Doorkeeper, Knock, Said};

/// The button that lets in.
const ACCEPT: &str = "accept";
/// The button that does not.
const REFUSE: &str = "refuse";
/// The reason of `NotificationClosed` that says that a person closed it.
const BY_A_PERSON: u32 = 2;
/// Longest text shown of what a client said.
const LONGEST: usize = 200;

#[zbus::proxy(
    interface = "org.freedesktop.Notifications",
    default_service = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications",
    gen_blocking = false
)]
trait Notifications {
    fn get_capabilities(&self) -> zbus::Result<Vec<String>>;

    #[allow(clippy::too_many_arguments)]
    fn notify(
        &self,
        app_name: &str,
        replaces_id: u32,
        app_icon: &str,
        summary: &str,
        body: &str,
        actions: &[&str],
        hints: HashMap<&str, Value<'_>>,
        expire_timeout: i32,
    ) -> zbus::Result<u32>;

    fn close_notification(&self, id: u32) -> zbus::Result<()>;

    #[zbus(signal)]
    fn action_invoked(&self, id: u32, action_key: String) -> zbus::Result<()>;

    #[zbus(signal)]
    fn notification_closed(&self, id: u32, reason: u32) -> zbus::Result<()>;
}

/// Who can say that the screen is locked: service, path, interface.
const LOCKS: [(&str, &str, &str); 2] = [
    ("org.gnome.ScreenSaver", "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver"),
    ("org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver", "org.freedesktop.ScreenSaver"),
];

/// Shows a notification with the buttons Accept and Refuse. Closing it refuses; where the screen is locked, nobody is there.
#[derive(Clone, Debug)]
pub struct Notification {
    bus: String,
}

impl Notification {
    /// One on the desktop whose session bus has this address (`unix:path=/run/user/1000/bus`).
    pub fn new(bus: String) -> Self {
        Notification { bus }
    }
}

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("gatekeeping notification: {error}"))
}

/// What a client said of itself, fit for showing: one line, not too long, and no mark-up where the service reads it.
fn shown(text: &str, markup: bool) -> String {
    let plain = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c });
    if !markup {
        return plain.collect();
    }
    plain.fold(String::new(), |mut shown, c| {
        match c {
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '&' => shown.push_str("&amp;"),
            c => shown.push(c),
        }
        shown
    })
}

/// The text under the headline.
fn body(knock: &Knock, markup: bool) -> String {
    let user = if knock.user.is_empty() { "Somebody".into() } else { shown(&knock.user, markup) };
    let (peer, security) = (shown(&knock.peer, markup), shown(&knock.security, markup));
    let mut text = format!("{user} from {peer} wants to see and use this desktop ({security}).");
    if let Some(phrase) = &knock.phrase {
        text.push_str(&format!(" Device: {}.", shown(phrase, markup)));
    }
    match knock.disconnects {
        0 => {}
        1 => text.push_str(" One other will be disconnected."),
        others => text.push_str(&format!(" {others} others will be disconnected.")),
    }
    text
}

/// Whether the screen is locked, as far as anybody says.
async fn locked(bus: &zbus::Connection) -> bool {
    for (service, path, interface) in LOCKS {
        let asked = bus.call_method(Some(service), path, Some(interface), "GetActive", &()).await;
        if asked.is_ok_and(|reply| reply.body().deserialize::<bool>().unwrap_or(false)) {
            return true;
        }
    }
    false
}

/// A notification on the screen, taken away on drop.
struct Shown(NotificationsProxy<'static>, Option<u32>);

impl Drop for Shown {
    fn drop(&mut self) {
        if let (Some(id), Ok(runtime)) = (self.1.take(), tokio::runtime::Handle::try_current()) {
            let service = self.0.clone();
            // it may be gone already
            runtime.spawn(async move { service.close_notification(id).await.ok() });
        }
    }
}

impl Notification {
    async fn show(&self, knock: &Knock) -> zbus::Result<Said> {
        let bus = zbus::connection::Builder::address(self.bus.as_str())?.build().await?;
        if locked(&bus).await {
            return Ok(Said::Nobody);
        }
        let service = NotificationsProxy::new(&bus).await?;
        let capabilities = service.get_capabilities().await?;
        let can = |what: &str| capabilities.iter().any(|capability| capability == what);
        if !can("actions") {
            return Err(zbus::Error::Failure(
                "the desktop's notifications have no buttons; set gatekeeping_hook".into(),
            ));
        }
        // what is pressed at once is heard: the ear is there before the button
        let mut pressed = service.receive_action_invoked().await?;
        let mut closed = service.receive_notification_closed().await?;
        let hints = HashMap::from([("urgency", Value::U8(2)), ("category", Value::from("network"))]);
        let milliseconds = i32::try_from(knock.seconds.saturating_mul(1000)).unwrap_or(i32::MAX);
        let actions = [ACCEPT, "Accept", REFUSE, "Refuse"];
        let text = body(knock, can("body-markup"));
        let headline = "Remote access: let in?";
        let id = service.notify("farpane", 0, "", headline, &text, &actions, hints, milliseconds).await?;
        let mut shown = Shown(service, Some(id));
        loop {
            tokio::select! {
                Some(signal) = pressed.next() => {
                    let arguments = signal.args()?;
                    if arguments.id == id {
                        let accepted = arguments.action_key == ACCEPT;
                        return Ok(if accepted { Said::Accept } else { Said::Refuse });
                    }
                }
                Some(signal) = closed.next() => {
                    let arguments = signal.args()?;
                    if arguments.id == id {
                        shown.1 = None;
                        if arguments.reason == BY_A_PERSON {
                            return Ok(Said::Refuse);
                        }
                        return Err(zbus::Error::Failure("it went away without an answer".into()));
                    }
                }
                else => return Err(zbus::Error::Failure("the session bus is gone".into())),
            }
        }
    }
}

impl Doorkeeper for Notification {
    fn ask<'a>(&'a self, knock: &'a Knock) -> Asking<'a> {
        Box::pin(async move { self.show(knock).await.map_err(failed) })
    }
}

#[cfg(test)]
#[path = "notification_tests.rs"]
mod tests;
