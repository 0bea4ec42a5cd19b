//! Which memory of others a device has taken: buffers come again and again, and are taken once.

use std::sync::{Arc, Weak};

use super::device::Device;
use super::foreign::{Foreign, Image};
use super::picture::checked;
use super::vulkan::known;
use crate::frame::{DmaBuf, Frame, Memory, SharedMemory};
use crate::geometry::Size;
use crate::pixel::{Fourcc, Layout, Modifier};

/// Memory of others as a device reads it.
#[derive(Clone)]
pub struct Import(Arc<Taken>);

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.0 {
            Taken::Buffer(buffer, _, of) => write!(f, "{} bytes of rows of the {of:?}", buffer.size()),
            Taken::Image { view, .. } => {
                write!(f, "an image of {}x{}", view.texture().width(), view.texture().height())
            }
        }
    }
}

enum Taken {
    /// Words; those of the memory begin at this byte.
    Buffer(wgpu::Buffer, usize, Of),
    /// A picture of whatever form, where its channels lie in a texel, and what of it is somebody else's.
    Image { view: wgpu::TextureView, layout: Layout, theirs: Option<Image> },
}

/// What a shader reads.
pub(super) enum Fresh<'a> {
    /// Words.
    Words(&'a wgpu::Buffer),
    /// Texels, and where they have their channels.
    Texels(&'a wgpu::TextureView, Layout),
}

/// Whose a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Processor,
    Device,
}

impl Import {
    /// An image of a device's own with these pixels, without gaps: what the reading of images is tried with.
    ///
    /// # Errors
    /// When the device has no such images.
    ///
    /// # Panics
    /// When there are fewer pixels.
    pub fn of_pixels(device: &Device, size: Size, fourcc: Fourcc, pixels: &[u32]) -> Result<Self, String> {
        let known = known(fourcc).ok_or_else(|| format!("no images of {fourcc:?}"))?;
        let extent = wgpu::Extent3d { width: size.w.into(), height: size.h.into(), depth_or_array_layers: 1 };
        let asked = wgpu::TextureDescriptor {
            label: Some("pixels"),
            size: extent,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: known.shown,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        };
        let texture = checked(&device.device, || device.device.create_texture(&asked))?;
        let rows =
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * extent.width), rows_per_image: None };
        device.queue.write_texture(texture.as_image_copy(), bytemuck::cast_slice(pixels), rows, extent);
        let view = texture.create_view(&wgpu::TextureViewDescriptor::default());
        Ok(Self(Arc::new(Taken::Image { view, layout: known.layout, theirs: None })))
    }

    /// How many bytes lie before those of the memory, where it is read word by word; none where it is a picture.
    pub fn shift(&self) -> Option<usize> {
        match &*self.0 {
            Taken::Buffer(_, shift, _) => Some(*shift),
            Taken::Image { .. } => None,
        }
    }

    pub(super) fn fresh(&self) -> Fresh<'_> {
        match &*self.0 {
            Taken::Buffer(buffer, ..) => Fresh::Words(buffer),
            Taken::Image { view, layout, .. } => Fresh::Texels(view, *layout),
        }
    }

    /// What has to be handed over between devices.
    pub(super) fn foreign(&self) -> Option<Foreign<'_>> {
        match &*self.0 {
            Taken::Buffer(_, _, Of::Processor) => None,
            Taken::Buffer(buffer, _, Of::Device) => Some(Foreign::Buffer(buffer)),
            Taken::Image { theirs, .. } => theirs.as_ref().map(Foreign::Image),
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
            let image = image.map_err(|reason| format!("{refused}{reason}"))?;
            let view = image.texture.create_view(&wgpu::TextureViewDescriptor::default());
            Ok(Taken::Image { view, layout: image.layout, theirs: Some(image) })
        }
    }
}
