//! The channel's fuzz targets over their seeds, cut and changed at every byte; `server/tests/fuzz.rs` adds random changes.

#[path = "../../../fuzz/src/channel.rs"]
mod targets;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 5] = [
    ("channel_server", targets::channel_server),
    ("channel_viewer", targets::channel_viewer),
    ("channel_records", targets::channel_records),
    ("channel_payloads", targets::channel_payloads),
    ("channel_pins", targets::channel_pins),
];

#[test]
fn seeds_cut_and_changed_at_every_byte_break_nothing() {
    for (name, target) in TARGETS {
        for seed in targets::seeds(name).expect("seeds") {
            target(&seed);
            // what is long is alike: every byte of the first 120, then some
            for at in (0..seed.len()).filter(|at| *at < 120 || at % 331 == 0) {
                target(&seed[..at]);
                for change in [0x01, 0x80] {
                    let mut bad = seed.clone();
                    bad[at] ^= change;
                    target(&bad);
                }
            }
        }
    }
}

#[test]
fn a_target_of_another_name_has_no_seeds() {
    assert!(targets::seeds("config").is_none());
}
