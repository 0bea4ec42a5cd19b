use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

const T0: Moment = Moment::from_secs(1_700_000_000);

fn at(seconds: u64) -> Moment {
    T0.plus(Duration::from_secs(seconds))
}

fn from(text: &str) -> Source {
    text.parse().unwrap()
}

fn by<'a>(user: &'a str, source: &str) -> Attempt<'a> {
    Attempt { source: from(source), user, device: None }
}

fn throttle() -> Throttle {
    Throttle::new([7; 16])
}

fn guess(throttle: &mut Throttle, times: u32, user: &str, source: &str, now: Moment) {
    for _ in 0..times {
        throttle.wrong(&by(user, source), now);
    }
}

fn waits(throttle: &mut Throttle, attempt: &Attempt<'_>, now: Moment) -> Option<u64> {
    match throttle.may_try(attempt, now) {
        Try::Later(wait) => Some(wait.seconds()),
        Try::Now { .. } => None,
    }
}

#[test]
fn a_network_waits_whatever_the_user_and_others_do_not() {
    let mut t = throttle();
    for (n, user) in ["ann", "bob", "eve", "joe"].into_iter().enumerate() {
        assert_eq!(t.wrong(&by(user, "192.0.2.1"), T0), Counted::default(), "failure {n} is free");
    }
    let fifth = t.wrong(&by("kim", "192.0.2.1"), T0);
    assert_eq!(fifth.wait.map(Wait::seconds), Some(1));
    assert_eq!(t.admit(from("192.0.2.1"), T0).map(Wait::seconds), Some(1));
    assert_eq!(waits(&mut t, &by("new", "192.0.2.1"), T0), Some(1));
    assert_eq!(waits(&mut t, &by("ann", "192.0.2.2"), T0), None);
    assert_eq!(t.admit(from("192.0.2.1"), at(1)), None);
}

#[test]
fn a_success_clears_the_pair_and_never_the_network() {
    let mut t = throttle();
    guess(&mut t, 5, "ann", "192.0.2.1", T0);
    t.right(&by("ann", "192.0.2.1"), at(2));
    guess(&mut t, 1, "bob", "192.0.2.1", at(2));
    assert_eq!(t.admit(from("192.0.2.1"), at(2)).map(Wait::seconds), Some(2), "the sixth failure of the network");
    assert_eq!(waits(&mut t, &by("ann", "192.0.2.1"), at(2)), None, "ann is known there");
    let pairs: Vec<Bucket> = t.list(at(2)).into_iter().map(|p| p.bucket).collect();
    assert!(!pairs.contains(&Bucket::Pair(Some("ann".into()), from("192.0.2.1"))), "{pairs:?}");
}

#[test]
fn a_site_has_eight_times_the_allowance_of_a_network() {
    let mut t = throttle();
    // four failures from each of eight /64 networks are free
    for net in 0..8 {
        guess(&mut t, 4, "ann", &format!("2001:db8:5:{net}::1"), T0);
    }
    assert_eq!(t.admit(from("2001:db8:5:ffff::1"), T0), None);
    guess(&mut t, 1, "ann", "2001:db8:5:9::1", T0);
    assert_eq!(t.admit(from("2001:db8:5:ffff::1"), T0).map(Wait::seconds), Some(1));
    assert_eq!(t.admit(from("2001:db8:6:ffff::1"), T0), None);
}

#[test]
fn ten_thousand_guesses_at_a_name_never_refuse_its_owner() {
    let mut t = throttle();
    for n in 0..10_000u32 {
        let source = Source::V4((0x0a00_0000 + n % 300).into());
        t.wrong(&Attempt { source, user: "ann", device: None }, T0.plus(Duration::from_millis(n.into())));
    }
    let last = T0.plus(Duration::from_secs(10));
    let Try::Now { delay } = t.may_try(&by("ann", "192.0.2.77"), last) else { panic!("refused") };
    assert_eq!(delay, Duration::from_millis(500));
    let Try::Now { delay } = t.may_try(&by("bob", "192.0.2.77"), last) else { panic!("refused") };
    assert_eq!(delay, Duration::ZERO);
    assert!(t.wrong(&by("ann", "192.0.2.77"), last).user_slowed, "worth an audit event");
}

#[test]
fn a_known_device_goes_on_behind_the_same_address_as_a_guesser() {
    let mut t = throttle();
    let home = from("192.0.2.1");
    let ann = Attempt { source: home, user: "ann", device: Some("AB12") };
    t.right(&ann, T0);
    guess(&mut t, 40, "bob", "192.0.2.1", T0);
    assert_eq!(t.admit(home, T0).map(Wait::seconds), Some(600));
    assert_eq!(t.after_keys(home, "ab12", T0), Try::Now { delay: Duration::ZERO });
    assert!(matches!(t.after_keys(home, "cd34", T0), Try::Later(_)), "an unknown device waits");
    assert_eq!(waits(&mut t, &ann, T0), None);
    // its own failures count against it alone
    for _ in 0..5 {
        t.wrong(&ann, T0);
    }
    assert_eq!(waits(&mut t, &ann, T0), Some(1));
    assert!(matches!(t.after_keys(home, "ab12", T0), Try::Later(_)));
    let elsewhere = Attempt { source: from("192.0.2.9"), user: "bob", device: None };
    assert_eq!(waits(&mut t, &elsewhere, T0), None);
}

#[test]
fn being_known_ends_after_its_days() {
    let mut t = throttle();
    let ann = Attempt { source: from("192.0.2.1"), user: "ann", device: Some("ab12") };
    t.right(&ann, T0);
    let day = 24 * 3600;
    let known = |t: &Throttle, now| (t.knows_network(ann.source, now), t.knows_device("ab12", now));
    assert_eq!(known(&t, at(30 * day)), (true, true));
    assert_eq!(known(&t, at(30 * day + 1)), (false, true));
    assert_eq!(known(&t, at(90 * day)), (false, true));
    assert_eq!(known(&t, at(90 * day + 1)), (false, false));
    // without its device ann is a stranger again after 30 days
    let bare = by("ann", "192.0.2.1");
    guess(&mut t, 40, "bob", "192.0.2.1", at(30 * day));
    assert_eq!(waits(&mut t, &bare, at(30 * day)), None);
    guess(&mut t, 40, "bob", "192.0.2.1", at(30 * day + 1));
    assert_eq!(waits(&mut t, &bare, at(30 * day + 1)), Some(600));
}

#[test]
fn failures_of_known_callers_stay_in_their_own_buckets() {
    let mut t = throttle();
    t.right(&by("ann", "192.0.2.1"), T0);
    guess(&mut t, 30, "ann", "192.0.2.1", T0);
    assert_eq!(waits(&mut t, &by("ann", "192.0.2.1"), T0), Some(600));
    assert_eq!(t.admit(from("192.0.2.1"), T0), None, "her stale password keeps nobody else out");
    assert_eq!(waits(&mut t, &by("bob", "192.0.2.1"), T0), None);
}

#[test]
fn this_machine_and_proxies_are_never_counted_by_address() {
    let mut t = throttle();
    for _ in 0..50 {
        t.garbage(Source::Local, T0);
        t.garbage(Source::Proxy, T0);
    }
    for source in ["local", "proxy"] {
        guess(&mut t, 50, "ann", source, T0);
        assert_eq!(t.admit(from(source), T0), None);
        assert_eq!(waits(&mut t, &by("bob", source), T0), None);
    }
    assert_eq!(waits(&mut t, &by("ann", "local"), T0), Some(4), "nobody local locks out anybody for long");
    assert_eq!(waits(&mut t, &by("ann", "proxy"), T0), Some(600));
    t.right(&by("ann", "local"), at(4));
    assert_eq!(waits(&mut t, &by("ann", "local"), at(4)), None);
}

#[test]
fn garbage_counts_and_a_wait_is_not_extended_by_those_who_wait() {
    let mut t = throttle();
    for _ in 0..6 {
        t.garbage(from("192.0.2.1"), T0);
    }
    assert_eq!(t.admit(from("192.0.2.1"), T0).map(Wait::seconds), Some(2));
    for _ in 0..100 {
        let _ = t.may_try(&by("ann", "192.0.2.1"), at(1));
    }
    assert_eq!(t.admit(from("192.0.2.1"), at(2)), None);
}

#[test]
fn a_name_that_never_logged_in_is_kept_nowhere_in_the_clear() {
    let mut t = throttle();
    guess(&mut t, 5, "hunter2-typed-into-the-wrong-field", "192.0.2.1", T0);
    t.right(&by("ann", "192.0.2.1"), T0);
    guess(&mut t, 2, "ann", "192.0.2.1", T0);
    let text = format!("{}{:?}", write(&t), t.list(T0));
    assert!(!text.contains("hunter2") && !text.contains("68756e746572"));
    assert!(t.list(T0).iter().any(|p| p.bucket == Bucket::User(Some("ann".into())) && p.failures == 2));
}

#[test]
fn families_stay_bounded_and_lose_the_oldest() {
    let mut t = Throttle::with_room([0; 16], 100);
    for n in 0..1000u32 {
        let source = Source::V6(u64::from(n) << 32 | 1);
        t.wrong(&Attempt { source, user: &format!("user {n}"), device: None }, at(n.into()));
    }
    let sizes = [t.v6.len(), t.sites.len(), t.pairs.len(), t.users.len()];
    assert_eq!(sizes, [100; 4]);
    assert!(t.v6.get(&(899 << 32 | 1)).is_none() && t.v6.get(&(900 << 32 | 1)).is_some());
}

#[test]
fn what_is_cleared_is_what_was_named() {
    let filled = || {
        let mut t = throttle();
        t.right(&Attempt { source: from("192.0.2.5"), user: "dev", device: Some("ab") }, T0);
        guess(&mut t, 6, "ann", "192.0.2.1", T0);
        guess(&mut t, 6, "bob", "2001:db8::1", T0);
        for _ in 0..6 {
            t.wrong(&Attempt { source: from("192.0.2.1"), user: "dev", device: Some("ab") }, T0);
        }
        t
    };
    for (text, left) in [
        ("all", 0),
        ("192.0.2.1", 7),
        ("2001:db8::99", 6),
        ("2001:db8::/48", 8),
        ("ann", 7),
        ("user:dev", 8),
        ("device:ab", 8),
        ("192.0.2.77", 9),
        ("nobody", 9),
    ] {
        let mut t = filled();
        assert_eq!(t.list(T0).len(), 9, "{:?}", t.list(T0));
        let cleared = t.clear(&text.parse().unwrap());
        assert_eq!((t.list(T0).len(), cleared), (left, 9 - left), "{text}");
        assert!(t.knows_device("ab", T0), "who is known stays known");
    }
    for wrong in ["", "10.0.0.0/8", "2001:db8::/32", "device:", "device:../x"] {
        assert!(wrong.parse::<Which>().is_err(), "{wrong}");
    }
}

fn filled(seed: u32) -> Throttle {
    let mut t = Throttle::new([3; 16]);
    for n in 0..seed % 50 {
        let source = match n % 4 {
            0 => Source::Local,
            1 => Source::V4((n * 77).into()),
            2 => Source::V6(u64::from(n) << 33 | 5),
            _ => Source::Proxy,
        };
        let (user, key) = (["", "ann", "böb", "x y"][(n / 4 % 4) as usize], format!("{n:04x}"));
        let attempt = Attempt { source, user, device: (n % 3 == 0).then_some(&key) };
        match (n + seed) % 5 {
            0 => t.right(&attempt, at(n.into())),
            1 => {
                t.garbage(source, at(n.into()));
            }
            _ => {
                for _ in 0..n {
                    t.wrong(&attempt, at(n.into()));
                }
            }
        }
    }
    t
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_written_reads_back_the_same(seed in 0u32..5000) {
        let t = filled(seed);
        let text = write(&t);
        let back = read(&text, at(100)).unwrap();
        prop_assert_eq!(&write(&back), &text);
        prop_assert_eq!(back.list(at(700)), t.list(at(700)));
    }

    #[test]
    fn a_file_that_was_cut_or_lost_a_line_is_refused(seed in 100u32..5000, part in 0.0f64..1.0) {
        let text = write(&filled(seed));
        let cut = (text.len() as f64 * part) as usize;
        prop_assert!(read(&text[..text.floor_char_boundary(cut)], at(100)).is_err());
        let lines: Vec<&str> = text.lines().collect();
        let gone = (lines.len() as f64 * part) as usize;
        let without: String = lines.iter().enumerate().filter(|(n, _)| *n != gone).map(|(_, l)| format!("{l}\n")).collect();
        prop_assert!(read(&without, at(100)).is_err());
    }
}

#[test]
fn times_that_lie_ahead_count_from_now() {
    let mut t = throttle();
    guess(&mut t, 20, "ann", "192.0.2.1", at(1_000_000_000));
    let mut back = read(&write(&t), T0).unwrap();
    assert_eq!(back.admit(from("192.0.2.1"), T0).map(Wait::seconds), Some(600));
    assert_eq!(back.admit(from("192.0.2.1"), at(600)), None);
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("farpane-kept-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        Scratch(folder)
    }
    fn file(&self) -> PathBuf {
        self.0.join("penalties")
    }
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn penalties_survive_a_restart_and_are_saved_no_more_than_needed() {
    let scratch = Scratch::new("restart");
    let (kept, wrong) = Kept::open(&scratch.file(), T0).unwrap();
    assert!(wrong.is_empty(), "{wrong:?}");
    guess(&mut kept.lock(), 6, "ann", "192.0.2.1", T0);
    assert!(kept.tick(T0).1.is_empty());
    assert_eq!(scratch.names(), ["penalties"]);
    guess(&mut kept.lock(), 1, "ann", "192.0.2.1", T0);
    let wait =
        |now| Kept::open(&scratch.file(), now).unwrap().0.lock().admit(from("192.0.2.1"), now).map(Wait::seconds);
    assert!(kept.tick(at(1)).1.is_empty());
    assert_eq!(wait(T0), Some(2), "not due yet");
    assert!(kept.tick(at(5)).1.is_empty());
    assert_eq!(wait(T0), Some(4));
    std::fs::remove_file(scratch.file()).unwrap();
    assert!(kept.tick(at(60)).1.is_empty());
    assert!(!scratch.file().exists(), "nothing changed, nothing is written");
}

#[test]
fn a_broken_file_is_set_aside_and_counting_begins_anew() {
    for (name, bytes) in [("text", &b"farpane penalties 2\n"[..]), ("bytes", &[0xff; 9]), ("empty", b"")] {
        let scratch = Scratch::new(name);
        crate::helper::private::write(&scratch.file(), bytes).unwrap();
        let (kept, wrong) = Kept::open(&scratch.file(), T0).unwrap();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert_eq!(scratch.names(), ["penalties.broken"]);
        assert!(kept.lock().list(T0).is_empty());
        guess(&mut kept.lock(), 1, "ann", "192.0.2.1", T0);
        assert!(kept.tick(T0).1.is_empty());
        assert_eq!(scratch.names(), ["penalties", "penalties.broken"]);
    }
}

#[test]
fn requests_are_carried_out_by_a_server_that_runs_and_by_one_that_starts() {
    let scratch = Scratch::new("requests");
    let (kept, _) = Kept::open(&scratch.file(), T0).unwrap();
    guess(&mut kept.lock(), 6, "ann", "192.0.2.1", T0);
    guess(&mut kept.lock(), 6, "ann", "192.0.2.2", T0);
    assert!(kept.tick(T0).1.is_empty());
    request(&scratch.file(), &Which::Source(from("192.0.2.1")), T0).unwrap();
    let shown = show(&scratch.file(), T0).unwrap();
    assert_eq!((shown.penalties.len(), shown.waiting), (3, 1), "{shown:?}");
    assert!(kept.tick(at(1)).1.is_empty());
    assert_eq!(scratch.names(), ["penalties"]);
    assert_eq!(kept.lock().admit(from("192.0.2.1"), at(1)), None);
    assert!(kept.lock().admit(from("192.0.2.2"), at(1)).is_some());
    drop(kept);
    request(&scratch.file(), &Which::User("ann".into()), at(1)).unwrap();
    request(&scratch.file(), &Which::All, at(1)).unwrap();
    let (kept, wrong) = Kept::open(&scratch.file(), at(2)).unwrap();
    assert!(wrong.is_empty() && kept.lock().list(at(2)).is_empty(), "{wrong:?}");
    assert_eq!(show(&scratch.file(), at(2)).unwrap().waiting, 0);
}

#[test]
fn requests_that_mean_nothing_are_told_once_and_go() {
    let scratch = Scratch::new("nonsense");
    let beside = |name: &str| scratch.0.join(name);
    crate::helper::private::write(&beside("penalties.clear-1"), b"clear 10.0.0.0/8\n").unwrap();
    crate::helper::private::write(&beside("penalties.clear-2"), &[b'x'; 2000]).unwrap();
    crate::helper::private::write(&beside("penalties.clear-3.new-9"), b"half").unwrap();
    let (kept, wrong) = Kept::open(&scratch.file(), T0).unwrap();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert_eq!(scratch.names(), ["penalties.clear-3.new-9"], "one that is being written is left alone");
    assert!(kept.tick(T0).1.is_empty());
}
