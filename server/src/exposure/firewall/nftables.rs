//! The rule set as a script for nft.

use std::fmt::Display;

use super::{Door, LOG_PREFIX, Plan, Target, heading};

/// Takes the table away, whether it is there or not.
pub(super) const REMOVAL: &str = "table inet farpane\ndelete table inet farpane\n";

const LOAD: [&str; 4] = [
    "load:   farpane firewall --backend nftables --allow NET | nft -f -        (loading again replaces it)",
    "remove: farpane firewall --backend nftables --remove | nft -f -",
    "see:    nft list table inet farpane                                       (the counters: what was logged, what was dropped)",
    "A packet has to pass every table: one that drops the port must let it through as well.",
];

pub(super) fn rules(plan: &Plan) -> String {
    let mut out = heading(plan, &LOAD);
    // made if it is not there, so that it can be deleted: loading is the same the first time and later
    out.push_str(REMOVAL);
    out.push_str("table inet farpane {\n\tchain input {\n");
    out.push_str("\t\ttype filter hook input priority filter - 5; policy accept;\n");
    out.push_str("\t\tiifname \"lo\" accept\n");
    for door in &plan.doors {
        out.push_str(&format!("\t\t{} jump guard comment \"{}\"\n", matches(door), door.written));
    }
    out.push_str("\t}\n\tchain guard {\n");
    out.push_str(&from("ip", "ipv4", &plan.v4, plan.v4.iter().any(|n| n.prefix_len() == 0)));
    out.push_str(&from("ip6", "ipv6", &plan.v6, plan.v6.iter().any(|n| n.prefix_len() == 0)));
    out.push_str(&format!("\t\tlimit rate 6/minute burst 5 packets counter log prefix \"{LOG_PREFIX}\" level info\n"));
    out.push_str("\t\tcounter drop\n\t}\n}\n");
    out
}

fn matches(door: &Door) -> String {
    let port = format!("tcp dport {}", door.port);
    match door.target {
        Target::AnyV4 => format!("meta nfproto ipv4 {port}"),
        Target::AnyV6 => format!("meta nfproto ipv6 {port}"),
        Target::Address(ip) if ip.is_ipv4() => format!("ip daddr {ip} {port}"),
        Target::Address(ip) => format!("ip6 daddr {ip} {port}"),
        Target::Iface(name) => format!("iifname \"{name}\" {port}"),
    }
}

/// Lets the networks of one family pass.
fn from(header: &str, family: &str, nets: &[impl Display], everybody: bool) -> String {
    if everybody {
        return format!("\t\tmeta nfproto {family} accept\n");
    }
    if nets.is_empty() {
        return String::new();
    }
    let list: Vec<String> = nets.iter().map(ToString::to_string).collect();
    format!("\t\t{header} saddr {{ {} }} accept\n", list.join(", "))
}
