//! GStreamer's test source: formats, strides, sizes, and what becomes of a stream whose source goes.

use std::process::{Child, Stdio};
use std::time::Duration;

use super::{Session, Viewer};
use farpane_engine::frame::DmaBufs;
use farpane_engine::geometry::Size;
use farpane_test_support::xvfb::skip;

/// A running pipeline, ended when dropped.
struct Pipeline(Child);

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn gst() -> std::io::Result<std::process::Output> {
    std::process::Command::new("gst-launch-1.0").arg("--version").output()
}

/// Test pictures of one colour (0xRRGGBB) under a node's name; none when GStreamer is not there.
fn pictures(session: &Session, name: &str, caps: &str, colour: u32) -> Option<Pipeline> {
    let source = format!("videotestsrc is-live=true pattern=solid-color foreground-color=0xff{colour:06x}");
    let sink = format!("pipewiresink mode=provide stream-properties=p,media.class=Video/Source,node.name={name}");
    let started = session
        .desktop
        .command("gst-launch-1.0")
        .args(format!("-q {source} ! video/x-raw,{caps} ! {sink}").split(' '))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match started {
        Ok(child) => Some(Pipeline(child)),
        Err(error) => {
            skip(&format!("gst-launch-1.0: {error}"));
            None
        }
    }
}

#[test]
fn pictures_of_every_format_and_width_arrive_as_they_are() {
    let Some(session) = Session::start() else { return };
    // the third's rows are no multiple of anything
    for (i, (format, w, h)) in
        [("BGRx", 640, 480), ("RGBx", 321, 243), ("BGRA", 1279, 3), ("RGBA", 64, 64)].into_iter().enumerate()
    {
        let caps = format!("format={format},width={w},height={h},framerate=20/1");
        let want = if format.starts_with('B') { 0x33_6699 } else { 0x99_6633 };
        // on a busy machine GStreamer's sink now and then gives nobody anything: another one is started then
        let came = (0..5).find_map(|attempt| {
            let name = format!("colour{i}-{attempt}");
            let _pipeline = pictures(&session, &name, &caps, 0x33_6699)?;
            let opened = session.open(session.node(&name), DmaBufs::None);
            assert_eq!(opened.stream.wait(Duration::from_secs(20)).expect("a size"), Size::new(w, h));
            let mut viewer = Viewer::new(&opened.stream);
            let shown = viewer.within(Duration::from_secs(10), |v, _| v.frames >= 3 && v.px.iter().all(|p| *p == want));
            assert!(shown.is_ok() || viewer.frames == 0, "{format}: {shown:?}, {:x?}", viewer.px.first());
            shown.ok().map(|()| opened.stream.counters())
        });
        let Some(counted) = came else {
            assert!(gst().is_err(), "{format}: no picture of five sources");
            return;
        };
        assert_eq!(counted.refused, 0, "{counted:?}");
    }
}
