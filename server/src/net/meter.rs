//! How many bytes a TCP connection holds that its peer has not acknowledged, asked of the kernel through `sock_diag`.
//!
//! One question and one answer over a netlink socket: what `SIOCOUTQ` tells, for any process and without unsafe code. A system
//! that does not answer (no `inet_diag`, a sandbox) is asked once and then left alone.
//!
//! SOURCE: `linux/inet_diag.h`, `sock_diag(7)`.

use std::net::{IpAddr, SocketAddr};

use rustix::fd::OwnedFd;
use rustix::net::netlink::SOCK_DIAG;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// `SOCK_DIAG_BY_FAMILY`, the type of question and answer.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// Bytes of a question: the netlink header, `inet_diag_req_v2`.
const QUESTION: usize = 16 + 56;
/// Where `idiag_wqueue` lies in an answer: behind the netlink header, four bytes, the socket's name and two counters.
const WAITING_AT: usize = 16 + 4 + 48 + 8;

/// Asks after one connection.
#[derive(Debug)]
pub struct Meter {
    netlink: OwnedFd,
    question: [u8; QUESTION],
}

impl Meter {
    /// A meter of the connection between these addresses; none when the system does not answer.
    pub fn new(local: SocketAddr, peer: SocketAddr) -> Option<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let netlink = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG)).ok()?;
        let meter = Self { netlink, question: question(local, peer)? };
        meter.unacknowledged()?;
        Some(meter)
    }

    /// Bytes that were written and not acknowledged; none when the connection is gone.
    pub fn unacknowledged(&self) -> Option<usize> {
        // a netlink socket that is connected to nothing speaks to the kernel
        send(&self.netlink, &self.question, SendFlags::empty()).ok()?;
        // the answer is there when the question was taken
        let mut answer = [0u8; 1024];
        let (len, _) = recv(&self.netlink, &mut answer, RecvFlags::DONTWAIT).ok()?;
        read_answer(answer.get(..len)?)
    }
}

/// `inet_diag_req_v2` for exactly one socket, behind a netlink header.
fn question(local: SocketAddr, peer: SocketAddr) -> Option<[u8; QUESTION]> {
    let mut bytes = Vec::with_capacity(QUESTION);
    bytes.extend_from_slice(&u32::try_from(QUESTION).ok()?.to_ne_bytes());
    bytes.extend_from_slice(&BY_FAMILY.to_ne_bytes());
    bytes.extend_from_slice(&REQUEST.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    let family = if local.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    bytes.extend_from_slice(&[u8::try_from(family.as_raw()).ok()?, TCP, 0, 0]);
    // in whatever state it is
    bytes.extend_from_slice(&u32::MAX.to_ne_bytes());
    bytes.extend_from_slice(&local.port().to_be_bytes());
    bytes.extend_from_slice(&peer.port().to_be_bytes());
    for address in [local.ip(), peer.ip()] {
        match address {
            IpAddr::V4(v4) => {
                bytes.extend_from_slice(&v4.octets());
                bytes.extend_from_slice(&[0; 12]);
            }
            IpAddr::V6(v6) => bytes.extend_from_slice(&v6.octets()),
        }
    }
    // any interface, and no cookie
    bytes.extend_from_slice(&0u32.to_ne_bytes());
    bytes.extend_from_slice(&[0xff; 8]);
    bytes.try_into().ok()
}

/// The count in an answer; none for an error message.
fn read_answer(bytes: &[u8]) -> Option<usize> {
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let waiting = bytes.get(WAITING_AT..WAITING_AT + 4)?;
    (kind == BY_FAMILY).then_some(())?;
    usize::try_from(u32::from_ne_bytes(waiting.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn pair(at: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(at).expect("a listener");
        let near = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        (listener.accept().expect("a connection").0, near)
    }

    #[test]
    fn what_a_peer_does_not_take_is_counted_and_then_gone() {
        let (mut ours, mut theirs) = pair("127.0.0.1:0");
        let meter = Meter::new(ours.local_addr().expect("local"), ours.peer_addr().expect("peer"));
        // a system without inet_diag is a system without a meter: there is nothing to test there
        let Some(meter) = meter else {
            let required = std::env::var("FARPANE_REQUIRE_ALL").is_ok_and(|v| v == "1");
            assert!(!required, "the kernel has no inet_diag (load the module tcp_diag)");
            return;
        };
        assert_eq!(meter.unacknowledged(), Some(0));
        ours.set_nonblocking(true).expect("a socket");
        let mut written = 0;
        while let Ok(n) = ours.write(&[7; 65_536]) {
            written += n;
        }
        let waiting = meter.unacknowledged().expect("a count");
        assert!((1..=written).contains(&waiting), "{waiting} of {written}");
        let mut left = vec![0; written];
        theirs.read_exact(&mut left).expect("all of it");
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while meter.unacknowledged() != Some(0) {
            assert!(std::time::Instant::now() < end, "never acknowledged");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_connection_that_is_not_there_has_no_meter() {
        let nobody: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        assert!(Meter::new(nobody, nobody).is_none());
        assert_eq!(read_answer(&[0; 200]), None);
        assert_eq!(read_answer(&[20; 10]), None);
    }
}
