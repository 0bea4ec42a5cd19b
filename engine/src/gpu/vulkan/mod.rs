//! What is done below wgpu.

mod ffi;

pub(super) use ffi::{Known, READ, Vulkan, Wait, known, open, paths, refused};

/// Ways in which a device reads memory of others where it lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Memory of the processor.
    pub host: bool,
    /// dma-bufs of plain rows, as buffers.
    pub dma_buf: bool,
    /// dma-bufs of any form that the device knows, as images.
    pub modifiers: bool,
    /// It waits for fences of the kernel's by itself.
    pub fences: bool,
}

impl std::fmt::Display for Paths {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = [
            (self.host, "shared memory"),
            (self.dma_buf, "dma-bufs"),
            (self.modifiers, "dma-bufs with modifiers"),
            (self.fences, "fences"),
        ];
        let names: Vec<&str> = all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
        f.write_str(if names.is_empty() { "nothing" } else { "" })?;
        f.write_str(&names.join(", "))
    }
}
