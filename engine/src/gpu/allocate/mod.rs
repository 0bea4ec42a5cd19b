//! dma-bufs of a device's own memory, which others draw into.

mod ffi;
