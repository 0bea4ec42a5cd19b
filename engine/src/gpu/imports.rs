//! Which memory of others a device has taken: buffers come again and again, and are taken once.

use std::sync::{Arc, Weak};

use super::device::Device;
use super::foreign::{Foreign, Image};
use crate::frame::{DmaBuf, Frame, Memory, SharedMemory};
use crate::geometry::Size;
use crate::pixel::{Fourcc, Modifier};

/// Memory of others as a device reads it.
#[derive(Clone)]
pub struct Import(Arc<Taken>);

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.0 {
            Taken::Buffer(buffer, _, of) => write!(f, "{} bytes of rows of the {of:?}", buffer.size()),
            Taken::Image(image) => write!(f, "an image of {}x{}", image.texture.width(), image.texture.height()),
        }
    }
}

enum Taken {
    /// Words; those of the memory begin at this byte.
    Buffer(wgpu::Buffer, usize, Of),
    /// A picture of whatever form.
    Image(Image),
}

/// Whose a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Processor,
    Device,
}

impl Import {
    /// How many bytes lie before those of the memory, where it is read word by word; none where it is a picture.
    pub fn shift(&self) -> Option<usize> {
        match &*self.0 {
            Taken::Buffer(_, shift, _) => Some(*shift),
            Taken::Image(_) => None,
        }
    }

    pub(super) fn buffer(&self) -> Option<&wgpu::Buffer> {
        match &*self.0 {
            Taken::Buffer(buffer, ..) => Some(buffer),
            Taken::Image(_) => None,
        }
    }

    pub(super) fn texture(&self) -> Option<&wgpu::Texture> {
        match &*self.0 {
            Taken::Buffer(..) => None,
            Taken::Image(image) => Some(&image.texture),
        }
    }

    /// What has to be handed over between devices.
    pub(super) fn foreign(&self) -> Option<Foreign<'_>> {
        match &*self.0 {
            Taken::Buffer(_, _, Of::Processor) => None,
            Taken::Buffer(buffer, _, Of::Device) => Some(Foreign::Buffer(buffer)),
            Taken::Image(image) => Some(Foreign::Image(image)),
        }
    }
}

/// Where memory came from. Its source drops it when it is done with it.
enum Origin {
    Shared(Weak<dyn SharedMemory>),
    DmaBuf(Weak<DmaBuf>),
}

impl Origin {
    /// Whether its source still has it; `held` says whether the import keeps it, too.
    fn is_alive(&self, held: bool) -> bool {
        let count = match self {
            Self::Shared(memory) => memory.strong_count(),
            Self::DmaBuf(buffer) => buffer.strong_count(),
        };
        count > usize::from(held)
    }
}

/// What tells one picture's memory from another's.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    at: usize,
    size: Size,
    fourcc: Fourcc,
    modifier: Modifier,
}

struct Entry {
    key: Key,
    origin: Origin,
    made: Result<Import, String>,
}

/// What a picture's source gives, taken by its device. What was refused is refused again without asking.
#[derive(Default)]
pub(super) struct Imports(Vec<Entry>);

impl Imports {
    /// Takes a frame's memory.
    pub(super) fn of(&mut self, device: &Device, frame: &Frame) -> Result<Import, String> {
        self.0.retain(|entry| entry.origin.is_alive(entry.made.is_ok()));
        let (at, origin) = match &frame.memory {
            Memory::Heap(_) => return Err("it is memory of our own".into()),
            Memory::Shared(memory) => {
                (Arc::as_ptr(memory).cast::<u8>() as usize, Origin::Shared(Arc::downgrade(memory)))
            }
            Memory::DmaBuf(buffer) => (Arc::as_ptr(buffer) as usize, Origin::DmaBuf(Arc::downgrade(buffer))),
        };
        let key = Key { at, size: frame.size, fourcc: frame.fourcc, modifier: frame.modifier };
        if let Some(known) = self.0.iter().find(|entry| entry.key == key) {
            return known.made.clone();
        }
        let made = take(device, frame).map(|taken| Import(Arc::new(taken)));
        match &made {
            Ok(import) => tracing::debug!(?import, "memory taken"),
            Err(reason) => tracing::debug!(reason, "memory that the GPU does not take"),
        }
        self.0.push(Entry { key, origin, made: made.clone() });
        made
    }
}

fn take(device: &Device, frame: &Frame) -> Result<Taken, String> {
    let paths = device.vulkan.paths();
    match &frame.memory {
        Memory::Heap(_) => Err("it is memory of our own".into()),
        Memory::Shared(memory) => {
            let (buffer, shift) = device.vulkan.host_buffer(Arc::clone(memory))?;
            Ok(Taken::Buffer(buffer, shift, Of::Processor))
        }
        Memory::DmaBuf(from) => {
            let rows = frame.modifier == Modifier::LINEAR && paths.dma_buf;
            let refused = match rows.then(|| device.vulkan.dma_buf_buffer(from)) {
                Some(Ok(buffer)) => return Ok(Taken::Buffer(buffer, 0, Of::Device)),
                Some(Err(reason)) => format!("{reason}; "),
                None => String::new(),
            };
            let image = device.vulkan.dma_buf_image(from, frame.size, frame.fourcc, frame.modifier);
            image.map(Taken::Image).map_err(|reason| format!("{refused}{reason}"))
        }
    }
}
