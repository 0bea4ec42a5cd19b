//! Memory of others as buffers and images of a device: what wgpu does not expose, through `ash`.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use ash::vk;
use wgpu::hal::api::Vulkan as Api;
use wgpu::hal::vulkan as hal;

use crate::frame::{DmaBuf, SharedMemory};
use crate::geometry::Size;
use crate::gpu::vulkan::{Known, READ, Vulkan, known, refused};
use crate::pixel::{Fourcc, Layout, Modifier};

/// What is to be told of foreign memory: that it is ours from now on, or no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gpu) enum Owner {
    /// Before it is read.
    Ours,
    /// After that.
    Theirs,
}
/// A buffer or an image whose memory others have, too, taken down by whoever drops it.
pub(in crate::gpu) struct Parts {
    raw: ash::Device,
    buffer: vk::Buffer,
    pub(in crate::gpu) image: vk::Image,
    pub(in crate::gpu) memory: vk::DeviceMemory,
}

impl Drop for Parts {
    fn drop(&mut self) {
        // SAFETY: it was made on this device, or is null, and is destroyed once, here. Until it is handed to wgpu nobody uses it; afterwards wgpu
        // calls this when the device is done with it.
        unsafe { self.raw.destroy_buffer(self.buffer, None) };
        // SAFETY: as above.
        unsafe { self.raw.destroy_image(self.image, None) };
        // SAFETY: as above; nothing is bound to it any more.
        unsafe { self.raw.free_memory(self.memory, None) };
    }
}

impl Vulkan {
    /// Memory of the processor as a buffer, and at which byte of that it begins. It is kept until the device is done with it.
    pub(in crate::gpu) fn host_buffer(&self, memory: Arc<dyn SharedMemory>) -> Result<(wgpu::Buffer, usize), String> {
        let (host, align) = self.host.as_ref().ok_or("it takes no memory of the processor")?;
        let start = memory.as_ptr() as usize;
        let (first, end) = (start / align * align, (start + memory.len()).next_multiple_of(*align));
        let kind = vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT;
        let mut parts = self.buffer(end - first, kind)?;
        let pointer = memory.as_ptr().wrapping_sub(start - first).cast_mut().cast();
        let mut fits = vk::MemoryHostPointerPropertiesEXT::default();
        let ask = host.fp().get_memory_host_pointer_properties_ext;
        // SAFETY: the device is this one; the pointer is that of mapped pages, whose content is not looked at.
        unsafe { ask(self.raw.handle(), kind, pointer, &mut fits) }.result().map_err(refused)?;
        let mut import = vk::ImportMemoryHostPointerInfoEXT::default().handle_type(kind).host_pointer(pointer);
        let (bits, coherent) = (fits.memory_type_bits, vk::MemoryPropertyFlags::HOST_COHERENT);
        self.allocate(&mut parts, (end - first) as u64, bits, coherent, &mut import, false)?;
        Ok((self.given(parts, end - first, memory), start - first))
    }

    /// A dma-buf as a buffer.
    pub(in crate::gpu) fn dma_buf_buffer(&self, from: &Arc<DmaBuf>) -> Result<wgpu::Buffer, String> {
        let kind = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;
        let len = from.len() / 4 * 4;
        let mut parts = self.buffer(len, kind)?;
        self.take(&mut parts, from, from.len() as u64, false)?;
        Ok(self.given(parts, len, Arc::clone(from)))
    }

    /// A dma-buf as an image of that size.
    pub(in crate::gpu) fn dma_buf_image(
        &self,
        from: &Arc<DmaBuf>,
        size: Size,
        fourcc: Fourcc,
        modifier: Modifier,
    ) -> Result<Image, String> {
        let known = known(fourcc).filter(|_| self.paths().modifiers).ok_or("it takes no images of others")?;
        // drivers that know one modifier may not look at which is asked for
        let forms = self.forms(&known, READ, vk::ExternalMemoryFeatureFlags::IMPORTABLE);
        let form = forms.iter().find(|form| form.modifier == modifier).ok_or("the modifier is not the device's")?;
        if !form.holds(size) {
            return Err(format!("{size} is larger than {form:?}"));
        }
        if from.planes().is_empty() || !from.planes().iter().all(|p| p.holds(from.len(), size, modifier)) {
            return Err("a plane lies outside of the memory".into());
        }
        let plane = |p: &crate::frame::Plane| vk::SubresourceLayout {
            offset: p.offset,
            row_pitch: p.stride,
            ..Default::default()
        };
        let planes: Vec<_> = from.planes().iter().map(plane).collect();
        let mut layout = vk::ImageDrmFormatModifierExplicitCreateInfoEXT::default()
            .drm_format_modifier(modifier.0)
            .plane_layouts(&planes);
        // SAFETY: format, modifier, use and size are what the device takes (asked above). A layout of planes that does not fit the modifier
        // is an error of its own.
        let mut parts = unsafe { self.image(size, &known, READ, &mut layout) }?;
        self.take(&mut parts, from, from.len() as u64, true)?;
        let raw = parts.image;
        let extent = wgpu::Extent3d { width: size.w.into(), height: size.h.into(), depth_or_array_layers: 1 };
        let told = wgpu::hal::TextureDescriptor {
            label: Some("imported"),
            size: extent,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: known.shown,
            usage: wgpu::TextureUses::RESOURCE,
            memory_flags: wgpu::hal::MemoryFlags::empty(),
            view_formats: Vec::new(),
        };
        let keep = Arc::clone(from);
        let done: wgpu::hal::DropCallback = Box::new(move || drop((parts, keep)));
        // SAFETY: the guard is dropped at once, and nothing of the device is destroyed.
        let below = unsafe { self.device.as_hal::<Api>() }.ok_or("the device is gone")?;
        // SAFETY: the image is as told, may be seen in that format, and lives until the callback.
        let texture = unsafe { below.texture_from_raw(raw, &told, Some(done), hal::TextureMemory::External) };
        drop(below);
        let told = wgpu::TextureDescriptor {
            label: Some("imported"),
            size: extent,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: known.shown,
            usage: wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        };
        let state = wgpu::TextureUses::RESOURCE;
        // SAFETY: the texture is of this device and as told; each submission that reads it brings it into this state first (`hand`).
        let texture = unsafe { self.device.create_texture_from_hal::<Api>(texture, &told, state) };
        Ok(Image { texture, layout: known.layout, raw })
    }

    /// Commands that say whose a buffer or an image of others is.
    pub(in crate::gpu) fn hand(&self, what: Foreign<'_>, to: Owner) -> wgpu::CommandBuffer {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let stages = vk::PipelineStageFlags::ALL_COMMANDS;
        let (from, into, before, after) = match to {
            Owner::Ours => (self.foreign, self.family, vk::AccessFlags::empty(), vk::AccessFlags::MEMORY_READ),
            Owner::Theirs => (self.family, self.foreign, vk::AccessFlags::MEMORY_READ, vk::AccessFlags::empty()),
        };
        let record = |commands: vk::CommandBuffer| match what {
            Foreign::Buffer(buffer) => {
                // SAFETY: the guard is dropped at once.
                let Some(raw) = (unsafe { buffer.as_hal::<Api>() }) else { return };
                let barrier = vk::BufferMemoryBarrier::default()
                    .src_access_mask(before)
                    .dst_access_mask(after)
                    .src_queue_family_index(from)
                    .dst_queue_family_index(into)
                    // SAFETY: the handle is only named.
                    .buffer(unsafe { raw.raw_handle() })
                    .size(vk::WHOLE_SIZE);
                let none = vk::DependencyFlags::empty();
                // SAFETY: the commands are being recorded, and the buffer is the device's.
                unsafe { self.raw.cmd_pipeline_barrier(commands, stages, stages, none, &[], &[barrier], &[]) };
            }
            Foreign::Image(image) => {
                // others leave images, and want them back, in the general layout
                let (theirs, ours) = (vk::ImageLayout::GENERAL, vk::ImageLayout::SHADER_READ_ONLY_OPTIMAL);
                let (old, new) = if to == Owner::Ours { (theirs, ours) } else { (ours, theirs) };
                let range = vk::ImageSubresourceRange::default()
                    .aspect_mask(vk::ImageAspectFlags::COLOR)
                    .level_count(1)
                    .layer_count(1);
                let barrier = vk::ImageMemoryBarrier::default()
                    .src_access_mask(before)
                    .dst_access_mask(after)
                    .old_layout(old)
                    .new_layout(new)
                    .src_queue_family_index(from)
                    .dst_queue_family_index(into)
                    .image(image.raw)
                    .subresource_range(range);
                let none = vk::DependencyFlags::empty();
                // SAFETY: as above.
                unsafe { self.raw.cmd_pipeline_barrier(commands, stages, stages, none, &[], &[], &[barrier]) };
            }
        };
        let begin = |below: Option<&mut hal::CommandEncoder>| {
            if let Some(below) = below {
                // SAFETY: the buffer is being recorded, and is ended by wgpu.
                record(unsafe { below.raw_handle() });
            }
        };
        // SAFETY: the encoder records nothing else.
        unsafe { encoder.as_hal_mut::<Api, _, _>(begin) };
        encoder.finish()
    }

    /// An image that waits for memory of a dma-buf.
    ///
    /// # Safety
    /// The device makes images of this size, format and use in all the forms that `form` names (`forms`).
    pub(in crate::gpu) unsafe fn image(
        &self,
        size: Size,
        known: &Known,
        usage: vk::ImageUsageFlags,
        form: &mut impl vk::ExtendsImageCreateInfo,
    ) -> Result<Parts, String> {
        let kind = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;
        let mut outside = vk::ExternalMemoryImageCreateInfo::default().handle_types(kind);
        let mut views = vk::ImageFormatListCreateInfo::default().view_formats(&known.formats);
        let mut asked = vk::ImageCreateInfo::default()
            .flags(known.flags())
            .image_type(vk::ImageType::TYPE_2D)
            .format(known.format())
            .extent(vk::Extent3D { width: size.w.into(), height: size.h.into(), depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .tiling(vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT)
            .usage(usage)
            .push_next(form)
            .push_next(&mut outside);
        if !known.flags().is_empty() {
            asked = asked.push_next(&mut views);
        }
        let mut parts = self.parts();
        // SAFETY: the structure is whole, and the caller promises that the device makes what it asks for.
        parts.image = unsafe { self.raw.create_image(&asked, None) }.map_err(refused)?;
        Ok(parts)
    }

    fn parts(&self) -> Parts {
        let (buffer, image) = (vk::Buffer::null(), vk::Image::null());
        Parts { raw: self.raw.clone(), buffer, image, memory: vk::DeviceMemory::null() }
    }

    /// A buffer that waits for memory of a kind.
    fn buffer(&self, len: usize, kind: vk::ExternalMemoryHandleTypeFlags) -> Result<Parts, String> {
        let most = self.device.limits().max_storage_buffer_binding_size;
        if len == 0 || len as u64 > most {
            return Err(format!("{len} bytes (expected 4 to {most})"));
        }
        let mut outside = vk::ExternalMemoryBufferCreateInfo::default().handle_types(kind);
        let asked = vk::BufferCreateInfo::default()
            .size(len as u64)
            .usage(vk::BufferUsageFlags::STORAGE_BUFFER)
            .sharing_mode(vk::SharingMode::EXCLUSIVE)
            .push_next(&mut outside);
        let mut parts = self.parts();
        // SAFETY: the structure is whole, and its size is not zero.
        parts.buffer = unsafe { self.raw.create_buffer(&asked, None) }.map_err(refused)?;
        Ok(parts)
    }

    /// Gives a dma-buf's memory to a buffer or an image.
    fn take(&self, parts: &mut Parts, from: &DmaBuf, len: u64, dedicated: bool) -> Result<(), String> {
        let device = self.memory_fd.as_ref().ok_or("it takes no dma-bufs")?;
        let kind = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;
        let fd = from.as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
        let fd = fd.into_raw_fd();
        // SAFETY: whatever becomes of the import, the descriptor is ours until it has succeeded.
        let ours = || unsafe { OwnedFd::from_raw_fd(fd) };
        let mut fits = vk::MemoryFdPropertiesKHR::default();
        // SAFETY: the descriptor is open; whether it is a dma-buf is what the call says.
        let told = unsafe { device.get_memory_fd_properties(kind, fd, &mut fits) };
        let mut import = vk::ImportMemoryFdInfoKHR::default().handle_type(kind).fd(fd);
        let any = vk::MemoryPropertyFlags::empty();
        let taken = told
            .map_err(refused)
            .and_then(|()| self.allocate(parts, len, fits.memory_type_bits, any, &mut import, dedicated));
        // the memory has the descriptor as soon as there is any; drivers that close it where they make none (Mesa's lavapipe) have no right to
        if parts.memory == vk::DeviceMemory::null() && is_same(fd, from) {
            drop(ours());
        }
        taken
    }

    /// Makes memory of what is imported, or is to be handed out, and gives it to a buffer or an image.
    pub(in crate::gpu) fn allocate(
        &self,
        parts: &mut Parts,
        len: u64,
        bits: u32,
        wanted: vk::MemoryPropertyFlags,
        outside: &mut impl vk::ExtendsMemoryAllocateInfo,
        dedicated: bool,
    ) -> Result<(), String> {
        let image = parts.image != vk::Image::null();
        let needs = match image {
            // SAFETY: the image was made on this device.
            true => unsafe { self.raw.get_image_memory_requirements(parts.image) },
            // SAFETY: the buffer was made on this device.
            false => unsafe { self.raw.get_buffer_memory_requirements(parts.buffer) },
        };
        if needs.size > len {
            return Err(format!("memory of {len} bytes where {} are needed", needs.size));
        }
        let bits = bits & needs.memory_type_bits;
        // SAFETY: the physical device is the instance's.
        let all = unsafe { self.instance.get_physical_device_memory_properties(self.physical) };
        let fits =
            |kind: &u32| bits & 1 << kind != 0 && all.memory_types[*kind as usize].property_flags.contains(wanted);
        let kind = (0..all.memory_type_count).find(fits).ok_or("no memory type fits")?;
        let mut alone = vk::MemoryDedicatedAllocateInfo::default().image(parts.image);
        let mut asked = vk::MemoryAllocateInfo::default().memory_type_index(kind).push_next(outside);
        asked = match dedicated {
            true => asked.allocation_size(needs.size).push_next(&mut alone),
            false => asked.allocation_size(len),
        };
        // SAFETY: the structures are whole; what is imported is at least `len` long, which its driver checks for descriptors and which
        // for pointers are whole mapped pages.
        parts.memory = unsafe { self.raw.allocate_memory(&asked, None) }.map_err(refused)?;
        match image {
            // SAFETY: both are this device's, the memory is as large as is needed, and nothing else is bound.
            true => unsafe { self.raw.bind_image_memory(parts.image, parts.memory, 0) },
            // SAFETY: as above.
            false => unsafe { self.raw.bind_buffer_memory(parts.buffer, parts.memory, 0) },
        }
        .map_err(refused)
    }

    /// A buffer as wgpu knows it; what it was made of is kept until the device is done with it.
    fn given(&self, parts: Parts, len: usize, keep: impl Send + Sync + 'static) -> wgpu::Buffer {
        let raw = parts.buffer;
        let done: wgpu::hal::DropCallback = Box::new(move || drop((parts, keep)));
        // SAFETY: the buffer lives until the callback, and nobody else destroys it.
        let buffer = unsafe { hal::Buffer::from_raw_externally_owned(raw, done) };
        let told = wgpu::BufferDescriptor {
            label: Some("imported"),
            size: len as u64,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        };
        // SAFETY: the buffer is of this device and as told; its content is whatever the other side wrote.
        unsafe { self.device.create_buffer_from_hal::<Api>(buffer, &told) }
    }
}

/// An image of others.
#[derive(Debug)]
pub(in crate::gpu) struct Image {
    /// As wgpu knows it.
    pub(in crate::gpu) texture: wgpu::Texture,
    /// Where that has its channels.
    pub(in crate::gpu) layout: Layout,
    raw: vk::Image,
}

/// Something whose memory is somebody else's.
#[derive(Clone, Copy, Debug)]
pub(in crate::gpu) enum Foreign<'a> {
    /// A buffer.
    Buffer(&'a wgpu::Buffer),
    /// An image.
    Image(&'a Image),
}

/// Whether a number is that of an open descriptor of a dma-buf, and of no other file.
fn is_same(fd: RawFd, buffer: &DmaBuf) -> bool {
    // SAFETY: the number is no descriptor of anybody's here: it is asked after and nothing else, whether it is open or not.
    let asked = unsafe { BorrowedFd::borrow_raw(fd) };
    let file = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let known = rustix::fs::fstat(buffer.as_fd()).map(file);
    rustix::fs::fstat(asked).map(file) == known && known.is_ok()
}
