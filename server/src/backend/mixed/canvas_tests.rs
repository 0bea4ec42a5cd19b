use super::*;
use proptest::prelude::*;

fn output(id: u32, name: &str, rect: Rect) -> LayoutOutput {
    LayoutOutput { id: OutputId(id), name: name.into(), rect }
}

/// One output that fills a part's canvas.
fn whole(name: &str, w: u16, h: u16) -> Layout {
    Layout { size: Size::new(w, h), outputs: vec![output(0, name, Rect::new(0, 0, w, h))] }
}

/// Two outputs of 100x100 beside each other.
fn pair() -> Layout {
    let outputs = vec![output(4, "a", Rect::new(0, 0, 100, 100)), output(7, "b", Rect::new(100, 0, 100, 100))];
    Layout { size: Size::new(200, 100), outputs }
}

fn canvas(arrange: Arrange, layouts: &[Layout]) -> Canvas {
    let mut canvas = Canvas::new(arrange, layouts.len());
    layouts.iter().enumerate().for_each(|(n, layout)| canvas.set(n, layout.clone()));
    canvas
}

fn rects(layout: &Layout) -> Vec<[u16; 4]> {
    layout.outputs.iter().map(|o| [o.rect.x, o.rect.y, o.rect.w, o.rect.h]).collect()
}

fn names(canvas: &mut Canvas) -> Vec<String> {
    canvas.join().layout.outputs.into_iter().map(|o| o.name).collect()
}

#[test]
fn each_lies_right_of_or_below_the_one_before() {
    let layouts = [whole("x", 300, 200), Layout::default(), pair(), whole("y", 10, 20)];
    let right = canvas(Arrange::Right, &layouts).join();
    assert_eq!(right.layout.size, Size::new(510, 200));
    assert_eq!(rects(&right.layout), [[0, 0, 300, 200], [300, 0, 100, 100], [400, 0, 100, 100], [500, 0, 10, 20]]);
    assert!(right.places[1].is_empty() && right.left_out.is_empty(), "nothing to be seen takes no place");
    let down = canvas(Arrange::Down, &layouts).join();
    assert_eq!(down.layout.size, Size::new(300, 320));
    assert_eq!(rects(&down.layout), [[0, 0, 300, 200], [0, 200, 100, 100], [100, 200, 100, 100], [0, 300, 10, 20]]);
}

#[test]
fn what_does_not_fit_is_left_out_and_the_next_takes_its_place() {
    let layouts = [whole("x", 60_000, 10), whole("y", 6_000, 10), whole("z", 5_535, 10)];
    let joined = canvas(Arrange::Right, &layouts).join();
    assert_eq!((joined.layout.size.w, joined.left_out.as_slice()), (65_535, &[1][..]));
    assert_eq!(rects(&joined.layout), [[0, 0, 60_000, 10], [60_000, 0, 5_535, 10]]);
}

#[test]
fn ids_of_parts_never_meet_and_stay() {
    let mut canvas = canvas(Arrange::Right, &[pair(), pair()]);
    let ids = |canvas: &mut Canvas| canvas.join().layout.outputs.iter().map(|o| o.id.0).collect::<Vec<_>>();
    let first = ids(&mut canvas);
    assert_eq!(first, [0, 1, 1 << 28, (1 << 28) + 1]);
    // one goes and another comes, with a number that a client made up
    let other = output(u32::MAX, "c", Rect::new(0, 0, 100, 100));
    canvas.set(1, Layout { size: Size::new(200, 100), outputs: vec![other, pair().outputs[1].clone()] });
    assert_eq!(ids(&mut canvas), [0, 1, (1 << 28) + 2, (1 << 28) + 1]);
    canvas.set(1, pair());
    assert_eq!(ids(&mut canvas), first);
}

#[test]
fn a_name_that_is_taken_gets_a_number_and_keeps_it() {
    let mut canvas =
        canvas(Arrange::Right, &[whole("screen", 10, 10), whole("screen", 10, 10), whole("screen@2", 10, 10)]);
    assert_eq!(names(&mut canvas), ["screen", "screen@2", "screen@2@2"]);
    canvas.set(0, Layout::default());
    assert_eq!(names(&mut canvas), ["screen@2", "screen@2@2"], "a view goes on showing the same monitor");
    canvas.set(0, whole("screen", 20, 10));
    assert_eq!(names(&mut canvas), ["screen", "screen@2", "screen@2@2"]);
    canvas.set(1, whole("DP-1", 10, 10));
    assert_eq!(names(&mut canvas), ["screen", "DP-1", "screen@2@2"]);
}

/// What a client wishes: outputs of the joined layout with other rectangles; those named none are left out.
fn wish(
    canvas: &mut Canvas,
    size: (u16, u16),
    rects: &[Option<[u16; 4]>],
) -> Result<Option<(usize, Layout)>, ResizeAnswer> {
    let now = canvas.join().layout;
    assert_eq!(now.outputs.len(), rects.len());
    let outputs = now.outputs.iter().zip(rects);
    let outputs =
        outputs.filter_map(|(o, r)| r.map(|[x, y, w, h]| LayoutOutput { rect: Rect::new(x, y, w, h), ..o.clone() }));
    canvas.wish(&Layout { size: Size::new(size.0, size.1), outputs: outputs.collect() })
}

#[test]
fn a_wish_goes_to_the_one_part_that_it_changes_in_that_parts_own_terms() {
    let mut canvas = canvas(Arrange::Right, &[whole("x", 100, 100), pair(), whole("x", 50, 50)]);
    let now = [Some([0, 0, 100, 100]), Some([100, 0, 100, 100]), Some([200, 0, 100, 100]), Some([300, 0, 50, 50])];
    assert_eq!(wish(&mut canvas, (350, 100), &now), Ok(None), "as it is");
    // larger, and the last one made room or not
    for last in [300, 400] {
        let wider = [now[0], now[1], Some([200, 0, 200, 80]), Some([last, 0, 50, 50])];
        let (part, layout) = wish(&mut canvas, (450, 100), &wider).unwrap().unwrap();
        assert_eq!((part, layout.size), (1, Size::new(300, 100)));
        assert_eq!(
            layout.outputs,
            [output(4, "a", Rect::new(0, 0, 100, 100)), output(7, "b", Rect::new(100, 0, 200, 80))]
        );
    }
    let (part, layout) =
        wish(&mut canvas, (400, 100), &[now[0], now[1], now[2], Some([300, 0, 80, 60])]).unwrap().unwrap();
    assert_eq!((part, layout), (2, whole("x", 80, 60)), "by the name that it has there");
    let (part, layout) = wish(&mut canvas, (350, 100), &[now[0], now[1], None, now[3]]).unwrap().unwrap();
    assert_eq!((part, layout.outputs.len()), (1, 1));
    let one_more = |id| {
        let mut wish = canvas.clone().join().layout;
        wish.outputs.push(output(id, "", Rect::new(0, 90, 5, 5)));
        canvas.wish(&wish)
    };
    for id in [2, (1 << 28) + 9, 9 << 28, u32::MAX] {
        assert_eq!(one_more(id), Err(ResizeAnswer::Prohibited), "{id}");
    }
}

#[test]
fn any_other_wish_is_refused() {
    let mut canvas = canvas(Arrange::Right, &[whole("x", 100, 100), whole("y", 100, 100)]);
    let (left, right) = (Some([0, 0, 100, 100]), Some([100, 0, 100, 100]));
    for (what, size, rects) in [
        ("a larger canvas", (300, 100), [left, right]),
        ("both larger", (300, 120), [Some([0, 0, 120, 120]), Some([120, 0, 120, 120])]),
        ("the other way round", (200, 100), [right, left]),
        ("a gap", (250, 100), [left, Some([150, 0, 100, 100])]),
        ("one of them gone", (200, 100), [left, None]),
        ("elsewhere and larger", (300, 100), [Some([0, 0, 120, 100]), Some([150, 0, 100, 100])]),
    ] {
        let got = wish(&mut canvas, size, &rects);
        // a gap before the last is a wish for a canvas of its own with a gap in it
        let forwarded = what == "a gap";
        assert_eq!(got.is_ok(), forwarded, "{what}: {got:?}");
    }
    let mut wide = self::canvas(Arrange::Right, &[whole("x", 100, 100), whole("y", 65_000, 100)]);
    let far = [Some([0, 0, 600, 100]), Some([100, 0, 65_000, 100])];
    assert_eq!(wish(&mut wide, (65_535, 100), &far), Err(ResizeAnswer::OutOfResources));
}

prop_compose! {
    fn any_layout()(
        size in (0u16..300, 0u16..300),
        outputs in proptest::collection::vec((any::<u32>(), "[ab]", 0u16..300, 0u16..300, 0u16..300, 0u16..300), 0..4),
        huge in 0u8..8,
    ) -> Layout {
        let size = if huge == 0 { Size::new(60_000, 60_000) } else { Size::new(size.0, size.1) };
        let output = |(id, name, x, y, w, h): (u32, String, u16, u16, u16, u16)| output(id, &name, Rect::new(x, y, w, h));
        let outputs: BTreeMap<u32, _> = outputs.into_iter().map(|o| (o.0, o)).collect();
        Layout { size, outputs: outputs.into_values().map(output).collect() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn what_is_joined_is_a_layout(
        changes in proptest::collection::vec((0usize..5, any_layout()), 0..12), down: bool,
    ) {
        let mut canvas = Canvas::new(if down { Arrange::Down } else { Arrange::Right }, 5);
        for (part, layout) in changes {
            canvas.set(part, layout);
            let Joined { layout, places, .. } = canvas.join();
            for (n, place) in places.iter().enumerate() {
                prop_assert!(layout.size.rect().contains(place));
                prop_assert!(places.iter().skip(n + 1).all(|other| !place.overlaps(other)));
            }
            for (n, o) in layout.outputs.iter().enumerate() {
                prop_assert!(!o.rect.is_empty());
                prop_assert_eq!(places.iter().filter(|place| place.contains(&o.rect)).count(), 1);
                prop_assert!(layout.outputs.iter().skip(n + 1).all(|p| p.id != o.id));
                prop_assert!(layout.outputs.iter().skip(n + 1).all(|p| p.name != o.name), "{:?}", layout);
            }
            prop_assert_eq!(canvas.wish(&layout), Ok(None));
        }
    }
}
