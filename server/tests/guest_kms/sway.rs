//! A compositor that knows nothing of farpane, on a card's screens: seen through the card, and by its own protocols.

use std::time::{Duration, Instant};

use farpane_test_support::sway::Sway;
use farpane_test_support::{Client, PATIENCE, Server, kill};

use crate::room::{CARD, FARPANE, Helper, in_guest, share, viewer};

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

/// What sway says of its screens: name, whether on, place, mode, turn and scale.
fn screens(sway: &Sway) -> Vec<String> {
    let told = sway.command("swaymsg").args(["-t", "get_outputs", "-r"]).output().expect("comes with sway");
    let told: Vec<serde_json::Value> = serde_json::from_slice(&told.stdout).expect("JSON");
    let line = |o: &serde_json::Value| match o["active"].as_bool() {
        Some(true) => format!("{} {} {} {} {}", o["name"], o["rect"], o["current_mode"], o["transform"], o["scale"]),
        _ => format!("{} off", o["name"]),
    };
    let mut all: Vec<String> = told.iter().map(line).collect();
    all.sort();
    all
}

fn until(sway: &Sway, server: &Server, what: &str, done: impl Fn(&[String]) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done(&screens(sway)) {
        assert!(Instant::now() < end, "{what}: {:?}\n{}", screens(sway), server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn sway_has_one_screen_on_while_it_alone_is_looked_at() {
    if !in_guest() {
        return;
    }
    let sway = Sway::start_on_card(CARD, &SCREENS);
    sway.tell("output Virtual-3 scale 1.25");
    sway.tell("output Virtual-1 transform 180");
    let before = screens(&sway);
    assert!(before.iter().all(|line| !line.ends_with("off")), "{before:?}");
    let environment = sway.environment();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let file = std::env::temp_dir().join(format!("farpane-others-{}.toml", std::process::id()));
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\nview = \"Virtual-2\"\nothers = \"off\"\n";
    std::fs::write(&file, format!("source = \"wlroots\"\nsecurity = \"none\"\n{listener}")).expect("a file");
    let words = ["serve", "--config", file.to_str().expect("plain")];
    for killed in [false, true] {
        let server = Server::start_in(FARPANE, &words, &environment);
        let mut client = viewer(&server);
        let alone = |now: &[String]| now[0].ends_with("off") && now[1] == before[1] && now[2].ends_with("off");
        until(&sway, &server, "the second alone", alone);
        let want = sway.grim("Virtual-2").expect("grim").1;
        let want: Vec<u8> = want.iter().flat_map(|pixel| pixel.to_be_bytes().into_iter().skip(1)).collect();
        client.wait_for_picture(&want).expect("its own screen");
        if killed {
            kill(server.pid());
        } else {
            drop(client);
        }
        until(&sway, &server, "all as they were", |now| now == before);
    }
    std::fs::remove_file(file).expect("is there");
}
