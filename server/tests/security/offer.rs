//! What is offered, to whom, and what becomes of those who choose something else.

use super::{connect, serve, told};
use farpane_test_support::ClientError;

#[test]
fn the_strong_types_are_offered_best_first_and_all_is_told_that_a_first_visit_needs() {
    let server = serve(&[]);
    let mut raw = connect(&server);
    raw.versions("RFB 003.008\n").unwrap();
    assert_eq!(raw.security_types().unwrap(), [70, 19, 129]);
    assert_eq!(told(&server, "catchphrase").split(' ').filter(|word| *word != "-").count(), 6);
    assert_eq!(told(&server, "certificate SHA-256").len(), 32 * 3 - 1);
    let at = server.listener();
    let (host, port) = at.rsplit_once(':').unwrap();
    assert_eq!(told(&server, "look at it with"), format!("vncviewer -SecurityTypes=X509Plain {host}::{port}"));
}

#[test]
fn a_type_that_was_not_offered_on_this_connection_ends_it() {
    let server = serve(&["--security", "channel"]);
    for chosen in [0u8, 1, 2, 16, 18, 19, 129, 255] {
        let mut raw = connect(&server);
        raw.versions("RFB 003.008\n").unwrap();
        assert_eq!(raw.security_types().unwrap(), [70]);
        raw.send(&[chosen, 1]).unwrap();
        assert_eq!(raw.read_to_close().unwrap(), b"", "type {chosen}");
    }
    server.wait_for_log("was not offered");
}

#[test]
fn callers_of_version_3_3_are_refused_where_only_strong_types_are_offered() {
    let server = serve(&[]);
    let mut raw = connect(&server);
    raw.versions("RFB 003.003\n").unwrap();
    let refused = raw.imposed_type().unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(reason) if reason.contains("No security type")), "{refused}");
    let server = serve(&["--security", "channel,none"]);
    let mut raw = connect(&server);
    raw.versions("RFB 003.003\n").unwrap();
    assert_eq!(raw.imposed_type().unwrap(), 1);
}
