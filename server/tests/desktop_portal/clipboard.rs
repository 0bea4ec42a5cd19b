//! Texts both ways through the clipboard of the tests' own portal (`tests/desktops/fake_clipboard.py`): the portals at hand have none.

use std::path::PathBuf;
use std::sync::Arc;

use super::fake::{Fake, noted};
use super::{Desk, until};
use farpane_server::backend::BackendEvent;
use farpane_test_support::desktop::Desktop;

/// The types by which programs offer a text.
const TYPES: &str = "['text/html', 'text/plain', 'text/plain;charset=utf-8']";
/// A portal that has a clipboard.
const OFFERED: &str = r#", "clipboard": 1"#;

/// A text of 1 MiB, which is the cap.
fn large() -> String {
    let mut text = "0123456789 é €\n".repeat((1 << 20) / 18 + 1);
    text.truncate(1 << 20);
    text
}

/// Has the portal do something; what it answers.
fn order(desktop: &Desktop, method: &str, arguments: &[&str]) -> String {
    let name = format!("org.farpane.Test.{method}");
    let done = desktop
        .command("gdbus")
        .args(["call", "--session", "-d", "org.freedesktop.portal.Desktop", "-o", "/org/freedesktop/portal/desktop"])
        .args(["-m", &name])
        .args(arguments)
        .output()
        .expect("gdbus runs");
    assert!(done.status.success(), "{method}: {done:?}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// A desktop whose clipboard is watched; none where it cannot be had.
fn watched() -> Option<(Fake, Desk)> {
    let mut fake = Fake::start()?;
    let desk = fake.open(OFFERED).expect("is allowed");
    desk.backend.watch(true);
    Some((fake, desk))
}

impl Desk {
    /// A program copies a text, and gives it as it likes.
    fn copy_by(&self, text: &str, types: &str, how: &str) {
        std::fs::write(self.desktop.dir().join("copied"), text).expect("a file");
        order(&self.desktop, "Copy", &[types, how]);
    }

    fn copy(&self, text: &str) {
        self.copy_by(text, TYPES, "whole");
    }

    /// Waits for the next text that clients are told.
    fn told(&mut self) -> Arc<str> {
        self.wait(
            "a copied text",
            |e| if let BackendEvent::Clipboard(text) = e { Some(Arc::clone(text)) } else { None },
        )
    }

    /// A client copies a text; waits until the desktop has been offered it.
    fn offer(&self, text: &str) {
        let offers = || self.count("selection ");
        let before = offers();
        self.backend.clipboard().expect("is allowed").offer(text.into());
        until("the offer", || offers() > before);
    }

    /// A program asks for what clients copied; the number of its wish.
    fn paste(&self, mime: &str, how: &str) -> String {
        let answer = order(&self.desktop, "Paste", &[mime, how]);
        answer.chars().skip_while(|c| *c != ' ').filter(char::is_ascii_digit).collect()
    }

    /// How that wish ended: what was pasted; none when the portal was told that it is not given.
    fn pasted(&self, serial: &str) -> Option<String> {
        let done = format!("done {serial} ");
        until("the end of the wish", || self.count(&done) > 0);
        if self.count(&format!("{done}0")) > 0 {
            return None;
        }
        let file: PathBuf = self.desktop.dir().join(format!("pasted-{serial}"));
        until("what was pasted", || file.exists());
        Some(String::from_utf8(std::fs::read(file).expect("is there")).expect("UTF-8"))
    }

    /// How often something was noted.
    fn count(&self, start: &str) -> usize {
        noted(&self.desktop).iter().filter(|line| line.starts_with(start)).count()
    }
}

#[test]
fn texts_go_both_ways_small_and_large() {
    let Some((_fake, mut desk)) = watched() else { return };
    assert_eq!(large().len(), 1 << 20);
    for text in ["plain", "äöü € 😀\r\nsecond line\0", &large()] {
        desk.copy(text);
        assert!(*desk.told() == text.replace("\r\n", "\n").trim_end_matches('\0')[..], "{} bytes", text.len());
    }
    assert_eq!(desk.count("read text/plain;charset=utf-8"), 3, "the best type, and each text once");
    desk.copy_by("old", "['STRING', 'image/png']", "whole");
    assert_eq!(&*desk.told(), "old");
    for text in ["plain", "äöü € 😀\nsecond line", &large()] {
        desk.offer(text);
        for mime in ["text/plain;charset=utf-8", "text/plain", "UTF8_STRING", "TEXT"] {
            let serial = desk.paste(mime, "whole");
            assert!(desk.pasted(&serial).as_deref() == Some(text), "{mime}, {} bytes", text.len());
        }
    }
    let offers = noted(&desk.desktop)
        .iter()
        .filter(|l| *l == "selection text/plain;charset=utf-8,UTF8_STRING,text/plain,TEXT")
        .count();
    assert_eq!(offers, 3);
    // a program that offers again what a client copied tells nothing new, and an image is no text
    desk.copy(&large());
    until("it is looked at", || desk.count("read ") == 5);
    desk.copy_by("pixels", "['image/png']", "whole");
    desk.copy("after them");
    assert_eq!(&*desk.told(), "after them", "neither our own texts come back, nor what is none");
    assert_eq!(desk.count("read "), 6);
}

#[test]
fn nothing_is_read_while_nobody_is_connected() {
    let Some((_fake, mut desk)) = watched() else { return };
    desk.backend.watch(false);
    desk.copy("unseen");
    // what the portal told is taken one by one: when the second wish is answered, the copy has been seen
    for _ in 0..2 {
        let serial = desk.paste("text/plain", "whole");
        assert_eq!(desk.pasted(&serial), None);
    }
    desk.backend.watch(true);
    desk.copy("seen");
    assert_eq!(&*desk.told(), "seen");
    assert_eq!(desk.count("read "), 1);
}

#[test]
fn a_program_that_never_ends_its_text_is_given_up_and_the_next_copy_arrives() {
    let Some((_fake, mut desk)) = watched() else { return };
    desk.copy_by("never comes", TYPES, "silent");
    until("it is left", || desk.count("left") == 1);
    desk.copy("next");
    assert_eq!(&*desk.told(), "next");
    // another copy meanwhile, of a portal that gives one text at a time
    desk.copy_by("nor does this", TYPES, "silent");
    until("it is asked for", || desk.count("read ") == 3);
    desk.copy("at once");
    assert_eq!(&*desk.told(), "at once");
    assert_eq!(desk.count("left"), 2);
    // and a client's, which is newer than what is on its way
    desk.copy_by("too late", TYPES, "silent");
    until("it is asked for", || desk.count("read ") == 5);
    desk.offer("from a client");
    until("it is left", || desk.count("left") == 3);
    let serial = desk.paste("text/plain", "whole");
    assert_eq!(desk.pasted(&serial).as_deref(), Some("from a client"));
}

#[test]
fn a_text_beyond_the_cap_stays_where_it_is() {
    let Some((_fake, mut desk)) = watched() else { return };
    let beyond = large() + &"x".repeat(1 << 18);
    for (n, text, how) in [(1, &*beyond, "whole"), (2, "for ever", "endless")] {
        desk.copy_by(text, TYPES, how);
        until("it is left before it ends", || desk.count("left") == n);
        desk.copy(how);
        assert_eq!(&*desk.told(), how);
    }
}

#[test]
fn what_clients_have_not_copied_is_not_given() {
    let Some((_fake, desk)) = watched() else { return };
    let nothing = desk.paste("text/plain", "whole");
    assert_eq!(desk.pasted(&nothing), None);
    desk.offer("text");
    for mime in ["image/png", "STRING", "text/html", ""] {
        let serial = desk.paste(mime, "whole");
        assert_eq!(desk.pasted(&serial), None, "{mime}");
    }
    assert_eq!(desk.count("write "), 0, "no pipe was asked for");
    let serial = desk.paste("text/plain", "whole");
    assert_eq!(desk.pasted(&serial).as_deref(), Some("text"));
}

#[test]
fn a_program_that_never_reads_keeps_nobody_waiting() {
    let Some((_fake, mut desk)) = watched() else { return };
    desk.offer(&large());
    let stuck: Vec<String> = (0..3).map(|_| desk.paste("text/plain", "never")).collect();
    until("they are being given it", || desk.count("write ") == 3);
    let serial = desk.paste("text/plain", "whole");
    assert!(desk.pasted(&serial) == Some(large()), "others are given it still");
    desk.copy("and the desktop copies");
    assert_eq!(&*desk.told(), "and the desktop copies");
    for serial in stuck {
        assert_eq!(desk.pasted(&serial), None);
    }
}

#[test]
fn a_clipboard_that_is_not_allowed_or_not_there_is_none() {
    let Some(mut fake) = Fake::start() else { return };
    for (more, asked) in [
        (r#", "clipboard": 1, "clipboard_enabled": false"#, 1),
        (r#", "clipboard": 1, "clipboard_enabled": "yes""#, 2),
        (r#", "clipboard": 1, "remote": 0"#, 2),
        ("", 2),
    ] {
        let desk = fake.open(more).expect("pictures and input are allowed");
        assert!(desk.backend.clipboard().is_none(), "{more}");
        assert_eq!(desk.count("clipboard requested"), asked, "{more}");
        desk.backend.watch(true);
        fake.close(desk);
    }
    let desk = fake.open(OFFERED).expect("is allowed");
    assert!(desk.backend.clipboard().is_some());
}

#[test]
fn signals_that_make_no_sense_or_are_not_ours_are_ignored() {
    let Some((_fake, mut desk)) = watched() else { return };
    desk.offer("ours");
    for _ in 0..20 {
        order(&desk.desktop, "Nonsense", &[]);
    }
    desk.copy("sense");
    assert_eq!(&*desk.told(), "sense");
    assert_eq!((desk.count("read "), desk.count("write "), desk.count("done ")), (1, 0, 0));
}

#[test]
fn a_session_that_is_opened_again_has_its_clipboard_again() {
    let Some((mut fake, mut desk)) = watched() else { return };
    desk.offer("before");
    desk.desktop.stop("portal");
    desk.wait("the loss", |e| matches!(e, BackendEvent::Lost(_)).then_some(()));
    assert!(desk.backend.clipboard().is_none(), "there is no desktop");
    assert!(fake.source_in(&desk.desktop));
    fake.set_in(&desk.desktop, OFFERED);
    desk.desktop.again("portal");
    desk.wait("the return", |e| matches!(e, BackendEvent::Back).then_some(()));
    desk.copy("after");
    assert_eq!(&*desk.told(), "after");
    desk.offer("and back");
    let serial = desk.paste("text/plain", "whole");
    assert_eq!(desk.pasted(&serial).as_deref(), Some("and back"));
}
