//! The X server of a desktop: Xvfb, whose picture lies in a file that is read in place.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::child::{Child, command, how};
use super::parts::{AUTHORITY, PICTURES};
use super::screen::Screen;
use super::{DesktopError, Place, Wish};
use crate::helper::THIS_PROGRAM;

/// The subcommand that gives an X server's desktop a size.
pub const RESIZE: &str = "desktop-resize";

/// How long it may take to come up.
const READY: Duration = Duration::from_secs(20);

/// An Xauthority file that names no host and no display: whatever has this file may come in.
///
/// SOURCE: libXau, `Xauth.h`: family (65535 is any), then address, number, name and data, each with its length, all big-endian.
fn authority(cookie: &[u8; 16]) -> Vec<u8> {
    let mut out = u16::MAX.to_be_bytes().to_vec();
    for field in [&b""[..], b"", b"MIT-MAGIC-COOKIE-1", cookie] {
        out.extend_from_slice(&(field.len() as u16).to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

/// Starts it on a display that is free, at the largest size that it is ever to have, and then gives it its size.
pub(super) async fn start(wish: &Wish, place: &Place, log: &File) -> Result<Screen, DesktopError> {
    let mut cookie = [0; 16];
    getrandom::fill(&mut cookie).map_err(|error| DesktopError::Io("no random numbers".into(), error.into()))?;
    let authority = place.write(AUTHORITY, &authority(&cookie))?.display().to_string();
    let pictures = place.folder(PICTURES)?;
    let start = || {
        let mut xvfb = command("Xvfb", log)?;
        // -noreset: modes and monitors stay when the last client leaves
        xvfb.args(["-displayfd", "1", "-noreset", "-nolisten", "tcp", "-auth", &authority, "-screen", "0"]);
        xvfb.arg(format!("{}x{}x24", wish.largest.w, wish.largest.h)).arg("-fbdir").arg(&pictures);
        Child::start(xvfb.stdout(Stdio::piped()))
    };
    let mut child = start().map_err(DesktopError::io("Xvfb"))?;
    let mut said = String::new();
    let read = async {
        if let Some(output) = child.process.stdout.take() {
            let _ = BufReader::new(output).read_line(&mut said).await;
        }
    };
    let in_time = tokio::time::timeout(READY, read).await.is_ok();
    let ended = |how: String| DesktopError::Ended { what: "Xvfb".into(), how, log: wish.log.clone() };
    let Ok(number) = said.trim().parse::<u16>() else {
        child.end(Duration::from_secs(1)).await;
        return Err(ended(if in_time { "did not come up".into() } else { format!("was not up within {READY:?}") }));
    };
    let display = format!(":{number}");
    let screen = Screen {
        child,
        name: "Xvfb",
        env: vec![("DISPLAY", display.clone()), ("XAUTHORITY", authority), ("XDG_SESSION_TYPE", "x11".into())],
        source: format!("x11:{display}"),
        socket: format!("/tmp/.X11-unix/X{number}").into(),
        display,
        port: 5900u16.saturating_add(number),
    };
    if wish.size != wish.largest {
        let mut resize = command(THIS_PROGRAM, log).map_err(DesktopError::io("a resize"))?;
        screen.surround(&mut resize).arg(RESIZE).arg(format!("{}x{}", wish.size.w, wish.size.h));
        let status = resize.status().await.map_err(DesktopError::io("a resize"))?;
        if !status.success() {
            return Err(DesktopError::Ended {
                what: "setting the desktop's size".into(),
                how: how(status),
                log: wish.log.clone(),
            });
        }
    }
    Ok(screen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_fits_any_display() {
        let file = authority(&[7; 16]);
        assert_eq!(file[..6], [0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(file[6..8], 18u16.to_be_bytes());
        assert_eq!(&file[8..26], b"MIT-MAGIC-COOKIE-1");
        assert_eq!((&file[26..28], &file[28..]), (&[0, 16][..], &[7; 16][..]));
    }
}
