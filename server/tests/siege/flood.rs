//! Wrong logins by the thousand from one address.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use farpane_test_support::ClientError;
use farpane_test_support::namespace::with_namespaces;

use super::{BESIEGER, Castle, Over, USER, Way, connect, login_limit};

const ATTEMPTS: usize = 10_000;
/// As many as one network may have: one more would push the oldest out before it was answered.
const AT_ONCE: usize = 3;

/// How the attempts ended.
#[derive(Debug, Default)]
struct Ends {
    /// Answered with a refusal in words: a wrong password, or wait.
    refused: AtomicUsize,
    /// Closed without words, as too many refusals at once are.
    closed: AtomicUsize,
}

#[test]
fn ten_thousand_wrong_logins_from_one_address_keep_nobody_else_waiting() {
    flood("flood::ten_thousand_wrong_logins_from_one_address_keep_nobody_else_waiting", Way::VncAuth);
}

#[test]
fn ten_thousand_wrong_logins_for_one_user_inside_tls_keep_nobody_else_waiting() {
    flood("flood::ten_thousand_wrong_logins_for_one_user_inside_tls_keep_nobody_else_waiting", Way::X509Plain);
}

fn flood(name: &str, way: Way) {
    with_namespaces(name, &[], || {
        let castle = Castle::new(if way == Way::VncAuth { "flood" } else { "tls" }, "", way);
        let (left, over, ends) = (AtomicUsize::new(ATTEMPTS), AtomicBool::new(false), Ends::default());
        let take = |n: usize| n.checked_sub(1);
        let guess = || {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                match connect(BESIEGER).and_then(|raw| castle.log_in(raw, USER, "wrongwor")) {
                    Ok(()) => panic!("a wrong password got in"),
                    Err(ClientError::Refused(_)) => ends.refused.fetch_add(1, Ordering::Relaxed),
                    Err(ClientError::Closed | ClientError::Io(_) | ClientError::Handshake(_)) => {
                        ends.closed.fetch_add(1, Ordering::Relaxed)
                    }
                    Err(other) => panic!("an attempt ended with {other}"),
                };
            }
        };
        let (times, longest) = std::thread::scope(|scope| {
            let friend = scope.spawn(|| castle.friend_comes_and_goes(&over));
            let end = Over(&over);
            castle.others.within(|| {
                std::thread::scope(|siege| {
                    for _ in 0..AT_ONCE {
                        siege.spawn(guess);
                    }
                });
            });
            drop(end);
            friend.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let (refused, closed) = (ends.refused.into_inner(), ends.closed.into_inner());
        println!("{refused} refused, {closed} closed; {times} right logins, the longest {longest:?}");
        assert_eq!(refused + closed, ATTEMPTS);
        assert!(refused > 0, "nobody was told why");
        let log = castle.server.log();
        assert!(log.contains("try again in"), "the besieger never had to wait:\n{}", &log[..log.len().min(3000)]);
        assert!(longest <= login_limit(), "a right login took {longest:?} (expected {:?} at most)", login_limit());
    });
}
