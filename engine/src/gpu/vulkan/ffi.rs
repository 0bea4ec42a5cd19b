//! A device below wgpu: how it is opened, what of others it can take, and fences that it waits for.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use ash::vk;
use wgpu::hal::api::Vulkan as Api;
use wgpu::hal::vulkan as hal;

use super::Paths;
use crate::geometry::Size;
use crate::pixel::{Fourcc, Layout, Modifier};

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
/// What is done with images of others.
pub(in crate::gpu) const READ: vk::ImageUsageFlags = vk::ImageUsageFlags::SAMPLED;

/// A device below wgpu.
pub(in crate::gpu) struct Vulkan {
    pub(in crate::gpu) raw: ash::Device,
    pub(in crate::gpu) instance: ash::Instance,
    pub(in crate::gpu) physical: vk::PhysicalDevice,
    pub(in crate::gpu) family: u32,
    /// Who has what is not ours.
    pub(in crate::gpu) foreign: u32,
    paths: Paths,
    /// What hosts' pointers are to be aligned to.
    pub(in crate::gpu) host: Option<(ash::ext::external_memory_host::Device, usize)>,
    pub(in crate::gpu) memory_fd: Option<ash::khr::external_memory_fd::Device>,
    semaphore_fd: Option<ash::khr::external_semaphore_fd::Device>,
    semaphores: Mutex<Semaphores>,
    // dropped last: it keeps the raw device
    pub(in crate::gpu) device: wgpu::Device,
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

/// How images may lie in memory.
#[derive(Clone, Copy, Debug)]
pub(in crate::gpu) struct Form {
    pub(in crate::gpu) modifier: Modifier,
    /// Planes of memory.
    pub(in crate::gpu) planes: usize,
    /// The largest image.
    largest: vk::Extent3D,
}

impl Form {
    /// Whether a picture may be as large.
    pub(in crate::gpu) fn holds(&self, size: Size) -> bool {
        u32::from(size.w) <= self.largest.width && u32::from(size.h) <= self.largest.height
    }
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

impl Vulkan {
    /// What of others it can take.
    pub(in crate::gpu) fn paths(&self) -> Paths {
        self.paths
    }

    /// The modifiers of images of a format that it can take.
    pub(in crate::gpu) fn modifiers(&self, fourcc: Fourcc) -> Vec<Modifier> {
        let taken = |known| self.forms(&known, READ, vk::ExternalMemoryFeatureFlags::IMPORTABLE);
        known(fourcc).map(taken).unwrap_or_default().iter().map(|form| form.modifier).collect()
    }

    /// The forms in which it reads images of a format, and can take them for this use, or hand them out.
    pub(in crate::gpu) fn forms(
        &self,
        known: &Known,
        usage: vk::ImageUsageFlags,
        way: vk::ExternalMemoryFeatureFlags,
    ) -> Vec<Form> {
        if !self.paths.modifiers {
            return Vec::new();
        }
        let [lies, read] = known.formats.map(|format| self.readable(format));
        let form = |m: &vk::DrmFormatModifierPropertiesEXT| {
            let modifier = m.drm_format_modifier;
            read.iter().find(|read| read.drm_format_modifier == modifier)?;
            let largest = self.largest(known, modifier, usage, way)?;
            Some(Form { modifier: Modifier(modifier), planes: m.drm_format_modifier_plane_count as usize, largest })
        };
        lies.iter().filter_map(form).collect()
    }

    /// The modifiers with which shaders read a format.
    fn readable(&self, format: vk::Format) -> Vec<vk::DrmFormatModifierPropertiesEXT> {
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
        found.retain(|m| m.drm_format_modifier_tiling_features.contains(vk::FormatFeatureFlags::SAMPLED_IMAGE));
        found
    }

    /// The largest image of a format, modifier and use that can be taken or handed out; none when there is none.
    fn largest(
        &self,
        known: &Known,
        modifier: u64,
        usage: vk::ImageUsageFlags,
        way: vk::ExternalMemoryFeatureFlags,
    ) -> Option<vk::Extent3D> {
        let mut tiling = vk::PhysicalDeviceImageDrmFormatModifierInfoEXT::default().drm_format_modifier(modifier);
        let mut from = vk::PhysicalDeviceExternalImageFormatInfo::default()
            .handle_type(vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT);
        let mut views = vk::ImageFormatListCreateInfo::default().view_formats(&known.formats);
        let mut asked = vk::PhysicalDeviceImageFormatInfo2::default()
            .format(known.format())
            .ty(vk::ImageType::TYPE_2D)
            .tiling(vk::ImageTiling::DRM_FORMAT_MODIFIER_EXT)
            .usage(usage)
            .flags(known.flags())
            .push_next(&mut from)
            .push_next(&mut tiling);
        if !known.flags().is_empty() {
            asked = asked.push_next(&mut views);
        }
        let mut outside = vk::ExternalImageFormatProperties::default();
        let mut told = vk::ImageFormatProperties2::default().push_next(&mut outside);
        // SAFETY: the physical device is the instance's, and has the extensions that the structures are of.
        unsafe { self.instance.get_physical_device_image_format_properties2(self.physical, &asked, &mut told) }.ok()?;
        let most = told.image_format_properties.max_extent;
        let able = outside.external_memory_properties.external_memory_features;
        able.contains(way).then_some(most)
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

/// How images of a format are read.
#[derive(Clone, Copy, Debug)]
pub(in crate::gpu) struct Known {
    /// Vulkan's name of the format, and of the one that it is read as: of as many bits, in the same places.
    pub(in crate::gpu) formats: [vk::Format; 2],
    /// wgpu's name of the latter,
    pub(in crate::gpu) shown: wgpu::TextureFormat,
    /// and where that has its channels.
    pub(in crate::gpu) layout: Layout,
}

impl Known {
    /// Of images that are made.
    pub(in crate::gpu) fn format(&self) -> vk::Format {
        self.formats[0]
    }

    /// What images are made with, beside a list of both formats, where they are read as another one.
    pub(in crate::gpu) fn flags(&self) -> vk::ImageCreateFlags {
        let [lies, read] = self.formats;
        if lies == read { vk::ImageCreateFlags::empty() } else { vk::ImageCreateFlags::MUTABLE_FORMAT }
    }
}

/// How images of a format are read, where they can be.
pub(in crate::gpu) fn known(fourcc: Fourcc) -> Option<Known> {
    let (lies, shown) = match fourcc {
        Fourcc::XRGB8888 | Fourcc::ARGB8888 => (vk::Format::B8G8R8A8_UNORM, wgpu::TextureFormat::Bgra8Unorm),
        Fourcc::XBGR8888 | Fourcc::ABGR8888 => (vk::Format::R8G8B8A8_UNORM, wgpu::TextureFormat::Rgba8Unorm),
        Fourcc::XRGB2101010 => (vk::Format::A2R10G10B10_UNORM_PACK32, wgpu::TextureFormat::Rgb10a2Unorm),
        Fourcc::XBGR2101010 => (vk::Format::A2B10G10R10_UNORM_PACK32, wgpu::TextureFormat::Rgb10a2Unorm),
        _ => return None,
    };
    let (read, layout) = match lies {
        // wgpu has none with red above blue: red is read as blue, and put where it lay
        vk::Format::A2R10G10B10_UNORM_PACK32 => (vk::Format::A2B10G10R10_UNORM_PACK32, Fourcc::XBGR2101010.layout()),
        lies => (lies, fourcc.layout()),
    };
    Some(Known { formats: [lies, read], shown, layout: layout? })
}

pub(in crate::gpu) fn refused(error: vk::Result) -> String {
    format!("the driver refused: {error}")
}
