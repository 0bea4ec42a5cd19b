//! The door of a desktop on demand: its server knocks when a client has been let in, and is told what came of it.
//!
//! A connection is the knock; the supervisor reads nothing from it. It answers with one line, `up` or `not up: WHY`, and closes the
//! connection when the desktop has ended. Whoever takes the server over can have the desktop started by this, and nothing else.

use std::future::pending;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use tokio::net::UnixListener;

use super::parts::DOOR;
use super::{DesktopError, Place};

/// Where a server knocks, and the connection of the one that did last.
pub(super) struct Door {
    listener: UnixListener,
    line: Option<UnixStream>,
}

impl Door {
    pub fn open(place: &Place) -> Result<Self, DesktopError> {
        let path = place.path(DOOR);
        let listener = UnixListener::bind(&path).map_err(DesktopError::io(path.display()))?;
        Ok(Self { listener, line: None })
    }

    /// Waits for a knock.
    async fn knocked(&mut self) -> io::Result<()> {
        let (line, _) = self.listener.accept().await?;
        // one server, one line: that of the server before is closed
        self.line = Some(line.into_std()?);
        Ok(())
    }

    /// The desktop is there.
    pub fn up(&mut self) {
        self.say("up");
    }

    /// It did not come up.
    pub fn not_up(&mut self, why: &str) {
        let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        self.say(&format!("not up: {why}"));
        self.close();
    }

    /// The desktop has ended.
    pub fn close(&mut self) {
        self.line = None;
    }

    fn say(&mut self, words: &str) {
        if let Some(line) = &mut self.line {
            // a short line fits; a server that is gone needs none
            let _ = line.write_all(format!("{words}\n").as_bytes());
        }
    }
}

/// Waits for a knock at the door; for ever where there is none.
pub(super) async fn knocked(door: &mut Option<Door>) -> io::Result<()> {
    match door {
        Some(door) => door.knocked().await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use farpane_test_support::openssl::Folder;

    use super::*;

    fn read(mut line: UnixStream) -> String {
        let mut said = String::new();
        line.read_to_string(&mut said).expect("text, then the end");
        said
    }

    #[tokio::test]
    async fn who_knocks_is_told_and_the_end_is_the_end_of_the_line() {
        let root = Folder::new("door");
        let place = Place::take(&root.path().join("farpane"), &"a".parse().expect("a name")).expect("free");
        let mut door = Some(Door::open(&place).expect("a socket"));
        let knock = || UnixStream::connect(place.path(DOOR)).expect("it listens");
        let (first, second) = (knock(), knock());
        knocked(&mut door).await.expect("a knock");
        door.as_mut().expect("a door").up();
        knocked(&mut door).await.expect("another");
        assert_eq!(read(first), "up\n", "the line of the one before is closed");
        door.as_mut().expect("a door").not_up(&format!("a\nb{}", "c".repeat(999)));
        assert_eq!(read(second), format!("not up: a b{}\n", "c".repeat(197)), "one short line");
        door.as_mut().expect("a door").up();
    }
}
