//! A compositor that knows nothing of farpane, on a card's screens.

use std::time::{Duration, Instant};

use farpane_test_support::sway::Sway;
use farpane_test_support::{Client, PATIENCE};

use crate::room::{CARD, Helper, in_guest, share, viewer};

/// All that the card has.
const SCREENS: [(&str, &str); 3] = [("Virtual-1", "640x480"), ("Virtual-2", "640x480"), ("Virtual-3", "640x480")];

/// What sway says that its screens show, side by side.
fn shown(sway: &Sway) -> Vec<u8> {
    let screens = SCREENS.map(|(name, _)| sway.grim(name).expect("grim").1);
    let row = |y: usize| screens.iter().flat_map(move |pixels| &pixels[y * 640..(y + 1) * 640]);
    (0..480).flat_map(row).flat_map(|pixel| pixel.to_be_bytes().into_iter().skip(1)).collect()
}

/// Waits until sway's screens have stopped changing and the viewer shows them.
fn follow(sway: &Sway, client: &mut Client) {
    let end = Instant::now() + PATIENCE * 2;
    loop {
        let want = shown(sway);
        client.pump(Instant::now() + Duration::from_millis(500)).expect("is there");
        match client.first_difference(&want) {
            None if shown(sway) == want => return,
            difference => assert!(Instant::now() < end, "{difference:?}"),
        }
    }
}

#[test]
fn sway_on_three_screens_is_what_a_viewer_shows() {
    if !in_guest() {
        return;
    }
    let sway = Sway::start_on_card(CARD, &SCREENS);
    let mut terminal = sway.command("foot").args(["sh", "-c", "ls -l /usr/bin; sleep 1000"]).spawn().expect("foot");
    let helper = Helper::start(&["--allow", "root"]);
    let server = share(&helper, "kms");
    let mut client = viewer(&server);
    follow(&sway, &mut client);
    let lit = shown(&sway).chunks_exact(3).filter(|pixel| pixel.iter().any(|v| *v > 100)).count();
    assert!(lit > 1000, "nothing to be read on the terminal: {lit}");
    sway.tell("move container to output Virtual-2");
    follow(&sway, &mut client);
    terminal.kill().expect("runs");
    terminal.wait().expect("ends");
    follow(&sway, &mut client);
}
