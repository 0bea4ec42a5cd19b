//! farpane's yardstick: whole VNC servers as black boxes over a socket, side by side on the same screen contents.
//!
//! `METHODOLOGY.md` says what is measured and how, `BIAS.md` whom the choices favour. The line: a [`definition`] names a
//! workload, a [`scene`] makes its pictures and operations, [`draw`] carries them out on an X server, [`run`] starts the
//! servers and watches them with the viewer in [`rfb`], [`replay`] decodes what was kept, [`report`] writes it down.

#![forbid(unsafe_code)]

pub mod definition;
pub mod draw;
pub mod link;
pub mod machine;
pub mod marker;
pub mod paint;
pub mod process;
pub mod replay;
pub mod report;
pub mod rfb;
pub mod run;
pub mod scene;
pub mod stats;
