//! The layout of the keyboard: what a desktop that is seen through KMS alone cannot tell.
//!
//! Named by the configuration, else by what the system's consoles and X servers are set to, else `us`. Files are read here, before the server is shut in.

use std::path::{Path, PathBuf};

use kbvm::xkb::Context;
use kbvm::xkb::diagnostic::{Diagnostic, DiagnosticKind};
use kbvm::xkb::rmlvo::Group;

use crate::input::layout::{LayoutName, LayoutNameError};
use crate::input::xkb::{XkbError, XkbMap};

/// Where the system's layout is written, as lines of `XKBLAYOUT="de"`.
const SYSTEM: [&str; 2] = ["etc/default/keyboard", "etc/vconsole.conf"];
/// The most of such a file that is looked at.
const MOST_BYTES: usize = 64 * 1024;

/// Why there is no map of a layout.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// XKB has no such layout, or is not there.
    #[error("keyboard layout {0} or its variant is not known; names are in {1} (package xkb-data)")]
    Unknown(LayoutName, String),
    /// XKB's data cannot be read.
    #[error("keyboard layout {0} cannot be read: {1}")]
    Unreadable(LayoutName, String),
    /// What XKB has is no keyboard.
    #[error("keyboard layout {0}: {1}")]
    NoKeyboard(LayoutName, #[source] XkbError),
}

/// A layout and where its name comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub name: LayoutName,
    /// The file that names it; none: the configuration, or nobody.
    pub file: Option<PathBuf>,
}

/// The keyboard map of the layout that is configured, else of the system's, else of `us`. `root` is the file system's.
///
/// A layout of the system's that cannot be had is replaced by English, which the log says; so is a machine without XKB's data.
///
/// Cost: some 100 ms and the files of `/usr/share/X11/xkb`. Call it before the server shuts itself in.
///
/// # Errors
/// When the configured one cannot be had.
pub fn keyboard_layout(configured: Option<&LayoutName>, root: &Path) -> Result<(Chosen, XkbMap), LayoutError> {
    if let Some(name) = configured {
        let map = compile(name, root)?;
        return Ok((Chosen { name: name.clone(), file: None }, map));
    }
    let chosen = of_the_system(root);
    let map = match compile(&chosen.name, root) {
        Ok(map) => map,
        Err(error) => {
            tracing::warn!(%error, "keyboard layout us is taken instead; name the desktop's with [input] keyboard");
            return Ok((Chosen { name: LayoutName::default(), file: None }, XkbMap::english()));
        }
    };
    tracing::debug!(layout = %chosen.name, file = ?chosen.file, "keyboard layout");
    Ok((chosen, map))
}

/// What the system's files name, else `us`.
fn of_the_system(root: &Path) -> Chosen {
    for file in SYSTEM.map(|name| root.join(name)) {
        let Ok(bytes) = std::fs::read(&file) else { continue };
        let text = String::from_utf8_lossy(bytes.get(..MOST_BYTES).unwrap_or(&bytes)).into_owned();
        match named(&text) {
            Some(Ok(name)) => return Chosen { name, file: Some(file) },
            Some(Err(error)) => tracing::warn!(file = %file.display(), %error, "names no keyboard layout"),
            None => {}
        }
    }
    Chosen { name: LayoutName::default(), file: None }
}

/// The layout that a file of shell assignments names; none where it names none.
fn named(text: &str) -> Option<Result<LayoutName, LayoutNameError>> {
    let value = |key: &str| {
        // the last one counts
        let line = text.lines().rev().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?.trim();
        let end = |quote: char| line.strip_prefix(quote).map(|rest| rest.split(quote).next().unwrap_or_default());
        let plain = || line.split(|c: char| c.is_whitespace() || c == '#').next().unwrap_or_default();
        Some(end('"').or_else(|| end('\'')).unwrap_or_else(plain).trim())
    };
    let get = |key| value(key).unwrap_or_default();
    let layout = value("XKBLAYOUT").filter(|l| !l.is_empty())?;
    Some(LayoutName::from_lists(get("XKBMODEL"), layout, get("XKBVARIANT"), get("XKBOPTIONS")))
}

/// Compiles a layout with XKB's data below `root`.
///
/// # Errors
/// When something that it names is not there.
fn compile(name: &LayoutName, root: &Path) -> Result<XkbMap, LayoutError> {
    let mut builder = Context::builder();
    builder.clear();
    builder.enable_environment(false);
    builder.append_path(&root.join("etc/xkb"));
    let data = root.join("usr/share/X11/xkb");
    builder.append_path(&data);
    let groups: Vec<Group<'_>> = name.layouts().map(|(layout, variant)| Group { layout, variant }).collect();
    let options: Vec<&str> = name.options().collect();
    let mut said: Vec<Diagnostic> = Vec::new();
    let map = builder.build().keymap_from_names(&mut said, Some("evdev"), name.model(), Some(&groups), Some(&options));
    for fault in &said {
        match fault.kind() {
            DiagnosticKind::FileNotFound => {
                let names = data.join("rules/base.lst").display().to_string();
                return Err(LayoutError::Unknown(name.clone(), names));
            }
            DiagnosticKind::FileOpenFailed
            | DiagnosticKind::FileReadFailed
            | DiagnosticKind::MaxIncludesReached
            | DiagnosticKind::MaxIncludeDepthReached
            | DiagnosticKind::MaxRuntimeReached => {
                return Err(LayoutError::Unreadable(name.clone(), fault.to_string()));
            }
            // what kbvm leaves out of XKB is no matter for typing
            _ => {}
        }
    }
    XkbMap::read(&map.format().to_string()).map_err(|error| LayoutError::NoKeyboard(name.clone(), error))
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
