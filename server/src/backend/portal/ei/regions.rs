//! Where on a desktop's pointer devices a place of a monitor lies. Pure.
//!
//! A device reaches some regions of the desktop, in units of its own. The portal gives a stream and its region the same name; where one of
//! them has none, a region that lies where the monitor lies is taken, or one that holds it, or the only one that there is.

use super::super::layout::Monitor;

/// A part of the desktop that a device reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its name, which the stream of its monitor bears too.
    pub mapping: Option<String>,
    /// Its left edge.
    pub x: u32,
    /// Its upper edge.
    pub y: u32,
    /// Its width.
    pub w: u32,
    /// Its height.
    pub h: u32,
}

impl Region {
    fn lies_at(&self, (x, y): (i32, i32)) -> bool {
        i64::from(self.x) == i64::from(x) && i64::from(self.y) == i64::from(y)
    }

    fn is_of_size(&self, (w, h): (i32, i32)) -> bool {
        i64::from(self.w) == i64::from(w) && i64::from(self.h) == i64::from(h)
    }

    /// Whether it holds all of a monitor that lies there.
    fn holds(&self, (x, y): (i32, i32), (w, h): (i32, i32)) -> bool {
        let within = |from: u32, len: u32, at: i32, size: i32| {
            i64::from(from) <= i64::from(at) && i64::from(at) + i64::from(size) <= i64::from(from) + i64::from(len)
        };
        within(self.x, self.w, x, w) && within(self.y, self.h, y, h)
    }
}

/// The region that shows a monitor, and where in the device's units a place of it lies that is told in the desktop's own units.
/// `all` are the regions of all devices; none when none of them shows the monitor.
pub fn place<'a>(
    all: impl Iterator<Item = &'a Region> + Clone,
    monitor: &Monitor,
    mapping: Option<&str>,
    (x, y): (f64, f64),
) -> Option<(&'a Region, f32, f32)> {
    let size = monitor.logical.unwrap_or((i32::from(monitor.size.w), i32::from(monitor.size.h)));
    let spread = |region: &'a Region| {
        // a region may count in other units than the monitor
        let along = |from: u32, len: u32, at: f64, of: i32| {
            let end = f64::from(from) + f64::from(len);
            let there = f64::from(from) + at.max(0.0) * f64::from(len) / f64::from(of.max(1));
            // its far edge is outside
            there.min(end - (f64::from(len) / 2.0).min(0.5)) as f32
        };
        (region, along(region.x, region.w, x, size.0), along(region.y, region.h, y, size.1))
    };
    let there = all.filter(|r| r.w > 0 && r.h > 0);
    let named = there.clone().find(|r| mapping.is_some() && r.mapping.as_deref() == mapping);
    if let Some(region) = named {
        return Some(spread(region));
    }
    if let Some(at) = monitor.position {
        if let Some(region) = there.clone().find(|r| r.lies_at(at) && r.is_of_size(size)) {
            return Some(spread(region));
        }
        if let Some(region) = there.clone().find(|r| r.holds(at, size)) {
            return Some((region, (f64::from(at.0) + x) as f32, (f64::from(at.1) + y) as f32));
        }
    }
    let mut fitting = there.clone().filter(|r| r.is_of_size(size));
    if let (Some(region), None) = (fitting.next(), fitting.next()) {
        return Some(spread(region));
    }
    let mut only = there;
    match (only.next(), only.next()) {
        (Some(region), None) => Some(spread(region)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farpane_engine::geometry::Size;
    use proptest::prelude::*;

    fn region(mapping: Option<&str>, x: u32, y: u32, w: u32, h: u32) -> Region {
        Region { mapping: mapping.map(str::to_owned), x, y, w, h }
    }

    fn monitor(w: u16, h: u16, position: Option<(i32, i32)>, logical: Option<(i32, i32)>) -> Monitor {
        Monitor { size: Size::new(w, h), position, logical }
    }

    #[test]
    fn a_region_that_bears_the_stream_s_name_goes_before_all_others() {
        let all = [region(Some("a"), 0, 0, 100, 50), region(Some("b"), 1000, 500, 50, 25)];
        let m = monitor(200, 100, Some((0, 0)), Some((100, 50)));
        assert_eq!(place(all.iter(), &m, Some("a"), (10.0, 20.0)), Some((&all[0], 10.0, 20.0)));
        assert_eq!(place(all.iter(), &m, Some("b"), (10.0, 20.0)), Some((&all[1], 1005.0, 510.0)), "half the units");
    }

    #[test]
    fn without_names_places_and_sizes_tell() {
        let all = [region(None, 0, 0, 100, 50), region(Some("x"), 100, 0, 100, 50), region(None, 0, 50, 300, 300)];
        let at = |position, w, h| monitor(w, h, position, None);
        assert_eq!(place(all.iter(), &at(Some((100, 0)), 100, 50), None, (5.0, 6.0)), Some((&all[1], 105.0, 6.0)));
        assert_eq!(place(all.iter(), &at(Some((100, 100)), 80, 50), None, (5.0, 6.0)), Some((&all[2], 105.0, 106.0)));
        assert_eq!(place(all.iter(), &at(None, 300, 300), None, (0.0, 0.0)), Some((&all[2], 0.0, 50.0)));
        assert_eq!(place(all.iter(), &at(None, 100, 50), Some("y"), (0.0, 0.0)), None, "two could be meant");
        assert_eq!(place(all.iter(), &at(Some((-5, -5)), 7, 7), None, (0.0, 0.0)), None);
        assert_eq!(
            place(all[..1].iter(), &at(None, 7, 7), None, (3.5, 0.0)),
            Some((&all[0], 50.0, 0.0)),
            "the only one"
        );
        assert_eq!(place([].iter(), &at(None, 7, 7), None, (0.0, 0.0)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_place_of_the_monitor_lies_in_its_region(
            (x, y, w, h) in (0u32..60_000, 0u32..60_000, 1u32..20_000, 1u32..20_000),
            (pw, ph) in (1u16..16_000, 1u16..16_000),
            (px, py) in (any::<u16>(), any::<u16>()),
        ) {
            let all = [region(Some("a"), x, y, w, h)];
            let m = monitor(pw, ph, None, None);
            let (px, py) = m.in_units(px % pw, py % ph);
            let (_, at_x, at_y) = place(all.iter(), &m, Some("a"), (px, py)).expect("is named");
            prop_assert!(x as f32 <= at_x && f64::from(at_x) < f64::from(x) + f64::from(w));
            prop_assert!(y as f32 <= at_y && f64::from(at_y) < f64::from(y) + f64::from(h));
        }
    }
}
