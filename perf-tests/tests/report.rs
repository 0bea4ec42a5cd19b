//! The page and the CSV say the same, and losing cases are named.

use farpane_perf_tests::report::{METRICS, Report, csv, html, latencies_csv, losses, table, verdicts};
use farpane_perf_tests::run::{Outcome, Quality, Row, Sample};

const EXTRA: (&str, f64) = ("extra_cpu_s_per_s", 0.3);
const SHOWN: (&str, f64) = ("extra_ms_per_mpx_shown", 9.5);

fn row(server: &str, values: &[(&'static str, f64)], latencies_ms: Vec<f64>) -> Row {
    let mut sample = Sample { command: format!("{server} --listen"), ..Sample::default() };
    for (name, value) in values {
        sample.set(name, *value);
    }
    sample.set_latencies(latencies_ms);
    let quality =
        Quality { first_db: 41.5, first_px: 900, still_db: f64::INFINITY, still_px: 0, first_bytes_per_px: 0.25 };
    Row {
        workload: "video-region".into(),
        size: (1920, 1080),
        encoding: "tight-q8",
        server: server.into(),
        quality: Some(quality),
        outcome: Outcome::Measured(vec![sample]),
    }
}

fn report() -> Report {
    let peer = row(
        "Xtigervnc",
        &[("frames_seen_per_s", 29.5), ("idle_cpu_s_per_s", 0.3111), ("bytes_per_px_shown", 0.44), EXTRA, SHOWN],
        vec![7.0, 9.0],
    );
    let ours = row(
        "farpane",
        &[("frames_seen_per_s", 30.0), ("idle_cpu_s_per_s", 0.6222), ("bytes_per_px_shown", 0.22), EXTRA, SHOWN],
        vec![2.0, 3.0],
    );
    let mut wrong = row("liar", &[], Vec::new());
    wrong.outcome = Outcome::Excluded("wrong picture: 17 pixels, \"all\" <wrong>".into());
    let mut absent = row("absent", &[], Vec::new());
    absent.outcome = Outcome::Failed("absent cannot be started\nlast words".into());
    Report {
        command: "compare --workload video-region".into(),
        machine: vec![("processor".into(), "a & b".into())],
        versions: vec![("Xtigervnc".into(), "1.12.0".into())],
        commands: vec![("Xtigervnc".into(), "Xtigervnc --listen".into())],
        rows: vec![ours, peer, wrong, absent],
    }
}

#[test]
fn the_page_holds_what_the_csv_holds() {
    let report = report();
    let (page, lines) = (html(&report), csv(&report.rows));
    let head: Vec<&str> = lines.lines().next().expect("a head").split(',').collect();
    assert_eq!(head.len(), 8 + METRICS.len());
    let escaped = lines.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    assert!(page.contains(&escaped), "the raw figures are not in the page");
    for text in ["30.0", "29.5", "0.3111", "0.6222", "1.12.0", "a &amp; b", "Xtigervnc --listen"] {
        assert!(page.contains(text), "{text} is not in the page");
    }
    for bad in ["<script", "http://", "https://", "<link", "<wrong>"] {
        assert!(!page.contains(bad), "{bad} is in the page");
    }
    assert!(page.matches("<svg").count() >= 4 && page.matches("<svg").count() == page.matches("</svg>").count());
}

#[test]
fn every_turn_is_a_line_and_every_latency_too() {
    let report = report();
    let lines = csv(&report.rows);
    assert!(lines.contains("video-region,1920x1080,tight-q8,farpane,1,measured,41.5,inf"));
    assert_eq!(latencies_csv(&report.rows).lines().count(), 1 + 4);
    for row in lines.lines().filter(|l| l.contains(",measured,")) {
        assert_eq!(row.split(',').count(), 8 + METRICS.len(), "{row}");
    }
}

#[test]
fn losing_is_named_as_loudly_as_winning() {
    let report = report();
    let found = |name: &str| verdicts(&report.rows).into_iter().find(|v| v.metric.name == name).expect("a verdict");
    assert!(found("idle_cpu_s_per_s").loses && (found("idle_cpu_s_per_s").ratio - 2.0).abs() < 1e-9);
    assert_eq!(found("idle_cpu_s_per_s").mark(), "LOSES");
    assert_eq!(found("bytes_per_px_shown").mark(), "wins");
    assert_eq!(found("frames_seen_per_s").mark(), "even");
    assert_eq!(losses(&report.rows).len(), 1);
    for text in [table(&report), html(&report)] {
        let section = &text[text.find("Where farpane loses").expect("the section")..];
        assert!(section.contains("CPU s/s, idle 0.6222, Xtigervnc has 0.3111 (2.00x)"));
    }
}

#[test]
fn a_server_without_figures_is_named_with_the_reason() {
    let text = table(&report());
    assert!(text.contains("liar: EXCLUDED: wrong picture: 17 pixels"));
    assert!(text.contains("absent: FAILED: absent cannot be started\nlast words"));
    assert!(!text.lines().any(|l| l.starts_with("| liar")), "an excluded server stands in the table");
    let mut ours_gone = report();
    ours_gone.rows[0].outcome = Outcome::Failed("no port".into());
    let text = table(&ours_gone);
    let section = &text[text.find("Where farpane loses").expect("the section")..];
    assert!(section.contains("video-region tight-q8: FAILED: no port"));
}
