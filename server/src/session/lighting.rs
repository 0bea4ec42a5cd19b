//! Who looks at one monitor and wants the others dark, or wants one of their own: which monitors that leaves on, and which are made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use farpane_engine::geometry::Size;

use super::hub::Hub;
use super::side_car::{MonitorMade, SideCar};
use super::view::ViewSpec;

/// How long a monitor that is dark may take to be there for who wants to see it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// Switches monitors off and on again, and makes some.
pub trait Lighting: Send + Sync {
    /// These are looked at, and only these stay on; all are as they were before where none is named. Returns at once.
    fn only(&self, names: Vec<String>);
    /// These are to be there beside the desktop's own, by their numbers; what was made besides goes. Returns at once.
    fn side_cars(&self, wanted: &BTreeMap<u32, Size>);
    /// What has become of one that is wanted.
    fn side_car(&self, id: u32) -> MonitorMade;
}

/// What somebody sees, and what becomes of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The monitors that are seen.
    pub view: ViewSpec,
    /// The others are switched off meanwhile.
    pub others_off: bool,
    /// The monitor was made for this.
    pub side_car: Option<SideCar>,
}

/// The monitors that stay on while these look; none where all are as they are.
fn lit<'a>(sights: impl Iterator<Item = &'a Sight>) -> Vec<String> {
    let (mut names, mut others_off): (Vec<String>, bool) = (Vec::new(), false);
    for sight in sights {
        others_off |= sight.others_off;
        if let ViewSpec::Output(name) = &sight.view
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    if others_off { names } else { Vec::new() }
}

/// Who switches monitors, and which are to be lit for those who are about to come in.
#[derive(Default)]
pub struct Lamps {
    by: OnceLock<Arc<dyn Lighting>>,
    awaited: Mutex<Vec<Sight>>,
    /// How large monitors are to be that are made, while anybody wants them.
    sizes: Mutex<BTreeMap<u32, Size>>,
}

impl Lamps {
    /// Who makes monitors.
    pub(super) fn makes(&self) -> Option<&Arc<dyn Lighting>> {
        self.by.get()
    }

    /// A monitor that is made is to be of that size.
    pub(super) fn wish(&self, id: u32, size: Size) {
        self.sizes().insert(id, size);
    }

    fn sizes(&self) -> MutexGuard<'_, BTreeMap<u32, Size>> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn awaited(&self) -> MutexGuard<'_, Vec<Sight>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A monitor is kept lit for somebody who is about to come in.
pub struct Awaited<'a>(&'a Hub, Sight);

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        let Awaited(hub, sight) = self;
        let mut awaited = hub.lamps().awaited();
        if let Some(at) = awaited.iter().position(|other| other == sight) {
            awaited.swap_remove(at);
        }
        drop(awaited);
        hub.relight();
    }
}

impl Hub {
    /// Has monitors switched by this from here on. The first to be set stays.
    pub fn set_lighting(&self, lighting: Arc<dyn Lighting>) {
        let _ = self.lamps().by.set(lighting);
    }

    /// Has lit what those who are there look at, and the rest as they want it.
    pub(super) fn relight(&self) {
        if let Some(lighting) = self.lamps().by.get() {
            // first, so that of two who look at once the last to look is the last to tell
            let mut sizes = self.lamps().sizes();
            let wanted = self.wanted();
            sizes.retain(|id, _| wanted.iter().any(|car| car.id == *id));
            for car in wanted {
                sizes.entry(car.id).or_insert(car.size);
            }
            lighting.side_cars(&sizes);
            drop(sizes);
            lighting.only(self.lit());
        }
    }

    /// Whether a monitor that is not there may be one that is dark because others look at other ones.
    pub fn may_light(&self) -> bool {
        self.lamps().by.get().is_some() && !self.lit().is_empty()
    }

    /// Waits for the view's monitor, where it is dark because others look at other ones. It stays lit while what is returned lives.
    pub async fn wait_for_light(&self, view: &ViewSpec) -> Option<Awaited<'_>> {
        if self.shows(view) || !self.may_light() {
            return None;
        }
        let awaited = self.await_sight(Sight { view: view.clone(), ..Sight::default() });
        let there = async {
            while !self.shows(view) {
                tokio::time::sleep(LOOK).await;
            }
        };
        // whoever does not see it by then is told that it is not there
        let _ = tokio::time::timeout(PATIENCE, there).await;
        Some(awaited)
    }

    /// Somebody is about to come in for this; it is there for them while what is returned lives.
    pub(super) fn await_sight(&self, sight: Sight) -> Awaited<'_> {
        self.lamps().awaited().push(sight.clone());
        let awaited = Awaited(self, sight);
        self.relight();
        awaited
    }

    /// The monitors that have to be made for those who are there.
    fn wanted(&self) -> Vec<SideCar> {
        let awaited = self.lamps().awaited().clone();
        let of = |sight: &Sight| sight.side_car;
        self.with_members(|who| who.filter_map(|who| of(&who.sight)).chain(awaited.iter().filter_map(of)).collect())
    }

    fn lit(&self) -> Vec<String> {
        let awaited = self.lamps().awaited().clone();
        self.with_members(|who| lit(who.map(|who| &who.sight).chain(awaited.iter())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(view: &str, others_off: bool) -> Sight {
        let Ok(view) = view.parse();
        Sight { view, others_off, side_car: None }
    }

    #[test]
    fn what_is_looked_at_by_name_stays_on_while_one_wants_the_others_dark() {
        let all = |sights: &[(&str, bool)]| {
            let sights: Vec<Sight> = sights.iter().map(|(view, off)| sight(view, *off)).collect();
            lit(sights.iter()).join(" ")
        };
        assert_eq!(all(&[]), "");
        assert_eq!(all(&[("all", false), ("a", false)]), "");
        assert_eq!(all(&[("a", true)]), "a");
        assert_eq!(all(&[("a", true), ("b", false), ("all", false), ("a", false)]), "a b");
        assert_eq!(all(&[("a", true), ("b", true)]), "a b");
    }
}
