//! Monitors that are made beside the desktop's own, for those who want one to themselves, and go with them.
//!
//! X servers have outputs that nothing is plugged into, which are switched on; sway makes outputs without hardware. It is done by the
//! process that also switches monitors off (`lights`), because what was made has to go however the server ends.
//! Tested against Xorg and sway in `tests/x11_views/side_car.rs` and `tests/desktop_wayland_input/side_car.rs`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use farpane_engine::geometry::Size;
use serde::{Deserialize, Serialize};

use super::lights::LightsError;

/// A monitor that is wanted, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Tells it from others.
    pub id: u32,
    /// Width and height.
    pub size: (u16, u16),
}

impl Wanted {
    fn size(self) -> Size {
        Size::new(self.size.0, self.size.1)
    }
}

/// A monitor that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// For which wish.
    pub id: u32,
    /// What the desktop calls it.
    pub name: String,
    /// Width and height.
    pub size: (u16, u16),
    /// Of which run of the desktop: names of another one mean other monitors.
    pub run: String,
}

/// Makes monitors on one desktop.
pub trait Makes {
    /// What tells this run of the desktop from others.
    fn run(&self) -> String;

    /// Whether there is one of that name.
    ///
    /// # Errors
    /// When the desktop is not there.
    fn has(&mut self, name: &str) -> Result<bool, LightsError>;

    /// Makes one, right of the others; its name, which is none of `taken`.
    ///
    /// # Errors
    /// When the desktop is not there, or cannot.
    fn make(&mut self, size: Size, taken: &[String]) -> Result<String, LightsError>;

    /// Gives one another size.
    ///
    /// # Errors
    /// When the desktop is not there, or cannot.
    fn resize(&mut self, name: &str, size: Size) -> Result<(), LightsError>;

    /// Takes one away.
    ///
    /// # Errors
    /// When the desktop is not there, or cannot.
    fn remove(&mut self, name: &str) -> Result<(), LightsError>;
}

/// Remembers what it made.
pub struct Maker<'a> {
    makes: Box<dyn Makes + 'a>,
    made: Vec<Made>,
}

impl<'a> Maker<'a> {
    /// One that has made nothing.
    pub fn new(makes: Box<dyn Makes + 'a>) -> Self {
        Maker { makes, made: Vec::new() }
    }

    /// What it has made.
    pub fn made(&self) -> &[Made] {
        &self.made
    }

    /// Takes over what another one made, of this run of the desktop.
    pub fn inherit(&mut self, made: Vec<Made>) {
        if self.made.is_empty() && !made.is_empty() {
            let run = self.makes.run();
            self.made = made.into_iter().filter(|made| made.run == run).collect();
        }
    }

    /// Has these there and no others, none of them called as one of `taken`. Those of the result are not as they should be, and why.
    /// `remember` is told what there is after each change.
    pub fn want(
        &mut self,
        wanted: &[Wanted],
        taken: &[String],
        mut remember: impl FnMut(&[Made]),
    ) -> Vec<(u32, LightsError)> {
        let mut failed = Vec::new();
        let (stay, gone): (Vec<Made>, Vec<Made>) =
            std::mem::take(&mut self.made).into_iter().partition(|made| wanted.iter().any(|w| w.id == made.id));
        self.made = stay;
        // one that nobody wants any more serves the next who wants one
        let mut left = gone;
        for wanted in wanted {
            let one = self.one(*wanted, taken, &mut left);
            remember(&self.all(&left));
            failed.extend(one.err().map(|error| (wanted.id, error)));
        }
        let mut stays = Vec::new();
        while let Some(made) = left.pop() {
            match self.makes.remove(&made.name) {
                Ok(()) => {}
                Err(error) => {
                    failed.push((made.id, error));
                    stays.push(made);
                }
            }
            remember(&self.all(&[left.as_slice(), stays.as_slice()].concat()));
        }
        self.made.extend(stays);
        failed
    }

    /// What is there, these included.
    fn all(&self, left: &[Made]) -> Vec<Made> {
        self.made.iter().chain(left).cloned().collect()
    }

    fn one(&mut self, wanted: Wanted, taken: &[String], left: &mut Vec<Made>) -> Result<(), LightsError> {
        let at = self.made.iter().position(|made| made.id == wanted.id);
        let mut old = at.map(|at| self.made.swap_remove(at)).or_else(|| left.pop());
        if let Some(made) = old.take() {
            match self.makes.has(&made.name) {
                Ok(true) => old = Some(made),
                // somebody else took it away
                Ok(false) => {}
                Err(error) => {
                    self.made.push(made);
                    return Err(error);
                }
            }
        }
        let made = match old {
            Some(made) if made.size == wanted.size => Made { id: wanted.id, ..made },
            Some(made) => match self.makes.resize(&made.name, wanted.size()) {
                Ok(()) => Made { id: wanted.id, size: wanted.size, ..made },
                Err(error) => {
                    self.made.push(Made { id: wanted.id, ..made });
                    return Err(error);
                }
            },
            None => Made {
                id: wanted.id,
                name: self.makes.make(wanted.size(), taken)?,
                size: wanted.size,
                run: self.makes.run(),
            },
        };
        self.made.push(made);
        Ok(())
    }
}

/// What tells the run of a desktop that listens there from others.
pub fn run_of(socket: &Path) -> String {
    let known = |meta: std::fs::Metadata| format!("{}.{}.{}", meta.ino(), meta.ctime(), meta.ctime_nsec());
    std::fs::metadata(socket).map_or_else(|_| String::new(), known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

    /// Monitors by name, and whether any can go.
    #[derive(Default)]
    struct Desk {
        there: BTreeMap<String, (u16, u16)>,
        count: u32,
        keeps: bool,
        tiny: bool,
    }

    struct Fake(Rc<RefCell<Desk>>, &'static str);

    impl Makes for Fake {
        fn run(&self) -> String {
            self.1.into()
        }

        fn has(&mut self, name: &str) -> Result<bool, LightsError> {
            Ok(self.0.borrow().there.contains_key(name))
        }

        fn make(&mut self, size: Size, _: &[String]) -> Result<String, LightsError> {
            let mut desk = self.0.borrow_mut();
            desk.count += 1;
            let name = format!("made-{}", desk.count);
            desk.there.insert(name.clone(), (size.w, size.h));
            Ok(name)
        }

        fn resize(&mut self, name: &str, size: Size) -> Result<(), LightsError> {
            let mut desk = self.0.borrow_mut();
            if desk.tiny && size.w > 100 {
                return Err(LightsError::Refused("too large".into()));
            }
            *desk.there.get_mut(name).expect("is there") = (size.w, size.h);
            Ok(())
        }

        fn remove(&mut self, name: &str) -> Result<(), LightsError> {
            let mut desk = self.0.borrow_mut();
            if desk.keeps {
                return Err(LightsError::Refused("it keeps them".into()));
            }
            desk.there.remove(name);
            Ok(())
        }
    }

    fn desk() -> (Rc<RefCell<Desk>>, Maker<'static>) {
        let desk = Rc::new(RefCell::new(Desk::default()));
        (Rc::clone(&desk), Maker::new(Box::new(Fake(desk, "now"))))
    }

    fn wanted(all: &[(u32, u16)]) -> Vec<Wanted> {
        all.iter().map(|(id, side)| Wanted { id: *id, size: (*side, *side) }).collect()
    }

    fn are(desk: &Rc<RefCell<Desk>>) -> String {
        let line = |(name, size): (&String, &(u16, u16))| format!("{name}:{}", size.0);
        desk.borrow().there.iter().map(line).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_wanted_is_there_and_nothing_else() {
        let (desk, mut maker) = desk();
        for (want, now) in [
            (&[(7, 80)][..], "made-1:80"),
            (&[(7, 80)], "made-1:80"),
            (&[(7, 90), (3, 70)], "made-1:90 made-2:70"),
            (&[(3, 70)], "made-2:70"),
            (&[(7, 64), (3, 70)], "made-2:70 made-3:64"),
            (&[], ""),
        ] {
            assert!(maker.want(&wanted(want), &[], |_| ()).is_empty());
            assert_eq!(are(&desk), now, "{want:?}");
        }
        assert_eq!(maker.made(), []);
    }

    #[test]
    fn one_that_cannot_be_taken_away_serves_the_next() {
        let (desk, mut maker) = desk();
        desk.borrow_mut().keeps = true;
        maker.want(&wanted(&[(7, 80)]), &[], |_| ());
        assert_eq!(maker.want(&[], &[], |_| ()).len(), 1);
        assert_eq!(maker.made().len(), 1, "it is not forgotten");
        assert!(maker.want(&wanted(&[(3, 90)]), &[], |_| ()).is_empty());
        assert_eq!((are(&desk).as_str(), maker.made().len()), ("made-1:90", 1));
        desk.borrow_mut().keeps = false;
        assert!(maker.want(&[], &[], |_| ()).is_empty());
        assert_eq!(are(&desk), "");
    }

    #[test]
    fn one_that_somebody_took_away_is_made_again_and_one_that_stays_small_is_told() {
        let (desk, mut maker) = desk();
        maker.want(&wanted(&[(7, 80)]), &[], |_| ());
        desk.borrow_mut().there.clear();
        assert!(maker.want(&wanted(&[(7, 80)]), &[], |_| ()).is_empty());
        assert_eq!(are(&desk), "made-2:80");
        desk.borrow_mut().tiny = true;
        let failed = maker.want(&wanted(&[(7, 200)]), &[], |_| ());
        assert_eq!(failed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [7]);
        assert_eq!((are(&desk).as_str(), maker.made()[0].size), ("made-2:80", (80, 80)));
    }

    #[test]
    fn one_that_takes_over_removes_what_is_of_the_same_run() {
        let (desk, mut maker) = desk();
        let mut remembered = Vec::new();
        maker.want(&wanted(&[(7, 80)]), &[], |made| remembered = made.to_vec());
        assert_eq!(remembered, maker.made());
        let mut later = Maker::new(Box::new(Fake(Rc::clone(&desk), "later")));
        later.inherit(remembered.clone());
        assert!(later.want(&[], &[], |_| ()).is_empty());
        assert_eq!(are(&desk), "made-1:80", "another run's monitor");
        let mut next = Maker::new(Box::new(Fake(Rc::clone(&desk), "now")));
        next.inherit(remembered);
        assert!(next.want(&[], &[], |_| ()).is_empty());
        assert_eq!(are(&desk), "");
    }
}
