//! The architecture, read off the sources: who imports whom, where `unsafe` stands, how long files are.
//!
//! The tables below are section 3 and invariant 9 of `ARCHITECTURE.md`. Each check is a function over text, so that a
//! test can plant a fault and see it found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A module of the engine and the modules that it may use.
const ENGINE: &[(&str, &[&str])] = &[
    ("geometry", &[]),
    ("pixel", &[]),
    ("frame", &["geometry", "pixel"]),
    ("tile", &["geometry"]),
    ("kernel", &["pixel"]),
    ("gpu", &["geometry", "pixel", "frame", "tile"]),
    ("capture", &["geometry", "pixel", "frame"]),
    // pixel: the mirror's format is part of its type
    ("damage", &["geometry", "pixel", "frame", "tile", "kernel", "gpu"]),
    // damage: the mirror's read guard; frame: the pointer's image, which is encoded too
    ("encode", &["geometry", "pixel", "frame", "tile", "kernel", "gpu", "damage"]),
    ("refdec", &["geometry", "pixel"]),
    ("pipeline", &["geometry", "pixel", "frame", "tile", "kernel", "gpu", "capture", "damage", "encode"]),
];

/// A module of the server, the server's modules that it may use, and the engine's and other crates' that it may use.
const SERVER: &[(&str, &[&str], &[&str])] = &[
    // security: a caller's security type by its name
    ("auth", &["helper", "security"], &["pam"]),
    // net: the address of a listener decides what it may offer; helper: keys are private files
    ("security", &["auth", "net", "helper"], &["rfb", "channel"]),
    ("policy", &["auth"], &[]),
    // helper: who connects to the journal once the server is shut in
    ("audit", &["auth", "policy", "helper"], &[]),
    // auth, security: what the process that holds secrets is asked for; capture: what looks at screens
    ("helper", &["auth", "security"], &["rfb::limits", "channel", "engine::capture"]),
    ("input", &["helper"], &["rfb", "engine::geometry"]),
    ("clipboard", &[], &["rfb"]),
    ("backend", &["input", "clipboard", "helper"], &["engine::capture"]),
    // helper: the folder of a Unix socket
    ("net", &["auth", "audit", "helper"], &[]),
    (
        "session",
        &["security", "auth", "policy", "audit", "input", "clipboard", "backend", "net"],
        // damage: the hub starts an output with the damage stage of its choice
        &["rfb", "engine::pipeline", "engine::encode", "engine::damage"],
    ),
    // refdec: what is timed is decoded first
    (
        "bench",
        &[],
        &["engine::capture", "engine::damage", "engine::encode", "engine::kernel", "engine::gpu", "engine::refdec"],
    ),
    // helper: the folder of its socket
    ("control", &["session", "helper"], &[]),
    // helper: the folder of a desktop, and this program again
    ("desktop", &["helper"], &["engine::geometry"]),
    ("metrics", &[], &[]),
    ("web", &["net", "auth", "security", "session", "metrics"], &[]),
    ("sandbox", &[], &[]),
    (
        "config",
        &[
            "auth",
            "security",
            "policy",
            "audit",
            "helper",
            "input",
            "clipboard",
            "backend",
            "net",
            "session",
            "desktop",
            "metrics",
            "web",
            "sandbox",
        ],
        &[],
    ),
    // text made from listeners
    ("exposure", &["net"], &[]),
    // backend, net, security, exposure: the types that command-line words are parsed into; auth, audit: the files of a server
    // that are shown; control, session: what a running server is asked; helper, sandbox, desktop: helpers, what tries a sandbox from
    // inside, and a desktop's supervisor are commands
    (
        "cli",
        &[
            "app", "config", "backend", "net", "security", "auth", "audit", "exposure", "control", "session", "helper",
            "sandbox", "desktop",
        ],
        // a dma-buf, as a source takes it
        &["engine::frame"],
    ),
    ("main", &["cli"], &[]),
];

/// Who may use an engine stage may name what that stage's signatures are made of.
const ENGINE_WORDS: &[&str] = &["engine::geometry", "engine::pixel", "engine::frame"];

/// Where `unsafe` may stand; `*` is one folder.
const UNSAFE: &[&str] = &[
    "engine/src/kernel/*/x86.rs",
    "engine/src/kernel/*/aarch64.rs",
    "engine/src/frame/dma_buf.rs",
    "engine/src/frame/mapping.rs",
    "engine/src/frame/memory.rs",
    "engine/src/damage/source.rs",
    "engine/src/gpu/*/ffi.rs",
    "engine/src/capture/*/ffi.rs",
    "engine/src/encode/h264/ffi.rs",
    "server/pam/src/*.rs",
    // the counting allocator, which only tests have
    "engine/tests/allocations.rs",
    "engine/tests/memory.rs",
    // a source that lies
    "engine/tests/desktop_pipewire/ffi.rs",
    // buffers and fences of the kernel's, which only tests make
    "engine/tests/guest_support/mod.rs",
    "server/channel/tests/allocations.rs",
];

const MOST_LINES: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the engine lies in the workspace").to_path_buf()
}

/// Every Rust file below `folder`, with its path from the top.
fn sources(folder: &str) -> Vec<(String, String)> {
    let top = root();
    let mut found = Vec::new();
    let mut open = vec![top.join(folder)];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target" && name != "node_modules") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let name = path.strip_prefix(&top).expect("below the top").to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).expect("readable source")));
            }
        }
    }
    found.sort();
    found
}

/// The code of a file: no comments, no string contents, and nothing from its test module on.
fn code(text: &str) -> String {
    let text = match text.find("#[cfg(test)]\nmod ") {
        // `mod tests;` names a file of tests and the code goes on
        Some(at) if text[at..].lines().nth(1).is_some_and(|line| line.ends_with('{')) => &text[..at],
        _ => text,
    };
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let mut rest = line;
        while let Some(at) = rest.find(['"', '/']) {
            out.push_str(&rest[..at]);
            if rest[at..].starts_with("//") {
                rest = "";
            } else if rest[at..].starts_with('"') && !out.ends_with('\'') {
                let inside = &rest[at + 1..];
                let mut skip = false;
                let end = inside.char_indices().find(|(_, c)| {
                    let end = *c == '"' && !skip;
                    skip = *c == '\\' && !skip;
                    end
                });
                rest = end.map_or("", |(end, _)| &inside[end + 1..]);
                out.push_str("\"\"");
            } else {
                out.push_str(&rest[at..=at]);
                rest = &rest[at + 1..];
            }
        }
        out.push_str(rest);
        out.push('\n');
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The names that directly follow a path's `::`: one, or those of a `{group}`.
fn heads(after: &str) -> Vec<String> {
    let after = after.trim_start();
    let Some(group) = after.strip_prefix('{') else {
        return vec![after.chars().take_while(|c| is_word(*c)).collect()];
    };
    let (mut depth, mut name, mut names) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(std::mem::take(&mut name)),
            _ if depth == 0 => name.push(c),
            _ => {}
        }
    }
    names.push(name);
    names
        .iter()
        .map(|n| n.trim().chars().take_while(|c| is_word(*c)).collect())
        .filter(|n: &String| !n.is_empty())
        .collect()
}

/// Every name that follows `prefix::` as a path of its own.
fn named_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let pattern = format!("{prefix}::");
    for (at, _) in code.match_indices(&pattern) {
        let before = code[..at].chars().next_back();
        if !before.is_some_and(|c| is_word(c) || c == ':') {
            found.extend(heads(&code[at + pattern.len()..]));
        }
    }
    found
}

/// The module path of a file below `src`: `kernel/tile_diff/mod.rs` is `[kernel, tile_diff]`.
fn module_path(file: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    if matches!(parts.last(), Some(&"mod" | &"lib")) {
        parts.pop();
    }
    parts
}

/// The top-level modules of its own crate that a file uses, by `crate::` and by `super::` chains that reach the root.
fn uses(file: &str, code: &str) -> BTreeSet<String> {
    let mut found = named_after(code, "crate");
    let depth = module_path(file).len();
    if depth > 0 {
        let chain = vec!["super"; depth].join("::");
        found.extend(named_after(code, &chain).into_iter().filter(|name| name != "super"));
    }
    found
}

/// What is wrong with the imports of one engine file.
fn engine_faults(file: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let path = module_path(file);
    let Some(module) = path.first() else { return Vec::new() };
    let Some((_, allowed)) = ENGINE.iter().find(|(name, _)| name == module) else {
        return vec![format!("engine/src/{file}: module {module} is not in the table")];
    };
    uses(file, &code)
        .into_iter()
        .filter(|used| used != module && !allowed.contains(&used.as_str()))
        .map(|used| format!("engine/src/{file}: {module} may not use {used}"))
        .collect()
}

/// What is wrong with the imports of one server file.
fn server_faults(file: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let path = module_path(file);
    let Some(&module) = path.first() else { return Vec::new() };
    // app wires everything
    if module == "app" {
        return Vec::new();
    }
    let Some((_, ours, crates)) = SERVER.iter().find(|(name, ..)| *name == module) else {
        return vec![format!("server/src/{file}: module {module} is not in the table")];
    };
    let mut used = uses(file, &code);
    used.extend(named_after(&code, "farpane_server"));
    let mut faults: Vec<String> = used
        .into_iter()
        .filter(|used| used != module && !ours.contains(&used.as_str()))
        .map(|used| format!("server/src/{file}: {module} may not use {used}"))
        .collect();
    let stages = crates.iter().any(|c| c.starts_with("engine::"));
    for name in ["engine", "rfb", "channel", "pam"] {
        for used in named_after(&code, &format!("farpane_{name}")) {
            let edge = format!("{name}::{used}");
            let vocabulary = stages && ENGINE_WORDS.contains(&edge.as_str());
            if !vocabulary && !crates.contains(&name) && !crates.contains(&edge.as_str()) {
                faults.push(format!("server/src/{file}: {module} may not use farpane-{edge}"));
            }
        }
    }
    faults
}

/// Whether a file's path is one of the list; `*` stands for one folder or for a file's stem.
fn listed(file: &str, list: &[&str]) -> bool {
    list.iter().any(|pattern| {
        let (names, wanted) = (file.split('/').collect::<Vec<_>>(), pattern.split('/').collect::<Vec<_>>());
        names.len() == wanted.len()
            && names
                .iter()
                .zip(&wanted)
                .all(|(name, want)| *want == "*" || name == want || (*want == "*.rs" && name.ends_with(".rs")))
    })
}

/// What is wrong with the `unsafe` of one file.
fn unsafe_faults(file: &str, text: &str) -> Option<String> {
    // test modules count here: there is no unsafe for tests either
    let text = text.replace("#[cfg(test)]", "");
    let code = code(&text);
    let has = code
        .match_indices("unsafe")
        .any(|(at, word)| !code[..at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word));
    if has && !listed(file, UNSAFE) {
        return Some(format!("{file}: unsafe does not belong here"));
    }
    if code.contains("allow(unsafe_code)") && !listed(file, UNSAFE) {
        return Some(format!("{file}: allows unsafe code and is not in the list"));
    }
    None
}

/// What is wrong with the length of one file: test modules and tables of data do not count.
fn length_fault(file: &str, text: &str) -> Option<String> {
    let table = file.ends_with("table.rs") || file.ends_with("tables.rs") || file.ends_with("font.rs");
    if table || file.split('/').any(|part| part == "tests" || part == "tests.rs") {
        return None;
    }
    let lines = match text.find("#[cfg(test)]\nmod ") {
        Some(at) => text[..at].lines().count(),
        None => text.lines().count(),
    };
    (lines > MOST_LINES).then(|| format!("{file}: {lines} lines (expected at most {MOST_LINES})"))
}

fn below<'a>(file: &'a str, folder: &str) -> &'a str {
    file.strip_prefix(folder).unwrap_or(file)
}

/// Whether a file holds only tests of its module.
fn only_tests(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/") || file.ends_with("_tests.rs")
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn engine_modules_import_only_what_the_architecture_allows() {
    let files = sources("engine/src");
    assert!(files.len() > 10, "the engine's sources are not where this test looks");
    let faults = files
        .iter()
        .filter(|(file, _)| !only_tests(file))
        .flat_map(|(file, text)| engine_faults(below(file, "engine/src/"), text))
        .collect::<Vec<_>>();
    assert_none(&faults);
}

#[test]
fn server_modules_import_only_what_the_architecture_allows() {
    let files = sources("server/src");
    assert!(files.len() > 3, "the server's sources are not where this test looks");
    let faults = files
        .iter()
        .filter(|(file, _)| !only_tests(file))
        .flat_map(|(file, text)| server_faults(below(file, "server/src/"), text))
        .collect::<Vec<_>>();
    assert_none(&faults);
}

#[test]
fn the_engine_and_the_protocol_crates_know_nothing_above_them() {
    let mut faults = Vec::new();
    for folder in ["engine/src", "server/rfb/src", "server/channel/src", "server/pam/src"] {
        for (file, text) in sources(folder) {
            let code = code(&text);
            for above in ["farpane_engine", "farpane_server", "farpane_rfb", "farpane_channel", "farpane_pam"] {
                if !named_after(&code, above).is_empty() {
                    faults.push(format!("{file}: may not use {above}"));
                }
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn the_shapes_of_shaders_are_known_to_kernels_the_gpu_and_damage_alone() {
    let knows = |(name, text): &(String, String)| code(text).contains("farpane_shaders").then(|| name.clone());
    let all: Vec<String> =
        ["engine/src", "server/src"].iter().flat_map(|f| sources(f)).filter_map(|f| knows(&f)).collect();
    assert!(all.len() > 5, "{all:?}");
    let allowed = ["engine/src/kernel/", "engine/src/gpu/", "engine/src/damage/"];
    let strangers: Vec<&String> = all.iter().filter(|name| !allowed.iter().any(|a| name.starts_with(a))).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn unsafe_stands_only_in_the_listed_files() {
    let faults = ["engine", "server", "benches", "perf-tests"]
        .iter()
        .flat_map(|folder| sources(folder))
        .filter(|(file, _)| file != "engine/tests/structure.rs")
        .filter_map(|(file, text)| unsafe_faults(&file, &text))
        .collect::<Vec<_>>();
    assert_none(&faults);
}

#[test]
fn no_file_is_longer_than_the_limit() {
    let faults = ["engine", "server", "benches", "perf-tests"]
        .iter()
        .flat_map(|folder| sources(folder))
        .filter_map(|(file, text)| length_fault(&file, &text))
        .collect::<Vec<_>>();
    assert_none(&faults);
}

#[test]
fn planted_imports_are_found() {
    let found = |file: &str, text: &str| !engine_faults(file, text).is_empty();
    assert!(found("tile/grid.rs", "use crate::frame::Frame;"));
    assert!(found("tile/grid.rs", "use crate::{geometry::Rect, frame::{Frame, Cursor}};"));
    assert!(found("tile/grid.rs", "use crate::{\n    geometry::{Rect, Size},\n    pipeline,\n};"));
    assert!(found("tile/grid.rs", "use super::super::capture::Source;"));
    assert!(found("tile/mod.rs", "pub use super::capture::Source;"));
    assert!(found("tile/grid.rs", "fn f(frame: &crate::frame::Frame) {}"));
    assert!(found("novelty/mod.rs", ""));
    assert!(!found("tile/grid.rs", "use crate::geometry::Rect;\nuse super::map::Bits;\nuse std::{fs, io};"));
    assert!(!found("tile/grid.rs", "//! see crate::frame\nlet s = \"crate::frame::x\"; // crate::frame"));
    assert!(!found(
        "tile/grid.rs",
        "use crate::geometry::Rect;\n#[cfg(test)]\nmod tests {\n    use crate::refdec::decode;\n}"
    ));
    assert!(found("tile/grid.rs", "#[cfg(test)]\nmod tests;\nuse crate::frame::Frame;"));

    let found = |file: &str, text: &str| !server_faults(file, text).is_empty();
    assert!(found("net/mod.rs", "use farpane_engine::pipeline::Pipeline;"));
    assert!(found("net/mod.rs", "use crate::session::State;"));
    assert!(found("input/x11.rs", "use farpane_engine::{geometry::Point, frame::Frame, pipeline::Pipeline};"));
    assert!(found("helper/opener.rs", "use farpane_rfb::wire;"));
    assert!(!found("backend/mod.rs", "use farpane_engine::{capture::Source, geometry::Rect};"));
    assert!(!found("app.rs", "use crate::session::State; use farpane_engine::damage::Cpu;"));
}

#[test]
fn planted_unsafe_and_long_files_are_found() {
    assert!(unsafe_faults("server/src/net/mod.rs", "fn f() { unsafe { g() } }").is_some());
    assert!(unsafe_faults("server/src/net/mod.rs", "#[cfg(test)]\nmod tests {\n    unsafe fn g() {}\n}").is_some());
    assert!(unsafe_faults("engine/src/tile/map.rs", "#![allow(unsafe_code)]").is_some());
    assert!(unsafe_faults("engine/src/kernel/a/b/x86.rs", "unsafe {}").is_some());
    assert!(unsafe_faults("engine/src/kernel/convert/x86.rs", "unsafe {}").is_none());
    assert!(unsafe_faults("server/src/lib.rs", "#![forbid(unsafe_code)]\n// unsafe").is_none());
    let long = "\n".repeat(MOST_LINES + 1);
    assert!(length_fault("engine/src/tile/map.rs", &long).is_some());
    assert!(length_fault("engine/src/tile/map.rs", &"\n".repeat(MOST_LINES)).is_none());
    assert!(length_fault("engine/src/tile/tests.rs", &long).is_none());
}
