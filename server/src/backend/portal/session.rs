//! One session of the portal, from its first call to its streams. Everything that the portal answers is checked here.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use zbus::zvariant::{Dict, ObjectPath, OwnedValue, Value};

use super::PortalError;
use super::bus::{Bus, OBJECT, Options, Results, descriptor};
use super::clipboard::CLIPBOARD;
use crate::helper::Opener;

/// The interface that shares screens.
pub const CAST: &str = "org.freedesktop.portal.ScreenCast";
/// The interface that takes input.
pub const REMOTE: &str = "org.freedesktop.portal.RemoteDesktop";

/// How long what asks nobody may take.
const SOON: Duration = Duration::from_secs(25);
/// How long the person at the desktop may take.
const PERSON: Duration = Duration::from_secs(120);
/// Streams of one session at most.
const MOST_STREAMS: usize = 16;
/// The longest token that is kept.
const MOST_TOKEN: usize = 4096;

/// A monitor, as a type of source.
pub const MONITOR: u32 = 1;
/// A monitor made for us.
pub const VIRTUAL: u32 = 4;
/// The keyboard, as a type of device.
pub const KEYBOARD: u32 = 1;
/// The pointer.
pub const POINTER: u32 = 2;
const HIDDEN: u32 = 1;
const EMBEDDED: u32 = 2;
const METADATA: u32 = 4;
/// Until the person takes it back.
const PERSIST: u32 = 2;

/// What a portal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Version of ScreenCast.
    pub cast: u32,
    /// Types of sources: bit 0 monitors, 1 windows, 2 virtual monitors.
    pub sources: u32,
    /// How the pointer can be had: bit 0 not at all, 1 in the picture, 2 beside it.
    pub cursors: u32,
    /// Version of RemoteDesktop and its devices (bit 0 keyboard, 1 pointer, 2 touch); none without it.
    pub remote: Option<(u32, u32)>,
    /// Version of Clipboard; none without it.
    pub clipboard: Option<u32>,
}

impl Abilities {
    /// How the pointer is asked for: beside the picture where that can be had.
    fn cursor(&self) -> u32 {
        [METADATA, EMBEDDED].into_iter().find(|mode| self.cursors & mode != 0).unwrap_or(HIDDEN)
    }

    /// Whether consent can be kept, so that the person is asked once.
    pub fn persists(&self) -> bool {
        match self.remote {
            // sessions that take input could not be restored before
            Some((version, _)) => version >= 2,
            None => self.cast >= 4,
        }
    }

    /// In words, for `farpane probe`.
    pub fn describe(&self) -> String {
        let named = |bits: u32, names: [&str; 3]| {
            let found: Vec<&str> =
                names.into_iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0).map(|(_, n)| n).collect();
            if found.is_empty() { "none".to_owned() } else { found.join(", ") }
        };
        let input = match self.remote {
            None => "no RemoteDesktop, so no input".to_owned(),
            Some((version, devices)) => {
                let libei = if version >= 2 { "libei" } else { "no libei (needs version 2)" };
                format!("RemoteDesktop {version} ({}; {libei})", named(devices, ["keyboard", "pointer", "touch"]))
            }
        };
        let clipboard = match self.clipboard {
            None => "no Clipboard".to_owned(),
            Some(version) if self.remote.is_some() => format!("Clipboard {version}"),
            Some(version) => format!("Clipboard {version}, which needs RemoteDesktop"),
        };
        let asks = if self.persists() { "asks once" } else { "asks at every start" };
        format!(
            "ScreenCast {} (sources: {}; pointer: {}), {input}, {clipboard}; {asks}",
            self.cast,
            named(self.sources, ["monitors", "windows", "virtual monitors"]),
            named(self.cursors, ["hidden", "in the picture", "beside it"]),
        )
    }
}

/// Asks a portal what it can do.
pub async fn abilities(bus: &Bus) -> Result<Abilities, PortalError> {
    let no_cast = || PortalError::NoPortal("it has no ScreenCast".into());
    let cast = bus.number(CAST, "version").await?.ok_or_else(no_cast)?;
    let sources = bus.number(CAST, "AvailableSourceTypes").await?.unwrap_or(MONITOR);
    let cursors = bus.number(CAST, "AvailableCursorModes").await?.unwrap_or(HIDDEN);
    let remote = match bus.number(REMOTE, "version").await? {
        None => None,
        Some(version) => Some((version, bus.number(REMOTE, "AvailableDeviceTypes").await?.unwrap_or(0))),
    };
    let clipboard = bus.number(CLIPBOARD, "version").await?;
    Ok(Abilities { cast, sources, cursors, remote: remote.filter(|(_, d)| d & (KEYBOARD | POINTER) != 0), clipboard })
}

/// Asks the portal of a bus what it can do; starts no thread and leaves nothing behind.
///
/// # Errors
/// When there is no bus, or no portal on it.
pub fn probe(socket: &Path, opener: &dyn Opener) -> Result<Abilities, PortalError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let bus = Bus::connect(socket, opener).await?;
        abilities(&bus).await
    })
}

/// One stream of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its node on the session's PipeWire connection.
    pub node: u32,
    /// What it shows: [`MONITOR`], [`VIRTUAL`]; 0 when the portal does not say.
    pub kind: u32,
    /// What the portal calls it.
    pub id: Option<String>,
    /// Where it lies, in the desktop's own units.
    pub position: Option<(i32, i32)>,
    /// How large it is, in the desktop's own units.
    pub size: Option<(i32, i32)>,
    /// What libei calls its part of the desktop.
    pub mapping: Option<String>,
}

/// A session that was started.
#[derive(Debug)]
pub struct Session {
    /// Its object.
    pub path: ObjectPath<'static>,
    /// What it shows.
    pub streams: Vec<StreamInfo>,
    /// The devices that it takes input for.
    pub devices: u32,
    /// The clipboard is shared too.
    pub clipboard: bool,
    /// With what the next session needs no consent.
    pub token: Option<String>,
    /// The pointer comes beside the picture.
    pub pointer_apart: bool,
    /// PipeWire, restricted to the streams.
    pub socket: OwnedFd,
}

fn fresh() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("farpane{}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// Opens a session, which may ask the person at the desktop. `token` is what an earlier session left.
pub async fn open(bus: &Bus, can: &Abilities, token: Option<&str>) -> Result<Session, PortalError> {
    let first = if can.remote.is_some() { REMOTE } else { CAST };
    let handle = fresh();
    let session_token = fresh();
    let options: Options<'_> =
        [("handle_token", handle.as_str().into()), ("session_handle_token", session_token.as_str().into())].into();
    let made = bus.request(first, "CreateSession", &handle, SOON, &(options,)).await?;
    let path = session_path(&made)?;
    match start(bus, can, token, first, &path).await {
        Ok(session) => Ok(session),
        Err(error) => {
            bus.close(&path).await;
            Err(error)
        }
    }
}

async fn start(
    bus: &Bus,
    can: &Abilities,
    token: Option<&str>,
    first: &'static str,
    path: &ObjectPath<'static>,
) -> Result<Session, PortalError> {
    let keep = |options: &mut Options<'_>, token: Option<&str>| {
        options.insert("persist_mode", PERSIST.into());
        if let Some(token) = token {
            options.insert("restore_token", token.to_owned().into());
        }
    };
    if let Some((version, devices)) = can.remote {
        let handle = fresh();
        let mut options: Options<'_> =
            [("handle_token", handle.as_str().into()), ("types", (devices & (KEYBOARD | POINTER)).into())].into();
        if version >= 2 {
            keep(&mut options, token);
        }
        bus.request(REMOTE, "SelectDevices", &handle, SOON, &(path, options)).await?;
        if can.clipboard.is_some() {
            // Start says whether it was allowed
            bus.tell(CLIPBOARD, "RequestClipboard", &(path, Options::new())).await?;
        }
    }
    let handle = fresh();
    let types = can.sources & (MONITOR | VIRTUAL);
    let mut options: Options<'_> = [
        ("handle_token", handle.as_str().into()),
        ("types", if types == 0 { MONITOR } else { types }.into()),
        ("multiple", true.into()),
    ]
    .into();
    if can.cast >= 2 {
        options.insert("cursor_mode", can.cursor().into());
    }
    if can.remote.is_none() && can.cast >= 4 {
        keep(&mut options, token);
    }
    bus.request(CAST, "SelectSources", &handle, SOON, &(path, options)).await?;
    let handle = fresh();
    let options: Options<'_> = [("handle_token", handle.as_str().into())].into();
    if token.is_none() {
        tracing::info!("the desktop asks whether it may be shared: answer its dialog");
    }
    let started = bus.request(first, "Start", &handle, PERSON, &(path, "", options)).await?;
    let streams = streams(&started)?;
    let devices = match (can.remote, started.get("devices").map(|v| &**v)) {
        (None, _) => 0,
        (Some(_), Some(Value::U32(devices))) => *devices,
        (Some(_), None) => 0,
        (Some(_), Some(other)) => return Err(PortalError::Nonsense("Start".into(), format!("devices {other:?}"))),
    };
    let clipboard = matches!(started.get("clipboard_enabled").map(|v| &**v), Some(Value::Bool(true)))
        && can.remote.is_some()
        && can.clipboard.is_some();
    let token = match started.get("restore_token").map(|v| &**v) {
        Some(Value::Str(token)) if !token.is_empty() && token.len() <= MOST_TOKEN => Some(token.to_string()),
        _ => None,
    };
    let options: Options<'_> = Options::new();
    let reply = bus.call(CAST, "OpenPipeWireRemote", &(path, options)).await?;
    let socket = descriptor(&reply, "OpenPipeWireRemote")?;
    let pointer_apart = can.cursor() == METADATA;
    Ok(Session { path: path.clone(), streams, devices, clipboard, token, pointer_apart, socket })
}

/// The session that CreateSession answers.
fn session_path(results: &Results) -> Result<ObjectPath<'static>, PortalError> {
    let nonsense = |what: String| PortalError::Nonsense("CreateSession".into(), what);
    let text = match results.get("session_handle").map(|v| &**v) {
        Some(Value::Str(text)) => text.to_string(),
        Some(Value::ObjectPath(path)) => path.to_string(),
        other => return Err(nonsense(format!("session {other:?}"))),
    };
    let inside = text.starts_with(&format!("{OBJECT}/session/"));
    let path = ObjectPath::try_from(text.clone()).ok().filter(|_| inside);
    path.ok_or_else(|| nonsense(format!("session {text:?} (expected a path below {OBJECT}/session)")))
}

/// The streams that Start answers.
fn streams(results: &Results) -> Result<Vec<StreamInfo>, PortalError> {
    let nonsense = |what: String| PortalError::Nonsense("Start".into(), what);
    let list = match results.get("streams").map(|v: &OwnedValue| &**v) {
        Some(Value::Array(list)) => list,
        None => return Err(nonsense("no streams".into())),
        Some(other) => return Err(nonsense(format!("streams {}", other.value_signature()))),
    };
    let mut found: Vec<StreamInfo> = Vec::new();
    for one in list.inner() {
        let fields = match one {
            Value::Structure(s) => s.fields(),
            _ => return Err(nonsense("a stream that is none".into())),
        };
        let [Value::U32(node), Value::Dict(properties)] = fields else {
            return Err(nonsense("a stream that is none".into()));
        };
        if found.iter().any(|s| s.node == *node) {
            return Err(nonsense(format!("node {node} twice")));
        }
        found.push(StreamInfo {
            node: *node,
            kind: match entry(properties, "source_type") {
                Some(Value::U32(kind)) => *kind,
                _ => 0,
            },
            id: match entry(properties, "id") {
                Some(Value::Str(id)) => Some(id.to_string()),
                _ => None,
            },
            position: pair(entry(properties, "position")),
            size: pair(entry(properties, "size")).filter(|(w, h)| *w > 0 && *h > 0),
            mapping: match entry(properties, "mapping_id") {
                Some(Value::Str(id)) => Some(id.to_string()),
                _ => None,
            },
        });
    }
    match found.len() {
        0 => Err(nonsense("no streams".into())),
        n if n > MOST_STREAMS => Err(nonsense(format!("{n} streams (expected at most {MOST_STREAMS})"))),
        _ => Ok(found),
    }
}

/// The value of a name in a dictionary.
fn entry<'a>(dict: &'a Dict<'_, '_>, name: &str) -> Option<&'a Value<'a>> {
    let (_, value) = dict.iter().find(|(key, _)| matches!(key, Value::Str(key) if key.as_str() == name))?;
    match value {
        Value::Value(inner) => Some(inner),
        other => Some(other),
    }
}

/// Two whole numbers.
fn pair(value: Option<&Value<'_>>) -> Option<(i32, i32)> {
    match value {
        Some(Value::Structure(s)) => match s.fields() {
            [Value::I32(a), Value::I32(b)] => Some((*a, *b)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn owned(value: Value<'_>) -> OwnedValue {
        OwnedValue::try_from(value).expect("no descriptor in it")
    }

    fn started(streams: Vec<(u32, HashMap<&str, Value<'static>>)>) -> Results {
        [("streams".to_owned(), owned(Value::from(streams)))].into()
    }

    #[test]
    fn streams_are_read_with_what_the_portal_says_of_them() {
        let properties: HashMap<&str, Value<'static>> = [
            ("position", (0i32, -5i32).into()),
            ("size", (640i32, 480i32).into()),
            ("source_type", 4u32.into()),
            ("id", "Meta-0".into()),
            ("mapping_id", "m0".into()),
        ]
        .into();
        let found = streams(&started(vec![(42, properties), (43, HashMap::new())])).expect("two");
        let first = StreamInfo {
            node: 42,
            kind: 4,
            id: Some("Meta-0".into()),
            position: Some((0, -5)),
            size: Some((640, 480)),
            mapping: Some("m0".into()),
        };
        assert_eq!(found[0], first);
        assert_eq!(found[1], StreamInfo { node: 43, kind: 0, id: None, position: None, size: None, mapping: None });
    }

    #[test]
    fn properties_of_other_types_are_as_if_they_were_not_there() {
        let properties: HashMap<&str, Value<'static>> = [
            ("position", "here".into()),
            ("size", (-1i32, 5i32).into()),
            ("source_type", "monitor".into()),
            ("id", 7u32.into()),
            ("mapping_id", 7u32.into()),
        ]
        .into();
        let found = streams(&started(vec![(42, properties)])).expect("one");
        assert_eq!(found[0], StreamInfo { node: 42, kind: 0, id: None, position: None, size: None, mapping: None });
    }

    #[test]
    fn answers_that_cannot_be_are_refused_and_named() {
        let many: Vec<_> = (0..17).map(|n| (n, HashMap::new())).collect();
        for (results, part) in [
            (Results::new(), "no streams"),
            (started(Vec::new()), "no streams"),
            (started(vec![(1, HashMap::new()), (1, HashMap::new())]), "node 1 twice"),
            (started(many), "17 streams"),
            ([("streams".to_owned(), owned("none".into()))].into(), "streams s"),
            ([("streams".to_owned(), owned(Value::from(vec![1u32, 2])))].into(), "a stream that is none"),
        ] {
            let said = streams(&results).expect_err(part).to_string();
            assert!(said.contains(part) && said.contains("nonsense to Start"), "{said}");
        }
        for (handle, fits) in
            [("/org/freedesktop/portal/desktop/session/1_2/x", true), ("/elsewhere", false), ("no path", false)]
        {
            let results: Results = [("session_handle".to_owned(), owned(handle.into()))].into();
            assert_eq!(session_path(&results).is_ok(), fits, "{handle}");
        }
        assert!(session_path(&Results::new()).is_err());
    }

    #[test]
    fn a_portal_is_described_with_what_it_lacks() {
        let debian = Abilities { cast: 4, sources: 5, cursors: 7, remote: Some((1, 7)), clipboard: None };
        let said = debian.describe();
        for part in ["ScreenCast 4", "monitors, virtual monitors", "no libei", "no Clipboard", "asks at every start"] {
            assert!(said.contains(part), "{said}");
        }
        let newer = Abilities { remote: Some((2, 3)), clipboard: Some(1), ..debian };
        assert!(newer.describe().contains("Clipboard 1;"));
        let shows = Abilities { remote: None, ..newer };
        assert!(shows.describe().contains("Clipboard 1, which needs RemoteDesktop"));
        assert!(newer.persists());
        assert!(Abilities { remote: None, ..debian }.persists());
        assert!(!Abilities { remote: None, cast: 3, ..debian }.persists());
        assert_eq!(Abilities { cursors: 3, ..debian }.cursor(), EMBEDDED);
        assert_eq!(Abilities { cursors: 0, ..debian }.cursor(), HIDDEN);
    }
}
