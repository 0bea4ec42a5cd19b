//! Memory of others as buffers and images of a device: what wgpu does not expose, through `ash`.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use ash::vk;
use wgpu::hal::api::Vulkan as Api;
use wgpu::hal::vulkan as hal;

use super::Paths;
use crate::frame::{DmaBuf, SharedMemory};
use crate::geometry::Size;
use crate::pixel::{Fourcc, Modifier};

/// What is asked of a device beyond what wgpu asks for, where it has it.
const EXTENSIONS: [&CStr; 7] = [
    ash::ext::external_memory_host::NAME,
    ash::khr::external_memory_fd::NAME,
    ash::ext::external_memory_dma_buf::NAME,
    ash::ext::image_drm_format_modifier::NAME,
    // what that needs on devices of Vulkan 1.1
    ash::khr::image_format_list::NAME,
    ash::ext::queue_family_foreign::NAME,
    ash::khr::external_semaphore_fd::NAME,
];
/// Pages are no smaller: what is mapped is mapped in these.
const PAGE: usize = 4096;

/// A device below wgpu.
pub(in crate::gpu) struct Vulkan {
    pub(in crate::gpu) raw: ash::Device,
    pub(in crate::gpu) instance: ash::Instance,
    physical: vk::PhysicalDevice,
    family: u32,
    /// Who has what is not ours.
    foreign: u32,
    paths: Paths,
    /// What hosts' pointers are to be aligned to.
    host: Option<(ash::ext::external_memory_host::Device, usize)>,
    pub(in crate::gpu) memory_fd: Option<ash::khr::external_memory_fd::Device>,
    semaphore_fd: Option<ash::khr::external_semaphore_fd::Device>,
    semaphores: Mutex<Semaphores>,
    // dropped last: it keeps the raw device
    device: wgpu::Device,
}

impl std::fmt::Debug for Vulkan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vulkan").field("paths", &self.paths).finish_non_exhaustive()
    }
}

/// All that were made, and those of them that nothing waits for.
#[derive(Default)]
struct Semaphores {
    all: Vec<vk::Semaphore>,
    spare: Vec<vk::Semaphore>,
}

/// A semaphore that a submission waits for.
#[derive(Debug)]
pub(in crate::gpu) struct Wait(vk::Semaphore);

/// What is to be told of foreign memory: that it is ours from now on, or no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gpu) enum Owner {
    /// Before it is read.
    Ours,
    /// After that.
    Theirs,
}

/// In which ways a device reads memory of others where it lies.
pub(in crate::gpu) fn paths(adapter: &wgpu::Adapter) -> Paths {
    // SAFETY: the guard is dropped at once.
    unsafe { adapter.as_hal::<Api>() }.map(|below| paths_of(&below)).unwrap_or_default()
}

fn paths_of(below: &hal::Adapter) -> Paths {
    let has = |name: &CStr| below.physical_device_capabilities().supports_extension(name);
    let dma_buf = has(ash::ext::external_memory_dma_buf::NAME) && has(ash::khr::external_memory_fd::NAME);
    // what needs more than pages is not mapped for certain: nothing could be taken
    let host = has(ash::ext::external_memory_host::NAME) && alignment(below) <= PAGE;
    let modifiers = dma_buf && has(ash::ext::image_drm_format_modifier::NAME);
    Paths { host, dma_buf, modifiers, fences: has(ash::khr::external_semaphore_fd::NAME) }
}

/// What pointers into the processor's memory are to be aligned to, of a device that takes any.
fn alignment(below: &hal::Adapter) -> usize {
    let mut host = vk::PhysicalDeviceExternalMemoryHostPropertiesEXT::default();
    let mut all = vk::PhysicalDeviceProperties2::default().push_next(&mut host);
    let (instance, physical) = (below.shared_instance().raw_instance(), below.raw_physical_device());
    // SAFETY: the physical device is the instance's, and has the extension whose structure is filled in.
    unsafe { instance.get_physical_device_properties2(physical, &mut all) };
    usize::try_from(host.min_imported_host_pointer_alignment).unwrap_or(usize::MAX).max(1)
}

/// Opens a device with all that it has for the memory of others.
pub(in crate::gpu) fn open(
    adapter: &wgpu::Adapter,
    asked: &wgpu::DeviceDescriptor<'_>,
) -> Result<(wgpu::Device, wgpu::Queue, Vulkan), String> {
    // SAFETY: the guard is dropped at the end of this function, and nothing of the adapter is destroyed.
    let below = unsafe { adapter.as_hal::<Api>() }.ok_or("it is no Vulkan device")?;
    let able = below.physical_device_capabilities();
    let has = |name: &CStr| able.supports_extension(name);
    let wanted: Vec<&'static CStr> = EXTENSIONS.into_iter().filter(|name| has(name)).collect();
    let more = Box::new(|args: hal::CreateDeviceCallbackArgs<'_, '_, '_>| {
        for name in &wanted {
            if !args.extensions.contains(name) {
                args.extensions.push(name);
            }
        }
    });
    let (features, limits, hints) = (asked.required_features, &asked.required_limits, &asked.memory_hints);
    // SAFETY: only extensions that the device has are added, none of which turns anything else off.
    let opened = unsafe { below.open_with_callback(features, limits, hints, Some(more)) };
    let opened = opened.map_err(|error| error.to_string())?;
    let instance = below.shared_instance().raw_instance().clone();
    let physical = below.raw_physical_device();
    let (raw, family) = (opened.device.raw_device().clone(), opened.device.queue_family_index());
    let on = |name: &CStr| wanted.contains(&name);
    let paths = paths_of(&below);
    let host = paths.host.then(|| (ash::ext::external_memory_host::Device::new(&instance, &raw), alignment(&below)));
    let memory_fd = paths.dma_buf.then(|| ash::khr::external_memory_fd::Device::new(&instance, &raw));
    let semaphore_fd = paths.fences.then(|| ash::khr::external_semaphore_fd::Device::new(&instance, &raw));
    let foreign = match on(ash::ext::queue_family_foreign::NAME) {
        true => vk::QUEUE_FAMILY_FOREIGN_EXT,
        false => vk::QUEUE_FAMILY_EXTERNAL,
    };
    drop(below);
    // SAFETY: the device was opened from this adapter, with the features that are told here.
    let (device, queue) =
        unsafe { adapter.create_device_from_hal(opened, asked) }.map_err(|error| error.to_string())?;
    let semaphores = Mutex::default();
    let keep = device.clone();
    let vulkan = Vulkan {
        raw,
        instance,
        physical,
        family,
        foreign,
        paths,
        host,
        memory_fd,
        semaphore_fd,
        semaphores,
        device: keep,
    };
    Ok((device, queue, vulkan))
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
    /// What of others it can take.
    pub(in crate::gpu) fn paths(&self) -> Paths {
        self.paths
    }

    /// The modifiers of images of a format that it can take.
    pub(in crate::gpu) fn modifiers(&self, fourcc: Fourcc) -> Vec<Modifier> {
        let Some((format, _)) = formats(fourcc).filter(|_| self.paths.modifiers) else { return Vec::new() };
        let found = self.forms(format);
        let copied = |m: &&vk::DrmFormatModifierPropertiesEXT| {
            m.drm_format_modifier_tiling_features.contains(vk::FormatFeatureFlags::TRANSFER_SRC)
        };
        let modifiers = found.iter().filter(copied).map(|m| m.drm_format_modifier);
        let taken = |m: &u64| {
            self.largest(format, *m, vk::ImageUsageFlags::TRANSFER_SRC, vk::ExternalMemoryFeatureFlags::IMPORTABLE)
                .is_some()
        };
        modifiers.filter(taken).map(Modifier).collect()
    }

    /// What the device knows of a format, modifier by modifier.
    pub(in crate::gpu) fn forms(&self, format: vk::Format) -> Vec<vk::DrmFormatModifierPropertiesEXT> {
        let mut list = vk::DrmFormatModifierPropertiesListEXT::default();
        let mut all = vk::FormatProperties2::default().push_next(&mut list);
        // SAFETY: the physical device is the instance's and has the extension; without room only the number is told.
        unsafe { self.instance.get_physical_device_format_properties2(self.physical, format, &mut all) };
        let count = list.drm_format_modifier_count as usize;
        let mut found = vec![vk::DrmFormatModifierPropertiesEXT::default(); count];
        let mut list = vk::DrmFormatModifierPropertiesListEXT::default().drm_format_modifier_properties(&mut found);
        let mut all = vk::FormatProperties2::default().push_next(&mut list);
        // SAFETY: as above, with room for as many as were told.
        unsafe { self.instance.get_physical_device_format_properties2(self.physical, format, &mut all) };
        found
    }

    /// The largest image of a format, modifier and use that can be taken or handed out; none when there is none.
    pub(in crate::gpu) fn largest(
        &self,
        format: vk::Format,
        modifier: u64,
        usage: vk::ImageUsageFlags,
        way: vk::ExternalMemoryFeatureFlags,
    ) -> Option<vk::Extent3D> {
        let mut tiling = vk::PhysicalDeviceImageDrmFormatModifierInfoEXT::default().drm_format_modifier(modifier);
        let mut from = vk::PhysicalDeviceExternalImageFormatInfo::default()
            .handle_type(vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT);
        let asked = vk::PhysicalDeviceImageFormatInfo2::default()
            .format(format)
            .ty(vk::ImageType::TYPE_2D)
            .tiling(vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT)
            .usage(usage)
            .push_next(&mut from)
            .push_next(&mut tiling);
        let mut outside = vk::ExternalImageFormatProperties::default();
        let mut told = vk::ImageFormatProperties2::default().push_next(&mut outside);
        // SAFETY: the physical device is the instance's, and has the extensions that the structures are of.
        unsafe { self.instance.get_physical_device_image_format_properties2(self.physical, &asked, &mut told) }.ok()?;
        let most = told.image_format_properties.max_extent;
        let able = outside.external_memory_properties.external_memory_features;
        able.contains(way).then_some(most)
    }

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
        let known = formats(fourcc).filter(|_| self.paths.modifiers);
        let (format, shown) = known.ok_or("it takes no images of others")?;
        // drivers that know one modifier may not look at which is asked for
        let able = self.modifiers(fourcc).contains(&modifier);
        let most = self.largest(
            format,
            modifier.0,
            vk::ImageUsageFlags::TRANSFER_SRC,
            vk::ExternalMemoryFeatureFlags::IMPORTABLE,
        );
        let most = most.filter(|_| able).ok_or("the modifier is not the device's")?;
        if u32::from(size.w) > most.width || u32::from(size.h) > most.height {
            return Err(format!("larger than {}x{}", most.width, most.height));
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
        let mut outside =
            vk::ExternalMemoryImageCreateInfo::default().handle_types(vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT);
        let asked = vk::ImageCreateInfo::default()
            .image_type(vk::ImageType::TYPE_2D)
            .format(format)
            .extent(vk::Extent3D { width: size.w.into(), height: size.h.into(), depth: 1 })
            .mip_levels(1)
            .array_layers(1)
            .samples(vk::SampleCountFlags::TYPE_1)
            .tiling(vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT)
            .usage(vk::ImageUsageFlags::TRANSFER_SRC)
            .push_next(&mut layout)
            .push_next(&mut outside);
        let mut parts = self.parts();
        // SAFETY: the structure is whole, and format, modifier, usage and size are what the device takes (asked above). A layout of
        // planes that does not fit the modifier is an error of its own.
        parts.image = unsafe { self.raw.create_image(&asked, None) }.map_err(refused)?;
        self.take(&mut parts, from, from.len() as u64, true)?;
        let raw = parts.image;
        let extent = wgpu::Extent3d { width: size.w.into(), height: size.h.into(), depth_or_array_layers: 1 };
        let told = wgpu::hal::TextureDescriptor {
            label: Some("imported"),
            size: extent,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: shown,
            usage: wgpu::TextureUses::COPY_SRC,
            memory_flags: wgpu::hal::MemoryFlags::empty(),
            view_formats: Vec::new(),
        };
        let keep = Arc::clone(from);
        let done: wgpu::hal::DropCallback = Box::new(move || drop((parts, keep)));
        // SAFETY: the guard is dropped at once, and nothing of the device is destroyed.
        let below = unsafe { self.device.as_hal::<Api>() }.ok_or("the device is gone")?;
        // SAFETY: the image is as told (but for its format, which copies do not look at, of 32 bits a pixel both), and lives until the
        // callback.
        let texture = unsafe { below.texture_from_raw(raw, &told, Some(done), hal::TextureMemory::External) };
        drop(below);
        let told = wgpu::TextureDescriptor {
            label: Some("imported"),
            size: extent,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: shown,
            usage: wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        };
        let state = wgpu::TextureUses::COPY_SRC;
        // SAFETY: the texture is of this device and as told; each submission that reads it brings it into this state first (`hand`).
        let texture = unsafe { self.device.create_texture_from_hal::<Api>(texture, &told, state) };
        Ok(Image { texture, raw })
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
                let (theirs, ours) = (vk::ImageLayout::GENERAL, vk::ImageLayout::TRANSFER_SRC_OPTIMAL);
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

    /// Has the next submission wait for a fence of the kernel's. The caller lets nothing else be submitted in between.
    pub(in crate::gpu) fn wait_for(&self, queue: &wgpu::Queue, fence: OwnedFd) -> Result<Wait, String> {
        let import = self.semaphore_fd.as_ref().ok_or("it cannot wait for fences")?;
        // SAFETY: the guard is dropped at the end of this function.
        let below = unsafe { queue.as_hal::<Api>() }.ok_or("the device is gone")?;
        let mut semaphores = self.semaphores.lock().unwrap_or_else(PoisonError::into_inner);
        let semaphore = match semaphores.spare.pop() {
            Some(semaphore) => semaphore,
            None => {
                let plain = vk::SemaphoreCreateInfo::default();
                // SAFETY: a plain semaphore of this device.
                let made = unsafe { self.raw.create_semaphore(&plain, None) }.map_err(refused)?;
                semaphores.all.push(made);
                made
            }
        };
        drop(semaphores);
        let fd = fence.into_raw_fd();
        let asked = vk::ImportSemaphoreFdInfoKHR::default()
            .semaphore(semaphore)
            .flags(vk::SemaphoreImportFlags::TEMPORARY)
            .handle_type(vk::ExternalSemaphoreHandleTypeFlags::SYNC_FD)
            .fd(fd);
        // SAFETY: nobody waits for the semaphore (new, or its submission is done); the descriptor is ours, and the device's on success.
        if let Err(error) = unsafe { import.import_semaphore_fd(&asked) } {
            // SAFETY: it was not taken over, so it is still ours alone.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
            self.done(Wait(semaphore));
            return Err(refused(error));
        }
        below.add_wait_semaphore(semaphore, None, vk::PipelineStageFlags::ALL_COMMANDS);
        Ok(Wait(semaphore))
    }

    /// The submission that waited for it is done.
    pub(in crate::gpu) fn done(&self, wait: Wait) {
        self.semaphores.lock().unwrap_or_else(PoisonError::into_inner).spare.push(wait.0);
    }

    pub(in crate::gpu) fn parts(&self) -> Parts {
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

impl Drop for Vulkan {
    fn drop(&mut self) {
        for semaphore in self.semaphores.get_mut().unwrap_or_else(PoisonError::into_inner).all.drain(..) {
            // SAFETY: it is of this device, which `device` keeps, and no submission waits for it any more: a device's last owner is a
            // thread that has waited for its work (`Device::give_up`), or nothing was under way.
            unsafe { self.raw.destroy_semaphore(semaphore, None) };
        }
    }
}

/// An image of others.
#[derive(Debug)]
pub(in crate::gpu) struct Image {
    /// As wgpu knows it.
    pub(in crate::gpu) texture: wgpu::Texture,
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

/// Vulkan's name of a format, and one that wgpu knows of as many bits.
pub(in crate::gpu) fn formats(fourcc: Fourcc) -> Option<(vk::Format, wgpu::TextureFormat)> {
    Some(match fourcc {
        Fourcc::XRGB8888 | Fourcc::ARGB8888 => (vk::Format::B8G8R8A8_UNORM, wgpu::TextureFormat::Bgra8Unorm),
        Fourcc::XBGR8888 | Fourcc::ABGR8888 => (vk::Format::R8G8B8A8_UNORM, wgpu::TextureFormat::Rgba8Unorm),
        Fourcc::XRGB2101010 => (vk::Format::A2R10G10B10_UNORM_PACK32, wgpu::TextureFormat::Rgb10a2Unorm),
        Fourcc::XBGR2101010 => (vk::Format::A2B10G10R10_UNORM_PACK32, wgpu::TextureFormat::Rgb10a2Unorm),
        _ => return None,
    })
}

pub(in crate::gpu) fn refused(error: vk::Result) -> String {
    format!("the driver refused: {error}")
}

/// Whether a number is that of an open descriptor of a dma-buf, and of no other file.
fn is_same(fd: std::os::fd::RawFd, buffer: &DmaBuf) -> bool {
    // SAFETY: the number is no descriptor of anybody's here: it is asked after and nothing else, whether it is open or not.
    let asked = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    let file = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let known = rustix::fs::fstat(buffer.as_fd()).map(file);
    rustix::fs::fstat(asked).map(file) == known && known.is_ok()
}
