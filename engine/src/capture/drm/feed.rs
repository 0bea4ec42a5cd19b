//! What a source knows of its screen: put in by whoever looks at the card, taken out by the pipeline's thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::picture::{Buffer, BufferId, Picture};
use super::screens::draws_in_rows;
use crate::capture::Doorbell;
use crate::frame::{DmaBuf, Plane};
use crate::geometry::Size;
use crate::pixel::{Fourcc, Modifier};

/// What a source asks of whoever looks at the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Look at the screen, and begin with all that it shows.
    Watch,
    /// Tell the next change.
    Next,
    /// Look no more.
    Leave,
}

/// A buffer that pictures name.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) memory: Arc<DmaBuf>,
    pub(super) size: [u32; 2],
    pub(super) fourcc: Fourcc,
    pub(super) modifier: Modifier,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) bell: Option<Arc<Doorbell>>,
    /// Not taken yet.
    pub(super) picture: Option<Picture>,
    pub(super) buffers: HashMap<BufferId, Result<Held, String>>,
    /// Why there are no pictures.
    pub(super) lost: Option<String>,
    /// Somebody typed or pointed.
    pub(super) stirred: bool,
    /// How the screen is now called and how large it is.
    pub(super) size: Size,
}

/// The way from a card to a source.
pub struct Feed {
    driver: String,
    ask: Box<dyn Fn(Wish) + Send + Sync>,
    state: Mutex<State>,
}

impl Feed {
    /// For a screen of this driver; `ask` must not wait.
    pub fn new(driver: &str, size: Size, ask: Box<dyn Fn(Wish) + Send + Sync>) -> Arc<Self> {
        let state = State { size, ..State::default() };
        Arc::new(Self { driver: driver.to_owned(), ask, state: Mutex::new(state) })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ask(&self, wish: Wish) {
        (self.ask)(wish);
    }

    /// A buffer that pictures will name.
    pub fn buffer(&self, id: BufferId, buffer: Buffer) {
        let held = self.hold(buffer);
        if let Err(reason) = &held {
            tracing::debug!(reason, "a buffer of the screen's that cannot be read");
        }
        self.state().buffers.insert(id, held);
    }

    fn hold(&self, buffer: Buffer) -> Result<Held, String> {
        let Buffer { fd, size, fourcc, modifier, planes } = buffer;
        let modifier = match modifier {
            Some(modifier) => Modifier(modifier),
            None if draws_in_rows(&self.driver) => Modifier::LINEAR,
            None => {
                return Err(format!(
                    "driver {} does not say in which form its picture lies; start the desktop with modifiers, or share it \
                     by its own protocol",
                    self.driver
                ));
            }
        };
        let planes = planes.iter().map(|[offset, pitch]| Plane { offset: (*offset).into(), stride: (*pitch).into() });
        let memory = DmaBuf::new(fd, planes.collect()).map_err(|error| format!("its memory: {error}"))?;
        Ok(Held { memory: Arc::new(memory), size, fourcc: Fourcc(fourcc), modifier })
    }

    /// Pictures will not name this one any more.
    pub fn forget(&self, id: BufferId) {
        self.state().buffers.remove(&id);
    }

    /// The screen shows something else.
    pub fn show(&self, picture: Picture) {
        let mut state = self.state();
        state.lost = None;
        state.size = picture.size;
        // what changed in one that nobody took has changed too
        let whole = state.picture.is_some();
        state.picture = Some(Picture { damage: picture.damage.filter(|_| !whole), ..picture });
        ring(&state);
    }

    /// There are no pictures, and why; the buffers are gone.
    pub fn lose(&self, reason: String) {
        let mut state = self.state();
        state.picture = None;
        state.buffers.clear();
        state.lost = Some(reason);
        ring(&state);
    }

    /// There may be pictures again, for who asks anew.
    pub fn back(&self) {
        let mut state = self.state();
        state.lost = None;
        ring(&state);
    }

    /// Somebody typed or pointed: something may soon be drawn.
    pub fn stir(&self) {
        let mut state = self.state();
        state.stirred = true;
        ring(&state);
    }
}

fn ring(state: &State) {
    state.bell.iter().for_each(|bell| bell.ring());
}
