//! What finding a change costs, on all cores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_engine::capture::synthetic;
use farpane_engine::damage::{CpuDamage, Damage, DamageEngine, Mirror, Progress};
use farpane_engine::frame::{Frame, Hint, Memory, Piece};
use farpane_engine::geometry::{Rect, Region, Size};
use farpane_engine::pixel::{Fourcc, Layout, Modifier};

use super::report::{DamageRow, Excluded, Report};
use super::{Clocks, median};

/// Rows of [`measure`].
pub(super) const CASES: usize = 5;

const SIZE: Size = Size::new(1920, 1080);
const LETTER: Rect = Rect { x: 500, y: 500, w: 10, h: 20 };
const LINES: usize = 42;

/// Cores that a compare is spread over.
pub(super) fn cores() -> usize {
    rayon::current_num_threads()
}

/// What a case must find.
enum Found {
    Nothing,
    Exactly(Rect),
    /// No move where moves are looked for, each time: a move between two frames makes the search forget that it was in vain.
    NoMoves,
    Copies,
}

/// Adds the row of every case, or why it has none.
pub(super) fn measure(share: Duration, clocks: Clocks<'_>, report: &mut Report) {
    let spec = synthetic::parse(&format!("{SIZE}:scroll"));
    let page = spec.map(|spec| synthetic::picture(&spec, 0)).unwrap_or_default();
    let mut letter = page.clone();
    let mut all = page.clone();
    all.iter_mut().for_each(|p| *p ^= 0x00ff_ffff);
    for y in LETTER.y..LETTER.bottom() {
        let at = usize::from(y) * usize::from(SIZE.w) + usize::from(LETTER.x);
        letter.iter_mut().skip(at).take(usize::from(LETTER.w)).for_each(|p| *p ^= 0x00ff_ffff);
    }
    let noise = synthetic::parse(&format!("{SIZE}:noise")).map(|spec| synthetic::picture(&spec, 0)).unwrap_or_default();
    let cases = [
        ("nothing differs", page.clone(), Found::Nothing),
        ("one letter differs", letter, Found::Exactly(LETTER)),
        ("all differs", all, Found::Exactly(SIZE.rect())),
        ("all differs, moves searched in vain", noise, Found::NoMoves),
        ("all scrolled, move found", scrolled(&page), Found::Copies),
    ];
    let page: Arc<[u32]> = page.into();
    for (case, other, found) in cases {
        match measure_case([&page, &other.into()], &found, share, clocks) {
            Ok((runs, wall)) => report.damage.push(DamageRow {
                case: case.into(),
                width: SIZE.w,
                height: SIZE.h,
                runs,
                wall_ms: wall.as_secs_f64() * 1e3,
            }),
            Err(reason) => report.excluded.push(Excluded { row: format!("damage: {case}"), reason }),
        }
    }
}

fn scrolled(page: &[u32]) -> Vec<u32> {
    let mut out = page.to_vec();
    out.rotate_left(usize::from(SIZE.w) * LINES);
    out
}

fn frame(memory: &Arc<[u32]>) -> Frame {
    Frame {
        size: SIZE,
        fourcc: Fourcc::XRGB8888,
        modifier: Modifier::LINEAR,
        pieces: vec![Piece { rect: SIZE.rect(), offset: 0, stride: usize::from(SIZE.w) * 4 }],
        memory: Memory::Heap(memory.clone()),
        hint: Hint::Everything,
        acquire: None,
        seq: 0,
        captured_at: Instant::now(),
        release: None,
    }
}

fn feed(engine: &mut CpuDamage, mirror: &Mirror, frame: Frame) -> Result<Damage, String> {
    let now = frame.captured_at;
    let ticket = engine.submit(frame, mirror, now);
    match engine.poll(ticket, mirror, now) {
        Progress::Done(damage) => Ok(damage),
        Progress::Pending => Err("the compare did not finish".into()),
        Progress::Failed { .. } => Err("the compare failed".into()),
    }
}

fn verify(mirror: &Mirror, want: &[u32], damage: &Damage, found: &Found) -> Result<(), String> {
    if mirror.read().pixels != want {
        return Err("the mirror is not the frame".into());
    }
    let right = match found {
        Found::Nothing => damage.changed.is_empty() && damage.copied.is_empty(),
        Found::Exactly(rect) => damage.changed == Region::from(*rect) && damage.copied.is_empty(),
        Found::NoMoves => !damage.changed.is_empty() && damage.copied.is_empty(),
        Found::Copies => !damage.copied.is_empty(),
    };
    if right { Ok(()) } else { Err(format!("found {:?} and {} moves", damage.changed, damage.copied.len())) }
}

/// Times frames that go to and fro between two pictures, after checking what is found between them. Times are medians.
fn measure_case(
    [page, other]: [&Arc<[u32]>; 2],
    found: &Found,
    share: Duration,
    clocks: Clocks<'_>,
) -> Result<(usize, Duration), String> {
    let begun = (clocks.wall)();
    let mirror = Mirror::new(SIZE, Layout::BGRX, Instant::now());
    let mut engine = CpuDamage::new();
    engine.set_scroll(matches!(found, Found::NoMoves | Found::Copies));
    feed(&mut engine, &mirror, frame(page))?;
    let damage = feed(&mut engine, &mirror, frame(other))?;
    verify(&mirror, other, &damage, found)?;
    let between = matches!(found, Found::NoMoves)
        .then(|| [page, other].map(|picture| -> Arc<[u32]> { scrolled(picture).into() }));
    let mut times = Vec::new();
    loop {
        let next = if times.len() % 2 == 0 { page } else { other };
        if let Some([of_page, of_other]) = &between {
            let scrolled = if times.len() % 2 == 0 { of_other } else { of_page };
            let damage = feed(&mut engine, &mirror, frame(scrolled))?;
            verify(&mirror, scrolled, &damage, &Found::Copies)?;
            engine.recycle(damage);
        }
        let before = (clocks.wall)();
        let damage = feed(&mut engine, &mirror, frame(next))?;
        let after = (clocks.wall)();
        engine.recycle(damage);
        times.push(after.saturating_sub(before));
        if after.saturating_sub(begun) >= share {
            return Ok((times.len(), median(&mut times).unwrap_or_default()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_finds_something_else_gets_no_figures() {
        let zero = || Duration::ZERO;
        let clocks = Clocks { cpu: &zero, wall: &zero };
        let page: Arc<[u32]> = vec![7; SIZE.area() as usize].into();
        let mut other = page.to_vec();
        other[usize::from(LETTER.y) * usize::from(SIZE.w) + usize::from(LETTER.x)] = 8;
        let other: Arc<[u32]> = other.into();
        let one = Rect::new(LETTER.x, LETTER.y, 1, 1);
        let measured = |found| measure_case([&page, &other], &found, Duration::ZERO, clocks);
        assert!(measured(Found::Exactly(one)).is_ok());
        for wrong in [Found::Exactly(LETTER), Found::Nothing, Found::Copies] {
            assert!(measured(wrong).is_err());
        }
        let page: Arc<[u32]> = (0..SIZE.area()).map(|n| (n as u32).wrapping_mul(0x9e37_79b9) >> 8).collect();
        let moved: Arc<[u32]> = scrolled(&page).into();
        let measured = |found| measure_case([&page, &moved], &found, Duration::ZERO, clocks);
        assert!(measured(Found::Copies).is_ok());
        assert!(measured(Found::NoMoves).is_err());
    }
}
