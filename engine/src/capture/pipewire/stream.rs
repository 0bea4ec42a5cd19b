//! One stream on the loop's thread: what libpipewire calls.
//!
//! INVARIANT: no callback panics (it would unwind into C), none waits, and none tells anybody anything with a lock held.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use pipewire::core::CoreRc;
use pipewire::properties::properties;
use pipewire::spa::param::ParamType;
use pipewire::spa::pod::Pod;
use pipewire::spa::sys as spa;
use pipewire::spa::utils::Direction;
use pipewire::stream::{Stream, StreamFlags, StreamListener, StreamRc, StreamState};

use super::ffi::{self, Area, Buffer, Chunk, Lent};
use super::format::Offer;
use super::meta;
use super::place::{Place, place};
use super::shared::{Command, MOST_REFUSED, Pending, Phase, Shared, Slot, State, Store, count, fresh};
use super::{StreamEvent, format};
use crate::frame::{CursorImage, Mapping, Plane, cannot_shrink};
use crate::geometry::{Rect, Region, Size};

/// The buffers of a stream by their numbers.
type Buffers = Rc<RefCell<HashMap<u64, Buffer>>>;

/// A stream and what it is called back with.
pub(super) struct Live {
    // dropped in this order: the listener leaves before its stream goes
    listener: Option<StreamListener<Hands>>,
    stream: StreamRc,
    shared: Arc<Shared>,
    buffers: Buffers,
    /// The size that was last asked for, where any was.
    size: Cell<Option<Size>>,
    offer: Rc<RefCell<Offer>>,
}

/// What callbacks work on.
struct Hands {
    shared: Arc<Shared>,
    buffers: Buffers,
    core: CoreRc,
    /// The dma-bufs that were last asked for.
    offer: Rc<RefCell<Offer>>,
}

/// What is to be done with a buffer that came.
enum Verdict {
    /// It holds no picture.
    Nothing,
    /// It holds one.
    Picture(Place, Option<Region>),
    /// It holds one that cannot be shown; why.
    Refused(String),
}

impl Live {
    /// Connects a stream to its node.
    pub(super) fn open(core: &CoreRc, shared: Arc<Shared>) -> Result<Self, String> {
        let properties = properties! {
            *pipewire::keys::MEDIA_TYPE => "Video",
            *pipewire::keys::MEDIA_CATEGORY => "Capture",
            *pipewire::keys::MEDIA_ROLE => "Screen",
            *pipewire::keys::NODE_NAME => "farpane",
            // no other source in place of one that is not there: that could be a camera
            "node.dont-fallback" => "true",
            "node.dont-move" => "true",
        };
        let refused = |e: pipewire::Error| format!("PipeWire makes no stream: {e}");
        let stream = StreamRc::new(core.clone(), "farpane", properties).map_err(refused)?;
        let buffers = Buffers::default();
        let offer = Rc::new(RefCell::new(Offer::new(&shared.spec.dma_bufs)));
        let hands = Hands {
            shared: Arc::clone(&shared),
            buffers: Rc::clone(&buffers),
            core: core.clone(),
            offer: Rc::clone(&offer),
        };
        let listener = stream
            .add_local_listener_with_user_data(hands)
            .state_changed(|_, hands, _, new| hands.state_changed(new))
            .param_changed(|stream, hands, id, param| hands.param_changed(stream, id, param))
            .add_buffer(|_, hands, raw| hands.add_buffer(Buffer::new(raw)))
            .remove_buffer(|_, hands, raw| hands.remove_buffer(Buffer::new(raw)))
            .process(|stream, hands| hands.process(stream))
            .register()
            .map_err(refused)?;
        let size = Cell::new(shared.spec.virtual_size);
        let formats = format::formats(size.get(), &offer.borrow());
        let mut params: Vec<&Pod> = formats.iter().filter_map(format::Param::pod).collect();
        let flags = StreamFlags::AUTOCONNECT | StreamFlags::DONT_RECONNECT;
        stream.connect(Direction::Input, Some(shared.spec.node), flags, &mut params).map_err(refused)?;
        Ok(Self { listener: Some(listener), stream, shared, buffers, size, offer })
    }

    /// Wants pictures, or wants none.
    pub(super) fn set_active(&self, active: bool) {
        if !active {
            let pending = self.shared.state().pending.take();
            if let Some(pending) = pending {
                self.requeue(pending.token);
            }
        }
        if let Err(error) = self.stream.set_active(active) {
            tracing::debug!(%error, active, "PipeWire stream");
        }
    }

    /// Gives a buffer back, unless it is gone.
    pub(super) fn requeue(&self, token: u64) {
        let buffer = self.buffers.borrow().get(&token).copied();
        if let Some(buffer) = buffer {
            buffer.queue(&self.stream);
        }
    }

    /// Asks for pictures of another size.
    pub(super) fn resize(&self, size: Size) {
        self.size.set(Some(size));
        // sizes are agreed on only while pictures are wanted
        let idle = {
            let mut state = self.shared.state();
            state.settling = state.bell.is_none();
            state.settling
        };
        if idle {
            self.set_active(true);
        }
        self.negotiate();
    }

    /// Asks for pictures in shared memory: those in dma-bufs can no more be shown.
    pub(super) fn leave_dma_bufs(&self) {
        let offered = std::mem::take(&mut *self.offer.borrow_mut());
        if !offered.is_empty() {
            tracing::warn!(node = self.shared.spec.node, "dma-bufs cannot be shown: shared memory is asked for");
            self.negotiate();
        }
    }

    fn negotiate(&self) {
        let formats = format::formats(self.size.get(), &self.offer.borrow());
        let mut params: Vec<&Pod> = formats.iter().filter_map(format::Param::pod).collect();
        if let Err(error) = self.stream.update_params(&mut params) {
            tracing::warn!(%error, "the stream takes no other size or memory");
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // INVARIANT of `Lent`: libpipewire unmaps when the stream goes, so nobody may find the memory any more
        self.shared.state().slots.clear();
        self.shared.state().pending = None;
        self.listener.take();
        self.buffers.borrow_mut().clear();
    }
}

impl Hands {
    fn state_changed(&self, new: StreamState) {
        let phase = match new {
            StreamState::Error(reason) => return self.shared.lose(&format!("PipeWire ended the stream: {reason}")),
            StreamState::Unconnected => return self.shared.lose("its source ended the stream"),
            StreamState::Connecting => Phase::Connecting,
            StreamState::Paused => Phase::Paused,
            StreamState::Streaming => Phase::Streaming,
        };
        let mut state = self.shared.state();
        state.phase = phase;
        self.shared.wake(&state);
    }

    fn param_changed(&self, stream: &Stream, id: u32, param: Option<&Pod>) {
        if id != ParamType::Format.as_raw() {
            return;
        }
        // no format: one that is negotiated anew comes after it
        let Some(param) = param else { return };
        let agreed = match format::negotiated(param, &self.offer.borrow()) {
            Ok(Some(agreed)) => agreed,
            // the source chooses, and tells again
            Ok(None) => return,
            Err(reason) => return self.shared.lose(&format!("the source gives {reason}")),
        };
        let mut state = self.shared.state();
        let mut old = None;
        if state.agreed.is_some_and(|before| before != agreed) {
            // what the old buffers still bring is of the old format: nobody finds it any more
            state.slots.clear();
            old = state.pending.take();
            state.all_changed();
        }
        state.agreed = Some(agreed);
        let new = resized(&mut state, agreed.size);
        let settled = new && std::mem::take(&mut state.settling) && state.bell.is_none();
        self.shared.wake(&state);
        drop(state);
        if let Some(old) = old {
            self.shared.commands.send(Command::Requeue(self.shared.id, old.token));
        }
        if settled {
            self.shared.commands.send(Command::Active(self.shared.id, false));
        }
        if new {
            self.shared.tell(StreamEvent::Size(agreed.size));
        }
        let wanted = format::buffers(agreed.modifier.is_some());
        let mut params: Vec<&Pod> = wanted.iter().filter_map(format::Param::pod).collect();
        if let Err(error) = stream.update_params(&mut params) {
            self.shared.lose(&format!("PipeWire gives no buffers: {error}"));
        }
    }

    fn add_buffer(&self, buffer: Option<Buffer>) {
        let Some(buffer) = buffer else { return };
        let token = fresh();
        buffer.set_token(token);
        self.buffers.borrow_mut().insert(token, buffer);
        let slot = match buffer.areas().collect::<Vec<_>>()[..] {
            [ref area] => self.slot(token, area, &buffer),
            [ref area, ref others @ ..]
                if self.in_dma_bufs() && others.iter().all(|other| ffi::same_file(area, other)) =>
            {
                self.slot(token, area, &buffer)
            }
            [_, ref others @ ..] => unusable(token, format!("{} memory areas (expected 1)", others.len() + 1)),
            [] => unusable(token, "no memory area".into()),
        };
        self.shared.state().slots.push(slot);
    }

    /// Finds out how the bytes of a buffer are to be read.
    fn slot(&self, token: u64, area: &Area, buffer: &Buffer) -> Slot {
        let (base, max_size) = (area.map_offset as usize, area.max_size as usize);
        match area.kind {
            spa::SPA_DATA_MemFd => Slot { token, store: store(area), base, max_size },
            spa::SPA_DATA_MemPtr if ffi::is_sealed(&self.core, area) => {
                let store = Lent::new(area).map(Store::Lent).ok_or_else(|| "memory that is not mapped".to_owned());
                Slot { token, store, base: 0, max_size }
            }
            spa::SPA_DATA_MemPtr => unusable(token, "memory that could be cut while it is read".into()),
            spa::SPA_DATA_DmaBuf if !self.in_dma_bufs() => {
                unusable(token, "a GPU's buffer where shared memory was agreed on".into())
            }
            spa::SPA_DATA_DmaBuf => match ffi::dma_buf(area, planes(buffer)) {
                Ok(buffer) => {
                    let max_size = buffer.len().saturating_sub(base);
                    Slot { token, store: Ok(Store::DmaBuf(Arc::new(buffer))), base, max_size }
                }
                Err(reason) => unusable(token, format!("a dma-buf that cannot be read: {reason}")),
            },
            kind => unusable(token, format!("memory of kind {kind} (expected shared memory)")),
        }
    }

    /// Whether dma-bufs were agreed on.
    fn in_dma_bufs(&self) -> bool {
        self.shared.state().agreed.is_some_and(|agreed| agreed.modifier.is_some())
    }

    fn remove_buffer(&self, buffer: Option<Buffer>) {
        let Some(buffer) = buffer else { return };
        let token = buffer.token();
        self.buffers.borrow_mut().remove(&token);
        let mut state = self.shared.state();
        state.slots.retain(|slot| slot.token != token);
        if state.pending.is_some_and(|p| p.token == token) {
            state.pending = None;
            state.all_changed();
        }
    }

    fn process(&self, stream: &Stream) {
        while let Some(buffer) = Buffer::dequeue(stream) {
            self.pointer(&buffer);
            let given_back = match self.judge(&buffer) {
                Verdict::Nothing => {
                    count(&self.shared.counters.pointer_only, 1);
                    Some(buffer.token())
                }
                Verdict::Picture(place, damage) => {
                    self.keep(Pending { token: buffer.token(), place, at: Instant::now() }, damage)
                }
                Verdict::Refused(reason) => {
                    self.refuse(&reason);
                    Some(buffer.token())
                }
            };
            let given_back = given_back.and_then(|token| self.buffers.borrow().get(&token).copied());
            if let Some(buffer) = given_back {
                buffer.queue(stream);
            }
        }
    }

    /// Looks whether a buffer holds a picture, and where.
    fn judge(&self, buffer: &Buffer) -> Verdict {
        let Some(chunk) = buffer.chunk(0) else { return Verdict::Refused("no description of the picture".into()) };
        let header = buffer.meta(spa::SPA_META_Header);
        if chunk.size == 0 || chunk.corrupted || header.is_some_and(|h| meta::is_corrupted(&h)) {
            return Verdict::Nothing;
        }
        let mut state = self.shared.state();
        let Some(agreed) = state.agreed else { return Verdict::Nothing };
        let token = buffer.token();
        // PipeWire itself drops a picture when the next one is there before we are: what a source says has changed since the one before
        // means something only where its numbers show that we have that one
        let number = header.and_then(|h| meta::number(&h));
        let follows = number.zip(state.number).is_some_and(|(n, before)| n.checked_sub(1) == Some(before));
        state.number = number;
        let Some(slot) = state.slots.iter_mut().find(|slot| slot.token == token) else { return Verdict::Nothing };
        // a source may say where a buffer's planes are only once there is a picture
        if let Ok(Store::DmaBuf(known)) = &slot.store
            && known.planes() != planes(buffer)
            && let Some(area) = buffer.areas().next()
        {
            let anew = ffi::dma_buf(&area, planes(buffer)).map_err(|reason| format!("a dma-buf: {reason}"));
            slot.store = anew.map(|buffer| Store::DmaBuf(Arc::new(buffer)));
        }
        match look(buffer, &chunk, &agreed, slot) {
            Ok((place, damage)) => Verdict::Picture(place, damage.filter(|_| follows)),
            Err(reason) => Verdict::Refused(reason),
        }
    }

    /// Keeps the newest picture; returns the buffer that is no longer needed.
    fn keep(&self, new: Pending, damage: Option<Region>) -> Option<u64> {
        count(&self.shared.counters.pictures, 1);
        let mut state = self.shared.state();
        state.refused = 0;
        let resized = resized(&mut state, new.place.size);
        state.add_damage(damage.as_ref());
        let before = state.pending.replace(new);
        if before.is_some() {
            count(&self.shared.counters.skipped, 1);
        }
        self.shared.wake(&state);
        drop(state);
        if resized {
            self.shared.tell(StreamEvent::Size(new.place.size));
        }
        before.map(|p| p.token)
    }

    /// A picture that cannot be shown: left out, and if none can be shown the stream is given up.
    fn refuse(&self, reason: &str) {
        count(&self.shared.counters.refused, 1);
        let mut state = self.shared.state();
        // what it would have shown may never be told again
        state.all_changed();
        state.refused = state.refused.saturating_add(1);
        let refused = state.refused;
        drop(state);
        if refused == 1 {
            tracing::warn!(node = self.shared.spec.node, reason, "picture left out");
        }
        if refused == MOST_REFUSED {
            self.shared.lose(&format!("the source gives pictures that cannot be shown: {reason}"));
        }
    }

    /// Tells where the pointer is and how it looks, when a buffer says so.
    fn pointer(&self, buffer: &Buffer) {
        let Some(bytes) = buffer.meta(spa::SPA_META_Cursor) else { return };
        let pointer = match meta::pointer(&bytes) {
            Ok(None) => return,
            Ok(Some(pointer)) => pointer,
            Err(reason) => return tracing::debug!(reason, "pointer left out"),
        };
        if let Some(shape) = pointer.shape {
            let mut state = self.shared.state();
            let same =
                |c: &Arc<CursorImage>| c.size == shape.size && c.hotspot == shape.hotspot && c.rgba == shape.rgba;
            if !state.cursor.as_ref().is_some_and(same) {
                let (size, hotspot, rgba) = (shape.size, shape.hotspot, shape.rgba);
                let image = Arc::new(CursorImage { size, hotspot, rgba, serial: fresh() });
                state.cursor = Some(Arc::clone(&image));
                drop(state);
                self.shared.tell(StreamEvent::Cursor(image));
            }
        }
        self.shared.tell(StreamEvent::Pointer(pointer.at.0, pointer.at.1));
    }
}

/// Notes the picture's size; returns whether it is another one than before.
fn resized(state: &mut State, size: Size) -> bool {
    let before = state.size.replace(size);
    if before == Some(size) {
        return false;
    }
    state.resized = before.is_some();
    state.all_changed();
    true
}

/// Where the planes of a buffer's picture lie.
fn planes(buffer: &Buffer) -> Vec<Plane> {
    let chunks = (0..).map_while(|index| buffer.chunk(index));
    let plane = |(area, chunk): (Area, Chunk)| Plane {
        offset: u64::from(area.map_offset) + u64::from(chunk.offset),
        stride: u64::try_from(chunk.stride).unwrap_or(0),
    };
    buffer.areas().zip(chunks).map(plane).collect()
}

fn unusable(token: u64, reason: String) -> Slot {
    Slot { token, store: Err(reason), base: 0, max_size: 0 }
}

/// How the bytes of a file are to be read: mapped when it can never be cut, otherwise by `pread`.
fn store(area: &Area) -> Result<Store, String> {
    let file = ffi::duplicate(area).map_err(|e| format!("descriptor {}: {e}", area.fd))?;
    let size = rustix::fs::fstat(&file).map_err(|e| format!("descriptor {}: {e}", area.fd))?.st_size;
    let wanted = area.map_offset as usize + area.max_size as usize;
    if u64::try_from(size).unwrap_or(0) < wanted as u64 {
        return Err(format!("{wanted} bytes in a file of {size}"));
    }
    if !cannot_shrink(&file) {
        return Ok(Store::File(file));
    }
    // the mapping cannot fault: the file is long enough, and stays so (both just checked)
    let mapped = Mapping::new(&file, wanted).map_err(|e| format!("{wanted} bytes cannot be mapped: {e}"))?;
    Ok(Store::Mapped(Arc::new(mapped)))
}

/// Where the picture lies in a buffer, and what the source says has changed.
fn look(
    buffer: &Buffer,
    chunk: &Chunk,
    agreed: &format::Negotiated,
    slot: &Slot,
) -> Result<(Place, Option<Region>), String> {
    slot.store.as_ref().map_err(Clone::clone)?;
    let whole = agreed.size.rect();
    if let Some(turned) = buffer.meta(spa::SPA_META_VideoTransform).map(|m| meta::transform(&m)).filter(|t| *t != 0) {
        return Err(format!("a picture that is turned (transformation {turned}); set the monitor upright"));
    }
    let crop = buffer.meta(spa::SPA_META_VideoCrop).map(|m| meta::crop(&m, whole)).transpose()?.flatten();
    let place = place(agreed, chunk, slot.max_size, crop)?;
    let damage = buffer.meta(spa::SPA_META_VideoDamage).and_then(|m| meta::damage(&m, whole));
    let damage = damage.map(|mut region| {
        let part: Rect = crop.unwrap_or(whole);
        region.intersect_rect(&part);
        region.translate(-i32::from(part.x), -i32::from(part.y));
        region
    });
    Ok((place, damage))
}
