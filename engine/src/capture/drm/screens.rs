//! The screens that hang on a card, and how they lie beside each other.

use std::io;

use super::card::{Card, PlaneKind};
use crate::geometry::{Point, Size};

/// A CRTC with a mode, named by what it is wired to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    /// The card's name: `card0`.
    pub card: String,
    /// The card's driver.
    pub driver: String,
    /// The CRTC's index on the card.
    pub crtc: u32,
    /// The connector that shows it, the first where there are several: `HDMI-A-1`.
    pub connector: String,
    /// Its size upright.
    pub size: Size,
    /// Pictures in 1000 s.
    pub rate: u32,
    /// The framebuffer's number and the place in it, where one is shown.
    pub shown: Option<(u32, Point)>,
}

impl Screen {
    /// The name of it that users know: `card0-HDMI-A-1`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.card, self.connector)
    }
}

/// The screens of a card that have a mode, in the order of their CRTCs.
///
/// # Errors
/// When the card is gone.
pub fn screens(card: &dyn Card) -> io::Result<Vec<Screen>> {
    let (connectors, planes) = (card.connectors()?, card.planes()?);
    let mut found = Vec::new();
    for (index, id) in (0u32..32).zip(card.crtcs()?) {
        let Some((width, height, rate)) = card.crtc(id)?.mode else { continue };
        let wired = connectors.iter().find(|connector| connector.crtc == Some(id));
        let connector = wired.map_or_else(|| format!("crtc{index}"), |connector| connector.name.clone());
        let mut size = Size::new(width, height);
        let mut shown = None;
        for plane in planes.iter().filter(|p| p.kind == PlaneKind::Primary && p.crtcs >> index & 1 != 0) {
            let state = card.plane(plane.id)?;
            if state.crtc == id && state.framebuffer != 0 {
                let [x, y, w, h] = state.source.map(|fixed| (fixed >> 16) as u16);
                (size, shown) = (Size::new(w, h), Some((state.framebuffer, Point::new(x, y))));
            }
        }
        let (card, driver) = (card.name().to_owned(), card.driver().to_owned());
        found.push(Screen { card, driver, crtc: index, connector, size, rate, shown });
    }
    Ok(found)
}

/// Where screens lie: as in the framebuffer that they share, else side by side in their order.
pub fn arrange(screens: &[Screen]) -> Vec<Point> {
    let shared = |screen: &Screen| {
        let (number, _) = screen.shown?;
        let same = |other: &&Screen| other.card == screen.card && other.shown.is_some_and(|(n, _)| n == number);
        (screens.iter().filter(same).count() > 1).then_some((screen.card.clone(), number))
    };
    let mut right = 0u16;
    let mut groups: Vec<((String, u32), u16)> = Vec::new();
    let mut places = Vec::new();
    for screen in screens {
        let key = shared(screen);
        let known = key.as_ref().and_then(|key| groups.iter().find(|(k, _)| k == key)).map(|(_, left)| *left);
        let left = known.unwrap_or(right);
        let at = match (&key, screen.shown) {
            (Some(_), Some((_, at))) => Point::new(left.saturating_add(at.x), at.y),
            _ => Point::new(left, 0),
        };
        right = right.max(at.x.saturating_add(screen.size.w));
        if let (Some(key), None) = (key, known) {
            groups.push((key, left));
        }
        places.push(at);
    }
    places
}

/// Whether a driver's framebuffers are plain rows where it says nothing of their form. Those of graphics hardware may be tiled then, in a way
/// that only the hardware knows.
pub fn draws_in_rows(driver: &str) -> bool {
    const ROWS: [&str; 18] = [
        "ast",
        "bochs-drm",
        "cirrus",
        "cirrus-qemu",
        "gud",
        "hibmc-drm",
        "hyperv_drm",
        "mgag200",
        "ofdrm",
        "qxl",
        "simpledrm",
        "sysfb",
        "udl",
        "vboxvideo",
        "virtio_gpu",
        "vkms",
        "vmwgfx",
        "xendrm-du",
    ];
    ROWS.contains(&driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(card: &str, w: u16, shown: Option<(u32, u16, u16)>) -> Screen {
        Screen {
            card: card.into(),
            driver: "vkms".into(),
            crtc: 0,
            connector: "DP-1".into(),
            size: Size::new(w, 100),
            rate: 60_000,
            shown: shown.map(|(number, x, y)| (number, Point::new(x, y))),
        }
    }

    #[test]
    fn screens_with_pictures_of_their_own_stand_side_by_side() {
        let all =
            [screen("card0", 300, Some((7, 0, 0))), screen("card0", 200, Some((8, 0, 0))), screen("card1", 9, None)];
        assert_eq!(arrange(&all), [Point::new(0, 0), Point::new(300, 0), Point::new(500, 0)]);
    }

    #[test]
    fn screens_that_share_a_framebuffer_lie_as_in_it() {
        let all = [
            screen("card0", 300, Some((7, 200, 50))),
            screen("card0", 200, Some((7, 0, 0))),
            // another card's framebuffers have numbers of their own
            screen("card1", 40, Some((7, 0, 0))),
        ];
        assert_eq!(arrange(&all), [Point::new(200, 50), Point::new(0, 0), Point::new(500, 0)]);
    }
}
