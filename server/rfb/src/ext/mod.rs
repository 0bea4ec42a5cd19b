//! Pseudo-encodings and extensions, one file each.

pub mod audio;
pub mod clipboard;
pub mod desktop_size;
pub mod fence;
pub mod led;
pub mod qemu_key;
