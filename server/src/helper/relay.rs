//! Datagrams through the process that opens: a socket that sends to one place cannot be had by the server itself.
//!
//! Whoever holds a datagram socket can send to any address with it, whatever it is connected to. The server therefore gets one end of
//! a pair of sockets that are connected to each other and to nothing else; a thread beside the datagram socket sends what comes
//! out of the other end, and answers each datagram with a byte once the system took it. When it does not, the pair is closed.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

/// A datagram is shorter than this.
const TOO_LONG: usize = 64 * 1024;
/// Pairs at once in one process.
const MOST: usize = 64;
/// Sending one may take this long.
pub(super) const SEND_LIMIT: Duration = Duration::from_secs(3);
/// The word that it was sent comes after this long at the latest.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Counts a pair as long as it lives.
struct Counted;

impl Counted {
    fn new() -> io::Result<Self> {
        let counted = Counted;
        if OPEN.fetch_add(1, Ordering::Relaxed) < MOST { Ok(counted) } else { Err(io::ErrorKind::ResourceBusy.into()) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The end of a pair whose datagrams are sent by `send`. Starts a thread, which ends with the pair.
pub(super) fn relay(send: impl Fn(&[u8]) -> io::Result<usize> + Send + 'static) -> io::Result<OwnedFd> {
    let counted = Counted::new()?;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let run = move || {
        let _counted = counted;
        hand_on(&ours.into(), send);
    };
    std::thread::Builder::new().name("farpane-relay".into()).spawn(run)?;
    Ok(theirs)
}

fn hand_on(from: &UnixDatagram, send: impl Fn(&[u8]) -> io::Result<usize>) {
    let mut room = vec![0; TOO_LONG];
    loop {
        let taken = match from.recv(&mut room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // what fills the room may have been longer
            Ok(length) if length > 0 && length < TOO_LONG => send(room.get(..length).unwrap_or_default()),
            Ok(_) | Err(_) => return,
        };
        if taken.is_err() || from.send(&[0]).is_err() {
            return;
        }
    }
}

/// The server's end: sends datagrams to one place.
#[derive(Debug)]
pub struct Relay(UnixDatagram);

impl Relay {
    /// Over what an opener gave for datagrams.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn over(end: OwnedFd) -> io::Result<Self> {
        let socket = UnixDatagram::from(end);
        socket.set_write_timeout(Some(ANSWER_LIMIT))?;
        socket.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Relay(socket))
    }

    /// Sends one datagram, and waits until the system has taken it.
    ///
    /// # Errors
    /// When it did not; this end is of no use then.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.send(bytes)?;
        match self.0.recv(&mut [0])? {
            0 => Err(io::ErrorKind::NotConnected.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn each_datagram_is_sent_whole_and_one_that_cannot_be_ends_the_pair() {
        let (sent, came) = channel();
        let relay = Relay::over(
            relay(move |bytes| {
                if bytes == b"bad" {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                sent.send(bytes.to_vec()).map(|()| bytes.len()).map_err(io::Error::other)
            })
            .expect("a pair"),
        )
        .expect("an end");
        relay.send(b"one").expect("is sent");
        relay.send(&[7; 9000]).expect("is sent");
        assert_eq!(came.recv().expect("came"), b"one");
        assert_eq!(came.recv().expect("came"), [7; 9000]);
        assert!(relay.send(b"bad").is_err());
        assert!(relay.send(b"good").is_err(), "the pair is closed");
        assert!(came.recv().is_err(), "nothing else came, and the thread has ended");
    }

    #[test]
    fn one_that_is_too_long_is_not_cut_but_refused() {
        let (sent, came) = channel();
        let end = relay(move |bytes| sent.send(bytes.len()).map(|()| 0).map_err(io::Error::other)).expect("a pair");
        assert!(Relay::over(end).expect("an end").send(&vec![1; TOO_LONG + 1]).is_err());
        assert!(came.recv().is_err());
    }

    #[test]
    fn the_servers_end_is_no_datagram_socket_and_reaches_no_other_address() {
        let folder = std::env::temp_dir().join(format!("farpane-relay-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let other = UnixDatagram::bind(folder.join("other")).expect("a socket");
        other.set_nonblocking(true).expect("a flag");
        let end = relay(|bytes| Ok(bytes.len())).expect("a pair");
        assert_eq!(rustix::net::sockopt::socket_type(&end).expect("a type"), SocketType::SEQPACKET);
        // the kernel may refuse or take it for the other end; it does not go where it says
        let _ = UnixDatagram::from(end).send_to(b"astray", folder.join("other"));
        let came = other.recv(&mut [0; 16]).map_err(|error| error.kind());
        std::fs::remove_dir_all(&folder).expect("ours");
        assert_eq!(came, Err(io::ErrorKind::WouldBlock));
    }
}
