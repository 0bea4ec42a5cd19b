//! Texts both ways, judged by wl-copy and wl-paste.

use std::io::Write;
use std::process::Stdio;

use super::Desk;
use farpane_test_support::xvfb::skip;

/// What wl-paste gives now; none where it is not installed.
fn paste(desk: &Desk, more: &[&str]) -> Option<String> {
    match desk.sway.command("wl-paste").arg("--no-newline").args(more).output() {
        Ok(out) => Some(String::from_utf8_lossy(&out.stdout).into_owned()),
        Err(error) => {
            skip(&format!("wl-paste: {error}"));
            None
        }
    }
}

fn copy(desk: &Desk, text: &str, more: &[&str]) {
    let mut child = desk
        .sway
        .command("wl-copy")
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("comes with wl-paste");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("takes it");
    assert!(child.wait().expect("ends").success());
}

/// A text of about 1 MiB, in UTF-8, that is below the cap.
fn large() -> String {
    "0123456789 äöü € 😀 line\n".repeat(31_000)
}

#[test]
fn texts_go_both_ways_small_and_large() {
    let Some(mut desk) = Desk::open(&["640x480"], &[]) else { return };
    if paste(&desk, &[]).is_none() {
        return;
    }
    for text in ["plain", "äöü € 😀\nsecond line", &large()] {
        desk.client.send_text(text).expect("a text");
        desk.until("the text can be pasted", |desk| paste(desk, &[]).as_deref() == Some(text));
    }
    let types = paste(&desk, &["--list-types"]).expect("is installed");
    for name in ["text/plain;charset=utf-8", "text/plain", "UTF8_STRING", "TEXT"] {
        assert!(types.lines().any(|l| l == name), "{name} in {types}");
    }
    assert_eq!(
        paste(&desk, &["--primary"]).as_deref(),
        Some(""),
        "what the mouse selects is not shared unless asked for"
    );
    assert!(desk.client.clipboard.texts.is_empty(), "its own texts come back");

    copy(&desk, "selected", &["--primary"]);
    for text in ["from the desktop\r\n", "ä € 😀", &large()] {
        copy(&desk, text, &[]);
        let want = text.replace("\r\n", "\n");
        desk.client.wait_until("a copied text", |c| c.clipboard.texts.last() == Some(&want)).expect("a text");
    }
    copy(&desk, &"x".repeat((1 << 20) + 1), &[]);
    copy(&desk, "after it", &[]);
    desk.client.wait_until("the next", |c| c.clipboard.texts.last().is_some_and(|t| t == "after it")).expect("a text");
    assert_eq!(desk.client.clipboard.texts.len(), 4, "neither what the mouse selects nor what is past the cap is told");
}

#[test]
fn a_program_that_never_reads_keeps_nobody_waiting() {
    let Some(mut desk) = Desk::open(&["640x480"], &[]) else { return };
    if paste(&desk, &[]).is_none() {
        return;
    }
    let text = large();
    desk.client.send_text(&text).expect("a text");
    desk.until("the text can be pasted", |desk| paste(desk, &[]).as_deref() == Some(text.as_str()));
    // its output is a pipe that nobody reads: it stops reading in the middle
    let mut stuck: Vec<_> =
        (0..3).map(|_| desk.sway.command("wl-paste").stdout(Stdio::piped()).spawn().expect("is installed")).collect();
    for _ in 0..3 {
        assert!(paste(&desk, &[]).as_deref() == Some(text.as_str()), "others are given it still");
    }
    copy(&desk, "and the desktop copies", &[]);
    let told =
        |c: &farpane_test_support::Client| c.clipboard.texts.last().is_some_and(|t| t == "and the desktop copies");
    desk.client.wait_until("what the desktop copies", told).expect("a text");
    for child in &mut stuck {
        child.kill().expect("runs still");
        child.wait().expect("ends");
    }
}
