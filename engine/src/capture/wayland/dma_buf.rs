//! dma-bufs that the compositor draws into: made by the device that takes the pictures, and told to the compositor through linux-dmabuf.
//!
//! INVARIANT: a buffer that the compositor may refuse is offered by `create`, never by `create_immed`: a refusal is an answer and not the end of
//! the connection. Whatever fails on this way leads to shared memory, until the source is started again.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::{Connection, Dispatch, QueueHandle, event_created_child};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_buffer_params_v1::{
    self, Flags, ZwpLinuxBufferParamsV1,
};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_v1::{self, ZwpLinuxDmabufV1};

use super::form::{Form, is_known};
use super::grab::{Buffer, Pixels};
use super::reader::Reader;
use super::shared::{Shared, Slot};
use crate::frame::{DmaBuf, DmaBufs};
use crate::pixel::{Fourcc, Modifier};

/// Forms that are remembered of what a compositor tells.
const MAX_FORMS: usize = 1024;

/// Forms of dma-bufs that a compositor can draw into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Forms(Vec<(Fourcc, Modifier)>);

impl Forms {
    /// Adds one, if a mirror can hold its format.
    pub(super) fn add(&mut self, fourcc: u32, modifier: u64) {
        if is_known(Fourcc(fourcc)) && self.0.len() < MAX_FORMS {
            self.0.push((Fourcc(fourcc), Modifier(modifier)));
        }
    }

    /// Adds those of an array of modifiers as it is sent.
    pub(super) fn add_all(&mut self, fourcc: u32, modifiers: &[u8]) {
        for bytes in modifiers.as_chunks().0 {
            self.add(fourcc, u64::from_ne_bytes(*bytes));
        }
    }

    /// Those of one format.
    pub(super) fn of(&self, fourcc: u32) -> Self {
        Self(self.0.iter().filter(|(known, _)| known.0 == fourcc).copied().collect())
    }

    /// The modifiers of a format that a device takes as well, those first that it likes best.
    pub(super) fn common(&self, fourcc: Fourcc, dma_bufs: &DmaBufs) -> Vec<Modifier> {
        let has = |modifier: &Modifier| self.0.contains(&(fourcc, *modifier));
        if !self.0.iter().any(|(known, _)| *known == fourcc) {
            return Vec::new();
        }
        dma_bufs.modifiers(fourcc).into_iter().filter(has).collect()
    }
}

/// The compositor's linux-dmabuf, where dma-bufs are wanted.
#[derive(Debug)]
pub(super) struct LinuxDmabuf {
    proxy: ZwpLinuxDmabufV1,
    /// Which it takes, not all of which it need be able to draw into.
    taken: Mutex<Forms>,
}

impl LinuxDmabuf {
    /// The version that tells of modifiers; later ones tell in another way.
    pub(super) const VERSION: u32 = 3;

    pub(super) fn new(proxy: ZwpLinuxDmabufV1) -> Self {
        Self { proxy, taken: Mutex::default() }
    }

    /// Which it takes.
    pub(super) fn taken(&self) -> MutexGuard<'_, Forms> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that the compositor was told of, and has not answered.
#[derive(Debug)]
pub(super) struct Making {
    params: ZwpLinuxBufferParamsV1,
    memory: DmaBuf,
    modifier: Modifier,
    form: Form,
}

impl Making {
    /// Makes a dma-buf and tells the compositor of it.
    ///
    /// # Errors
    /// When there is none to be had.
    pub(super) fn new(slot: &Weak<Slot>, shared: &Shared, form: &Form, among: &[Modifier]) -> Result<Self, String> {
        let (Some(linux), DmaBufs::Taken(importer)) = (&shared.dmabuf, &shared.dma_bufs) else {
            return Err("nobody makes any".into());
        };
        let (memory, modifier) = importer.allocate(form.size, form.fourcc, among)?;
        let params = linux.proxy.create_params(&shared.queue, Weak::clone(slot));
        let (high, low) = ((modifier.0 >> 32) as u32, modifier.0 as u32);
        for (index, plane) in memory.planes().iter().enumerate() {
            let part = |n: u64| u32::try_from(n).map_err(|_| format!("plane {index} lies {n} bytes apart"));
            let (offset, stride) = match part(plane.offset).and_then(|offset| Ok((offset, part(plane.stride)?))) {
                Ok(place) => place,
                Err(error) => {
                    params.destroy();
                    return Err(error);
                }
            };
            // at most four
            params.add(memory.as_fd(), index as u32, offset, stride, high, low);
        }
        let (w, h) = (i32::from(form.size.w), i32::from(form.size.h));
        params.create(w, h, form.fourcc.0, Flags::empty());
        Ok(Self { params, memory, modifier, form: form.clone() })
    }
}

impl Dispatch<ZwpLinuxDmabufV1, ()> for Reader {
    fn event(
        reader: &mut Self,
        _: &ZwpLinuxDmabufV1,
        event: zwp_linux_dmabuf_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let (zwp_linux_dmabuf_v1::Event::Modifier { format, modifier_hi, modifier_lo }, Some(linux)) =
            (event, &reader.shared.dmabuf)
        {
            linux.taken().add(format, u64::from(modifier_hi) << 32 | u64::from(modifier_lo));
        }
    }
}

impl Dispatch<ZwpLinuxBufferParamsV1, Weak<Slot>> for Reader {
    fn event(
        reader: &mut Self,
        params: &ZwpLinuxBufferParamsV1,
        event: zwp_linux_buffer_params_v1::Event,
        slot: &Weak<Slot>,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwp_linux_buffer_params_v1::Event;
        let made = match event {
            Event::Created { buffer } => Some(buffer),
            Event::Failed => None,
            _ => return,
        };
        params.destroy();
        let slot = slot.upgrade();
        let mut grab = slot.as_ref().map(|slot| slot.grab());
        let making = grab.as_mut().and_then(|grab| grab.making.take_if(|making| making.params == *params));
        let (Some(slot), Some(grab), Some(making)) = (&slot, &mut grab, making) else {
            // it is not wanted any more
            if let Some(buffer) = made {
                buffer.destroy();
            }
            return;
        };
        match made {
            Some(wl) => {
                let Making { memory, modifier, form, .. } = making;
                grab.made(Buffer::new(wl, form, Pixels::DmaBuf(Arc::new(memory), modifier)));
            }
            None => grab.leave_dma_bufs(&reader.shared, "the compositor refuses a buffer"),
        }
        slot.pump(&reader.shared, grab);
    }

    event_created_child!(Reader, ZwpLinuxBufferParamsV1, [
        zwp_linux_buffer_params_v1::EVT_CREATED_OPCODE => (WlBuffer, ()),
    ]);
}
