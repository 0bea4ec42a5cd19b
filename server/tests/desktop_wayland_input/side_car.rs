//! Monitors that sway makes for viewers.

use std::time::{Duration, Instant};

use farpane_engine::geometry::Size;
use farpane_test_support::sway::Sway;
use farpane_test_support::{Client, PATIENCE, Raw, Security, Server, kill};

use super::FARPANE;

/// What sway has: names, places and sizes.
fn outputs(sway: &Sway) -> Vec<String> {
    let told = sway.command("swaymsg").args(["-t", "get_outputs", "-r"]).output().expect("comes with sway");
    let told: Vec<serde_json::Value> = serde_json::from_slice(&told.stdout).expect("JSON");
    let line = |o: &serde_json::Value| {
        let rect = |what: &str| o["rect"][what].as_i64().expect("a number");
        let name = o["name"].as_str().expect("a name");
        format!("{name} {}x{}+{}+{}", rect("width"), rect("height"), rect("x"), rect("y"))
    };
    let mut all: Vec<String> = told.iter().map(line).collect();
    all.sort();
    all
}

/// sway learned to take outputs away in 1.8.
fn takes_away(sway: &Sway) -> bool {
    let told = sway.command("swaymsg").args(["-t", "get_version", "-r"]).output().expect("comes with sway");
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    (told["major"].as_u64(), told["minor"].as_u64()) >= (Some(1), Some(8))
}

fn until(sway: &Sway, server: &Server, want: &[&str]) {
    let end = Instant::now() + PATIENCE;
    while outputs(sway) != want {
        assert!(Instant::now() < end, "{:?}\n{}", outputs(sway), server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn look(server: &Server) -> Client {
    let raw = Raw::connect(&server.listener(), PATIENCE).expect("a connection");
    let mut client = Client::handshake(raw, "RFB 003.008\n", Security::None, true).expect("let in");
    client.set_encodings(&[16, 1, -223, -308]).expect("sent");
    client.watch().expect("sent");
    client
}

#[test]
fn sway_makes_a_monitor_for_who_wants_one() {
    let Some(sway) = Sway::start(&["640x480"]) else { return };
    let environment = sway.environment();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let file = std::env::temp_dir().join(format!("farpane-side-car-{}.toml", std::process::id()));
    let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\nview = \"side-car\"\nsize = \"500x400\"\n";
    std::fs::write(&file, format!("source = \"wlroots\"\nsecurity = \"none\"\n{listener}")).expect("a file");
    let words = ["serve", "--config", file.to_str().expect("plain")];
    let server = Server::start_in(FARPANE, &words, &environment);
    let with = ["HEADLESS-1 640x480+0+0", "HEADLESS-2 500x400+640+0"];

    let mut client = look(&server);
    assert_eq!(client.init().size, Size::new(500, 400));
    until(&sway, &server, &with);
    sway.tell("focus output HEADLESS-2");
    let mut terminal = sway.command("foot").args(["sh", "-c", "echo beside; sleep 1000"]).spawn().expect("foot");
    let end = Instant::now() + PATIENCE;
    loop {
        let rgb = |pixels: &[u32]| pixels.iter().flat_map(|p| p.to_be_bytes().into_iter().skip(1)).collect::<Vec<u8>>();
        let want = rgb(&sway.grim("HEADLESS-2").expect("grim").1);
        client.pump(Instant::now() + Duration::from_millis(200)).expect("is there");
        let shown = want.iter().any(|v| *v > 100) && client.first_difference(&want).is_none();
        if shown && rgb(&sway.grim("HEADLESS-2").expect("grim").1) == want {
            break;
        }
        assert!(Instant::now() < end, "{:?}", client.first_difference(&want));
    }
    terminal.kill().expect("runs");
    terminal.wait().expect("ends");
    let id = client.picture().layout()[0].id;
    let size = Size::new(1234, 567);
    client.set_desktop_size(size, &[(id, size.rect())]).expect("sent");
    client.wait_until("the size", |c| c.picture().size() == size).expect("as wished");
    until(&sway, &server, &[with[0], "HEADLESS-2 1234x567+640+0"]);
    drop(client);

    if takes_away(&sway) {
        until(&sway, &server, &with[..1]);
        let _client = look(&server);
        assert_eq!(outputs(&sway).len(), 2);
        kill(server.pid());
        until(&sway, &server, &with[..1]);
    } else {
        // it stays, which is said, and is there for the next who wants one
        server.wait_for_log("sway takes outputs away from version 1.8 on");
        let client = look(&server);
        assert_eq!(client.init().size, Size::new(500, 400));
        until(&sway, &server, &with);
    }
    std::fs::remove_file(file).expect("is there");
}
