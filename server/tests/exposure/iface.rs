//! A listener on an interface that comes late, changes its address and goes.

use farpane_engine::geometry::Rect;
use farpane_test_support::namespace::{Namespace, with_namespaces};
use farpane_test_support::{Client, PATIENCE, Raw, Security, Server};

use super::{FARPANE, IN_VAIN, answers, connect, wait_for};

fn serve(home: &Namespace, listener: &str) -> Server {
    let allow = format!("none@{listener}");
    let common = ["serve", "--source", "synthetic:64x64:still", "--security", "none"];
    home.serve(FARPANE, &[&common[..], &["--listen", listener, "--insecure-allow", &allow]].concat())
}

/// Where this namespace listens, one address a line.
fn listening(home: &Namespace) -> String {
    home.run("ss -H -l -t -n")
}

fn reaches(away: &Namespace, from: &str, to: &str) -> bool {
    away.within(|| answers(from, to, IN_VAIN))
}

/// A client past the handshake.
fn log_in(away: &Namespace, from: &str, to: &str) -> Client {
    let stream = away.within(|| connect(from, to, PATIENCE)).expect("a connection");
    let raw = Raw::over(Box::new(stream), PATIENCE).expect("a connection");
    Client::handshake(raw, "RFB 003.008\n", Security::None, true).expect("a login")
}

#[test]
fn it_waits_for_the_interface_follows_its_addresses_and_ends_what_came_through_those_that_went() {
    let name = "iface::it_waits_for_the_interface_follows_its_addresses_and_ends_what_came_through_those_that_went";
    with_namespaces(name, &["ss"], || {
        let (home, away) = (Namespace::new(), Namespace::new());
        let server = serve(&home, "iface:wg0:5907");
        assert_eq!(server.listeners(), ["iface:wg0:5907"]);
        assert_eq!(listening(&home), "", "it listens and there is no interface");

        home.cable("wg0", &away, "far");
        away.addresses("far", &["10.78.0.2/24", "10.78.1.2/24", "fd78::2/64"]);
        home.addresses("wg0", &["10.78.0.1/24", "fd78::1/64"]);
        wait_for("the IPv4 address", || reaches(&away, "10.78.0.2:0", "10.78.0.1:5907"));
        wait_for("the IPv6 address", || reaches(&away, "[fd78::2]:0", "[fd78::1]:5907"));
        wait_for("the link-local address", || listening(&home).contains("[fe80::"));

        let _ends = log_in(&away, "10.78.0.2:0", "10.78.0.1:5907");
        let mut stays = log_in(&away, "[fd78::2]:0", "[fd78::1]:5907");
        home.run("ip address add 10.78.1.1/24 dev wg0");
        wait_for("the second address", || reaches(&away, "10.78.1.2:0", "10.78.1.1:5907"));
        home.run("ip address del 10.78.0.1/24 dev wg0");
        server.wait_for_log("connection ended: its address went");
        assert!(!reaches(&away, "10.78.0.2:0", "10.78.0.1:5907"));
        wait_for("the other address", || reaches(&away, "10.78.1.2:0", "10.78.1.1:5907"));
        stays.request(false, Rect::new(0, 0, 64, 64)).expect("a session on another address goes on");
        stays.wait_until("an update", |client| !client.traffic.updates.is_empty()).expect("an update");

        home.run("ip link del wg0");
        wait_for("no socket without an interface", || listening(&home).is_empty());
        wait_for("the end of the session that came through it", || {
            server.log().matches("connection ended: its address went").count() == 2
        });

        // made again it is another interface with the same name and address
        home.cable("wg0", &away, "far");
        away.addresses("far", &["10.78.1.2/24"]);
        home.addresses("wg0", &["10.78.1.1/24"]);
        wait_for("the interface made anew", || reaches(&away, "10.78.1.2:0", "10.78.1.1:5907"));
        server.stop();
    });
}

#[test]
fn its_address_is_not_served_to_those_who_come_through_another_interface() {
    let name = "iface::its_address_is_not_served_to_those_who_come_through_another_interface";
    with_namespaces(name, &["ss"], || {
        let (home, tunnel, street) = (Namespace::new(), Namespace::new(), Namespace::new());
        home.cable("wg0", &tunnel, "far");
        home.cable("eth0", &street, "wire");
        home.addresses("wg0", &["10.79.0.1/24"]);
        home.addresses("eth0", &["192.0.2.1/24"]);
        tunnel.addresses("far", &["10.79.0.2/24"]);
        street.addresses("wire", &["192.0.2.2/24"]);
        street.run("ip route add 10.79.0.0/24 via 192.0.2.1");
        let _open = serve(&home, "10.79.0.1:5901");
        let _narrow = serve(&home, "iface:wg0:5902");
        // Linux answers for all of its addresses everywhere: the plain listener is reached
        assert!(street.within(|| answers("192.0.2.2:0", "10.79.0.1:5901", PATIENCE)), "the way leads nowhere");
        assert!(!reaches(&street, "192.0.2.2:0", "10.79.0.1:5902"));
        wait_for("the way through the interface", || reaches(&tunnel, "10.79.0.2:0", "10.79.0.1:5902"));
    });
}

#[test]
fn a_taken_port_ends_the_start_and_weak_security_on_an_interface_is_refused() {
    let name = "iface::a_taken_port_ends_the_start_and_weak_security_on_an_interface_is_refused";
    with_namespaces(name, &[], || {
        let (home, away) = (Namespace::new(), Namespace::new());
        home.cable("wg0", &away, "far");
        home.addresses("wg0", &["10.80.0.1/24"]);
        let _first = serve(&home, "10.80.0.1:5901");
        let refused = |arguments: &str| {
            let output = home.try_run(&format!("{FARPANE} serve --source synthetic:64x64:still {arguments}"));
            assert!(!output.status.success());
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        let taken = refused("--security none --listen iface:wg0:5901 --insecure-allow none@iface:wg0:5901");
        assert!(taken.contains("iface:wg0:5901") && taken.contains("port is in use"), "{taken}");
        let weak = refused("--security none --listen iface:wg0");
        assert!(weak.contains("iface:wg0:5900 is refused"), "{weak}");
    });
}
