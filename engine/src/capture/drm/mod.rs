//! Screens of a graphics card, captured where the card reads them: whatever shows there, a console and a login screen too.
//!
//! ```text
//! with rights   cards -> screens -> Watch::look, at each vertical blank      `device` `screens` `watch` `buffers`
//!                                     | buffers as dma-bufs, and how they lie  `picture`
//! without       Feed -> KmsSource -> frames                                   `feed` `source` `compose` `probe`
//! ```
//! Both halves may be in different processes: what goes between them are [`Buffer`], [`Picture`], [`Pointer`] and [`Wish`]. A picture is told when its
//! buffers are others; what is drawn into a buffer that stays is found by looking at it now and then (`probe`).

mod buffers;
mod card;
mod compose;
mod device;
mod feed;
mod picture;
mod pointer;
mod probe;
mod screens;
mod source;
#[cfg(test)]
mod tests;
mod turn;
mod watch;

pub use card::{Blend, Card, Connector, Crtc, Framebuffer, Plane, PlaneKind, PlaneState, Vblank};
pub use device::{Device, FOLDER, cards};
pub use feed::{Feed, Wish};
pub use picture::{Area, Buffer, BufferId, Layer, Picture, Pointer};
pub use pointer::shape;
pub use screens::{Screen, arrange, draws_in_rows, screens};
pub use source::KmsSource;
pub use watch::{Look, Watch};
