//! Recordings that the built server makes, played by the built server to a client that shares no code with it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use farpane_engine::capture::replay::{RecordKind, TraceReader, TraceWriter};
use farpane_engine::capture::synthetic::{self, Scene, SyntheticSource, SyntheticSpec, picture};
use farpane_engine::capture::{Doorbell, Source, SourceEvent};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::pixel::Layout;
use farpane_test_support::{PATIENCE, Server, encoding};

const BINARY: &str = env!("CARGO_BIN_EXE_farpane");
const SCENE: &str = "320x200@20:desktop";

/// A folder of one test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("farpane-record-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).env_clear().env("HOME", "/nonexistent").stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn record(scene: &str, file: &str, more: &[&str]) -> Output {
    let source = format!("synthetic:{scene}");
    run(&[&["record", "--source", &source, file], more].concat())
}

/// What a trace holds, read record by record.
struct Played {
    frames: u64,
    size: Size,
    last: Vec<u32>,
    ended: bool,
}

impl Played {
    fn read(bytes: &[u8]) -> Self {
        let mut reader = TraceReader::new(bytes).expect("a trace");
        let size = reader.info().size;
        let mut me = Played { frames: 0, size, last: vec![0; size.area() as usize], ended: false };
        while let Ok(Some(record)) = reader.next_record() {
            match record.kind {
                RecordKind::Frame { rects, pixels } => {
                    me.frames += 1;
                    let mut next = pixels.into_iter();
                    for r in rects {
                        for y in r.y..r.bottom() {
                            let at = usize::from(y) * usize::from(me.size.w) + usize::from(r.x);
                            let row = &mut me.last[at..at + usize::from(r.w)];
                            row.iter_mut().for_each(|p| *p = next.next().expect("a pixel"));
                        }
                    }
                }
                RecordKind::Resize(size) => {
                    me.size = size;
                    me.last = vec![0; size.area() as usize];
                }
                RecordKind::End => me.ended = true,
            }
        }
        me
    }

    fn rgb(&self) -> Vec<u8> {
        self.last.iter().flat_map(|p| Layout::BGRX.rgb(*p)).collect()
    }
}

fn serve(file: &str) -> Server {
    let source = format!("replay:{file}");
    Server::start(BINARY, &["serve", "--source", &source, "--listen", "127.0.0.1:0", "--security", "none"])
}

#[test]
fn a_recorded_scene_plays_to_viewers_one_after_the_other() {
    let scratch = Scratch::new("plays");
    let file = scratch.path("scene.trace");
    let output = record(SCENE, &file, &["--frames", "20"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let bytes = std::fs::read(&file).unwrap();
    let said = text(&output.stdout);
    assert!(said.starts_with(&format!("farpane: recorded {file} (frames: 20, seconds: ")), "{said}");
    assert!(said.ends_with(&format!("bytes: {})\n", bytes.len())), "{said}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "others can read it");

    let played = Played::read(&bytes);
    assert_eq!((played.frames, played.size, played.ended), (20, Size::new(320, 200), true));
    let spec = synthetic::parse(SCENE).unwrap();
    // a busy machine leaves pictures out
    assert!((19..2_000).any(|n| picture(&spec, n) == played.last), "the last picture is none of the scene's");

    let server = serve(&file);
    for turn in 0..2 {
        let mut client = server.client().expect("a client");
        assert_eq!(client.init().size, played.size);
        client.set_encodings(&[encoding::ZRLE, encoding::RAW, encoding::COPY_RECT]).unwrap();
        client.watch().unwrap();
        client.key(0x61, true).unwrap();
        client.pointer(5, 5, 1).unwrap();
        client.send_text("nobody takes it").unwrap();
        client.wait_for_picture(&played.rgb()).unwrap_or_else(|e| panic!("turn {turn}: {e}"));
        let mut wrong = played.rgb();
        wrong[1000] ^= 0xff;
        assert!(client.first_difference(&wrong).is_some(), "a wrong pixel is seen");
    }
    server.stop();
}

/// A trace of two sizes, half a second apart, made without the recorder.
fn two_sizes(sizes: [Size; 2]) -> Vec<u8> {
    let epoch = Instant::now();
    let mut writer: Option<TraceWriter<Vec<u8>>> = None;
    for (n, size) in (0..).zip(sizes) {
        let at = epoch + Duration::from_millis(500) * n;
        let mut source = SyntheticSource::new(SyntheticSpec { size, fps: 10, scene: Scene::Still }, at);
        source.start(Doorbell::new()).unwrap();
        match &mut writer {
            None => writer = Some(TraceWriter::new(Vec::new(), &source.info()).unwrap()),
            Some(writer) => writer.resize(size, at).unwrap(),
        }
        let Some(SourceEvent::Frame(frame)) = source.take(at) else { panic!("no picture") };
        assert!(writer.as_mut().unwrap().frame(&frame).unwrap());
    }
    writer.unwrap().finish(epoch + Duration::from_secs(1)).unwrap()
}

#[test]
fn a_new_size_in_a_trace_reaches_every_viewer_and_theirs_are_refused() {
    let scratch = Scratch::new("sizes");
    let file = scratch.path("sizes.trace");
    let sizes = [Size::new(200, 120), Size::new(150, 170)];
    let bytes = two_sizes(sizes);
    std::fs::write(&file, &bytes).unwrap();
    let server = serve(&file);
    for turn in 0..2 {
        let mut client = server.client().expect("a client");
        client.set_encodings(&[encoding::RAW, encoding::EXTENDED_DESKTOP_SIZE, encoding::DESKTOP_SIZE]).unwrap();
        client.watch().unwrap();
        client.wait_for_picture(&Played::read(&bytes).rgb()).unwrap_or_else(|e| panic!("turn {turn}: {e}"));
        assert_eq!(client.picture().size(), sizes[1]);
        client.set_desktop_size(Size::new(64, 64), &[(0, Rect::new(0, 0, 64, 64))]).unwrap();
        client.wait_until("an answer", |c| c.picture().resize_answers().contains(&(1, 1))).unwrap();
    }
    server.stop();
}

#[test]
fn a_trace_that_was_cut_off_shows_its_last_whole_picture() {
    let scratch = Scratch::new("cut");
    let file = scratch.path("cut.trace");
    assert!(record(SCENE, &file, &["--frames", "6"]).status.success());
    let whole = std::fs::read(&file).unwrap();
    // the end record has nine bytes: this cuts the last picture
    let cut = &whole[..whole.len() - 10];
    std::fs::write(&file, cut).unwrap();
    let played = Played::read(cut);
    assert_eq!((played.frames, played.ended), (5, false));
    let server = serve(&file);
    server.wait_for_log("cut off after");
    let mut client = server.client().expect("a client");
    client.set_encodings(&[encoding::RAW]).unwrap();
    client.watch().unwrap();
    client.wait_for_picture(&played.rgb()).expect("the last whole picture");
    server.stop();
}

#[test]
fn traces_that_cannot_be_played_end_the_server_before_it_listens() {
    let scratch = Scratch::new("refused");
    let good = scratch.path("good.trace");
    assert!(record("64x48:noise", &good, &["--frames", "2"]).status.success());
    let bytes = std::fs::read(&good).unwrap();
    let mut damaged = bytes.clone();
    // in the first picture's pixels
    damaged[100] ^= 0x10;
    for (name, content, says) in [
        ("missing", None, "farpane record made"),
        ("other", Some(&b"a letter to my aunt"[..]), "no farpane trace"),
        ("head", Some(&bytes[..12]), "cut off"),
        ("damaged", Some(&damaged[..]), "pixels"),
    ] {
        let file = scratch.path(name);
        if let Some(bytes) = content {
            std::fs::write(&file, bytes).unwrap();
        }
        let source = format!("replay:{file}");
        let output = run(&["serve", "--source", &source, "--listen", "127.0.0.1:0", "--security", "none"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains(&file) && said.contains(says) && said.lines().count() == 1, "{name}: {said}");
        assert_eq!(text(&output.stdout), "", "{name}");
    }
}

#[test]
fn an_existing_file_stays_unless_force_is_given() {
    let scratch = Scratch::new("force");
    let file = scratch.path("precious");
    std::fs::write(&file, "text").unwrap();
    let refused = record("64x48:still", &file, &["--frames", "1"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("precious is there already") && said.contains("--force"), "{said}");
    assert_eq!((said.lines().count(), text(&refused.stdout).as_str()), (1, ""));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
    // a source that cannot be opened costs nothing either
    let failed = run(&["record", "--source", "x11:997", &file, "--force"]);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
    assert_eq!(record("64x48:still", &file, &["--frames", "1", "--force"]).status.code(), Some(0));
    assert_eq!(Played::read(&std::fs::read(&file).unwrap()).frames, 1);
}

#[test]
fn what_cannot_be_recorded_is_one_line_and_makes_no_file() {
    let scratch = Scratch::new("wrong");
    let file = scratch.path("new.trace");
    for (args, status, says) in [
        (&["--source", "replay:/tmp/a.trace"][..], 2, "is a recording already"),
        (&["--source", "kms"], 1, "as root: farpane kms-helper"),
        (&["--source", "synthetic:64x48", "--output", "DP-1"], 1, "output \"DP-1\" (expected synthetic)"),
    ] {
        let output = run(&[&["record", &file], args].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
        assert_eq!((said.lines().count(), text(&output.stdout).as_str()), (1, ""), "{args:?}: {said}");
        assert!(!Path::new(&file).exists(), "{args:?}");
    }
    let folder = record("64x48:still", "/nonexistent/new.trace", &["--frames", "1"]);
    assert_eq!(folder.status.code(), Some(1));
    assert!(text(&folder.stderr).contains("/nonexistent/new.trace: "), "{}", text(&folder.stderr));
    for wrong in [["--frames", "0"], ["--seconds", "0"], ["--seconds", "-1"], ["--frames", "many"]] {
        assert_eq!(record("64x48:still", &file, &wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_bound_in_seconds_ends_a_recording_of_a_still_picture() {
    let scratch = Scratch::new("seconds");
    let file = scratch.path("still.trace");
    let output = record("64x48:still", &file, &["--seconds", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("(frames: 1, seconds: "), "{}", text(&output.stdout));
    let played = Played::read(&std::fs::read(&file).unwrap());
    assert!(played.ended && played.last == picture(&synthetic::parse("64x48:still").unwrap(), 0));
}

#[test]
fn signals_end_a_recording_in_order() {
    for signal in ["-TERM", "-INT"] {
        let scratch = Scratch::new(signal);
        let file = scratch.path("scene.trace");
        let source = format!("synthetic:{SCENE}");
        let mut recorder = Server::spawn(BINARY, &["record", "--source", &source, &file]);
        recorder.wait_for_log("recording");
        assert!(Command::new("kill").args([signal, &recorder.pid().to_string()]).status().unwrap().success());
        let status = recorder.wait_for_end(PATIENCE);
        assert_eq!(status.code(), Some(0), "{signal}: {}", recorder.log());
        let played = Played::read(&std::fs::read(&file).unwrap());
        assert!(played.ended && played.frames >= 1, "{signal}");
    }
}
