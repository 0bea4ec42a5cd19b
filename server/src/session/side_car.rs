//! Monitors that are made for those who look at them, and last as long as they do.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use farpane_engine::geometry::Size;
use serde::{Deserialize, Serialize};

use super::hub::{ClientId, Hub};
use super::lighting::{Awaited, Sight};
use super::roster::Described;
use super::view::ViewSpec;
use crate::backend::ResizeAnswer;

/// How long a monitor may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long another size of one may take.
const RESIZE_PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// How large such a monitor is at first. As text: `1920x1080`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SideCarSize(pub Size);

impl Default for SideCarSize {
    fn default() -> Self {
        Self(Size::new(1920, 1080))
    }
}

/// What is no size of a monitor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("size {0:?} (expected WIDTHxHEIGHT, 64x64 to 16384x16384)")]
pub struct SideCarSizeError(String);

/// Whether a monitor can be made of that size.
fn can_be(size: Size) -> bool {
    [size.w, size.h].iter().all(|side| (64..=16_384).contains(side))
}

impl FromStr for SideCarSize {
    type Err = SideCarSizeError;

    fn from_str(text: &str) -> Result<Self, SideCarSizeError> {
        let size = text.split_once('x').and_then(|(w, h)| Some(Size::new(w.parse().ok()?, h.parse().ok()?)));
        size.filter(|size| can_be(*size)).map(Self).ok_or_else(|| SideCarSizeError(text.to_owned()))
    }
}

impl TryFrom<String> for SideCarSize {
    type Error = SideCarSizeError;

    fn try_from(text: String) -> Result<Self, SideCarSizeError> {
        text.parse()
    }
}

impl fmt::Display for SideCarSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.0.w, self.0.h)
    }
}

impl From<SideCarSize> for String {
    fn from(size: SideCarSize) -> Self {
        size.to_string()
    }
}

/// A monitor that is made for the clients of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideCar {
    /// Tells it from those of other listeners.
    pub id: u32,
    /// How large it is at first.
    pub size: Size,
}

/// What has become of a monitor that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MonitorMade {
    /// Its name and its size, while it is there.
    pub made: Option<(String, Size)>,
    /// Why the last wish was not carried out.
    pub failed: Option<String>,
}

impl Hub {
    /// Has the monitor made, and waits until it is there. It stays while what is returned lives, or a session that sees it.
    ///
    /// # Errors
    /// When there is none: why, for the client that waits.
    pub async fn wait_for_side_car(&self, car: SideCar) -> Result<(ViewSpec, Awaited<'_>), String> {
        let makes = self.lamps().makes().ok_or("no monitor can be made here")?;
        let awaited = self.await_sight(Sight { view: ViewSpec::SideCar, others_off: false, side_car: Some(car) });
        let there = async {
            loop {
                match makes.side_car(car.id) {
                    MonitorMade { made: Some((name, _)), .. } if self.shows(&ViewSpec::Output(name.clone())) => {
                        return Ok(ViewSpec::Output(name));
                    }
                    MonitorMade { made: None, failed: Some(why) } => return Err(why),
                    _ => tokio::time::sleep(LOOK).await,
                }
            }
        };
        match tokio::time::timeout(PATIENCE, there).await {
            Ok(Ok(view)) => Ok((view, awaited)),
            Ok(Err(why)) => Err(format!("no monitor could be made: {why}")),
            Err(_) => Err(format!("the monitor that is made for this was not there within {PATIENCE:?}")),
        }
    }

    /// Gives the monitor that was made for a client another size. None where none was. Waits.
    pub(super) fn resize_side_car(&self, id: ClientId, size: Size) -> Option<ResizeAnswer> {
        let of_that = |who: &Described| if who.id == id { who.sight.side_car } else { None };
        let car = self.with_members(|all| all.filter_map(of_that).last())?;
        let makes = self.lamps().makes()?;
        if !can_be(size) {
            return Some(ResizeAnswer::OutOfResources);
        }
        self.lamps().wish(car.id, size);
        self.relight();
        let end = std::time::Instant::now() + RESIZE_PATIENCE;
        while std::time::Instant::now() < end {
            match makes.side_car(car.id) {
                MonitorMade { made: Some((_, now)), .. } if now == size => return Some(ResizeAnswer::Done),
                MonitorMade { made, failed: Some(_) } => {
                    if let Some((_, now)) = made {
                        self.lamps().wish(car.id, now);
                    }
                    break;
                }
                _ => std::thread::sleep(LOOK),
            }
        }
        Some(ResizeAnswer::OutOfResources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_monitors() {
        for good in ["64x64", "1920x1080", "16384x16384"] {
            assert_eq!(good.parse().map(|size: SideCarSize| size.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "x", "63x64", "64x16385", "1920", "1920x1080x2", "-64x64", "1e3x64", "a 64x64"] {
            let error = bad.parse::<SideCarSize>().expect_err(bad).to_string();
            assert_eq!(error, format!("size {bad:?} (expected WIDTHxHEIGHT, 64x64 to 16384x16384)"));
        }
    }
}
