use super::DeviceEvent::{Button, Key, PointerTo, Wheel};
use super::*;
use proptest::prelude::*;

fn keyboard(events: &[Raw]) -> Packet {
    Packet { to: To::Keyboard, events: events.to_vec() }
}

fn pointer(events: &[Raw]) -> Packet {
    Packet { to: To::Pointer, events: events.to_vec() }
}

fn key(code: u16, down: bool) -> DeviceEvent {
    Key { code, down }
}

/// The keys that went down for a row of single keys.
fn pressed(held: &mut Held, keys: &[(u16, bool)]) -> Vec<u16> {
    let packets = keys.iter().flat_map(|(code, down)| held.take(&[key(*code, *down)]).expect("a key"));
    packets.flat_map(|p| p.events).filter(|e| e.2 == 1).map(|e| e.1).collect()
}

#[test]
fn a_batch_is_one_report_of_each_device_in_turn() {
    let mut held = Held::default();
    let batch =
        [PointerTo { x: 1, y: 2 }, Button { code: 0x110, down: true }, Wheel { vertical: 120, horizontal: -120 }];
    let events = [
        (EV_ABS, ABS_X, 1),
        (EV_ABS, ABS_Y, 2),
        (EV_KEY, 0x110, 1),
        (EV_REL, REL_WHEEL, 1),
        (EV_REL, REL_WHEEL_HI_RES, 120),
        (EV_REL, REL_HWHEEL, -1),
        (EV_REL, REL_HWHEEL_HI_RES, -120),
    ];
    assert_eq!(held.take(&batch).expect("a batch"), [pointer(&events)]);
    // Control goes up after the button, whichever device is which
    held.take(&[key(29, true)]).expect("a key");
    let batch = [Button { code: 0x110, down: false }, key(29, false), key(30, true), key(30, false)];
    let packets = held.take(&batch).expect("a batch");
    assert_eq!(
        packets,
        [pointer(&[(EV_KEY, 0x110, 0)]), keyboard(&[(EV_KEY, 29, 0), (EV_KEY, 30, 1)]), keyboard(&[(EV_KEY, 30, 0)])],
        "no key twice in a report"
    );
}

#[test]
fn what_the_devices_do_not_have_is_refused_with_the_whole_batch() {
    let mut held = Held::default();
    for (bad, says) in [
        (key(0, true), BadEvent::Key(0)),
        (key(84, true), BadEvent::Key(84)),
        (key(116, true), BadEvent::Key(116)),
        (key(238, false), BadEvent::Key(238)),
        (key(248, true), BadEvent::Key(248)),
        (key(0x110, true), BadEvent::Key(0x110)),
        (key(u16::MAX, true), BadEvent::Key(u16::MAX)),
        (Button { code: 0x10f, down: true }, BadEvent::Button(0x10f)),
        (Button { code: 0x118, down: true }, BadEvent::Button(0x118)),
        (Button { code: 30, down: true }, BadEvent::Button(30)),
    ] {
        assert_eq!(held.take(&[key(30, true), bad]), Err(says), "{bad:?}");
    }
    assert_eq!(held.take(&[]), Err(BadEvent::Batch(0)));
    assert_eq!(held.take(&[key(30, true); MOST_EVENTS + 1]), Err(BadEvent::Batch(MOST_EVENTS + 1)));
    assert!(held.release().is_empty(), "nothing of a refused batch was done");
}

#[test]
fn values_beyond_their_range_are_cut() {
    let mut held = Held::default();
    let far = held.take(&[PointerTo { x: 65_536, y: u32::MAX }]).expect("a place");
    assert_eq!(far, [pointer(&[(EV_ABS, ABS_X, 65_535), (EV_ABS, ABS_Y, 65_535)])]);
    let fast = held.take(&[Wheel { vertical: i32::MIN, horizontal: i32::MAX }]).expect("a wheel");
    let events = [
        (EV_REL, REL_WHEEL, -100),
        (EV_REL, REL_WHEEL_HI_RES, -12_000),
        (EV_REL, REL_HWHEEL, 100),
        (EV_REL, REL_HWHEEL_HI_RES, 12_000),
    ];
    assert_eq!(fast, [pointer(&events)]);
}

#[test]
fn parts_of_a_notch_add_up_in_one_direction() {
    let mut held = Held::default();
    let mut turn = |vertical| {
        let packets = held.take(&[Wheel { vertical, horizontal: 0 }]).expect("a wheel");
        packets.into_iter().flat_map(|p| p.events).map(|e| (e.1, e.2)).collect::<Vec<_>>()
    };
    assert_eq!(turn(50), [(REL_WHEEL_HI_RES, 50)]);
    assert_eq!(turn(50), [(REL_WHEEL_HI_RES, 50)]);
    assert_eq!(turn(50), [(REL_WHEEL, 1), (REL_WHEEL_HI_RES, 50)]);
    assert_eq!(turn(0), []);
    assert_eq!(turn(-90), [(REL_WHEEL_HI_RES, -90)], "the 30 that were left are forgotten");
    assert_eq!(turn(-30), [(REL_WHEEL, -1), (REL_WHEEL_HI_RES, -30)]);
    assert_eq!(turn(-300), [(REL_WHEEL, -2), (REL_WHEEL_HI_RES, -300)]);
}

#[test]
fn everything_that_is_down_is_let_go_of_once() {
    let mut held = Held::default();
    held.take(&[key(42, true), key(30, true), key(30, true), Button { code: 0x111, down: true }]).expect("a batch");
    assert_eq!(held.take(&[key(31, false)]).expect("a key"), [], "it is not down");
    let up = [keyboard(&[(EV_KEY, 30, 0), (EV_KEY, 42, 0)]), pointer(&[(EV_KEY, 0x111, 0)])];
    assert_eq!(held.release(), up);
    assert_eq!(held.release(), []);
}

#[test]
fn no_key_becomes_a_command_to_the_kernel() {
    let (alt, right_alt, b) = (56, 100, 48);
    let mut held = Held::default();
    assert_eq!(pressed(&mut held, &[(alt, true), (SYSRQ, true), (SYSRQ, false), (alt, false)]), [alt, SYSRQ]);
    assert_eq!(pressed(&mut held, &[(b, true), (b, false)]), [b]);
    for start in [[alt, SYSRQ], [SYSRQ, right_alt]] {
        let down = start.map(|code| (code, true));
        assert_eq!(pressed(&mut held, &down), start);
        assert_eq!(pressed(&mut held, &[(b, true), (b, false), (42, true), (42, false)]), [42]);
        assert!(pressed(&mut held, &[(SYSRQ, false), (b, true)]).is_empty(), "the kernel waits until Alt goes up");
        assert_eq!(pressed(&mut held, &[(alt, false), (right_alt, false), (b, true), (b, false)]), [b]);
    }
}

#[test]
fn messages_are_short_and_hold_nothing_unknown() {
    let written = |event: DeviceEvent| serde_json::to_string(&event).expect("json");
    assert_eq!(written(key(30, true)), r#"{"key":{"code":30,"down":true}}"#);
    assert_eq!(written(PointerTo { x: 1, y: 2 }), r#"{"pointer_to":{"x":1,"y":2}}"#);
    for bad in [
        r#"{"key":{"code":30,"down":true,"more":1}}"#,
        r#"{"key":{"code":70000,"down":true}}"#,
        r#"{"key":{"code":30}}"#,
        r#"{"pointer_to":{"x":-1,"y":0}}"#,
        r#"{"raw":{"type":1}}"#,
    ] {
        assert!(serde_json::from_str::<DeviceEvent>(bad).is_err(), "{bad}");
    }
}

fn any_event() -> impl Strategy<Value = DeviceEvent> {
    prop_oneof![
        (0u16..260, any::<bool>()).prop_map(|(code, down)| key(code, down)),
        (prop_oneof![Just(SYSRQ), Just(56), Just(100), Just(48)], any::<bool>()).prop_map(|(c, d)| key(c, d)),
        (any::<u32>(), any::<u32>()).prop_map(|(x, y)| PointerTo { x, y }),
        (0x10eu16..0x11a, any::<bool>()).prop_map(|(code, down)| Button { code, down }),
        (any::<i32>(), any::<i32>()).prop_map(|(vertical, horizontal)| Wheel { vertical, horizontal }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn whatever_comes_nothing_stays_down_and_nothing_is_a_command(batches in prop::collection::vec(prop::collection::vec(any_event(), 0..40), 0..40)) {
        let mut held = Held::default();
        let mut down = BTreeSet::new();
        let (mut alt, mut active) = (None, None);
        let mut packets: Vec<Packet> = batches.iter().filter_map(|batch| held.take(batch).ok()).flatten().collect();
        packets.extend(held.release());
        for (kind, code, value) in packets.into_iter().flat_map(|p| p.events) {
            match (kind, value) {
                (EV_KEY, 1) => prop_assert!(down.insert(code), "{code} twice"),
                (EV_KEY, _) => prop_assert!(down.remove(&code), "{code} was not down"),
                (EV_ABS, v) => prop_assert!((0..=65_535).contains(&v)),
                _ => {}
            }
            // as drivers/tty/sysrq.c has it
            match (kind, code, value) {
                (EV_KEY, 56 | 100, 1) => alt = Some(code),
                (EV_KEY, 56 | 100, _) => (alt, active) = (None, active.filter(|used| *used != code)),
                (EV_KEY, SYSRQ, 1) if alt.is_some() => active = alt,
                (EV_KEY, code, 1) if code < 0x100 && !MODIFIERS.contains(&code) => {
                    prop_assert!(code == SYSRQ || active.is_none(), "command {}", code);
                }
                _ => {}
            }
        }
        prop_assert!(down.is_empty());
    }
}
