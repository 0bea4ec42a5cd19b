//! Who switches monitors off and on again, and makes some: a process of its own, which leaves all as it was however the server ends.

mod helper;
mod remote;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use helper::switch_monitors;
pub(super) use remote::RemoteLights;

use super::{AppError, logging};
use crate::backend::lights::{Dark, Switchable};
use crate::backend::side_car::{Made, Wanted};
use crate::config::LogSection;

/// What the helper is told first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setup {
    /// Whose monitors.
    pub(super) desktop: Switchable,
    /// The file that tells the next server what is dark and what was made, should this one and its helper be killed together.
    pub(super) memory: PathBuf,
    /// How the log is written.
    pub(super) log: LogSection,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Ask {
    /// Leave these on alone; all, where none is named. `dark` is what a helper before this one switched off.
    Only { names: Vec<String>, dark: Vec<Dark> },
    /// Have these there beside the desktop's own, and no others that were made. `made` is what a helper before this one made.
    SideCars { wanted: Vec<Wanted>, made: Vec<Made> },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Told {
    /// It is so; these are dark that were not before, so many of them were just switched off.
    Done {
        dark: Vec<Dark>,
        off: usize,
    },
    Failed {
        why: String,
        dark: Vec<Dark>,
    },
    /// These are there, and those wishes were not carried out.
    SideCars {
        made: Vec<Made>,
        failed: Vec<(u32, String)>,
    },
}
