//! Helpers that are killed.

use super::*;

const HELPERS: [&str; 3] = ["farpane-auth", "farpane-open", "farpane-hook"];

#[test]
fn each_helper_that_is_killed_is_replaced_and_nobody_who_is_in_notices() {
    let log = Folder::new("processes-log");
    let config = format!(
        "[session]\ngatekeeping = \"ask\"\ngatekeeping_hook = [\"/bin/true\"]\n[audit]\nsinks = [\"file:{}/audit.log\"]\n",
        log.path().display()
    );
    let desk = Desk::new(&config, &["--security", "x509plain"]);
    let (tls, password, server) = (desk.trust(), desk.password(), desk.server.pid());
    let mut inside = desk.log_in(&tls, "ann", &password).expect("is let in");
    goes_on(&mut inside);
    for name in HELPERS {
        let before = helper(server, name).unwrap_or_else(|| panic!("no {name}"));
        kill_process(process(before), Signal::KILL).expect("is ours");
        until(name, || helper(server, name).is_some_and(|pid| pid != before));
        goes_on(&mut inside);
        // the password that was told stays the right one
        let mut last = None;
        until("a login", || match desk.log_in(&tls, "ann", &password) {
            Ok(client) => {
                last = Some(client);
                true
            }
            Err(_) => false,
        });
        goes_on(&mut last.expect("was let in"));
        let refused = desk.log_in(&tls, "ann", "wrong");
        assert!(matches!(refused, Err(ClientError::Refused(_))), "{:?}", refused.err());
        assert!(!exists(before), "the one that was killed is waited for");
    }
    goes_on(&mut inside);
    let said = desk.server.log();
    for name in HELPERS {
        for what in ["the helper process has ended", "the helper process was started again"] {
            assert!(said.lines().any(|line| line.contains(what) && line.contains(name)), "{what} {name}:\n{said}");
        }
    }
    drop(inside);
    desk.server.stop();
    let told = std::fs::read_to_string(log.path().join("audit.log")).expect("is written");
    for name in HELPERS {
        for reason in ["ended", "started-again"] {
            let event = format!("\"event\":\"helper\",\"helper\":\"{name}\",\"reason\":\"{reason}\"");
            assert_eq!(told.lines().filter(|line| line.contains(&event)).count(), 1, "{event}:\n{told}");
        }
    }
}

#[test]
fn without_the_one_that_starts_helpers_nobody_new_gets_in_once_keys_are_gone_and_it_is_said() {
    let desk = Desk::new("", &["--security", "x509plain"]);
    let (tls, password, server) = (desk.trust(), desk.password(), desk.server.pid());
    let mut inside = desk.log_in(&tls, "ann", &password).expect("is let in");
    let starter = helper(server, "farpane-start").expect("is there");
    let keys = helper(server, "farpane-auth").expect("is there");
    kill_process(process(starter), Signal::KILL).expect("is ours");
    desk.server.wait_for_log("no other one can be started; start farpane again");
    // what is there goes on
    drop(desk.log_in(&tls, "ann", &password).expect("is let in"));
    kill_process(process(keys), Signal::KILL).expect("is ours");
    until("two helpers are given up", || {
        desk.server.log().matches("no other one can be started; start farpane again").count() == 2
    });
    for password in [&password, "", "wrong"] {
        assert!(desk.log_in(&tls, "ann", password).is_err(), "nothing can be proved");
    }
    desk.server.wait_for_log("no key operation");
    goes_on(&mut inside);
}

#[test]
fn a_helper_that_cannot_find_what_it_had_is_tried_again_until_it_does() {
    let desk = Desk::new("", &["--security", "x509plain,ra2_256"]);
    let (tls, password, server) = (desk.trust(), desk.password(), desk.server.pid());
    let mut inside = desk.log_in(&tls, "ann", &password).expect("is let in");
    let key = desk.folder.path().join("state/rsa.key");
    let aside = key.with_extension("aside");
    std::fs::copy(&key, &aside).expect("is there");
    // another key would be another server
    std::fs::write(&key, "no key").expect("is ours");
    let before = helper(server, "farpane-auth").expect("is there");
    kill_process(process(before), Signal::KILL).expect("is ours");
    desk.server.wait_for_log("is not started again yet");
    assert!(desk.log_in(&tls, "ann", &password).is_err());
    goes_on(&mut inside);
    std::fs::rename(&aside, &key).expect("is ours");
    until("a login", || desk.log_in(&tls, "ann", &password).is_ok());
    desk.server.wait_for_log("the helper process was started again");
}
