use super::*;

fn listeners(all: &[&str]) -> Vec<ListenAddr> {
    all.iter().map(|l| l.parse().unwrap()).collect()
}

fn networks(all: &[&str]) -> Vec<Network> {
    all.iter().map(|n| n.parse().unwrap()).collect()
}

const OPEN: [&str; 7] = [
    "0.0.0.0:5900",
    "[::]:5901",
    "192.0.2.4:5902",
    "[2001:db8::4]:5903",
    "iface:wg0:5904",
    "127.0.0.1:5905",
    "unix:/x",
];

#[test]
fn every_listener_that_a_network_reaches_has_its_line_and_local_ones_have_none() {
    let allow = networks(&["10.0.0.0/8", "2001:db8::/32"]);
    let nft = rules(Backend::Nftables, &listeners(&OPEN), &allow).unwrap();
    for line in [
        "meta nfproto ipv4 tcp dport 5900 jump guard comment \"0.0.0.0:5900\"",
        "meta nfproto ipv6 tcp dport 5901 jump guard",
        "ip daddr 192.0.2.4 tcp dport 5902 jump guard",
        "ip6 daddr 2001:db8::4 tcp dport 5903 jump guard",
        "iifname \"wg0\" tcp dport 5904 jump guard",
        "ip saddr { 10.0.0.0/8 } accept",
        "ip6 saddr { 2001:db8::/32 } accept",
        "log prefix \"farpane drop: \"",
        "counter drop",
        "# unix:/x: only this machine",
    ] {
        assert!(nft.contains(line), "{line}\n{nft}");
    }
    assert!(!nft.contains("dport 5905"));
    let tables = rules(Backend::Iptables, &listeners(&OPEN), &allow).unwrap();
    for line in [
        "-4 -A FARPANE -p tcp --dport 5900 -j FARPANE-GUARD\n",
        "-6 -A FARPANE -p tcp --dport 5901 -j FARPANE-GUARD\n",
        "-4 -A FARPANE -d 192.0.2.4 -p tcp --dport 5902 -j FARPANE-GUARD\n",
        "-6 -A FARPANE -d 2001:db8::4 -p tcp --dport 5903 -j FARPANE-GUARD\n",
        "\n-A FARPANE -i wg0 -p tcp --dport 5904 -j FARPANE-GUARD\n",
        "-4 -A FARPANE-GUARD -s 10.0.0.0/8 -j ACCEPT\n",
        "-6 -A FARPANE-GUARD -s 2001:db8::/32 -j ACCEPT\n",
        "--log-prefix \"farpane drop: \"\n",
        "-A FARPANE-GUARD -j DROP\n",
    ] {
        assert!(tables.contains(line), "{line}\n{tables}");
    }
    assert!(!tables.contains("dport 5905"));
}

#[test]
fn nothing_is_dropped_before_the_allowed_were_asked_for() {
    let allow = networks(&["10.0.0.0/8", "fd00::/8"]);
    for (backend, drop, accepts) in [
        (Backend::Nftables, "counter drop", ["ip saddr", "ip6 saddr"]),
        (Backend::Iptables, "-j DROP", ["-s 10.0.0.0/8", "-s fd00::/8"]),
    ] {
        let text = rules(backend, &listeners(&["0.0.0.0:1", "[::]:1"]), &allow).unwrap();
        let at = text.find(drop).unwrap();
        assert!(accepts.iter().all(|a| text.find(a).unwrap() < at), "{text}");
        assert_eq!(text.matches(drop).count(), 1, "{text}");
    }
}

#[test]
fn overlapping_networks_are_merged_and_everybody_is_everybody() {
    let merged = networks(&["10.1.0.0/16", "10.0.0.0/8", "192.0.2.0/25", "192.0.2.128/25"]);
    let nft = rules(Backend::Nftables, &listeners(&["0.0.0.0:1"]), &merged).unwrap();
    assert!(nft.contains("ip saddr { 10.0.0.0/8, 192.0.2.0/24 } accept"), "{nft}");
    assert!(!nft.contains("ip6 saddr"));
    let all = rules(Backend::Nftables, &listeners(&["0.0.0.0:1"]), &networks(&["0.0.0.0/0", "::/0"])).unwrap();
    assert!(all.contains("meta nfproto ipv4 accept") && all.contains("meta nfproto ipv6 accept"), "{all}");
}

#[test]
fn without_a_network_only_this_machine_gets_through_and_the_text_says_so() {
    for backend in [Backend::Nftables, Backend::Iptables] {
        let text = rules(backend, &listeners(&["0.0.0.0:1"]), &[]).unwrap();
        assert!(text.contains("# no network is allowed"), "{text}");
        assert!(!text.contains("saddr") && !text.contains("-j ACCEPT"), "{text}");
    }
}

#[test]
fn what_rules_cannot_say_is_refused_in_words() {
    let picked = rules(Backend::Nftables, &listeners(&["0.0.0.0:0"]), &[]).unwrap_err().to_string();
    assert!(picked.contains("0.0.0.0:0 picks its port"), "{picked}");
    let local = rules(Backend::Nftables, &listeners(&["127.0.0.1:5900", "unix:/x"]), &[]).unwrap_err().to_string();
    assert!(local.contains("127.0.0.1:5900, unix:/x"), "{local}");
    let bits = "10.1.2.3/8".parse::<Network>().unwrap_err().to_string();
    assert!(bits.contains("expected 10.0.0.0/8"), "{bits}");
    for wrong in ["", "10.0.0.0/33", "10.0.0", "example.org", "10.0.0.0/8; flush ruleset", "fe80::1%eth0"] {
        assert!(wrong.parse::<Network>().unwrap_err().to_string().contains("expected an address"), "{wrong}");
    }
}
