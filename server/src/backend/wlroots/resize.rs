//! Other sizes and places of outputs on wish of a client, by wlr-output-management.
//!
//! Outputs without a fixed list of modes (headless, virtual ones) take any size; a real monitor takes the modes that it has, and no other is
//! tried on it. Outputs are neither made nor switched off here (`lights` does the latter). Each wish has a connection of its own, because wishes are rare.

mod heads;
mod plan;

use std::sync::Arc;
use std::time::Instant;

use self::plan::plan;
use super::connect::Target;
use super::places::Places;
use super::wire::{PATIENCE, Wire, WireError};
use crate::backend::wish::check;
use crate::backend::{Layout, ResizeAnswer};
use crate::helper::Opener;

pub use self::heads::{Heads, Outcome};
pub use self::plan::{Facts, Setting, size};

/// Attempts where somebody else changes outputs meanwhile.
const ATTEMPTS: usize = 3;

/// Why a wish is not carried out.
enum Refusal {
    Answer(ResizeAnswer),
    Wire(WireError),
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// Does what a client wishes, as far as this compositor can.
pub fn apply(target: &Target, opener: &Arc<dyn Opener>, places: &Places, wish: &Layout) -> ResizeAnswer {
    if let Err(answer) = check(wish) {
        return answer;
    }
    match attempt(target, &**opener, places, wish) {
        Ok(()) => ResizeAnswer::Done,
        Err(Refusal::Answer(answer)) => answer,
        Err(Refusal::Wire(error)) => {
            tracing::debug!(compositor = %target.name, %error, "outputs are not changed");
            ResizeAnswer::OutOfResources
        }
    }
}

fn attempt(target: &Target, opener: &dyn Opener, places: &Places, wish: &Layout) -> Result<(), Refusal> {
    let connection = target.connect(opener).map_err(|e| WireError::Gone(e.to_string()))?;
    let mut heads = Heads::default();
    let mut wire = Wire::open(connection, &mut heads)?;
    if !heads.start(&wire) {
        return Err(Refusal::Answer(ResizeAnswer::Prohibited));
    }
    let end = Instant::now() + PATIENCE;
    for _ in 0..ATTEMPTS {
        heads.await_serial(&mut wire, end)?;
        let facts = heads.facts();
        let Some(settings) = plan(wish, &places.all(), &facts).map_err(Refusal::Answer)? else { return Ok(()) };
        heads.apply(&wire.handle(), &settings);
        match heads.await_outcome(&mut wire, end)? {
            Outcome::Succeeded => return Ok(()),
            Outcome::Failed => return Err(Refusal::Answer(ResizeAnswer::OutOfResources)),
            Outcome::Cancelled => {}
        }
    }
    Err(Refusal::Answer(ResizeAnswer::OutOfResources))
}
