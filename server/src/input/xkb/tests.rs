//! Texts as xkbcommon writes them.

use proptest::prelude::*;

use super::super::keymap::{LOCK, SHIFT};
use super::*;

const MOD2: u8 = 16;
const MOD5: u8 = 128;

/// The English map with what a German one has on some keys, in every form in which keys are written.
fn german() -> String {
    let symbols = [
        (
            "key <AD01> { [ q, Q ] };",
            "key <AD01>               {\t[               q,               Q,              at,     Greek_OMEGA ] };",
        ),
        (
            "key <AD03> { [ e, E ] };",
            "key  <AD03> {\n\t\ttype= \"FOUR_LEVEL_SEMIALPHABETIC\",\n\t\tsymbols[Group1]= [ e, E, EuroSign, EuroSign ]\n\t};",
        ),
        ("key <AD06> { [ y, Y ] };", "key <AD06> { [ z, Z ], [ Cyrillic_ya, Cyrillic_YA ] };"),
        ("key <AB01> { [ z, Z ] };", "key <AB01> { symbols[1]= [ y, Y ], symbols[2]= [ 0x6d1, U0427 ], groupsClamp };"),
        (
            "key <AD11> { [ bracketleft, braceleft ] };",
            "key <AD11> { [ udiaeresis, Udiaeresis, dead_diaeresis, dead_abovering ] };",
        ),
        (
            "key <RALT> { [ Alt_R, Meta_R ] };",
            "key <RALT> { type[group1]= \"ONE_LEVEL\", symbols[Group1]= [ ISO_Level3_Shift ] };\n\tkey <I92> { [ NoSymbol ] };\n\tkey <I100> { [ ISO_Level3_Shift ] };\n\tkey <I101> { type= \"ONE_LEVEL\", symbols[1]= [ F13 ], actions[1]= [ SetMods(modifiers=Shift+LevelThree) ] };\n\tkey <I93> { [ NoSuchKeysym ] };\n\tkey <I97> { [ { a, b } ] };\n\tkey <HANG> { [ c ] };",
        ),
        ("modifier_map Mod1 { <LALT>, <RALT> };", "modifier_map Mod1 { <LALT> };\n\tmodifier_map Mod5 { <I100> };"),
        (
            "virtual_modifiers NumLock;\n\ttype",
            "virtual_modifiers NumLock,LevelThree,Unused;\n\ttype \"FOUR_LEVEL\" {\n\t\tmodifiers= Shift+LevelThree;\n\t\tmap[Shift]= 2;\n\t\tmap[LevelThree]= 3;\n\t\tmap[Shift+LevelThree]= Level4;\n\t};\n\ttype \"FOUR_LEVEL_SEMIALPHABETIC\" {\n\t\tmodifiers= Shift+Lock+LevelThree;\n\t\tmap[Shift]= 2;\n\t\tmap[Lock]= 2;\n\t\tmap[LevelThree]= 3;\n\t\tmap[Shift+LevelThree]= 4;\n\t\tmap[Lock+LevelThree]= 3;\n\t\tpreserve[Lock+LevelThree]= Lock;\n\t\tmap[Lock+Shift+LevelThree]= 4;\n\t\tmap[Unused]= 4;\n\t};\n\ttype",
        ),
        (
            "interpret Caps_Lock",
            "interpret.useModMapMods= AnyLevel;\n\tinterpret.repeat= False;\n\tinterpret ISO_Level3_Shift+AnyOf(all) {\n\t\tvirtualModifier= LevelThree;\n\t\tuseModMapMods=level1;\n\t\taction= SetMods(modifiers=LevelThree,clearLocks);\n\t};\n\tinterpret ISO_Level3_Shift+AnyOfOrNone(all) {\n\t\taction= SetMods(modifiers=LevelThree,clearLocks);\n\t};\n\tinterpret Caps_Lock",
        ),
        ("indicator 1 =", "alias <HANG> = <I130>;\n\t<I569> = 569;\n\tindicator 1 ="),
    ];
    let mut text = include_str!("english.xkb").to_owned();
    for (from, to) in symbols {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    text
}

fn map() -> XkbMap {
    XkbMap::read(&german()).expect("a map")
}

#[test]
fn keys_types_and_modifiers_are_read_in_every_form_they_are_written() {
    let map = map();
    let at = |code: u8, group: u8, mods: u8| map.table.lookup(code, group, mods);
    assert_eq!(at(38, 0, 0), Some(0x61));
    assert_eq!(at(38, 0, LOCK), Some(0x41));
    assert_eq!((at(24, 0, 0), at(24, 0, MOD5), at(24, 0, MOD5 | SHIFT)), (Some(0x71), Some(0x40), Some(0x7d9)));
    assert_eq!((at(26, 0, LOCK), at(26, 0, MOD5), at(26, 0, MOD5 | LOCK)), (Some(0x45), Some(0x20ac), Some(0x20ac)));
    assert_eq!((at(29, 0, SHIFT), at(29, 1, 0), at(29, 1, SHIFT)), (Some(0x5a), Some(0x6d1), Some(0x6f1)));
    assert_eq!((at(52, 1, 0), at(52, 1, SHIFT), at(52, 3, 0)), (Some(0x6d1), Some(0x6fe), Some(0x6d1)), "clamps");
    assert_eq!((at(34, 0, 0), at(34, 0, MOD5)), (Some(0xfc), Some(0xfe57)));
    assert_eq!((at(79, 0, 0), at(79, 0, MOD2), at(79, 0, SHIFT)), (Some(0xff95), Some(0xffb7), Some(0xffb7)));
    assert_eq!(at(121, 0, 0), Some(0x1008_ff12));
    assert_eq!(at(130, 0, 0), Some(0x63), "by another name of the key");
    assert_eq!(map.table.key(108).map(|k| k.modifiers), Some(MOD5), "by what the keysym does");
    assert_eq!(map.table.key(101).map(|k| k.modifiers), Some(SHIFT | MOD5), "by its own action");
    assert_eq!(map.table.key(66).map(|k| k.modifiers), Some(LOCK));
    assert_eq!((map.num_lock, map.table.shifter(MOD5)), (MOD2, Some(100)));
    let spares = map.table.spares();
    assert!(spares.contains(&92), "NoSymbol is nothing");
    assert!(!spares.contains(&93) && !spares.contains(&97), "what is not understood is not free");
    assert!(spares.len() > 100, "{}", spares.len());
}

#[test]
fn numbers_and_names_are_keysyms() {
    for (name, keysym) in [
        ("7", 0x37),
        ("a", 0x61),
        ("A", 0x41),
        ("ssharp", 0xdf),
        ("U1E9E", 0x0100_1e9e),
        ("U20AC", 0x20ac),
        ("0x1008ff12", 0x1008_ff12),
        ("XF86AudioMute", 0x1008_ff12),
        ("ISO_Level3_Shift", 0xfe03),
        ("Union", names::UNKNOWN),
        ("NoSymbol", 0),
        ("U", 0x55),
    ] {
        assert_eq!(names::keysym(name), keysym, "{name}");
    }
}

#[test]
fn what_is_bound_reads_back_and_all_else_stays() {
    let map = map();
    let bound = BTreeMap::from([(92, [0x0101_f600, 0x0101_f600]), (255, [0x6c1, 0x6e1])]);
    let text = map.with(bound.iter());
    assert!(XkbMap::is_ours(&text) && !XkbMap::is_ours(&german()));
    let again = XkbMap::read(&text).expect("a map");
    let mut want = map.table.clone();
    bound.iter().for_each(|(code, pair)| want.bind(*code, *pair));
    for code in 8..=255 {
        for mods in [0, SHIFT, LOCK, MOD5, SHIFT | MOD5] {
            assert_eq!(again.table.lookup(code, 0, mods), want.lookup(code, 0, mods), "key {code}, {mods}");
        }
    }
    assert_eq!(again.table.keys.len(), want.keys.len());
}

#[test]
fn codes_without_a_name_get_one() {
    let text = german().replace("\t<I255> = 255;\n", "");
    let map = XkbMap::read(&text).expect("a map");
    let text = map.with([(&255, &[0x6c1, 0x6e1])].into_iter());
    assert_eq!(XkbMap::read(&text).expect("a map").table.lookup(255, 0, SHIFT), Some(0x6e1));
}

#[test]
fn the_english_map_is_whole() {
    let english = XkbMap::english();
    assert_eq!(english.table.lookup(24, 0, SHIFT), Some(0x51));
    assert_eq!((english.num_lock, english.table.changeable()), (MOD2, SHIFT));
}

#[test]
fn what_is_no_keyboards_map_is_refused() {
    assert_eq!(XkbMap::read(""), Err(XkbError::NoSymbols));
    assert_eq!(XkbMap::read("xkb_keymap { xkb_keycodes { <A> = 9; }; };"), Err(XkbError::NoSymbols));
    let few = "xkb_keymap { xkb_keycodes { <A> = 9; }; xkb_symbols { key <A> { [ x ] }; }; };";
    assert_eq!(XkbMap::read(few), Err(XkbError::TooFewKeys(1)));
    let moved = german().replace("<RTRN> = 36", "<RTRN> = 200");
    assert!(matches!(XkbMap::read(&moved), Err(XkbError::TooFewKeys(_))));
    let long = " ".repeat(MAX_TEXT + 1);
    assert_eq!(XkbMap::read(&long), Err(XkbError::TooLong(MAX_TEXT + 1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn broken_texts_do_no_harm(at in 0usize..14_000, length in 0usize..400, put in "[{}\\[\\]();,=<>\"#/a-z0-9 \n]{0,12}") {
        let text = german();
        let cut: String = text.chars().take(at).chain(put.chars()).chain(text.chars().skip(at + length)).collect();
        if let Ok(map) = XkbMap::read(&cut) {
            let with = map.with([(&250, &[0x6c1, 0x6e1])].into_iter());
            prop_assert!(with.len() > cut.len());
        }
    }

    #[test]
    fn any_text_does_no_harm(text in "(xkb_(keycodes|types|compat|symbols) ?[\"{}<>;=a-z0-9\\[\\],]{0,40}){0,6}") {
        prop_assert!(XkbMap::read(&text).is_err());
    }
}
