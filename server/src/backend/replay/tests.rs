use std::path::PathBuf;
use std::time::Duration;

use farpane_engine::capture::replay::TraceWriter;
use farpane_engine::capture::synthetic::{Scene, SyntheticSource, SyntheticSpec};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::helper::InProcess;

const SIZES: [Size; 2] = [Size::new(64, 48), Size::new(40, 32)];

/// One picture of each size, a second apart.
fn trace() -> Vec<u8> {
    let epoch = Instant::now();
    let mut writer: Option<TraceWriter<Vec<u8>>> = None;
    for (second, size) in (0..).zip(SIZES) {
        let at = epoch + Duration::from_secs(second);
        let mut source = SyntheticSource::new(SyntheticSpec { size, fps: 1, scene: Scene::Noise }, at);
        source.start(Doorbell::new()).unwrap();
        match &mut writer {
            None => writer = Some(TraceWriter::new(Vec::new(), &source.info()).unwrap()),
            Some(writer) => writer.resize(size, at).unwrap(),
        }
        let Some(SourceEvent::Frame(frame)) = source.take(at) else { panic!("no picture") };
        assert!(writer.as_mut().unwrap().frame(&frame).unwrap());
    }
    writer.unwrap().finish(epoch + Duration::from_secs(2)).unwrap()
}

/// A file that goes with the value.
struct Kept(PathBuf);

impl Kept {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("farpane-replay-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Kept(path)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn open(path: &Path) -> Result<(ReplayBackend, UnboundedReceiver<BackendEvent>), ReplayOpenError> {
    let (send, events) = unbounded_channel();
    Ok((ReplayBackend::open(path, &InProcess, send)?, events))
}

fn layouts(events: &mut UnboundedReceiver<BackendEvent>) -> Vec<Size> {
    let mut sizes = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let BackendEvent::LayoutChanged(layout) = event {
            assert_eq!((layout.outputs.len(), layout.outputs[0].rect), (1, layout.size.rect()));
            sizes.push(layout.size);
        }
    }
    sizes
}

#[test]
fn a_trace_is_one_output_that_follows_its_sizes_and_takes_nothing() {
    let file = Kept::new("sizes", &trace());
    let (backend, mut events) = open(&file.0).unwrap();
    assert!(backend.name().starts_with("replay farpane-replay-"), "{}", backend.name());
    assert!(backend.input().is_none() && backend.clipboard().is_none());
    assert_eq!(backend.resize(&Layout::default()), ResizeAnswer::Prohibited);
    let Ok(BackendEvent::OutputAdded(OUTPUT, mut source)) = events.try_recv() else { panic!("no output") };
    assert_eq!(layouts(&mut events), [SIZES[0]]);

    let mut shown = Vec::new();
    for turn in 0..2 {
        source.start(Doorbell::new()).unwrap();
        let later = Instant::now() + Duration::from_secs(60);
        while let Some(event) = source.take(later) {
            match event {
                SourceEvent::Frame(frame) => shown.push(frame.size),
                SourceEvent::Resized(size) => assert_eq!(size, source.info().size),
                SourceEvent::Lost(error) => panic!("{error}"),
            }
        }
        source.stop();
        let told = if turn == 0 { vec![SIZES[1]] } else { vec![SIZES[0], SIZES[1]] };
        assert_eq!(layouts(&mut events), told, "turn {turn}");
    }
    assert_eq!(shown.last(), Some(&SIZES[1]));
}

#[test]
fn a_cut_trace_plays_up_to_there_and_is_never_lost() {
    let whole = trace();
    // the end record has nine bytes
    let file = Kept::new("cut", &whole[..whole.len() - 12]);
    let (_backend, mut events) = open(&file.0).unwrap();
    let Ok(BackendEvent::OutputAdded(OUTPUT, mut source)) = events.try_recv() else { panic!("no output") };
    source.start(Doorbell::new()).unwrap();
    let later = Instant::now() + Duration::from_secs(60);
    let mut frames = 0;
    while let Some(event) = source.take(later) {
        frames += u32::from(matches!(event, SourceEvent::Frame(_)));
        assert!(!matches!(event, SourceEvent::Lost(_)));
    }
    assert!(frames > 0 && source.next_due().is_none());
}

#[test]
fn what_cannot_be_played_is_one_line_that_says_what_to_do() {
    let whole = trace();
    let mut wrong = whole.clone();
    // in the first picture's pixels
    wrong[100] ^= 0x10;
    for (name, bytes, says) in [
        ("empty", &whole[..0], "cut off after 0 bytes"),
        ("picture", b"\x89PNG\r\n\x1a\n and so on", "no farpane trace"),
        ("header", &whole[..15], "cut off after"),
        ("nothing", &whole[..40], "holds no whole picture"),
        ("damaged", &wrong, "pixels"),
    ] {
        let file = Kept::new(name, bytes);
        let said = open(&file.0).err().unwrap_or_else(|| panic!("{name} is opened")).to_string();
        let path = file.0.display().to_string();
        assert!(said.starts_with(&path) && said.contains(says), "{name}: {said}");
        assert!(said.contains("record it again") && !said.contains('\n'), "{name}: {said}");
    }
    let said = open(Path::new("/nonexistent/a.trace")).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(said.starts_with("trace /nonexistent/a.trace: ") && said.contains("farpane record"), "{said}");
    assert!(open(Path::new("/")).is_err(), "a folder is no trace");
}
