//! Stops the build when a shader is not valid WGSL, with naga's words for it.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=wgsl");
    let folder = Path::new("wgsl");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the folder wgsl").map(|e| e.expect("a file").path()).collect();
    files.sort();
    for file in files {
        let source = std::fs::read_to_string(&file).expect("UTF-8");
        let name = file.display();
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&source)));
        let mut validator =
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
        if let Err(error) = validator.validate(&module) {
            panic!("{name}: {}", error.emit_to_string(&source));
        }
        assert_eq!(module.entry_points.len(), 1, "{name}: one entry point a file");
    }
}
