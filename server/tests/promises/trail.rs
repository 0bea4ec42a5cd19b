//! The audit log: each event with the fields that are promised, one end for each connection, and a chain that shows any change.

use std::collections::BTreeMap;
use std::path::Path;

use farpane_test_support::channel::ChannelLogin;
use farpane_test_support::openssl::Ca;
use farpane_test_support::{Client, ClientError, PATIENCE, Raw, Server, Tls, rsa_aes};
use serde_json::{Value, json};

use super::wait_for;
use super::world::{PASSWORD, World, by_channel, run, sees, text};

/// The events of the connection that this one belongs to.
fn of_connection(world: &World, event: &Value) -> Vec<Value> {
    world.trail().into_iter().filter(|e| e["session"] == event["session"]).collect()
}

/// One way to log in.
type LogIn<'a> = &'a dyn Fn() -> Result<Client, ClientError>;

fn names(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| text(&event["event"])).collect()
}

#[test]
fn a_session_is_told_from_its_connection_to_its_end_in_every_security_type() {
    let world = World::new(&["ann"], "security = [\"channel\", \"x509plain\", \"ra2_256\"]\n");
    let server = world.serve(&[]);
    let by_rsa = || {
        let (raw, _) = rsa_aes::log_in(server.raw(), rsa_aes::RA2_256, "ann", PASSWORD, PATIENCE)?;
        Client::proved(raw)
    };
    let ways: [(&str, &str, LogIn<'_>); 3] = [
        ("channel", "AES-256-GCM X25519", &|| by_channel(&server, 7, "ann", PASSWORD)),
        ("x509plain", "TLS13_AES_256_GCM_SHA384 X25519MLKEM768", &|| world.log_in(&server, "ann")),
        ("ra2_256", "AES-256-EAX", &by_rsa),
    ];
    for (security, cipher, log_in) in ways {
        let mut client = log_in().unwrap_or_else(|e| panic!("{security}: {e}"));
        sees(&mut client);
        drop(client);
        let end = world.event("end", &[("security", security), ("reason", "peer-left")]);
        let events = of_connection(&world, &end);
        assert_eq!(names(&events), ["connect", "type", "identity-shown", "auth-ok", "start", "end"], "{security}");
        for event in &events {
            assert_eq!(text(&event["listener"]), server.listener(), "{event}");
            assert!(text(&event["source"]).starts_with("127.0.0.1:"), "{event}");
            assert_eq!((text(&event["via"]), &event["insecure"]), ("direct".into(), &Value::Null), "{event}");
            let time = text(&event["time"]);
            assert!(time.len() == 24 && time.ends_with('Z'), "{event}");
        }
        assert!(events[1..].iter().all(|event| event["security"] == security), "{events:?}");
        for event in &events[3..] {
            assert_eq!((&event["user"], &event["cipher"]), (&json!("ann"), &json!(cipher)), "{event}");
            assert_eq!(event["device"].is_string(), security == "channel", "{event}");
        }
        assert_eq!(events[3]["factors"], json!(["userfile"]));
        assert_eq!(events[3]["permissions"], events[4]["permissions"]);
        let number = |key: &str| end[key].as_u64().unwrap_or_else(|| panic!("{key} in {end}"));
        assert!(number("bytes_in") > 0 && number("bytes_out") > 0, "{end}");
        number("duration_ms");
    }
    assert!(world.event("config", &[])["count"].as_u64().is_some_and(|count| count >= 3));
}

#[test]
fn x509vnc_is_told_as_itself_and_not_as_vncauth() {
    let world = World::new(&[], "");
    let made = run(&["password", &world.path("passwords")], "opensesa");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = world.serve(&["--security", "x509vnc", "--password-file", &world.path("passwords")]);
    for (password, name) in [("opensesa", "auth-ok"), ("wrong", "auth-fail")] {
        let mut raw = server.raw();
        raw.versions("RFB 003.008\n").unwrap();
        assert_eq!(raw.security_types().unwrap(), [19]);
        raw.send(&[19]).unwrap();
        raw.vencrypt_offer().unwrap();
        raw.vencrypt_choose(261).unwrap();
        raw.start_tls(&world.tls()).unwrap();
        raw.answer_challenge(password).unwrap();
        assert_eq!(Client::proved(raw).is_ok(), name == "auth-ok");
        assert_eq!(text(&world.event(name, &[])["security"]), "x509vnc");
    }
    assert!(world.events("type").iter().all(|event| event["security"] == "x509vnc"));
}

#[test]
fn whoever_looks_at_the_servers_key_and_goes_is_told_as_well() {
    let world = World::new(&["ann"], "");
    let server = world.serve(&[]);
    let stranger = Ca::new("Somebody else");
    let tls = Tls::new(&stranger.certificate(), "127.0.0.1", None).unwrap();
    let mut raw = server.raw();
    raw.versions("RFB 003.008\n").unwrap();
    raw.security_types().unwrap();
    raw.send(&[19]).unwrap();
    raw.vencrypt_offer().unwrap();
    raw.vencrypt_choose(262).unwrap();
    assert!(raw.start_tls(&tls).is_err(), "another certificate");
    let end = world.event("end", &[("reason", "identity")]);
    assert_eq!(names(&of_connection(&world, &end)), ["connect", "type", "identity-shown", "end"]);
    // the channel shows its key in message 2
    drop(ChannelLogin::begin(server.raw(), [3; 32], None).unwrap().abandon());
    let shown = world.event("identity-shown", &[("security", "channel")]);
    wait_for("its end", || names(&of_connection(&world, &shown)).contains(&"end".into()).then_some(()));
    // whoever goes before was shown nothing
    let mut raw = server.raw();
    raw.versions("RFB 003.008\n").unwrap();
    raw.security_types().unwrap();
    raw.send(&[70]).unwrap();
    raw.read(4).unwrap();
    drop(raw);
    wait_for("three ends", || (world.events("end").len() == 3).then_some(()));
    assert_eq!(world.events("identity-shown").len(), 2);
}

#[test]
fn a_session_that_is_cut_off_is_not_told_as_one_that_left() {
    let world = World::new(&["ann"], "");
    let server = world.serve(&[]);
    let tcp = std::net::TcpStream::connect(server.listener()).unwrap();
    let scissors = tcp.try_clone().unwrap();
    let raw = Raw::over(Box::new(tcp), PATIENCE).unwrap();
    let said = farpane_test_support::channel::password("ann", PASSWORD);
    let login = ChannelLogin::begin(raw, [3; 32], Some(&said)).unwrap();
    let mut client = Client::proved(login.into_raw(PATIENCE).unwrap()).unwrap();
    sees(&mut client);
    scissors.shutdown(std::net::Shutdown::Both).unwrap();
    world.event("end", &[("user", "ann"), ("reason", "truncated")]);
}

#[test]
fn every_connection_has_one_end_however_it_went() {
    let world = World::new(&["ann"], "security = [\"channel\", \"x509plain\", \"ra2_256\"]\n");
    let server = world.serve(&["--listen", "127.0.0.1:0", "--listen", "ws:127.0.0.1:0"]);
    let choose = |bytes: &[u8]| {
        let mut raw = server.raw();
        raw.versions("RFB 003.008\n").unwrap();
        raw.security_types().unwrap();
        raw.send(bytes).unwrap();
        raw
    };
    drop(server.raw());
    let mut garbage = server.raw();
    garbage.send(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    garbage.read_to_close().unwrap();
    for not_offered in [0, 1, 2] {
        choose(&[not_offered]).read_to_close().unwrap();
    }
    choose(&[70, 9]).read_to_close().unwrap();
    choose(&[19, 0, 1]).read_to_close().unwrap();
    choose(&[19, 0, 2, 0, 0, 0, 1]).read_to_close().unwrap();
    choose(&[129, 0, 0, 4, 0]).read_to_close().unwrap();
    assert!(world.log_in_with(server.raw(), "ann", "wrong", true).is_err());
    let mut http = Raw::connect(server.listeners()[1].trim_start_matches("ws:"), PATIENCE).unwrap();
    http.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    http.read_to_close().unwrap();
    sees(&mut world.log_in(&server, "ann").unwrap());
    let connections = 12;
    let ends = wait_for("all ends", || {
        let ends: Vec<Value> =
            world.trail().into_iter().filter(|e| ["end", "refused"].contains(&text(&e["event"]).as_str())).collect();
        (ends.len() >= connections).then_some(ends)
    });
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for end in &ends {
        let reason = text(&end["reason"]);
        // who closes with bytes unread resets the connection, and the server's last words race with that
        let reason = if reason == "broken" { "peer-left".to_owned() } else { reason };
        *reasons.entry(reason).or_default() += 1;
    }
    let expected = [("identity", 1), ("not-offered", 5), ("peer-left", 2), ("protocol", 3), ("wrong-proof", 1)];
    assert_eq!(reasons, expected.map(|(reason, n)| (reason.to_owned(), n)).into(), "{ends:#?}");
    let numbers = |events: Vec<Value>| {
        let mut numbers: Vec<u64> = events.iter().map(|e| e["session"].as_u64().expect("a number")).collect();
        numbers.sort();
        numbers
    };
    assert_eq!(numbers(ends), numbers(world.events("connect")));
    assert_eq!(text(&world.event("auth-fail", &[("user", "ann")])["reason"]), "wrong-proof");
}

#[test]
fn the_question_at_the_desktop_and_its_answer_are_told() {
    for (hook, answer) in [("true", "accepted"), ("false", "refused")] {
        let config = format!("[session]\ngatekeeping = \"ask\"\ngatekeeping_hook = [\"/bin/{hook}\"]\n");
        let world = World::new(&["ann"], &config);
        let server = world.serve(&[]);
        let came = world.log_in(&server, "ann");
        assert_eq!(came.is_ok(), answer == "accepted", "{came:?}");
        drop(came);
        let end = world.event("end", &[]);
        let told: Vec<(String, String)> = of_connection(&world, &end)
            .iter()
            .filter(|e| e["event"] == "gate")
            .map(|e| (text(&e["user"]), text(&e["reason"])))
            .collect();
        assert_eq!(told, [("ann".to_owned(), "asked".to_owned()), ("ann".to_owned(), answer.to_owned())]);
        assert_eq!(text(&end["reason"]), if answer == "accepted" { "peer-left" } else { "gate" });
    }
}

#[test]
fn a_listener_that_is_insecure_by_request_says_so_in_every_line() {
    let world = World::new(&[], "");
    let allow = ["--listen", "0.0.0.0:0", "--security", "none", "--insecure-allow", "none@0.0.0.0:0"];
    let server = world.serve(&allow);
    let port = server.listener().rsplit_once(':').unwrap().1.to_owned();
    let raw = Raw::connect(&format!("127.0.0.1:{port}"), PATIENCE).unwrap();
    let mut client =
        Client::handshake(raw, "RFB 003.008\n", farpane_test_support::Security::None, true).expect("let in");
    sees(&mut client);
    drop(client);
    let end = world.event("end", &[("reason", "peer-left")]);
    let events = of_connection(&world, &end);
    assert_eq!(names(&events), ["connect", "type", "start", "end"]);
    assert!(events.iter().all(|event| event["insecure"] == json!(true)), "{events:#?}");
}

/// Some traffic, and the log that it leaves.
fn log(world: &World) -> Vec<u8> {
    let server: Server = world.serve(&[]);
    sees(&mut world.log_in(&server, "ann").unwrap());
    assert!(world.log_in_with(server.raw(), "ann", "wrong", true).is_err());
    world.event("end", &[("reason", "wrong-proof")]);
    world.event("end", &[("reason", "peer-left")]);
    server.stop();
    std::fs::read(world.path("audit.log")).unwrap()
}

#[test]
fn the_log_is_whole_over_two_runs_and_one_flipped_bit_anywhere_is_found() {
    let world = World::new(&["ann"], "");
    log(&world);
    let whole = log(&world);
    let said = world.verified().expect("a whole log");
    assert!(said.starts_with("whole: ") && said.contains("from the beginning"), "{said}");
    assert!(Path::new(&world.path("audit.log")).metadata().unwrap().len() as usize == whole.len());
    let step = whole.len() / 40;
    for at in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(world.path("audit.log"), &bytes).unwrap();
        assert_eq!(world.verified(), None, "a bit flipped at {at} of {} goes unseen", whole.len());
    }
    std::fs::write(world.path("audit.log"), &whole).unwrap();
    assert!(world.verified().is_some());
}
