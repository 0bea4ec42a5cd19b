//! The addresses of one network interface, asked of the kernel, and its word when any address or interface changes.
//!
//! Two netlink sockets: one that only hears (`RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`), one that asks. What
//! is heard is never read as such: it only says that it is time to ask again, so a lost message costs nothing.
//!
//! SOURCE: `rtnetlink(7)`, `linux/if_addr.h`.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::task::{Context, Poll, ready};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with};
use tokio::io::unix::AsyncFd;

use super::iface_name::IfaceName;

/// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR`.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// `RTM_NEWADDR`, the type of an answer that is an address.
const NEW_ADDRESS: u16 = 20;
/// `RTM_GETADDR`.
const GET_ADDRESS: u16 = 22;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x1 | 0x300;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `NLMSG_DONE`.
const DONE: u16 = 3;
/// Bytes of a netlink header and of `ifaddrmsg` behind it.
const HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
/// `IFA_ADDRESS`, `IFA_LOCAL`, `IFA_FLAGS`.
const ATTR_ADDRESS: u16 = 1;
const ATTR_LOCAL: u16 = 2;
const ATTR_FLAGS: u16 = 8;
/// `IFA_F_OPTIMISTIC`: can be bound while the kernel still looks for a twin.
const OPTIMISTIC: u32 = 0x04;
/// `IFA_F_DADFAILED | IFA_F_TENTATIVE`: cannot be bound, or not yet; the kernel tells when that changes.
const UNFIT: u32 = 0x08 | 0x40;
/// The kernel sends a dump in pieces of at most this size.
const PIECE: usize = 32 * 1024;
/// Pieces of one dump at most: more addresses than any machine has.
const MAX_PIECES: usize = 1024;

/// Asks for addresses, and holds what hears of changes until somebody listens.
#[derive(Debug)]
pub(super) struct Routes {
    heard: OwnedFd,
    asked: OwnedFd,
}

impl Routes {
    /// Opens both sockets. Needs no runtime.
    ///
    /// # Errors
    /// Where netlink is refused.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let open = || socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None);
        let heard = open()?;
        bind(&heard, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Routes { heard, asked: open()? })
    }

    /// The addresses that can be bound on the interface of that name, with their scope, and the interface's number; no addresses
    /// and 0 when there is no such interface.
    ///
    /// # Errors
    /// Where netlink is refused, or its answer is not understood.
    pub(super) fn addresses(&self, name: IfaceName, port: u16) -> io::Result<(BTreeSet<SocketAddr>, u32)> {
        addresses(&self.asked, name, port)
    }

    /// Waits for changes from now on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system has no resources left.
    pub(super) fn listen(self) -> io::Result<LiveRoutes> {
        #[expect(
            deprecated,
            reason = "unsound for what can change its descriptor; an OwnedFd cannot, and `register` is unsafe"
        )]
        let heard = AsyncFd::new(self.heard)?;
        Ok(LiveRoutes { heard, asked: self.asked })
    }
}

/// Hears of changes and asks for addresses.
#[derive(Debug)]
pub(super) struct LiveRoutes {
    heard: AsyncFd<OwnedFd>,
    asked: OwnedFd,
}

impl LiveRoutes {
    /// Ready once anything changed since the last call.
    pub(super) fn poll_changed(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut changed = false;
        loop {
            match self.heard.poll_read_ready(cx) {
                Poll::Pending if changed => return Poll::Ready(Ok(())),
                polled => {
                    let mut guard = ready!(polled)?;
                    let mut buffer = [0; 8192];
                    loop {
                        match recv(&self.heard, &mut buffer, RecvFlags::DONTWAIT) {
                            // messages were lost: that, too, says that something changed
                            Ok(_) | Err(Errno::NOBUFS) => changed = true,
                            Err(Errno::INTR) => {}
                            Err(Errno::AGAIN) => break guard.clear_ready(),
                            Err(error) => return Poll::Ready(Err(error.into())),
                        }
                    }
                }
            }
        }
    }

    /// As [`Routes::addresses`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn addresses(&self, name: IfaceName, port: u16) -> io::Result<(BTreeSet<SocketAddr>, u32)> {
        addresses(&self.asked, name, port)
    }
}

fn addresses(asked: &OwnedFd, name: IfaceName, port: u16) -> io::Result<(BTreeSet<SocketAddr>, u32)> {
    let Some(index) = index_of(asked, name)? else { return Ok((BTreeSet::new(), 0)) };
    let mut buffer = vec![0; PIECE];
    // what an earlier dump that failed half way left behind
    while recv(asked, &mut buffer, RecvFlags::DONTWAIT).is_ok() {}
    // a netlink socket that is connected to nothing speaks to the kernel
    send(asked, &question(), SendFlags::empty())?;
    let mut found = BTreeSet::new();
    for _ in 0..MAX_PIECES {
        // a dump goes on whenever it is read: the next piece is there at once
        let (len, _) = recv(asked, &mut buffer, RecvFlags::DONTWAIT)?;
        let piece = buffer.get(..len).unwrap_or_default();
        if read_piece(piece, index, port, &mut found)? {
            return Ok((found, index));
        }
    }
    Err(strange("too long"))
}

/// The number of an interface; none when there is none of that name.
///
/// # Errors
/// What the system says.
pub(super) fn index_of(socket: &OwnedFd, name: IfaceName) -> io::Result<Option<u32>> {
    match name_to_index(socket, name.as_str()) {
        Ok(index) => Ok(Some(index)),
        Err(Errno::NODEV) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn strange(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the kernel's list of addresses is {what}"))
}

/// Asks for all addresses of both families.
fn question() -> [u8; HEADER + ADDRESS_HEADER] {
    let mut bytes = [0; HEADER + ADDRESS_HEADER];
    let length = (HEADER + ADDRESS_HEADER) as u32;
    let fields = length.to_ne_bytes().into_iter().chain(GET_ADDRESS.to_ne_bytes()).chain(DUMP.to_ne_bytes());
    bytes.iter_mut().zip(fields).for_each(|(to, byte)| *to = byte);
    bytes
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Netlink counts in steps of four bytes.
fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// Takes the fit addresses of interface `index` out of one piece of a dump; true when it was the last one.
fn read_piece(mut piece: &[u8], index: u32, port: u16, found: &mut BTreeSet<SocketAddr>) -> io::Result<bool> {
    while !piece.is_empty() {
        let length = u32_at(piece, 0).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let message = piece.get(..length).filter(|m| m.len() >= HEADER).ok_or_else(|| strange("cut short"))?;
        let body = message.get(HEADER..).unwrap_or_default();
        match u16_at(message, 4) {
            Some(DONE) => return Ok(true),
            Some(ERROR) => {
                let code = u32_at(body, 0).map_or(0, |code| (code as i32).saturating_neg());
                return Err(io::Error::from_raw_os_error(code));
            }
            Some(NEW_ADDRESS) => found.extend(read_address(body, index, port)),
            _ => {}
        }
        piece = piece.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

/// One address, if it is on interface `index` and can be bound.
fn read_address(body: &[u8], index: u32, port: u16) -> Option<SocketAddr> {
    if u32_at(body, 4)? != index {
        return None;
    }
    let mut flags = u32::from(*body.get(2)?);
    let (mut address, mut local) = (None, None);
    let mut rest = body.get(ADDRESS_HEADER..)?;
    while let Some(length) = u16_at(rest, 0).map(usize::from).filter(|n| *n >= 4) {
        let value = rest.get(4..length)?;
        match u16_at(rest, 2)? {
            ATTR_ADDRESS => address = ip(value),
            ATTR_LOCAL => local = ip(value),
            ATTR_FLAGS => flags = u32_at(value, 0)?,
            _ => {}
        }
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    if flags & UNFIT != 0 && flags & OPTIMISTIC == 0 {
        return None;
    }
    // on a link between two points IFA_ADDRESS is the other end
    Some(match local.or(address)? {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, port, 0, index).into(),
        plain => SocketAddr::new(plain, port),
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(|b| IpAddr::V4(Ipv4Addr::from(b)));
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(|b| IpAddr::V6(Ipv6Addr::from(b))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(value.len() + 4).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(body.len() + HEADER).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn address(index: u32, flags: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![2, 24, flags, 0];
        body.extend(index.to_ne_bytes());
        attributes.iter().for_each(|a| body.extend(a));
        message(NEW_ADDRESS, &body)
    }

    fn read(piece: &[u8]) -> io::Result<(Vec<String>, bool)> {
        let mut found = BTreeSet::new();
        let last = read_piece(piece, 7, 5900, &mut found)?;
        Ok((found.iter().map(SocketAddr::to_string).collect(), last))
    }

    #[test]
    fn fit_addresses_of_the_interface_are_taken_and_no_others() {
        let global: Ipv6Addr = "fd00::1".parse().unwrap();
        let link: Ipv6Addr = "fe80::2".parse().unwrap();
        let mut dump = address(7, 0, &[attribute(ATTR_ADDRESS, &[10, 0, 0, 9]), attribute(ATTR_LOCAL, &[10, 0, 0, 1])]);
        dump.extend(address(8, 0, &[attribute(ATTR_LOCAL, &[192, 0, 2, 1])]));
        dump.extend(address(7, 0x40, &[attribute(ATTR_ADDRESS, &[9; 16])]));
        dump.extend(address(7, 0, &[attribute(ATTR_ADDRESS, &[8; 16]), attribute(ATTR_FLAGS, &0x48u32.to_ne_bytes())]));
        dump.extend(address(7, 0x80, &[attribute(ATTR_ADDRESS, &global.octets()), attribute(3, b"wg0\0")]));
        dump.extend(address(7, 0x44, &[attribute(ATTR_ADDRESS, &link.octets())]));
        dump.extend(message(16, &[0; 40]));
        let wanted = ["10.0.0.1:5900", "[fd00::1]:5900", "[fe80::2%7]:5900"].map(str::to_owned).to_vec();
        assert_eq!(read(&dump).unwrap(), (wanted.clone(), false));
        dump.extend(message(DONE, &[0; 4]));
        assert_eq!(read(&dump).unwrap(), (wanted, true));
    }

    #[test]
    fn a_refusal_and_a_cut_answer_are_errors() {
        let refused = read(&message(ERROR, &(-13i32).to_ne_bytes())).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(13));
        let whole = address(7, 0, &[attribute(ATTR_LOCAL, &[10, 0, 0, 1])]);
        assert_eq!(read(&whole[..whole.len() - 4]).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(&[0; 16]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_kernel_tells_the_addresses_of_loopback_and_of_no_other() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            // a sandbox without netlink has nothing to test
            let Ok(routes) = Routes::open() else {
                let required = std::env::var("FARPANE_REQUIRE_ALL").is_ok_and(|v| v == "1");
                assert!(!required, "netlink is refused");
                return;
            };
            let (found, index) = routes.addresses("lo".parse().unwrap(), 5900).unwrap();
            assert_ne!(index, 0);
            assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 5900), "{found:?}");
            assert!(found.contains(&"127.0.0.1:5900".parse().unwrap()), "{found:?}");
            assert_eq!(routes.addresses("no-such-iface".parse().unwrap(), 5900).unwrap(), (BTreeSet::new(), 0));
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn no_answer_panics_or_runs_on(mut piece in proptest::collection::vec(any::<u8>(), 0..200), length in 0u32..210) {
            let _ = read(&piece);
            if let Some(head) = piece.get_mut(..6) {
                head[..4].copy_from_slice(&length.to_ne_bytes());
                head[4..].copy_from_slice(&NEW_ADDRESS.to_ne_bytes());
            }
            let _ = read(&piece);
        }
    }
}
