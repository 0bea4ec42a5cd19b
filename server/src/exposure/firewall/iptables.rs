//! The rule set as input of iptables-restore and ip6tables-restore: each skips the lines of the other's family.

use super::{Door, LOG_PREFIX, Plan, Target, heading};

/// Takes the chains away.
pub(super) const REMOVAL: &str =
    "*filter\n-D INPUT -p tcp -j FARPANE\n-F FARPANE\n-F FARPANE-GUARD\n-X FARPANE\n-X FARPANE-GUARD\nCOMMIT\n";

const LOAD: [&str; 5] = [
    "load:   farpane firewall --backend iptables --allow NET >rules; iptables-restore --noflush <rules;",
    "        ip6tables-restore --noflush <rules                                (to load others, remove these first)",
    "remove: the same with the output of farpane firewall --backend iptables --remove",
    "see:    iptables -L FARPANE-GUARD -v; ip6tables -L FARPANE-GUARD -v       (the counters say what was dropped)",
    "Who is accepted here is accepted: rules further down in INPUT are not asked.",
];

pub(super) fn rules(plan: &Plan) -> String {
    let mut out = heading(plan, &LOAD);
    out.push_str("*filter\n:FARPANE - [0:0]\n:FARPANE-GUARD - [0:0]\n-I INPUT 1 -p tcp -j FARPANE\n");
    out.push_str("-A FARPANE -i lo -j RETURN\n");
    for door in &plan.doors {
        out.push_str(&format!("# {}\n{} -j FARPANE-GUARD\n", door.written, matches(door)));
    }
    for net in &plan.v4 {
        out.push_str(&format!("-4 -A FARPANE-GUARD -s {net} -j ACCEPT\n"));
    }
    for net in &plan.v6 {
        out.push_str(&format!("-6 -A FARPANE-GUARD -s {net} -j ACCEPT\n"));
    }
    out.push_str(&format!(
        "-A FARPANE-GUARD -m limit --limit 6/minute --limit-burst 5 -j LOG --log-level info --log-prefix \"{LOG_PREFIX}\"\n"
    ));
    out.push_str("-A FARPANE-GUARD -j DROP\nCOMMIT\n");
    out
}

fn matches(door: &Door) -> String {
    let port = format!("-p tcp --dport {}", door.port);
    match door.target {
        Target::AnyV4 => format!("-4 -A FARPANE {port}"),
        Target::AnyV6 => format!("-6 -A FARPANE {port}"),
        Target::Address(ip) if ip.is_ipv4() => format!("-4 -A FARPANE -d {ip} {port}"),
        Target::Address(ip) => format!("-6 -A FARPANE -d {ip} {port}"),
        Target::Iface(name) => format!("-A FARPANE -i {name} {port}"),
    }
}
