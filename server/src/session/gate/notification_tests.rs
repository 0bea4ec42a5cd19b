//! Against a session bus of the test's own, with a notification service of the test's own on it.

use super::*;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CONFIG: &str = r#"<busconfig><type>session</type><listen>unix:tmpdir=/tmp</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>"#;

/// A bus, ended on drop.
struct Bus {
    daemon: Child,
    address: String,
}

impl Bus {
    fn start() -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("farpane-bus-{}-{number}.conf", std::process::id()));
        std::fs::write(&file, CONFIG).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", file.display()))
            .args(["--nofork", "--nopidfile", "--print-address"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon (Debian package dbus-daemon)");
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        std::fs::remove_file(file).unwrap();
        Bus { daemon, address: address.trim().to_owned() }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// What a person does with a notification.
#[derive(Clone, Copy, PartialEq)]
enum Person {
    Presses(&'static str),
    Closes,
    /// Somebody else's notification is pressed first.
    PressesAnotherThen(&'static str),
    Nothing,
}

/// A notification service with a person before it.
struct Service {
    person: Person,
    buttons: bool,
    seen: Arc<Mutex<Vec<String>>>,
}

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Service {
    fn get_capabilities(&self) -> Vec<String> {
        let words: &[&str] = if self.buttons { &["actions", "body", "body-markup"] } else { &["body"] };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[allow(clippy::too_many_arguments)]
    async fn notify(
        &self,
        _app_name: String,
        _replaces_id: u32,
        _app_icon: String,
        _summary: String,
        body: String,
        actions: Vec<String>,
        hints: HashMap<String, Value<'_>>,
        expire_timeout: i32,
        #[zbus(signal_emitter)] emitter: zbus::object_server::SignalEmitter<'_>,
    ) -> u32 {
        assert_eq!(hints.get("urgency"), Some(&Value::U8(2)));
        self.seen.lock().unwrap().push(format!("{body} {actions:?} {expire_timeout}"));
        match self.person {
            Person::Presses(button) => Self::action_invoked(&emitter, 7, button).await.unwrap(),
            Person::PressesAnotherThen(button) => {
                Self::action_invoked(&emitter, 6, "accept").await.unwrap();
                Self::notification_closed(&emitter, 6, 2).await.unwrap();
                Self::action_invoked(&emitter, 7, button).await.unwrap();
            }
            Person::Closes => Self::notification_closed(&emitter, 7, 2).await.unwrap(),
            Person::Nothing => {}
        }
        7
    }

    fn close_notification(&self, id: u32) {
        self.seen.lock().unwrap().push(format!("closed {id}"));
    }

    #[zbus(signal)]
    async fn action_invoked(emitter: &zbus::object_server::SignalEmitter<'_>, id: u32, key: &str) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn notification_closed(
        emitter: &zbus::object_server::SignalEmitter<'_>,
        id: u32,
        reason: u32,
    ) -> zbus::Result<()>;
}

/// A screen lock that says so.
struct Lock;

#[zbus::interface(name = "org.gnome.ScreenSaver")]
impl Lock {
    fn get_active(&self) -> bool {
        true
    }
}

fn knock() -> Knock {
    Knock {
        id: 5,
        user: "<b>ann</b>\n&".into(),
        peer: "192.0.2.1:5".into(),
        listener: "0.0.0.0:5900".into(),
        security: "farpane channel (70)".into(),
        phrase: Some("one two three".into()),
        disconnects: 2,
        seconds: 30,
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn serve(bus: &Bus, person: Person, buttons: bool) -> (zbus::Connection, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = Service { person, buttons, seen: Arc::clone(&seen) };
    let connection = zbus::connection::Builder::address(bus.address.as_str())
        .unwrap()
        .serve_at("/org/freedesktop/Notifications", service)
        .unwrap()
        .name("org.freedesktop.Notifications")
        .unwrap()
        .build()
        .await
        .unwrap();
    (connection, seen)
}

#[test]
fn the_pressed_button_is_the_answer_and_closing_refuses() {
    let bus = Bus::start();
    for (person, said) in [
        (Person::Presses("accept"), Said::Accept),
        (Person::Presses("refuse"), Said::Refuse),
        (Person::Presses("default"), Said::Refuse),
        (Person::Closes, Said::Refuse),
        (Person::PressesAnotherThen("refuse"), Said::Refuse),
        (Person::PressesAnotherThen("accept"), Said::Accept),
    ] {
        run(async {
            let (_service, seen) = serve(&bus, person, true).await;
            assert_eq!(Notification::new(bus.address.clone()).ask(&knock()).await.unwrap(), said);
            let shown = seen.lock().unwrap()[0].clone();
            assert_eq!(
                shown,
                "&lt;b&gt;ann&lt;/b&gt; &amp; from 192.0.2.1:5 wants to see and use this desktop (farpane channel (70)). \
                 Device: one two three. 2 others will be disconnected. \
                 [\"accept\", \"Accept\", \"refuse\", \"Refuse\"] 30000"
            );
        });
    }
}

#[test]
fn a_question_that_is_taken_back_is_taken_off_the_screen() {
    let bus = Bus::start();
    run(async {
        let (_service, seen) = serve(&bus, Person::Nothing, true).await;
        let end = Instant::now() + Duration::from_secs(20);
        let (notification, knock) = (Notification::new(bus.address.clone()), knock());
        let until = |what: &'static str| {
            let seen = Arc::clone(&seen);
            async move {
                while !seen.lock().unwrap().iter().any(|line| line.contains(what)) {
                    assert!(Instant::now() < end, "no {what}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        tokio::select! {
            said = notification.ask(&knock) => panic!("{said:?}"),
            () = until("wants to see") => {}
        }
        until("closed 7").await;
    });
}

#[test]
fn a_locked_screen_has_nobody_before_it() {
    let bus = Bus::start();
    run(async {
        let (service, seen) = serve(&bus, Person::Presses("accept"), true).await;
        service.object_server().at("/org/gnome/ScreenSaver", Lock).await.unwrap();
        service.request_name("org.gnome.ScreenSaver").await.unwrap();
        assert_eq!(Notification::new(bus.address.clone()).ask(&knock()).await.unwrap(), Said::Nobody);
        assert!(seen.lock().unwrap().is_empty(), "nothing is shown");
    });
}

#[test]
fn what_cannot_be_asked_is_no_answer() {
    let bus = Bus::start();
    let ask = |address: String| async move { Notification::new(address).ask(&knock()).await.unwrap_err().to_string() };
    let nobody = run(ask(bus.address.clone()));
    assert!(nobody.starts_with("gatekeeping notification: "), "{nobody}");
    let no_bus = run(ask("unix:path=/nonexistent/bus".into()));
    assert!(no_bus.starts_with("gatekeeping notification: "), "{no_bus}");
    run(async {
        let (_service, _) = serve(&bus, Person::Presses("accept"), false).await;
        let no_buttons = ask(bus.address.clone()).await;
        assert!(no_buttons.contains("no buttons; set gatekeeping_hook"), "{no_buttons}");
    });
}
