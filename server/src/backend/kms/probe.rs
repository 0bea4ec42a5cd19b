//! What can be said of screens: a line each.

use std::path::Path;

use farpane_engine::capture::drm::{self, Card, Connector, Device, Screen, draws_in_rows};

/// A line for each screen that the helper tells of.
pub fn details(screens: &[Screen]) -> Vec<String> {
    let line = |screen: &Screen| {
        let how = if draws_in_rows(&screen.driver) {
            "can be captured"
        } else {
            "can be captured where it lies in rows, or a GPU reads its form"
        };
        format!("{}: {}", describe(screen), how)
    };
    screens.iter().map(line).collect()
}

fn describe(screen: &Screen) -> String {
    let rate = (screen.rate + 500) / 1000;
    format!("{} {}x{} at {rate} Hz, driver {}", screen.name(), screen.size.w, screen.size.h, screen.driver)
}

/// What is to be said of a card none of whose screens is lit.
fn dark(card: &Path, connectors: &[Connector]) -> String {
    let names: Vec<&str> = connectors.iter().map(|connector| connector.name.as_str()).collect();
    let first = names.first().copied().unwrap_or("HDMI-A-1");
    format!(
        "{}: nothing is lit on {}; without a screen plugged in: video={first}:1920x1080@60e on the kernel's command line",
        card.display(),
        if names.is_empty() { "it".into() } else { names.join(", ") }
    )
}

/// A line for each screen that is seen without a helper, or for each card that is not.
pub fn cards() -> Vec<String> {
    let mut lines = Vec::new();
    for path in drm::cards() {
        let card = path.display();
        let look = |device: &Device| Ok((drm::screens(device)?, device.connectors()?));
        match Device::open(&path).and_then(|device| device.as_ref().map(look).transpose()) {
            Ok(None) => lines.push(format!("{card}: a card without screens")),
            Ok(Some((screens, connectors))) if screens.is_empty() => lines.push(dark(&path, &connectors)),
            Ok(Some((screens, _))) => {
                lines.extend(screens.iter().map(|screen| format!("{}: only through the helper", describe(screen))));
            }
            Err(error) => lines.push(format!("{card}: {error}; join the group video, or start the helper")),
        }
    }
    if lines.is_empty() {
        lines.push(format!("no graphics card in {}", drm::FOLDER));
    }
    lines
}
