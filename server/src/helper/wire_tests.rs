use super::*;
use std::io::{Read, Seek};

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("a socket")
}

fn bytes(message: &impl Serialize) -> Vec<u8> {
    pack(message).expect("fits").0.to_vec()
}

fn file(text: &str) -> std::fs::File {
    let mut file = std::fs::File::from(
        rustix::fs::memfd_create("wire", rustix::fs::MemfdFlags::CLOEXEC).expect("memory for a file"),
    );
    file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("room");
    file
}

fn text(fd: OwnedFd) -> String {
    let mut text = String::new();
    std::fs::File::from(fd).read_to_string(&mut text).expect("readable");
    text
}

#[test]
fn messages_arrive_whole_and_in_order_with_their_own_descriptors() {
    let (a, b) = pair();
    let ((mut sender, _), (_, mut receiver)) = (ends(a), ends(b));
    let files = [file("one"), file("two"), file("three")];
    sender.send(&"first", &[files[0].as_fd()]).expect("sends");
    sender.send(&"x".repeat(MAX_MESSAGE - 2), &[]).expect("sends");
    sender.send(&"third", &[files[1].as_fd(), files[2].as_fd()]).expect("sends");
    let (first, mut fds) = receiver.receive::<String>(None).expect("a message");
    assert_eq!((first.as_str(), fds.len()), ("first", 1));
    assert!(rustix::io::fcntl_getfd(&fds[0]).expect("open").contains(rustix::io::FdFlags::CLOEXEC));
    assert_eq!(text(fds.remove(0)), "one");
    let (second, fds) = receiver.receive::<String>(None).expect("a message");
    assert_eq!((second.len(), fds.len()), (MAX_MESSAGE - 2, 0));
    let (_, fds) = receiver.receive::<String>(None).expect("a message");
    assert_eq!(fds.into_iter().map(text).collect::<Vec<_>>(), ["two", "three"]);
}

#[test]
fn what_is_too_large_is_not_sent_and_the_socket_stays_usable() {
    let (a, b) = pair();
    let ((mut sender, _), (_, mut receiver)) = (ends(a), ends(b));
    let said = sender.send(&"x".repeat(MAX_MESSAGE - 1), &[]).expect_err("too large");
    assert!(matches!(said, WireError::Size(_)), "{said}");
    sender.send(&7, &[]).expect("sends");
    assert_eq!(receiver.receive::<u8>(None).expect("a message").0, 7);
}

#[test]
fn lengths_out_of_range_are_refused_before_their_bytes_come() {
    for length in [0, MAX_MESSAGE as u32 + 1, u32::MAX] {
        let (mut a, b) = pair();
        a.write_all(&length.to_be_bytes()).expect("room");
        let said = ends(b).1.receive::<String>(None).expect_err("no such message");
        assert!(matches!(said, WireError::Size(n) if n == length as usize), "{said}");
    }
}

#[test]
fn an_end_at_every_byte_is_an_error() {
    let whole = bytes(&"hello");
    for cut in 0..whole.len() {
        let (mut a, b) = pair();
        a.write_all(&whole[..cut]).expect("room");
        drop(a);
        assert!(matches!(ends(b).1.receive::<String>(None), Err(WireError::Closed)), "cut at {cut}");
    }
}

#[test]
fn every_flipped_byte_is_an_error_or_another_message_and_never_more() {
    let whole = bytes(&serde_json::json!({"open": ["a", 1]}));
    for at in 0..whole.len() {
        for bit in 0..8 {
            let (mut a, b) = pair();
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            a.write_all(&bytes).expect("room");
            drop(a);
            let mut receiver = ends(b).1;
            if receiver.receive::<serde_json::Value>(None).is_ok() {
                assert!(receiver.receive::<serde_json::Value>(None).is_err());
            }
        }
    }
}

#[test]
fn an_error_repeats_nothing_of_the_message() {
    let (mut a, b) = pair();
    a.write_all(&bytes(&"hunter2")).expect("room");
    let said = ends(b).1.receive::<u32>(None).expect_err("a text is no number");
    assert!(!format!("{said} {said:?}").contains("hunter2"), "{said}");
}

#[test]
fn a_hung_peer_is_an_error_within_the_limit_before_and_amid_a_message() {
    let (mut a, b) = pair();
    let mut receiver = ends(b).1;
    let idle = Duration::from_millis(20);
    assert!(matches!(receiver.receive::<u8>(Some(idle)), Err(WireError::TooSlow(limit)) if limit == idle));
    a.write_all(&[0, 0]).expect("room");
    assert!(matches!(receiver.receive::<u8>(None), Err(WireError::TooSlow(MESSAGE_LIMIT))));
}

#[test]
fn a_peer_that_takes_nothing_is_an_error_and_ends_the_socket() {
    let (a, mut b) = pair();
    let mut sender = ends(a).0;
    let large = "x".repeat(MAX_MESSAGE - 2);
    let failed = (0..10_000).find_map(|_| sender.send(&large, &[]).err());
    assert!(matches!(failed, Some(WireError::TooSlow(_))), "{failed:?}");
    let mut rest = Vec::new();
    b.read_to_end(&mut rest).expect("an end");
}

#[test]
fn more_descriptors_than_may_come_are_an_error() {
    let (a, b) = pair();
    let file = file("x");
    let many = [file.as_fd(); MAX_DESCRIPTORS * 2];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS * 2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
    sendmsg(&a, &[IoSlice::new(&bytes(&1))], &mut control, SendFlags::empty()).expect("sends");
    assert!(matches!(ends(b).1.receive::<u8>(None), Err(WireError::Descriptors(..))));
    // a few with every byte are too many as well
    let (a, b) = pair();
    for byte in bytes(&"many") {
        send_some(a.as_fd(), &[byte], &many[..2]).expect("sends");
    }
    assert!(matches!(ends(b).1.receive::<String>(None), Err(WireError::Descriptors(..))));
}

fn in_runtime<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

#[test]
fn both_kinds_of_ends_understand_each_other() {
    in_runtime(async {
        let (a, b) = pair();
        let (mut sender, mut receiver) = async_ends(a).expect("a runtime");
        let echo = std::thread::spawn(move || {
            let (mut sender, mut receiver) = ends(b);
            let (message, fds) = receiver.receive::<String>(None).expect("a message");
            sender.send(&message, &fds.iter().map(AsFd::as_fd).collect::<Vec<_>>()).expect("sends");
        });
        let long = "y".repeat(9000);
        sender.send(&long, &[file("passed").as_fd()]).await.expect("sends");
        let (back, mut fds) = receiver.receive::<String>().await.expect("an echo");
        assert_eq!((back == long, text(fds.remove(0)).as_str()), (true, "passed"));
        echo.join().expect("ends");
        assert!(matches!(receiver.receive::<String>().await, Err(WireError::Closed)));
    });
}

#[test]
fn a_receive_that_was_given_up_loses_nothing() {
    in_runtime(async {
        let (mut a, b) = pair();
        let mut receiver = async_ends(b).expect("a runtime").1;
        for byte in bytes(&"slowly") {
            let waiting = tokio::time::timeout(Duration::from_millis(1), receiver.receive::<String>());
            assert!(waiting.await.is_err(), "not whole");
            a.write_all(&[byte]).expect("room");
        }
        assert_eq!(receiver.receive::<String>().await.expect("whole").0, "slowly");
    });
}

#[test]
fn a_peer_that_hangs_amid_a_message_is_an_error_in_a_runtime_too() {
    in_runtime(async {
        let (mut a, b) = pair();
        a.write_all(&[0]).expect("room");
        let said = async_ends(b).expect("a runtime").1.receive::<u8>().await;
        assert!(matches!(said, Err(WireError::TooSlow(_))));
    });
}

#[test]
fn a_message_is_handed_on_as_it_came_whatever_it_says() {
    let ((mut out, _first), (mut inn, mut on, last)) = {
        let (a, b) = UnixStream::pair().expect("a socket");
        let (c, d) = UnixStream::pair().expect("a socket");
        let (inn, on) = (ends(b).1, ends(c).0);
        (ends(a), (inn, on, d))
    };
    out.send_packed(&pack(&["a \"text\"", ""]).expect("fits")).expect("sends");
    let packed = inn.receive_packed(Some(Duration::from_secs(20))).expect("comes");
    for _ in 0..2 {
        on.send_packed(&packed).expect("sends");
    }
    let mut last = ends(last).1;
    for _ in 0..2 {
        let (came, _) = last.receive::<Vec<String>>(Some(Duration::from_secs(20))).expect("comes");
        assert_eq!(came, ["a \"text\"", ""]);
    }
}
