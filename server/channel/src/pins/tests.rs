use super::*;
use crate::identity::{Identity, StaticKey};
use proptest::prelude::*;

fn key(seed: u8) -> PublicKey {
    Identity::from_secret(&[seed; 32]).public()
}

fn day(text: &str) -> Day {
    text.parse().expect("a date")
}

fn known() -> Pins {
    let mut pins = Pins::default();
    pins.note("desk:5900", &[70, 19, 129], Some((key(1), 1)), day("2026-11-22")).expect("a first visit");
    pins
}

#[test]
fn the_first_key_is_pinned_and_another_one_stops() {
    assert_eq!(Pins::default().check("desk:5900", key(1)), Verdict::FirstVisit);
    let mut pins = known();
    assert_eq!(pins.check("desk:5900", key(1)), Verdict::Known);
    assert_eq!(pins.check("desk:5901", key(1)), Verdict::FirstVisit);
    assert_eq!(pins.names_of(key(1)).collect::<Vec<_>>(), ["desk:5900"]);
    let changed = pins.check("desk:5900", key(2));
    assert_eq!(changed, Verdict::Changed { pinned: key(1), shown: key(2) });
    let before = pins.clone();
    assert_eq!(pins.note("desk:5900", &[70], Some((key(2), 1)), day("2026-11-23")), Err(PinError::Changed));
    assert_eq!(pins, before);
}

#[test]
fn a_changed_key_is_taken_only_for_the_first_changed_word() {
    let mut pins = known();
    let comparison = pins.check("desk:5900", key(2)).comparison().expect("two phrases");
    assert_eq!(comparison.known, key(1).fingerprint().phrase());
    let word = comparison.first_changed().expect("another word");
    let (name, today) = ("desk:5900", day("2026-11-30"));
    for wrong in ["", "yes", comparison.known.words()[0]] {
        assert_eq!(pins.replace(name, key(2), 1, wrong, today), Err(PinError::Word), "{wrong}");
    }
    assert_eq!(pins.check(name, key(1)), Verdict::Known);
    assert_eq!(pins.replace(name, key(2), 1, &format!(" {}\n", word.to_uppercase()), today), Ok(()));
    assert_eq!(pins.check(name, key(2)), Verdict::Known);
    assert_eq!(pins.get(name).map(|pin| (pin.best, pin.seen)), Some((70, (day("2026-11-22"), today))));
    assert_eq!(pins.replace("nobody", key(2), 1, word, today), Err(PinError::Unknown));
    assert_eq!(pins.replace(name, key(2), 1, word, today), Err(PinError::Unknown), "the pinned key needs no word");
}

#[test]
fn less_than_was_ever_offered_is_refused() {
    let pins = known();
    assert_eq!(pins.allowed("desk:5900", &[2, 70, 19]), Ok(vec![70]));
    assert_eq!(pins.allowed("desk:5900", &[19, 129, 2, 1]), Err(PinError::Weaker { best: 70 }));
    assert_eq!(pins.allowed("new:5900", &[2, 1]), Ok(vec![2, 1]));
    let mut pins = Pins::default();
    pins.note("old:5900", &[2, 129], None, day("2026-11-22")).expect("a first visit");
    assert_eq!(pins.allowed("old:5900", &[19, 5, 2]), Ok(vec![19, 5]));
    assert_eq!(pins.allowed("old:5900", &[130, 2]), Err(PinError::Weaker { best: 129 }));
    // the best never falls, and a key is pinned at the first visit over the channel
    pins.note("old:5900", &[2], None, day("2026-11-23")).expect("a known name");
    assert_eq!(pins.get("old:5900").map(|pin| (pin.best, pin.key)), Some((129, None)));
    assert_eq!(pins.check("old:5900", key(3)), Verdict::FirstVisit);
    pins.note("old:5900", &[70], Some((key(3), 3)), day("2026-11-23")).expect("a known name");
    assert_eq!(pins.get("old:5900").map(|pin| (pin.best, pin.key, pin.suites)), Some((70, Some(key(3)), 4)));
}

#[test]
fn the_text_is_that_of_the_document_and_reads_back() {
    let mut pins = known();
    pins.note("a.example:1", &[129], None, day("2026-11-23")).expect("a first visit");
    let text = format!(
        "farpane-pins 1\na.example:1 key=- suites=0 best=129 first=2026-11-23 last=2026-11-23\n\
         desk:5900 key={} suites=1 best=70 first=2026-11-22 last=2026-11-22\n",
        key(1)
    );
    assert_eq!(pins.to_string(), text);
    assert_eq!(text.parse(), Ok(pins.clone()));
    assert_eq!(text.replace("a.ex", "# note\n\n  \r\na.ex").parse(), Ok(pins));
    assert_eq!("".parse(), Ok(Pins::default()));
}

#[test]
fn a_line_that_is_wrong_is_named() {
    let good = known().to_string();
    for (from, to, what) in [
        ("key=", "kee=", "no key= after the name"),
        ("suites=1", "suites=256", "no suites= from 0 to 255 after the key"),
        ("best=70", "best=-1", "no best= from 0 to 255 after the suites"),
        ("first=2026-11-22", "first=2026-11-31", "no first= with a date after best"),
        ("last=2026-11-22", "", "no last= with a date after first"),
        ("last=2026-11-22", "last=2026-11-21", "a last day before the first"),
        ("last=2026-11-22", "last=2026-11-22 x", "more words than a line has"),
    ] {
        assert!(good.contains(from));
        assert_eq!(good.replace(from, to).parse::<Pins>(), Err(PinsTextError::Line { line: 2, what }), "{to}");
    }
    let twice = format!("{good}{}\n", good.lines().nth(1).expect("a name"));
    let what = "a name that stood before";
    assert_eq!(twice.parse::<Pins>(), Err(PinsTextError::Line { line: 3, what }));
    assert_eq!("farpane-pins 2\n".parse::<Pins>(), Err(PinsTextError::Heading));
    assert_eq!(" ".repeat(limits::PINS_TEXT + 1).parse::<Pins>(), Err(PinsTextError::Long(limits::PINS_TEXT + 1)));
}

#[test]
fn names_are_kept_to_what_a_line_can_hold() {
    let mut pins = Pins::default();
    for bad in ["", "two words", "tab\t", "line\n", "#x", "\u{7f}", &"n".repeat(256)] {
        assert_eq!(pins.note(bad, &[70], None, day("2026-11-22")), Err(PinError::Name(bad.len())), "{bad:?}");
    }
    pins.note(&"n".repeat(255), &[70], None, day("2026-11-22")).expect("the longest");
    assert!(pins.forget(&"n".repeat(255)) && !pins.forget("x"));
}

#[test]
fn there_is_a_most_of_names_and_as_many_can_be_read_back() {
    let mut pins = Pins::default();
    for n in 0..limits::PINS {
        pins.note(&format!("n{n}"), &[2], None, day("2026-11-22")).expect("room");
    }
    assert_eq!(pins.note("more", &[2], None, day("2026-11-22")), Err(PinError::Full));
    pins.note("n7", &[70], None, day("2026-11-23")).expect("a known name");
    let text = pins.to_string();
    assert_eq!(text.parse(), Ok(pins));
    let more = format!("{text}more key=- suites=0 best=2 first=2026-11-22 last=2026-11-22\n");
    assert_eq!(more.parse::<Pins>(), Err(PinsTextError::Full { line: limits::PINS + 2 }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_parses_prints_and_parses_to_the_same(text in "(farpane-pins 1\n)?([a-z#]{0,3} key=(-|[0-9a-f]{64}) suites=[0-9]{1,3} best=[0-9]{1,3} first=20[0-9]{2}-0[1-9]-[012][0-9] last=2100-01-01\n){0,4}") {
        if let Ok(pins) = text.parse::<Pins>() {
            prop_assert_eq!(pins.to_string().parse(), Ok(pins));
        }
    }
}
