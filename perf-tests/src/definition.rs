//! Workloads and servers as they are defined in TOML files.

use anyhow::{Context, bail};
use serde::Deserialize;
use std::path::Path;

/// What is drawn.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum SceneKind {
    /// Letters, one after another, on a photograph's desktop.
    Typing,
    /// A page of text moved up by an on-screen copy, and its new lines.
    Scroll,
    /// The same, drawn whole each time.
    ScrollRedraw,
    /// A web page of text and photographs, drawn whole each time.
    Web,
    /// A text window moved over a photograph.
    Drag,
    /// Full motion in a part of the desktop.
    Video,
    /// Full motion over the whole screen.
    VideoFull,
    /// A whole screen of text, another part of it each time.
    Text,
    /// Whole slides.
    Slides,
    /// Nothing moves.
    Idle,
    /// Letters beside full motion.
    VideoTyping,
}

/// How a workload is measured.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Frames at a steady rate.
    Stream,
    /// Keys, one after another, each waited for.
    Keys,
    /// Keys at a steady pace beside frames at a steady rate.
    KeysBeside,
    /// The whole screen asked for again and again, another picture each time.
    Encoder,
    /// The whole screen asked for again and again, always the same picture.
    EncoderStill,
    /// Nothing is drawn.
    Idle,
}

/// A workload.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What it is called on the command line and in tables.
    pub name: String,
    /// One sentence for people.
    pub about: String,
    /// What is drawn.
    pub scene: SceneKind,
    /// How it is measured.
    pub mode: Mode,
    /// Frames a second.
    #[serde(default)]
    pub hz: f64,
    /// Pixels that a frame scrolls by.
    #[serde(default)]
    pub step: u32,
    /// Pictures that take turns.
    #[serde(default)]
    pub pictures: u32,
    /// Where all chance in its pictures comes from.
    pub seed: u32,
    /// Whether `compare` without `--workload` takes it.
    #[serde(default)]
    pub default: bool,
    /// Link: bits a second in Mbit/s; 0 is loopback without a limit.
    #[serde(default)]
    pub link_mbit: f64,
    /// Link: milliseconds there and back.
    #[serde(default)]
    pub link_rtt_ms: u64,
    /// Whether the viewer lists fences and continuous updates.
    #[serde(default = "yes")]
    pub fences: bool,
    /// Viewers at the same time.
    #[serde(default = "one")]
    pub viewers: u32,
    /// Cores that the server may use; 0 is all.
    #[serde(default)]
    pub cores: u32,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

const BUILT_IN: &[&str] = &[
    include_str!("../definitions/typing.toml"),
    include_str!("../definitions/scrolling.toml"),
    include_str!("../definitions/video.toml"),
    include_str!("../definitions/desktop.toml"),
    include_str!("../definitions/encoder.toml"),
    include_str!("../definitions/links.toml"),
    include_str!("../definitions/scaling.toml"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    workload: Vec<Definition>,
}

/// The workloads of `definitions/`, compiled in.
///
/// # Errors
/// When a file is not a list of workloads, or two have one name.
pub fn built_in() -> anyhow::Result<Vec<Definition>> {
    let mut all: Vec<Definition> = Vec::new();
    for text in BUILT_IN {
        for definition in parse(text)? {
            if all.iter().any(|d| d.name == definition.name) {
                bail!("two workloads are called {}", definition.name);
            }
            all.push(definition);
        }
    }
    Ok(all)
}

/// The workloads of a text in TOML.
///
/// # Errors
/// When it is not one, or a value is out of its range.
pub fn parse(text: &str) -> anyhow::Result<Vec<Definition>> {
    let file: File = toml::from_str(text).context("a definition of workloads")?;
    for d in &file.workload {
        let moves = matches!(d.mode, Mode::Stream | Mode::KeysBeside);
        if moves && !(0.1..=240.0).contains(&d.hz) {
            bail!("workload {}: hz {} (expected 0.1 to 240)", d.name, d.hz);
        }
        if !(1..=64).contains(&d.viewers) {
            bail!("workload {}: viewers {} (expected 1 to 64)", d.name, d.viewers);
        }
        if d.pictures > 16 || d.step > 500 {
            bail!("workload {}: pictures {} (expected at most 16), step {} (at most 500)", d.name, d.pictures, d.step);
        }
    }
    Ok(file.workload)
}

/// How a server gets its picture.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It shares a private Xvfb.
    Scrape,
    /// It is an X server itself.
    Screen,
    /// It shares a headless sway, on which Xwayland shows the workload.
    Wayland,
    /// It needs no screen: for tests.
    Alone,
}

/// A VNC server. In `program` and `args` stand {farpane}, {turbovnc}, {display}, {number}, {port}, {w}, {h} and {dir}.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// What it is called on the command line and in tables.
    pub name: String,
    /// How it gets its picture.
    pub kind: Kind,
    /// Path or name of the program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The Debian package whose version is reported.
    #[serde(default)]
    pub package: Option<String>,
    /// Arguments that make it say its version.
    #[serde(default)]
    pub version: Vec<String>,
    /// Encodings that it cannot do.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// Whether keys that a viewer types reach the X client with the focus.
    #[serde(default = "yes")]
    pub keys: bool,
    /// Whether `compare` without `--server` takes it.
    #[serde(default = "yes")]
    pub default: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Servers {
    server: Vec<Server>,
}

/// The servers of `servers.toml`, or of another file.
///
/// # Errors
/// When the file cannot be read or is not a list of servers.
pub fn servers(file: Option<&Path>) -> anyhow::Result<Vec<Server>> {
    let text = match file {
        Some(path) => std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?,
        None => include_str!("../servers.toml").to_owned(),
    };
    let servers: Servers = toml::from_str(&text).context("a definition of servers")?;
    Ok(servers.server)
}
