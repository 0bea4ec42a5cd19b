//! PROXY protocol version 2: how a listed proxy tells for whom it speaks.
//!
//! Only peers in the list are asked, and those must send a header; anybody else's header is bytes like any others. The parser
//! looks at what came so far and says what it needs, so that not one byte behind the header is taken.
//!
//! SOURCE: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, section 2.2.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes before the addresses.
const FIXED: usize = 16;
/// Longest header, with everything that a proxy adds.
pub const MAX_HEADER: usize = 4096;

/// For whom a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxiedFor {
    /// For itself: it looks whether the server is there.
    Itself,
    /// For this peer.
    Peer(SocketAddr),
    /// For somebody without an address (a Unix socket), or it does not know.
    Unknown,
}

/// Where reading a header stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyStep {
    /// The header goes on at least until it has so many bytes.
    Need(usize),
    /// It is whole and has so many bytes.
    Done(ProxiedFor, usize),
}

/// What is wrong with a header.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// There is none.
    #[error("no PROXY header of version 2, which a listed proxy must send (in HAProxy: send-proxy-v2)")]
    Missing,
    /// It has another version.
    #[error("PROXY version {0} (expected 2)")]
    Version(u8),
    /// It has an unknown command.
    #[error("PROXY command {0} (expected 0 or 1)")]
    Command(u8),
    /// It speaks of something else than a stream.
    #[error("PROXY address family and protocol {0:#04x} (expected a stream over IPv4, IPv6 or a Unix socket)")]
    Family(u8),
    /// It is too long.
    #[error("PROXY header of {0} bytes (expected at most {MAX_HEADER})")]
    TooLong(usize),
    /// Its addresses do not fit in.
    #[error("PROXY header with {0} bytes for addresses (expected at least {1})")]
    TooShort(usize, usize),
    /// It took too long.
    #[error("no PROXY header within {0} s, which a listed proxy must send")]
    TooSlow(u64),
    /// The connection broke.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

/// The peer of addresses that are `len` bytes long each.
fn peer(body: &[u8], len: usize) -> Option<SocketAddr> {
    let source = body.get(..len)?;
    let port = word(body, len.checked_mul(2)?)?;
    let ip = match len {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(source).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(source).ok()?)),
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

/// Reads as much of a header as is there.
///
/// # Errors
/// As soon as the bytes cannot become a header.
pub fn parse(bytes: &[u8]) -> Result<ProxyStep, ProxyError> {
    if bytes.iter().zip(SIGNATURE).any(|(is, should)| *is != should) {
        return Err(ProxyError::Missing);
    }
    let (Some(version_command), Some(family), Some(len)) = (bytes.get(12), bytes.get(13), word(bytes, 14)) else {
        return Ok(ProxyStep::Need(FIXED));
    };
    if version_command >> 4 != 2 {
        return Err(ProxyError::Version(version_command >> 4));
    }
    let local = match version_command & 0x0f {
        0 => true,
        1 => false,
        other => return Err(ProxyError::Command(other)),
    };
    let len = usize::from(len);
    let total = FIXED.saturating_add(len);
    if total > MAX_HEADER {
        return Err(ProxyError::TooLong(total));
    }
    // addresses of both ends, and their ports or paths
    let least = match family {
        _ if local => 0,
        0x00..=0x0f => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        other => return Err(ProxyError::Family(*other)),
    };
    if len < least {
        return Err(ProxyError::TooShort(len, least));
    }
    let Some(body) = bytes.get(FIXED..total) else { return Ok(ProxyStep::Need(total)) };
    let speaks = match family {
        _ if local => ProxiedFor::Itself,
        0x11 => peer(body, 4).map_or(ProxiedFor::Unknown, ProxiedFor::Peer),
        0x21 => peer(body, 16).map_or(ProxiedFor::Unknown, ProxiedFor::Peer),
        _ => ProxiedFor::Unknown,
    };
    Ok(ProxyStep::Done(speaks, total))
}

/// Takes a header off a stream, and nothing behind it.
///
/// # Errors
/// When none comes within `limit`, or it is wrong.
pub async fn read(stream: &mut (impl AsyncRead + Unpin), limit: Duration) -> Result<ProxiedFor, ProxyError> {
    let whole = async {
        let mut bytes = Vec::with_capacity(FIXED);
        loop {
            match parse(&bytes)? {
                ProxyStep::Done(speaks, _) => return Ok(speaks),
                ProxyStep::Need(total) => {
                    let missing = total.saturating_sub(bytes.len());
                    let mut more = stream.take(u64::try_from(missing).unwrap_or(0));
                    if more.read_buf(&mut bytes).await? == 0 {
                        return Err(ProxyError::Missing);
                    }
                }
            }
        }
    };
    tokio::time::timeout(limit, whole).await.map_err(|_| ProxyError::TooSlow(limit.as_secs()))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[version_command, family], &len, body].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 5, 0xc3, 0x50, 0x17, 0x0c];

    fn v6() -> Vec<u8> {
        let source: Ipv6Addr = "2001:db8::7".parse().unwrap();
        [&source.octets()[..], &[0; 16], &[0xc3, 0x50], &[0x17, 0x0c]].concat()
    }

    fn speaks(bytes: &[u8]) -> ProxiedFor {
        match parse(bytes).unwrap() {
            ProxyStep::Done(speaks, used) => {
                assert_eq!(used, bytes.len());
                speaks
            }
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn every_kind_of_header_is_read() {
        let peer = |text: &str| ProxiedFor::Peer(text.parse().unwrap());
        assert_eq!(speaks(&header(0x21, 0x11, &V4)), peer("192.0.2.7:50000"));
        assert_eq!(speaks(&header(0x21, 0x21, &v6())), peer("[2001:db8::7]:50000"));
        let tlv = [3, 0, 4, 1, 2, 3, 4, 4, 0, 0];
        assert_eq!(speaks(&header(0x21, 0x11, &[&V4[..], &tlv].concat())), peer("192.0.2.7:50000"));
        assert_eq!(speaks(&header(0x21, 0x31, &[7; 216])), ProxiedFor::Unknown);
        assert_eq!(speaks(&header(0x21, 0x00, &[])), ProxiedFor::Unknown);
        assert_eq!(speaks(&header(0x20, 0x00, &[])), ProxiedFor::Itself);
        assert_eq!(speaks(&header(0x20, 0x77, &[1, 2, 3])), ProxiedFor::Itself, "what a local one says is skipped");
        let mapped: Ipv6Addr = "::ffff:192.0.2.7".parse().unwrap();
        let mut body = v6();
        body[..16].copy_from_slice(&mapped.octets());
        assert_eq!(speaks(&header(0x21, 0x21, &body)), peer("192.0.2.7:50000"));
    }

    #[test]
    fn wrong_headers_are_refused_as_soon_as_they_show() {
        let says = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
        for bytes in [&b"RFB 003.008\n"[..], b"PROXY TCP4 192.0.2.7 10.0.0.5 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\r", b"G"] {
            assert!(says(bytes).starts_with("no PROXY header"), "{bytes:?}");
        }
        assert!(says(&header(0x11, 0x11, &V4)).contains("version 1"));
        assert!(says(&header(0x22, 0x11, &V4)).contains("command 2"));
        for family in [0x12, 0x22, 0x32, 0x41, 0x10, 0xff] {
            assert!(says(&header(0x21, family, &[0; 300])).contains(&format!("{family:#04x}")));
        }
        assert!(says(&header(0x21, 0x11, &V4[..11])).contains("11 bytes"));
        assert!(says(&header(0x21, 0x21, &V4)).contains("at least 36"));
        assert!(says(&header(0x21, 0x31, &[0; 215])).contains("at least 216"));
        let long = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
        assert!(says(&long).contains("at most 4096"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_header_in_pieces_says_the_same_and_no_byte_behind_it_is_taken(cut in 1usize..60, behind in 0usize..9) {
            let bytes = [header(0x21, 0x21, &v6()), vec![b'R'; behind]].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let (speaks, rest) = runtime.block_on(async {
                let mut pieces = in_pieces(&bytes, cut);
                let speaks = read(&mut pieces, Duration::from_secs(60)).await.unwrap();
                let mut rest = Vec::new();
                pieces.read_to_end(&mut rest).await.unwrap();
                (speaks, rest)
            });
            prop_assert_eq!(speaks, ProxiedFor::Peer("[2001:db8::7]:50000".parse().unwrap()));
            prop_assert_eq!(rest.len(), behind);
            for end in 0..52 {
                prop_assert!(matches!(parse(&bytes[..end]), Ok(ProxyStep::Need(n)) if n > end && n <= 52), "{}", end);
            }
        }
    }

    /// A stream of the bytes that gives at most `cut` at a time.
    fn in_pieces(bytes: &[u8], cut: usize) -> impl AsyncRead + Unpin {
        let (mut near, far) = tokio::io::duplex(cut);
        let bytes = bytes.to_vec();
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            near.write_all(&bytes).await.unwrap();
        });
        far
    }

    #[test]
    fn a_proxy_that_says_nothing_or_goes_is_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (_near, mut far) = tokio::io::duplex(9);
            assert!(matches!(read(&mut far, Duration::from_millis(5)).await, Err(ProxyError::TooSlow(_))));
            let mut gone = &header(0x21, 0x11, &V4)[..20];
            assert!(matches!(read(&mut gone, Duration::from_secs(60)).await, Err(ProxyError::Missing)));
        });
    }
}
