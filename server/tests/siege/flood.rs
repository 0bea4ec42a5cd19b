//! Wrong logins by the thousand from one address.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use farpane_test_support::ClientError;
use farpane_test_support::namespace::with_namespaces;

use super::{BESIEGER, Castle, Over, USER, connect, log_in, login_limit};

const ATTEMPTS: usize = 10_000;
const AT_ONCE: usize = 4;

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
    let name = "flood::ten_thousand_wrong_logins_from_one_address_keep_nobody_else_waiting";
    with_namespaces(name, &[], || {
        let castle = Castle::new("flood", "");
        let (left, over, ends) = (AtomicUsize::new(ATTEMPTS), AtomicBool::new(false), Ends::default());
        let take = |n: usize| n.checked_sub(1);
        let guess = || {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                match connect(BESIEGER).and_then(|raw| log_in(raw, USER, "wrongwor")) {
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
        assert!(castle.server.log().contains("try again in"), "the besieger never had to wait");
        assert!(longest <= login_limit(), "a right login took {longest:?} (expected {:?} at most)", login_limit());
    });
}
