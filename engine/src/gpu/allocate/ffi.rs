//! Images made to be handed out, through `ash`: the driver picks one of the forms that both sides know, and says how it lies in memory.
//!
//! The image itself is of no use here and goes at once: its memory lives as long as the descriptor, and is taken as that of any other dma-buf.
#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd};

use ash::vk;

use crate::frame::{DmaBuf, Plane};
use crate::geometry::Size;
use crate::gpu::vulkan::{READ, Vulkan, known, refused};
use crate::pixel::{Fourcc, Modifier};

const KIND: vk::ExternalMemoryHandleTypeFlags = vk::ExternalMemoryHandleTypeFlags::DMA_BUF_EXT;
/// What others do to the image, as far as drivers ask before they choose strides, and what is done here; where that cannot be had, the
/// latter alone.
const USES: [vk::ImageUsageFlags; 2] =
    [vk::ImageUsageFlags::from_raw(READ.as_raw() | vk::ImageUsageFlags::COLOR_ATTACHMENT.as_raw()), READ];
const PLANES: [vk::ImageAspectFlags; 4] = [
    vk::ImageAspectFlags::MEMORY_PLANE_0_EXT,
    vk::ImageAspectFlags::MEMORY_PLANE_1_EXT,
    vk::ImageAspectFlags::MEMORY_PLANE_2_EXT,
    vk::ImageAspectFlags::MEMORY_PLANE_3_EXT,
];

impl Vulkan {
    /// A new dma-buf for a picture in one of these forms, and in which.
    pub(in crate::gpu) fn new_dma_buf(
        &self,
        size: Size,
        fourcc: Fourcc,
        among: &[Modifier],
    ) -> Result<(DmaBuf, Modifier), String> {
        let known = known(fourcc).filter(|_| self.paths().modifiers).ok_or("it makes no images for others")?;
        let taken = self.modifiers(fourcc);
        let of_use = |usage: vk::ImageUsageFlags| {
            let mut forms = self.forms(&known, usage, vk::ExternalMemoryFeatureFlags::EXPORTABLE);
            forms.retain(|form| [among, &taken].iter().all(|list| list.contains(&form.modifier)) && form.holds(size));
            (usage, forms)
        };
        let (usage, forms) = USES
            .into_iter()
            .map(of_use)
            .find(|(_, forms)| !forms.is_empty())
            .filter(|_| size.area() > 0)
            .ok_or_else(|| format!("it hands out no {fourcc:?} of {size} in a form that is asked for"))?;

        let modifiers: Vec<u64> = forms.iter().map(|form| form.modifier.0).collect();
        let mut list = vk::ImageDrmFormatModifierListCreateInfoEXT::default().drm_format_modifiers(&modifiers);
        // SAFETY: each of the modifiers is one with which the device hands out images of this format, size and use (asked above).
        let mut parts = unsafe { self.image(size, &known, usage, &mut list) }?;
        let mut outside = vk::ExportMemoryAllocateInfo::default().handle_types(KIND);
        let own = vk::MemoryPropertyFlags::DEVICE_LOCAL;
        self.allocate(&mut parts, u64::MAX, u32::MAX, own, &mut outside, true)?;

        let with_modifiers = ash::ext::image_drm_format_modifier::Device::new(&self.instance, &self.raw);
        let mut told = vk::ImageDrmFormatModifierPropertiesEXT::default();
        // SAFETY: the image is this device's, which has the extension (`paths`), and was made with a list of modifiers.
        unsafe { with_modifiers.get_image_drm_format_modifier_properties(parts.image, &mut told) }.map_err(refused)?;
        let modifier = Modifier(told.drm_format_modifier);
        let form = forms.iter().find(|form| form.modifier == modifier);
        let count = form.ok_or_else(|| format!("the driver chose {modifier:?}, which was not asked for"))?.planes;
        let planes = PLANES.get(..count).filter(|planes| !planes.is_empty());
        let planes = planes.ok_or_else(|| format!("{count} planes of memory (expected 1 to 4)"))?;
        let planes = planes.iter().map(|aspect| {
            let part = vk::ImageSubresource { aspect_mask: *aspect, mip_level: 0, array_layer: 0 };
            // SAFETY: the image is this device's and has as many planes of memory.
            let layout = unsafe { self.raw.get_image_subresource_layout(parts.image, part) };
            Plane { offset: layout.offset, stride: layout.row_pitch }
        });
        let planes: Vec<Plane> = planes.collect();

        let memory_fd = self.memory_fd.as_ref().ok_or("it hands out no memory")?;
        let asked = vk::MemoryGetFdInfoKHR::default().memory(parts.memory).handle_type(KIND);
        // SAFETY: the memory is this device's, and was made to be handed out in this way.
        let fd = unsafe { memory_fd.get_memory_fd(&asked) }.map_err(refused)?;
        // SAFETY: the driver has just made this descriptor for us, and nobody else knows of it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let made = DmaBuf::new(fd, planes).map_err(|error| error.to_string())?;
        match made.planes().iter().all(|plane| plane.holds(made.len(), size, modifier)) {
            true => Ok((made, modifier)),
            false => Err(format!("planes {:?} lie outside of their {} bytes", made.planes(), made.len())),
        }
    }
}
