use super::*;
use crate::input::keymap::{LOCK, SHIFT};

const LEVEL3: u8 = 128;

fn name(text: &str) -> LayoutName {
    text.parse().expect("a name")
}

/// XKB's data is there, or this says that it is not.
fn has_xkb() -> bool {
    let there = Path::new("/usr/share/X11/xkb/rules/evdev").exists();
    if !there {
        eprintln!("SKIP: no /usr/share/X11/xkb here (package xkb-data)");
        assert!(
            std::env::var_os("FARPANE_REQUIRE_ALL").is_none_or(|v| v != "1"),
            "no XKB data, and FARPANE_REQUIRE_ALL=1"
        );
    }
    there
}

#[test]
fn layouts_are_compiled_with_variants_and_options() {
    if !has_xkb() {
        return;
    }
    let (_, map) = keyboard_layout(Some(&name("de")), Path::new("/")).expect("German");
    let at = |code, mods| map.table.lookup(code, 0, mods);
    assert_eq!((at(29, 0), at(29, SHIFT), at(29, LOCK)), (Some(0x7a), Some(0x5a), Some(0x5a)));
    assert_eq!((at(34, 0), at(24, LEVEL3), at(26, LEVEL3)), (Some(0xfc), Some(0x40), Some(0x20ac)));
    assert_eq!((at(49, 0), map.num_lock), (Some(0xfe52), 16), "a dead key");
    assert_eq!(map.table.key(66).map(|k| k.modifiers), Some(LOCK));
    assert_eq!(map.table.key(108).map(|k| k.modifiers), Some(LEVEL3), "AltGr");
    let (_, map) =
        keyboard_layout(Some(&name("de:nodeadkeys,caps:escape")), Path::new("/")).expect("without dead keys");
    assert_eq!((map.table.lookup(49, 0, 0), map.table.lookup(66, 0, 0)), (Some(0x5e), Some(0xff1b)));
    let (_, map) = keyboard_layout(Some(&name("us+ru")), Path::new("/")).expect("two layouts");
    assert_eq!((map.table.lookup(38, 0, 0), map.table.lookup(38, 1, 0)), (Some(0x61), Some(0x6c6)));
}

#[test]
fn english_is_what_every_server_has_inside() {
    if !has_xkb() {
        return;
    }
    let map = compile(&LayoutName::default(), Path::new("/")).expect("English");
    let english = XkbMap::english();
    // but for the keypad, which Shift turns in one and not in the other
    for code in (9..=78).chain(92..=100) {
        for mods in [0, SHIFT, LOCK, SHIFT | LOCK, 16] {
            if let Some(sym) = english.table.lookup(code, 0, mods) {
                assert_eq!(map.table.lookup(code, 0, mods), Some(sym), "key {code} under {mods:#x}");
            }
        }
    }
}

#[test]
fn a_layout_that_is_not_there_is_one_line_that_says_where_names_are() {
    for text in ["nosuch", "de:nosuch"] {
        let error = keyboard_layout(Some(&name(text)), Path::new("/")).expect_err(text).to_string();
        assert!(error.contains(text) && error.contains("/usr/share/X11/xkb/rules/base.lst"), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

fn root(files: &[(&str, &str)]) -> tempdir::Folder {
    let folder = tempdir::Folder::new();
    for (path, text) in files {
        let path = folder.0.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
    folder
}

mod tempdir {
    pub struct Folder(pub std::path::PathBuf);

    impl Folder {
        pub fn new() -> Self {
            static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
            let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("farpane-layout-{}-{n}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

#[test]
fn the_system_s_layout_is_read_from_its_files() {
    let debian = "# XKBLAYOUT=\"no\"\nXKBMODEL=\"pc104\"\nXKBLAYOUT=\"de,us\"\nXKBVARIANT='nodeadkeys,'\nXKBOPTIONS=caps:escape # keys\n";
    let both = root(&[("etc/default/keyboard", debian), ("etc/vconsole.conf", "KEYMAP=fr\nXKBLAYOUT=fr\n")]);
    let chosen = of_the_system(&both.0);
    assert_eq!(
        (chosen.name.to_string().as_str(), chosen.name.model()),
        ("de:nodeadkeys+us,caps:escape", Some("pc104"))
    );
    assert_eq!(chosen.file, Some(both.0.join("etc/default/keyboard")));
    let other = root(&[("etc/default/keyboard", "XKBLAYOUT=\n"), ("etc/vconsole.conf", "KEYMAP=fr\nXKBLAYOUT=fr\n")]);
    assert_eq!(of_the_system(&other.0).name, name("fr"));
    let bad = root(&[("etc/default/keyboard", "XKBLAYOUT=\"../../etc/shadow\"\n")]);
    assert_eq!(of_the_system(&bad.0), Chosen { name: LayoutName::default(), file: None });
}

#[test]
fn a_system_without_xkb_s_data_types_english() {
    let bare = root(&[("etc/default/keyboard", "XKBLAYOUT=de\n")]);
    let (chosen, map) = keyboard_layout(None, &bare.0).expect("English");
    assert_eq!((chosen.name, map), (LayoutName::default(), XkbMap::english()));
    assert!(keyboard_layout(Some(&name("de")), &bare.0).is_err(), "what was asked for by name is not replaced");
}

#[test]
fn every_layout_of_xkb_s_list_is_read() {
    if !has_xkb() {
        return;
    }
    let list = std::fs::read_to_string("/usr/share/X11/xkb/rules/base.lst").expect("the list");
    let part = |head: &str| {
        let lines = list.lines().skip_while(|l| l.trim() != head).skip(1).take_while(|l| !l.starts_with('!'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let layouts = part("! layout").into_iter().filter_map(|l| l.split_whitespace().next().map(str::to_owned));
    let variants = part("! variant").into_iter().filter_map(|l| {
        let mut words = l.split_whitespace();
        let (variant, layout) = (words.next()?.to_owned(), words.next()?.trim_end_matches(':').to_owned());
        Some(format!("{layout}:{variant}"))
    });
    let all: Vec<String> = layouts.filter(|l| l != "custom").chain(variants).collect();
    assert!(all.len() > 500, "{}", all.len());
    let failed: Vec<String> =
        all.iter().filter_map(|text| compile(&name(text), Path::new("/")).err()).map(|e| e.to_string()).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:#?}", failed.len(), all.len());
}
