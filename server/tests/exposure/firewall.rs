//! Rule sets, loaded and knocked at.

use std::io::Write;
use std::process::Stdio;

use farpane_test_support::namespace::{Namespace, with_namespaces};
use farpane_test_support::{PATIENCE, Server};

use super::{FARPANE, IN_VAIN, answers, farpane};

const LISTENERS: [&str; 4] = ["0.0.0.0:5900", "[::]:5900", "iface:cable:5901", "127.0.0.1:5902"];
/// Listens too, and no rule names it.
const BESIDE: &str = "0.0.0.0:5999";

/// A machine that serves and one with a friend's and a stranger's addresses.
struct Street {
    home: Namespace,
    others: Namespace,
    _server: Server,
}

impl Street {
    fn new() -> Self {
        let (home, others) = (Namespace::new(), Namespace::new());
        home.cable("cable", &others, "wire");
        home.addresses("cable", &["10.77.0.1/24", "fd77::1/64"]);
        others.addresses("wire", &["10.77.0.2/24", "10.77.0.3/24", "fd77::2/64", "fd77::3/64"]);
        let mut arguments = vec!["serve", "--source", "synthetic:64x64:still", "--security", "none"];
        for listener in LISTENERS.iter().chain([&BESIDE]) {
            arguments.extend(["--listen", listener]);
        }
        let allowed = ["none@0.0.0.0", "none@[::]", "none@iface:cable:5901"];
        arguments.extend(allowed.iter().flat_map(|a| ["--insecure-allow", a]));
        let server = home.serve(FARPANE, &arguments);
        Street { home, others, _server: server }
    }

    fn friend(&self, to: &str) -> bool {
        self.knock("10.77.0.2:0", "[fd77::2]:0", to, PATIENCE)
    }

    fn stranger(&self, to: &str) -> bool {
        self.knock("10.77.0.3:0", "[fd77::3]:0", to, PATIENCE)
    }

    fn stranger_in_vain(&self, to: &str) -> bool {
        !self.knock("10.77.0.3:0", "[fd77::3]:0", to, IN_VAIN)
    }

    fn knock(&self, v4: &str, v6: &str, to: &str, limit: std::time::Duration) -> bool {
        let from = if to.starts_with('[') { v6 } else { v4 };
        self.others.within(|| answers(from, to, limit))
    }

    fn load(&self, program: &str, arguments: &[&str], rules: &str) {
        let mut child =
            self.home.command(program).args(arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
        child.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("it reads");
        let status = child.wait().expect("it ends");
        assert!(status.success(), "{program}: {status}\n{rules}");
    }
}

fn rules(backend: &str) -> String {
    let mut arguments = vec!["firewall", "--backend", backend, "--allow", "10.77.0.2", "--allow", "fd77::2/128"];
    arguments.extend(LISTENERS.iter().flat_map(|l| ["--listen", l]));
    farpane(&arguments)
}

/// The doors that the rules are for, as the others reach them.
const DOORS: [&str; 4] = ["10.77.0.1:5900", "[fd77::1]:5900", "10.77.0.1:5901", "[fd77::1]:5901"];

/// Knocks everywhere: before any rule, with the rules, and after they were taken away. `counts` returns what was logged and
/// what was dropped.
fn hold_and_vanish(street: &Street, load: impl Fn(), counts: impl Fn() -> (u64, u64), remove: impl Fn()) {
    for door in DOORS {
        assert!(street.friend(door) && street.stranger(door), "{door} is not open before there are rules");
    }
    load();
    for door in DOORS {
        assert!(street.friend(door), "{door}: an allowed network does not get through");
    }
    assert_eq!(counts().1, 0, "something was dropped and nobody came who may not");
    for (n, door) in DOORS.iter().enumerate() {
        let before = counts();
        assert!(street.stranger_in_vain(door), "{door}: a stranger gets through");
        let after = counts();
        assert!(after.1 > before.1, "{door}: not dropped by the rules: {before:?}, {after:?}");
        assert!(n > 0 || after.0 > before.0, "{door}: not logged: {before:?}, {after:?}");
    }
    assert!(street.stranger("10.77.0.1:5999"), "a port that no rule names is closed");
    assert!(
        street.home.within(|| answers("127.0.0.1:0", "127.0.0.1:5900", PATIENCE)),
        "the machine itself does not get through"
    );
    remove();
    for door in DOORS {
        assert!(street.stranger(door), "{door}: closed after the rules were taken away");
    }
}

/// The number behind `word`.
fn number_after(text: &str, word: &str) -> Option<u64> {
    text.split_once(word)?.1.split_whitespace().next()?.parse().ok()
}

#[test]
fn nftables_lets_the_allowed_in_counts_and_drops_the_rest_and_goes_without_a_trace() {
    let name = "firewall::nftables_lets_the_allowed_in_counts_and_drops_the_rest_and_goes_without_a_trace";
    with_namespaces(name, &["nft"], || {
        let street = Street::new();
        let before = street.home.run("nft list ruleset");
        let counts = || {
            let table = street.home.run("nft list table inet farpane");
            let of = |which: fn(&str) -> bool| {
                let line = table.lines().find(|line| which(line)).unwrap_or_else(|| panic!("no such rule in\n{table}"));
                number_after(line, "counter packets ").expect("a counter")
            };
            (of(|line| line.contains("log prefix \"farpane drop: \"")), of(|line| line.ends_with(" drop")))
        };
        let load = || {
            // the second time replaces the first
            street.load("nft", &["-f", "-"], &rules("nftables"));
            street.load("nft", &["-f", "-"], &rules("nftables"));
        };
        let removal = farpane(&["firewall", "--backend", "nftables", "--remove"]);
        hold_and_vanish(&street, load, counts, || street.load("nft", &["-f", "-"], &removal));
        assert_eq!(street.home.run("nft list ruleset"), before);
        // taking away what is not there is no failure
        street.load("nft", &["-f", "-"], &removal);
    });
}

#[test]
fn iptables_lets_the_allowed_in_counts_and_drops_the_rest_and_goes_without_a_trace() {
    let name = "firewall::iptables_lets_the_allowed_in_counts_and_drops_the_rest_and_goes_without_a_trace";
    with_namespaces(name, &["iptables-restore", "ip6tables-restore"], || {
        let street = Street::new();
        let both = |text: &str| {
            street.load("iptables-restore", &["--noflush"], text);
            street.load("ip6tables-restore", &["--noflush"], text);
        };
        let saved = || street.home.run("iptables -S") + &street.home.run("ip6tables -S");
        let before = saved();
        let counts = || {
            let (mut logged, mut dropped) = (0, 0);
            for program in ["iptables", "ip6tables"] {
                for line in street.home.run(&format!("{program} -S FARPANE-GUARD -v")).lines() {
                    let packets = number_after(line, " -c ").unwrap_or(0);
                    logged += if line.contains("-j LOG") { packets } else { 0 };
                    dropped += if line.contains("-j DROP") { packets } else { 0 };
                }
            }
            (logged, dropped)
        };
        let removal = farpane(&["firewall", "--backend", "iptables", "--remove"]);
        hold_and_vanish(&street, || both(&rules("iptables")), counts, || both(&removal));
        assert_eq!(saved(), before);
    });
}
