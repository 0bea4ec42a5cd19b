//! Under which ids monitors are known.

use std::collections::HashMap;

use farpane_engine::capture::x11::Monitor;
use farpane_engine::geometry::Size;

use crate::backend::{Layout, LayoutOutput, OutputId};

/// Monitors of one canvas at most.
const MAX_MONITORS: usize = 64;
/// How the names of the monitors begin that we make.
pub const OURS: &str = "farpane-";

/// Gives each monitor's name an id that it keeps for as long as the backend lives.
#[derive(Debug, Default)]
pub struct Ids {
    known: HashMap<String, OutputId>,
}

impl Ids {
    fn of(&mut self, name: &str) -> OutputId {
        let free = |id: &OutputId| !self.known.values().any(|k| k == id);
        // a monitor that was made on a client's wish bears the id that the client gave it
        let wished = name.strip_prefix(OURS).and_then(|n| n.parse().ok()).map(OutputId).filter(free);
        let id = wished.unwrap_or_else(|| (0..).map(OutputId).find(free).unwrap_or(OutputId(u32::MAX)));
        *self.known.entry(name.to_owned()).or_insert(id)
    }

    /// The layout of the server's monitors. Those that lie outside the canvas or bear another's name are left out.
    pub fn layout(&mut self, size: Size, monitors: &[Monitor]) -> Layout {
        let mut outputs: Vec<LayoutOutput> = Vec::new();
        for Monitor { name, rect, .. } in monitors.iter().take(MAX_MONITORS) {
            let rect = rect.intersect(&size.rect());
            if !rect.is_empty() && !outputs.iter().any(|o| o.name == *name) {
                outputs.push(LayoutOutput { id: self.of(name), name: name.clone(), rect });
            }
        }
        outputs.sort_by_key(|o| o.id);
        Layout { size, outputs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farpane_engine::geometry::Rect;

    fn row(names: &[&str]) -> Vec<Monitor> {
        let monitor = |(i, name): (usize, &&str)| Monitor {
            name: (*name).to_owned(),
            rect: Rect::new(100 * i as u16, 0, 100, 100),
            primary: i == 0,
        };
        names.iter().enumerate().map(monitor).collect()
    }

    #[test]
    fn a_monitor_keeps_its_id_when_it_comes_back() {
        let mut ids = Ids::default();
        let size = Size::new(300, 100);
        let first = ids.layout(size, &row(&["a", "b"]));
        ids.layout(size, &row(&["b"]));
        let third = ids.layout(size, &row(&["c", "a"]));
        let id = |l: &Layout, name: &str| l.outputs.iter().find(|o| o.name == name).map(|o| o.id);
        assert_eq!(id(&first, "a"), id(&third, "a"));
        assert_eq!(id(&third, "c"), Some(OutputId(2)));
    }

    #[test]
    fn a_monitor_made_for_a_client_has_the_id_that_it_asked_for() {
        let mut ids = Ids::default();
        let out = ids.layout(Size::new(300, 100), &row(&["screen", "farpane-7", "farpane-0"]));
        let by_name: Vec<_> = out.outputs.iter().map(|o| (o.name.as_str(), o.id.0)).collect();
        assert_eq!(by_name, [("screen", 0), ("farpane-0", 1), ("farpane-7", 7)]);
    }

    #[test]
    fn rectangles_are_clipped_to_the_canvas_and_names_are_taken_once() {
        let mut ids = Ids::default();
        let out = ids.layout(Size::new(150, 50), &row(&["a", "b", "outside"]));
        assert_eq!(out.outputs.len(), 2);
        assert_eq!(out.outputs[1].rect, Rect::new(100, 0, 50, 50));
        assert_eq!(ids.layout(Size::new(300, 50), &row(&["a", "a"])).outputs.len(), 1);
    }
}
