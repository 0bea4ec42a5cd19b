//! What a compositor offers, for people.

use farpane_engine::capture::wayland::{Offers, Route};

/// What each interface is good for.
const PARTS: [(&str, &[&str]); 6] = [
    (
        "pictures",
        &[
            "ext_image_copy_capture_manager_v1",
            "ext_output_image_capture_source_manager_v1",
            "zwlr_screencopy_manager_v1",
        ],
    ),
    ("layout", &["wl_output", "zxdg_output_manager_v1"]),
    ("dma-bufs", &["zwp_linux_dmabuf_v1"]),
    ("input", &["zwp_virtual_keyboard_manager_v1", "zwlr_virtual_pointer_manager_v1"]),
    ("clipboard", &["ext_data_control_manager_v1", "zwlr_data_control_manager_v1"]),
    ("resizing", &["zwlr_output_manager_v1"]),
];

/// Each part of a desktop with its interfaces and their versions, a line each, and how the pointer is shown.
pub fn details(offers: &Offers) -> Vec<String> {
    let mut lines: Vec<String> = PARTS
        .iter()
        .map(|(part, interfaces)| {
            let named = |name: &&str| match offers.version(name) {
                0 => format!("{name} not offered"),
                version => format!("{name} {version}"),
            };
            let list: Vec<_> = interfaces.iter().map(named).collect();
            format!("{part}: {}", list.join(", "))
        })
        .collect();
    match offers.route() {
        Ok(Route::ImageCopy) => lines
            .push("route: ext-image-copy-capture-v1; the pointer keeps its own shape where the seat has one".into()),
        Ok(Route::Screencopy) => {
            lines.push("route: wlr-screencopy-unstable-v1; the pointer is painted into the picture".into());
        }
        Err(error) => lines.push(format!("route: none: {error}")),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_named_with_its_versions() {
        let list = [
            ("wl_shm", 1),
            ("wl_output", 4),
            ("zwlr_screencopy_manager_v1", 3),
            ("zwlr_output_manager_v1", 2),
            ("zwp_linux_dmabuf_v1", 3),
        ];
        let interfaces = list.into_iter().map(|(name, version)| (name.to_owned(), version)).collect();
        let lines = details(&Offers { interfaces });
        let line = |part: &str| lines.iter().find(|l| l.starts_with(part)).expect("a line").as_str();
        assert!(line("pictures").contains("ext_image_copy_capture_manager_v1 not offered"));
        assert!(line("pictures").ends_with("zwlr_screencopy_manager_v1 3"));
        assert!(line("resizing").ends_with("zwlr_output_manager_v1 2"));
        assert!(line("dma-bufs").ends_with("zwp_linux_dmabuf_v1 3"));
        assert!(line("route").contains("wlr-screencopy"));
        assert!(details(&Offers::default()).last().expect("a line").contains("wl_shm"));
    }
}
