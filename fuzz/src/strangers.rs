//! What decides about strangers, and what is noted of them: the header of a proxy, the file of penalties, rules on networks, the
//! audit log.

use std::net::IpAddr;
use std::path::Path;

use farpane_server::audit::chain::{self, Hash};
use farpane_server::audit::{Event, What};
use farpane_server::auth::throttle::{self, Which};
use farpane_server::auth::users;
use farpane_server::auth::{Attempt, Moment, Source, Throttle, Try};
use farpane_server::config::{Config, Layers, Policy};
use farpane_server::net::proxy::{self, MAX_HEADER, ProxyStep};
use farpane_server::policy::{IpRule, IpRules, Proxy};

const NOW: Moment = Moment::from_secs(1_800_000_000);

/// A PROXY header, and every part of it that may have come so far.
pub fn proxy_v2(data: &[u8]) {
    let whole = proxy::parse(data);
    if let Ok(ProxyStep::Done(_, used)) = &whole {
        assert!((16..=data.len().min(MAX_HEADER)).contains(used), "{used} of {} bytes", data.len());
    }
    for end in 0..data.len().min(MAX_HEADER) {
        match (proxy::parse(&data[..end]), &whole) {
            (Ok(ProxyStep::Need(total)), _) => assert!(total > end && total <= MAX_HEADER, "{total} after {end}"),
            (Ok(done), Ok(whole)) => assert_eq!(done, *whole, "other bytes behind change it"),
            (Ok(done), Err(error)) => panic!("{done:?} of {end} bytes, then {error}"),
            (Err(_), whole) => {
                assert!(whole.is_err(), "refused at {end} and then taken");
                return;
            }
        }
    }
}

/// A file of users; what reads is written and read again.
pub fn user_file(data: &[u8]) {
    let Ok(users) = users::parse(data) else { return };
    let text = users.print();
    let again = users::parse(text.as_bytes()).expect("what is written reads");
    assert_eq!(again.print(), text);
    assert_eq!(again.iter().count(), users.iter().count());
}

/// A policy file beside a configuration.
pub fn policy_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut policy = Policy::default();
    if policy.add(text, Path::new("/policy.toml")).is_err() {
        return;
    }
    let layers = Layers { policy, ..Layers::default() };
    if let Ok(config) = layers.effective() {
        let print = config.print().expect("text");
        assert!(Config::parse(&print, None).is_ok(), "{print}");
    }
}

/// A file of penalties, and words for which of them to clear.
pub fn penalties(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(which) = text.parse::<Which>() {
        assert_eq!(which.to_string().parse::<Which>().as_ref(), Ok(&which), "{which}");
    }
    let Ok(mut state) = throttle::read(text, NOW) else { return };
    let print = throttle::write(&state);
    let again = throttle::read(&print, NOW).map(|again| throttle::write(&again));
    assert_eq!(again.as_ref(), Ok(&print), "written as {print:?}");
    for penalty in state.list(NOW) {
        assert!(penalty.failures > 0 && penalty.wait.is_none_or(|wait| wait.seconds() <= 600), "{penalty:?}");
    }
    let attempt = Attempt { source: Source::Local, user: "ann", device: None };
    assert!(match state.may_try(&attempt, NOW) {
        Try::Later(wait) => wait.seconds() <= 4,
        Try::Now { delay } => delay.as_millis() <= 500,
    });
    state.clear(&Which::All);
    assert!(state.list(NOW).is_empty());
}

/// Rules on networks, one a line, and `[access]`.
pub fn ip_rules(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let rules: Vec<IpRule> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for rule in &rules {
        assert_eq!(rule.to_string().parse(), Ok(*rule), "{rule}");
    }
    if let Ok(rules) = IpRules::try_from(rules) {
        for ip in ["0.0.0.0", "192.0.2.1", "::", "2001:db8::1", "::ffff:192.0.2.1"] {
            let ip: IpAddr = ip.parse().expect("an address");
            let (_, by) = rules.judge(ip);
            assert!(by.is_none_or(|rule| rules.as_slice().contains(&rule)));
            assert_eq!(rules.allow(ip), rules.allow(ip.to_canonical()), "{ip}");
        }
    }
    for line in text.lines() {
        if let Ok(proxy) = Proxy::try_from(line.to_owned()) {
            assert_eq!(Proxy::try_from(String::from(proxy)).ok(), Some(proxy), "{line}");
        }
    }
}

/// An audit log. What is whole is whole up to each of its lines.
pub fn audit_log(data: &[u8]) {
    let Ok((events, _)) = chain::check_bytes(data) else { return };
    let lines = data.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(events + 1, lines, "every line but the first is an event");
    let mut at = 0;
    for (n, byte) in data.iter().enumerate() {
        if *byte == b'\n' {
            let part = chain::check_bytes(&data[..=n]).map(|(events, _)| events);
            assert_eq!(part.ok(), Some(at));
            at += 1;
        }
    }
}

/// Good inputs of a target.
pub fn seeds(target: &str) -> Option<Vec<Vec<u8>>> {
    let header = |start: &[u8], body: &[u8]| [b"\r\n\r\n\0\r\nQUIT\n", start, body].concat();
    Some(match target {
        "proxy_v2" => vec![
            header(b"\x21\x11\0\x0c", &[192, 0, 2, 7, 10, 0, 0, 5, 0xc3, 0x50, 0x17, 0x0c]),
            header(b"\x21\x11\0\x11", &[192, 0, 2, 7, 10, 0, 0, 5, 0xc3, 0x50, 0x17, 0x0c, 4, 0, 2, 1, 2]),
            header(b"\x21\x21\0\x24", &[0x20; 36]),
            header(b"\x21\x31\0\xd8", &[b'/'; 216]),
            header(b"\x20\0\0\0", b"RFB 003.008\n"),
        ],
        "user_file" => vec![
            b"farpane-users 1\n# who is who\n\nann groups=staff,dev password=$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlzLg$Ru0AHo4h3MAbqFLuQwUQ8Mcs4AEbcBuTHF9jbXuS2pU used=5,7\nbob disabled\n".to_vec(),
            b"farpane-users 1\nbob\n".to_vec(),
            b"farpane-users 2\n".to_vec(),
        ],
        "policy_file" => vec![
            b"security = [\"channel\"]\n[session]\nview_only = true\n[auth]\nchains = [[\"certificate\"]]\n".to_vec(),
            b"[[listener]]\naddress = \"127.0.0.1:5900\"\nsecurity = \"x509plain\"\n[tls]\nmin_bits = 256\n".to_vec(),
        ],
        "penalties" => {
            let mut state = Throttle::new([9; 16]);
            for (n, from) in ["192.0.2.1", "2001:db8::/64", "local", "proxy"].iter().enumerate() {
                let source = from.parse().expect("a source");
                let known = Attempt { source, user: "ann", device: Some("ab12") };
                let guess = Attempt { source, user: "bob", device: None };
                state.right(&known, NOW);
                (0..=n * 3).for_each(|_| {
                    state.wrong(&guess, NOW);
                    state.wrong(&known, NOW);
                });
            }
            let words = ["all", "192.0.2.1", "2001:db8::/48", "user:ann", "device:ab12", "ann"];
            let words = words.iter().map(|word| word.as_bytes().to_vec());
            words.chain([throttle::write(&state).into_bytes()]).collect()
        }
        "ip_rules" => vec![
            b"allow 10.0.0.0/8\ndeny 2001:db8::/32\ndeny ::ffff:192.0.2.0/120\nallow 192.0.2.1\ndeny all\n".to_vec(),
            b"10.0.0.5\n10.0.0.0/28\n2001:db8::7\n".to_vec(),
        ],
        "audit_log" => {
            let (mut log, mut last) = chain::line(Hash::START, &chain::head(Hash::START, NOW));
            for settings in 0..3 {
                let event = Event::of_server(What::Config { settings });
                let (line, hash) = chain::line(last, &event.json(NOW));
                log.push_str(&line);
                last = hash;
            }
            vec![log.into_bytes()]
        }
        _ => return None,
    })
}
