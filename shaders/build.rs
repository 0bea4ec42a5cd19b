//! Stops the build when a shader is not valid WGSL, with naga's words for it.

use std::path::Path;

#[path = "src/sources.rs"]
mod sources;

const ALL: [(&str, &str); 4] = [
    ("compact", sources::COMPACT),
    ("image_diff", sources::IMAGE_DIFF),
    ("palette_count", sources::PALETTE_COUNT),
    ("tile_diff", sources::TILE_DIFF),
];

fn main() {
    println!("cargo::rerun-if-changed=wgsl");
    let files = std::fs::read_dir(Path::new("wgsl")).expect("the folder wgsl").map(|e| e.expect("a file").path());
    let mut names: Vec<_> =
        files.filter_map(|file| Some(file.file_name()?.to_str()?.strip_suffix(".wgsl")?.to_owned())).collect();
    names.sort();
    assert_eq!(names, ALL.map(|(name, _)| name), "every file is a shader, and every shader has one");
    for (name, source) in ALL {
        let module = naga::front::wgsl::parse_str(source)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(source)));
        let mut validator =
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
        if let Err(error) = validator.validate(&module) {
            panic!("{name}: {}", error.emit_to_string(source));
        }
        assert_eq!(module.entry_points.len(), 1, "{name}: one entry point a file");
    }
}
