//! What clients wish for: whether it can be a layout at all.

use super::{Layout, ResizeAnswer};

/// Whether wished screens lie inside their canvas and apart from each other.
///
/// # Errors
/// When they do not: the answer to give.
pub fn check(wish: &Layout) -> Result<(), ResizeAnswer> {
    let canvas = wish.size.rect();
    let good = !canvas.is_empty() && !wish.outputs.is_empty();
    let inside = wish.outputs.iter().all(|o| !o.rect.is_empty() && canvas.contains(&o.rect));
    let apart = wish
        .outputs
        .iter()
        .enumerate()
        .all(|(i, a)| wish.outputs.iter().skip(i + 1).all(|b| !a.rect.overlaps(&b.rect) && a.id != b.id));
    if good && inside && apart { Ok(()) } else { Err(ResizeAnswer::InvalidLayout) }
}

#[cfg(test)]
mod tests {
    use super::super::{LayoutOutput, OutputId};
    use super::*;
    use farpane_engine::geometry::{Rect, Size};

    fn wish(rects: &[(u32, Rect)]) -> Layout {
        let outputs =
            rects.iter().map(|(id, rect)| LayoutOutput { id: OutputId(*id), name: String::new(), rect: *rect });
        Layout { size: Size::new(100, 100), outputs: outputs.collect() }
    }

    #[test]
    fn screens_lie_inside_and_apart_each_with_its_own_id() {
        let (left, right) = (Rect::new(0, 0, 50, 100), Rect::new(50, 0, 50, 100));
        assert_eq!(check(&wish(&[(0, left), (1, right)])), Ok(()));
        let bad = [
            vec![],
            vec![(0, left), (0, right)],
            vec![(0, left), (1, Rect::new(49, 0, 50, 100))],
            vec![(0, Rect::new(60, 0, 50, 10))],
            vec![(0, Rect::new(0, 0, 0, 10))],
        ];
        for rects in bad {
            assert_eq!(check(&wish(&rects)), Err(ResizeAnswer::InvalidLayout), "{rects:?}");
        }
    }
}
