//! The key of TLS: where it is, where it is not, and its replacement.

use std::fs::File;
use std::os::unix::fs::FileExt;

use farpane_test_support::openssl::{Ca, Pair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::*;

/// The secret number of a P-256 key as its file has it, and as a processor does.
fn needles(key: &Path) -> [Vec<u8>; 2] {
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let der = key.secret_der();
    // SOURCE: RFC 5915: version 1, then an octet string of 32 bytes
    let head = [2, 1, 1, 4, 32];
    let at = der.windows(head.len()).position(|bytes| bytes == head).expect("a key of P-256") + head.len();
    let number = der[at..at + 32].to_vec();
    [number.clone(), number.into_iter().rev().collect()]
}

/// How often the needles lie in what a process can write; none where its memory cannot be read.
fn found(pid: u32, needles: &[Vec<u8>]) -> Option<usize> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let (mut count, mut read) = (0, 0);
    for line in maps.lines() {
        let mut words = line.split(' ');
        let (range, rights) = (words.next()?, words.next()?);
        let (from, to) = range.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        if !rights.starts_with("rw") {
            continue;
        }
        let mut bytes = vec![0; usize::try_from(to - from).ok()?];
        // what the kernel keeps to itself cannot be read by anybody
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            read += bytes.len();
            count += needles.iter().map(|n| bytes.windows(n.len()).filter(|w| *w == &n[..]).count()).sum::<usize>();
        }
    }
    (read > 0).then_some(count)
}

/// A server whose TLS key was used, and the key's bytes.
fn used(config: &str) -> (Desk, [Vec<u8>; 2]) {
    let desk = Desk::new(config, &["--security", "x509plain"]);
    let password = desk.password();
    goes_on(&mut desk.log_in(&desk.trust(), "ann", &password).expect("is let in"));
    let needles = needles(&desk.folder.path().join("state/tls.key"));
    (desk, needles)
}

#[test]
fn the_key_of_tls_is_never_in_the_process_that_reads_the_network() {
    // planted: without a sandbox there is one process, and the search finds the key in it
    let (open, its) = used("sandbox = \"off\"\n");
    let in_one = found(open.server.pid(), &its);
    let (desk, needles) = used("");
    let server = desk.server.pid();
    let holder = helper(server, "farpane-auth").expect("is there");
    let (in_server, in_holder) = (found(server, &needles), found(holder, &needles));
    if rustix::process::geteuid().is_root() && in_one.is_some() {
        assert!(in_one > Some(0), "the search finds what is there");
        assert!(in_holder > Some(0), "and where it belongs: {in_holder:?}");
        assert_eq!(in_server, Some(0));
    } else {
        assert_eq!((in_server, in_holder), (None, None), "nobody of the same user looks in");
    }
    // nor is a file of the state open in it but penalties
    let state = desk.folder.path().join("state");
    let open = std::fs::read_dir(format!("/proc/{server}/fd")).into_iter().flatten().flatten();
    let open = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let open: Vec<_> =
        open.filter(|path| path.starts_with(&state) && !path.starts_with(state.join("throttle"))).collect();
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn sighup_changes_the_certificate_of_a_shut_in_server_and_leaves_clients_alone() {
    let ca = Ca::new("Server CA");
    let (first, second) = (ca.issue("desk", "server", &[]), ca.issue("desk", "server", &[]));
    let live = Pair { certificate: ca.folder().join("live.pem"), key: ca.folder().join("live.key") };
    let put = |pair: &Pair| {
        // as certificate tools do: others in their place, not the same files with other bytes
        for (from, to) in [(&pair.certificate, &live.certificate), (&pair.key, &live.key)] {
            let new = to.with_extension("new");
            std::fs::copy(from, &new).and_then(|_| std::fs::rename(&new, to)).expect("is ours");
        }
    };
    put(&first);
    let (certificate, key) = (live.certificate.display(), live.key.display());
    let desk =
        Desk::new(&format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"), &["--security", "x509plain"]);
    let tls = Tls::new(&ca.certificate(), "127.0.0.1", None).expect("a client");
    let password = desk.password();
    let mut old = desk.log_in(&tls, "ann", &password).expect("is let in");
    goes_on(&mut old);
    // one that has only begun when the certificate changes
    let (mut begun, before) = desk.tls(&tls).expect("TLS");
    let hup = || kill_process(process(desk.server.pid()), Signal::HUP).expect("is ours");

    put(&second);
    hup();
    desk.server.wait_for_log("certificate loaded");
    let (_, after) = desk.tls(&tls).expect("TLS");
    assert_ne!(before.certificate, after.certificate);
    begun.plain("ann", &password).expect("sends");
    goes_on(&mut Client::proved(begun).expect("is let in"));
    goes_on(&mut old);

    for (file, text) in [(&live.key, "no key"), (&live.certificate, "no certificate")] {
        put(&second);
        std::fs::write(file, text).expect("is ours");
        let refusals = || {
            let name = file.display().to_string();
            let log = desk.server.log();
            let kept = |l: &&str| l.contains("certificate not loaded") && l.contains("the certificate in use stays");
            log.lines().filter(kept).filter(|l| l.contains(&name)).count()
        };
        hup();
        until("a line in the log", || refusals() == 1);
        assert_eq!(desk.tls(&tls).expect("TLS").1.certificate, after.certificate);
        goes_on(&mut desk.log_in(&tls, "ann", &password).expect("is let in"));
    }
    goes_on(&mut old);
    put(&first);
    hup();
    until("the first one again", || desk.tls(&tls).is_ok_and(|(_, facts)| facts.certificate == before.certificate));
}
