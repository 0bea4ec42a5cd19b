//! Switching monitors of a desktop off and on again, for those who look at one and want the others dark.
//!
//! It is done by a process of its own ([`Keeper`] is its memory), because monitors that are dark have to be lit again however the server
//! ends. X servers do it by RandR, compositors of the wlroots family by output management; no other desktop lets itself be asked.
//! Tested against Xorg with three outputs in `tests/x11_views/others.rs` and against sway in `tests/desktop_wayland_input/others.rs`.

use serde::{Deserialize, Serialize};

use super::Found;
use super::side_car::Makes;
use crate::helper::Opener;

/// A desktop whose monitors can be switched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Switchable {
    /// An X server.
    #[cfg(feature = "x11")]
    X11(super::x11::Target),
    /// A compositor of the wlroots family.
    #[cfg(feature = "wayland")]
    Wlroots {
        /// Where it is.
        target: super::wlroots::Target,
        /// Where a sway takes commands, as the environment says.
        control: Option<std::path::PathBuf>,
    },
}

/// A monitor as it was before it was switched off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dark {
    /// Its name.
    pub name: String,
    /// Its place, as the desktop counts.
    pub at: (i32, i32),
    /// Its mode's width and height, before it is turned.
    pub size: (i32, i32),
    /// The number of its mode, where modes have one.
    pub mode: u32,
    /// How it is turned: RandR's rotation, or `wl_output.transform`.
    pub turn: u32,
    /// How much larger than usual the desktop draws on it.
    pub scale: f64,
    /// It was the first among the monitors.
    pub primary: bool,
}

/// Why monitors stay as they are; one line.
#[derive(Debug, thiserror::Error)]
pub enum LightsError {
    /// The desktop is not there.
    #[error("the desktop is not there: {0}")]
    Gone(String),
    /// None of those that are to stay on is.
    #[error("none of {0} is on, so nothing is switched off")]
    NoneLit(String),
    /// The desktop refuses.
    #[error("the desktop refuses: {0}")]
    Refused(String),
}

/// Switches the monitors of one desktop.
pub trait Lights {
    /// Every monitor that is on, as it is.
    ///
    /// # Errors
    /// When the desktop is not there.
    fn lit(&mut self) -> Result<Vec<Dark>, LightsError>;

    /// Switches some of them off; the others stay as they are.
    ///
    /// # Errors
    /// When the desktop is not there or refuses.
    fn off(&mut self, off: &[Dark], stay: &[Dark]) -> Result<(), LightsError>;

    /// Switches these on as they were. One that is on already, or is there no more, is left alone.
    ///
    /// # Errors
    /// When the desktop is not there or refuses.
    fn on(&mut self, dark: &[Dark]) -> Result<(), LightsError>;
}

impl Found {
    /// What switches its monitors, if anything can.
    pub fn switchable(&self) -> Option<Switchable> {
        match self {
            #[cfg(feature = "x11")]
            Found::X11(target) => Some(Switchable::X11(target.clone())),
            #[cfg(feature = "wayland")]
            Found::Wlroots(target) => {
                let control = std::env::var_os("SWAYSOCK").map(Into::into);
                Some(Switchable::Wlroots { target: target.clone(), control })
            }
            _ => None,
        }
    }
}

impl Switchable {
    fn name(&self) -> String {
        match *self {
            #[cfg(feature = "x11")]
            Switchable::X11(ref target) => format!("x11{}.{}", target.name, target.screen),
            #[cfg(feature = "wayland")]
            Switchable::Wlroots { ref target, .. } => target.name.clone(),
        }
    }

    /// The name of a file that is this desktop's alone.
    pub fn memory(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        format!("monitors-{}", self.name().chars().map(plain).collect::<String>())
    }

    /// What switches them, reached through this opener.
    pub fn lights<'a>(&'a self, opener: &'a dyn Opener) -> Box<dyn Lights + 'a> {
        // a build without either has no such desktop
        let _ = opener;
        match *self {
            #[cfg(feature = "x11")]
            Switchable::X11(ref target) => Box::new(super::x11::XLights { target, opener }),
            #[cfg(feature = "wayland")]
            Switchable::Wlroots { ref target, .. } => Box::new(super::wlroots::WaylandLights { target, opener }),
        }
    }

    /// What makes others beside them, reached through this opener.
    pub fn makes<'a>(&'a self, opener: &'a dyn Opener) -> Box<dyn Makes + 'a> {
        let _ = opener;
        match *self {
            #[cfg(feature = "x11")]
            Switchable::X11(ref target) => Box::new(super::x11::XLights { target, opener }),
            #[cfg(feature = "wayland")]
            Switchable::Wlroots { ref target, ref control } => {
                Box::new(super::wlroots::SwaySideCar { target, control: control.as_deref() })
            }
        }
    }
}

/// Remembers what it switched off.
pub struct Keeper<'a> {
    lights: Box<dyn Lights + 'a>,
    dark: Vec<Dark>,
}

impl<'a> Keeper<'a> {
    /// One that has switched nothing off.
    pub fn new(lights: Box<dyn Lights + 'a>) -> Self {
        Keeper { lights, dark: Vec::new() }
    }

    /// What it has switched off.
    pub fn dark(&self) -> &[Dark] {
        &self.dark
    }

    /// Takes over what another one switched off.
    pub fn inherit(&mut self, dark: Vec<Dark>) {
        if self.dark.is_empty() {
            self.dark = dark;
        }
    }

    /// Monitors of these names are none to light again: they were made for viewers, and are gone.
    pub fn forget(&mut self, names: &[String]) {
        self.dark.retain(|dark| !names.contains(&dark.name));
    }

    /// Leaves on what bears these names alone; without names all is as it was before. Tells how many were switched off. `remember` is told
    /// what will be dark before it is.
    ///
    /// # Errors
    /// When the desktop does not do it; then it is asked for the rest the next time.
    pub fn only(&mut self, names: &[String], remember: impl FnOnce(&[Dark])) -> Result<usize, LightsError> {
        let again = |dark: &Dark| names.is_empty() || names.contains(&dark.name);
        let (wanted, rest): (Vec<Dark>, Vec<Dark>) = self.dark.iter().cloned().partition(again);
        if !wanted.is_empty() {
            self.lights.on(&wanted)?;
            self.dark = rest;
        }
        let off = match names {
            [] => Vec::new(),
            _ => self.off_but(names, remember)?,
        };
        Ok(off.len())
    }

    fn off_but(&mut self, names: &[String], remember: impl FnOnce(&[Dark])) -> Result<Vec<Dark>, LightsError> {
        let (stay, off): (Vec<Dark>, Vec<Dark>) = self.lights.lit()?.into_iter().partition(|d| names.contains(&d.name));
        if stay.is_empty() {
            return Err(LightsError::NoneLit(names.join(", ")));
        }
        // one that somebody lit meanwhile is known by how it was last
        self.dark.retain(|dark| off.iter().all(|other| other.name != dark.name));
        self.dark.extend(off.iter().cloned());
        remember(&self.dark);
        if !off.is_empty() {
            self.lights.off(&off, &stay)?;
        }
        Ok(off)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::rc::Rc;

    type Lit = Rc<RefCell<BTreeSet<String>>>;

    /// Three monitors, of which one may refuse to be lit.
    struct Fake(Lit, Option<&'static str>);

    fn named(name: &str) -> Dark {
        Dark { name: name.into(), at: (0, 0), size: (9, 9), mode: 0, turn: 0, scale: 1.0, primary: false }
    }

    impl Lights for Fake {
        fn lit(&mut self) -> Result<Vec<Dark>, LightsError> {
            Ok(self.0.borrow().iter().map(|name| named(name)).collect())
        }

        fn off(&mut self, off: &[Dark], stay: &[Dark]) -> Result<(), LightsError> {
            let mut lit = self.0.borrow_mut();
            assert_eq!(off.len() + stay.len(), lit.len());
            for dark in off {
                assert!(lit.remove(&dark.name), "{} is on", dark.name);
            }
            Ok(())
        }

        fn on(&mut self, dark: &[Dark]) -> Result<(), LightsError> {
            for dark in dark {
                if self.1 == Some(&dark.name) {
                    return Err(LightsError::Refused(dark.name.clone()));
                }
                self.0.borrow_mut().insert(dark.name.clone());
            }
            Ok(())
        }
    }

    fn desk(refuses: Option<&'static str>) -> (Lit, Keeper<'static>) {
        let lit: Lit = Rc::new(RefCell::new(["a", "b", "c"].map(String::from).into()));
        (Rc::clone(&lit), Keeper::new(Box::new(Fake(lit, refuses))))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn are(lit: &Lit) -> String {
        lit.borrow().iter().cloned().collect::<Vec<_>>().join("")
    }

    #[test]
    fn what_is_looked_at_is_lit_and_in_the_end_all_is() {
        let (lit, mut keeper) = desk(None);
        for (wanted, want) in [(&["b"][..], "b"), (&["b", "c"], "bc"), (&["a"], "a"), (&["a"], "a"), (&[], "abc")] {
            keeper.only(&names(wanted), |_| ()).expect("does it");
            assert_eq!(are(&lit), want, "{wanted:?}");
        }
        assert_eq!(keeper.dark(), []);
    }

    #[test]
    fn what_will_be_dark_is_remembered_while_it_is_lit_still() {
        let (lit, mut keeper) = desk(None);
        let mut remembered = Vec::new();
        let remember = |dark: &[Dark]| {
            assert_eq!(are(&lit), "abc");
            remembered = dark.iter().map(|dark| dark.name.clone()).collect();
        };
        keeper.only(&names(&["b"]), remember).expect("does it");
        assert_eq!(remembered, ["a", "c"]);
    }

    #[test]
    fn what_was_dark_before_stays_so() {
        let (lit, mut keeper) = desk(None);
        lit.borrow_mut().remove("c");
        keeper.only(&names(&["a"]), |_| ()).expect("does it");
        keeper.only(&[], |_| ()).expect("does it");
        assert_eq!(are(&lit), "ab");
    }

    #[test]
    fn with_nothing_left_to_see_nothing_is_switched_off() {
        let (lit, mut keeper) = desk(None);
        let said = keeper.only(&names(&["x", "y"]), |_| ()).expect_err("neither is there").to_string();
        assert_eq!((said.as_str(), are(&lit).as_str()), ("none of x, y is on, so nothing is switched off", "abc"));
    }

    #[test]
    fn one_that_takes_over_lights_what_the_one_before_switched_off() {
        let (lit, mut keeper) = desk(None);
        keeper.only(&names(&["a"]), |_| ()).expect("does it");
        let mut next = Keeper::new(Box::new(Fake(Rc::clone(&lit), None)));
        next.inherit(keeper.dark().to_vec());
        next.only(&[], |_| ()).expect("does it");
        assert_eq!(are(&lit), "abc");
    }

    #[test]
    fn what_could_not_be_lit_is_tried_again() {
        let (lit, mut keeper) = desk(Some("c"));
        keeper.only(&names(&["a"]), |_| ()).expect("does it");
        keeper.only(&[], |_| ()).expect_err("c refuses");
        keeper.lights = Box::new(Fake(Rc::clone(&lit), None));
        keeper.only(&[], |_| ()).expect("does it");
        assert_eq!(are(&lit), "abc");
    }
}
