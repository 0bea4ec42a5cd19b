//! The report as a whole: its shape, its rows, and that what is wrong has none.

use std::time::{Duration, Instant};

use farpane_engine::damage::{Mirror, MirrorData};
use farpane_engine::encode::{Encoded, Params};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::pixel::Layout;

use super::encoders::encode;
use super::*;

fn still() -> Duration {
    Duration::ZERO
}

const STOPPED: Clocks<'static> = Clocks { cpu: &still, wall: &still };

fn desktop() -> Captured {
    let mirror = Mirror::new(Size::new(301, 77), Layout::RGBX, Instant::now());
    mirror.write().pixels.iter_mut().enumerate().for_each(|(i, p)| *p = (i as u32 * 7) & 0x00ff_ffff);
    let picture = Picture { name: "desktop".into(), what: "test".into(), mirror };
    Captured { picture, times: vec![Duration::from_millis(4), Duration::from_millis(2), Duration::from_millis(3)] }
}

fn plan(desktop: Result<Captured, String>) -> Plan {
    Plan { encoders: vec![Encoder::Raw, Encoder::Zrle], size: Size::new(160, 100), budget: Duration::ZERO, desktop }
}

#[test]
fn every_row_is_there_with_and_without_a_desktop() {
    let report = run(plan(Ok(desktop())), STOPPED);
    let rows: Vec<_> = report.encoders.iter().map(|r| (r.picture.as_str(), r.encoder.as_str())).collect();
    let names = ["text", "ui", "photo", "noise", "desktop"];
    let want: Vec<_> = names.iter().flat_map(|name| [(*name, "raw"), (*name, "zrle")]).collect();
    assert_eq!(rows, want);
    assert_eq!(report.damage.len(), 5, "{:?}", report.excluded);
    let capture = report.capture.as_ref().expect("a capture");
    assert_eq!((capture.width, capture.height, capture.runs, capture.wall_ms), (301, 77, 3, 3.0));
    assert!(report.excluded.is_empty(), "{:?}", report.excluded);

    let report = run(plan(Err("no screen".into())), STOPPED);
    assert_eq!((report.encoders.len(), report.damage.len(), report.capture.is_none()), (8, 5, true));
    assert_eq!(report.desktop.missing.as_deref(), Some("no screen"));
}

#[test]
fn the_json_has_the_documented_shape() {
    let text = run(plan(Ok(desktop())), STOPPED).json().expect("JSON");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let keys = |value: &serde_json::Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>().join(" "));
    let all = "capture cores cpu_level damage damage_cores desktop encoder_cores encoders excluded pictures version";
    let sorted = |text: Option<String>| {
        let mut words: Vec<_> = text.expect("an object").split(' ').map(String::from).collect();
        words.sort();
        words.join(" ")
    };
    assert_eq!(sorted(keys(&json)), all);
    assert_eq!(sorted(keys(&json["encoders"][0])), "bytes_per_px cpu_ms_per_mpx encoder lossy_percent picture px runs");
    assert_eq!(sorted(keys(&json["damage"][0])), "case height runs wall_ms width");
    assert_eq!(sorted(keys(&json["capture"])), "height runs wall_ms width");
    assert_eq!(sorted(keys(&json["desktop"])), "missing source");
    assert_eq!(sorted(keys(&json["pictures"][0])), "height name source width");
}

#[test]
fn a_row_whose_bytes_are_wrong_is_excluded_and_the_others_stay() {
    let planted = |data: &MirrorData, rect: &Rect, params: &Params, out: &mut Vec<Encoded>| {
        encode(data, rect, params, out);
        if data.size() == Size::new(301, 77)
            && let [first] = out.as_mut_slice()
            && first.chunk.is_none()
        {
            first.head[5] ^= 1;
        }
    };
    let report = run_with(plan(Ok(desktop())), STOPPED, &planted);
    let excluded: Vec<_> = report.excluded.iter().map(|e| e.row.as_str()).collect();
    assert_eq!(excluded, ["raw of desktop"]);
    assert_eq!(report.encoders.len(), 9);
    assert!(report.encoders.iter().all(|r| (r.picture.as_str(), r.encoder.as_str()) != ("desktop", "raw")));
    assert!(report.to_string().contains("EXCLUDED raw of desktop"), "{report}");
}
