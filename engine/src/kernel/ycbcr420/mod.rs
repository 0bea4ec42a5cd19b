//! Two rows of mirror pixels become luma and quartered chroma (BT.709, limited range).
pub mod scalar;
use super::CpuLevel;
/// Where the channels of a word lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Blue lowest.
    Bgrx,
    /// Red lowest.
    Rgbx,
}
/// The rows that two rows of pixels become.
pub struct Rows<'a> {
    /// Luma.
    pub luma: [&'a mut [u8]; 2],
    /// Blue difference.
    pub cb: &'a mut [u8],
    /// Red difference.
    pub cr: &'a mut [u8],
}
/// Converts.
pub fn ycbcr420(_level: CpuLevel, order: Order, rows: [&[u32]; 2], out: Rows<'_>) {
    scalar::ycbcr420(order, rows, out);
}
