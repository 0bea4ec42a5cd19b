//! Reaching an X server: by its display's name, or over a socket that somebody else has connected.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use x11rb::reexports::x11rb_protocol::parse_display::{ConnectAddress, parse_display};
use x11rb::rust_connection::{DefaultStream, RustConnection};

use super::X11Error;
use super::auth::{self, Peer};

/// Opens a display by its name (`:1`, `host:0.1`), with the cookie that the authority file has for it.
///
/// Returns the connection and the number of the screen that the name asks for.
///
/// # Errors
/// When the name has another form, nobody answers, or the server refuses.
pub fn connect(display: &str, xauthority: Option<&Path>) -> Result<(RustConnection, usize), X11Error> {
    let parsed = parse_display(Some(display)).map_err(|_| X11Error::DisplayName(display.to_owned()))?;
    let fail = |reason: String| X11Error::Unreachable { display: display.to_owned(), reason };
    let file = match xauthority {
        None => Vec::new(),
        Some(path) => std::fs::read(path).map_err(|e| fail(format!("{}: {e}", path.display())))?,
    };
    let mut reason = String::new();
    for address in parsed.connect_instruction() {
        let stream = match DefaultStream::connect(&address) {
            Ok((stream, _)) => stream,
            Err(error) => {
                let what = match &address {
                    ConnectAddress::Socket(path) => path.clone(),
                    ConnectAddress::Hostname(host, port) => format!("{host}:{port}"),
                    _ => display.to_owned(),
                };
                if reason.is_empty() {
                    reason = format!("{what}: {error}");
                }
                continue;
            }
        };
        let cookie = auth::cookie(&file, &peer(&stream), parsed.display);
        let connection = greet(stream, usize::from(parsed.screen), cookie).map_err(fail)?;
        return Ok((connection, usize::from(parsed.screen)));
    }
    Err(fail(reason))
}

/// Speaks to an X server over a connected stream socket, with the bytes of an authority file (may be empty).
///
/// # Errors
/// When the descriptor is no stream socket, or the server refuses.
pub fn connect_over(
    socket: OwnedFd,
    authority: &[u8],
    display: u16,
    screen: usize,
) -> Result<RustConnection, X11Error> {
    let fail = |reason: String| X11Error::Unreachable { display: format!(":{display}"), reason };
    let domain = rustix::net::sockopt::socket_domain(&socket).map_err(|e| fail(e.to_string()))?;
    let stream = if domain == rustix::net::AddressFamily::UNIX {
        DefaultStream::from_unix_stream(UnixStream::from(socket))
    } else {
        DefaultStream::from_tcp_stream(std::net::TcpStream::from(socket))
    };
    let (stream, _) = stream.map_err(|e| fail(e.to_string()))?;
    let cookie = auth::cookie(authority, &peer(&stream), display);
    greet(stream, screen, cookie).map_err(fail)
}

fn greet(stream: DefaultStream, screen: usize, cookie: Option<Vec<u8>>) -> Result<RustConnection, String> {
    let (name, data) = cookie.map_or((Vec::new(), Vec::new()), |data| (auth::SCHEME.to_vec(), data));
    RustConnection::connect_to_stream_with_auth_info(stream, screen, name, data).map_err(|e| e.to_string())
}

/// What authority files call the other end; over loopback that is the machine itself.
fn peer(stream: &DefaultStream) -> Peer {
    use std::os::fd::AsFd;
    let local = || Peer::local(&rustix::system::uname().nodename().to_string_lossy());
    let Ok(Some(address)) = rustix::net::getpeername(stream.as_fd()) else { return local() };
    match std::net::SocketAddr::try_from(address).map(|a| a.ip()) {
        Ok(IpAddr::V4(ip)) if !ip.is_loopback() => Peer { family: 0, address: ip.octets().to_vec() },
        Ok(IpAddr::V6(ip)) if !ip.is_loopback() => match ip.to_ipv4_mapped() {
            Some(v4) => Peer { family: 0, address: v4.octets().to_vec() },
            None => Peer { family: 6, address: ip.octets().to_vec() },
        },
        _ => local(),
    }
}
