//! Pixel formats: those of sources (DRM fourccs), those of clients (RFB), and the plan between them.

mod format;
mod fourcc;
mod plan;

pub use format::ClientFormat;
pub use fourcc::{Fourcc, Layout, Modifier};
pub use plan::{PixelBytes, Plan, PlanClass};
