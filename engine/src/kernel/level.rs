//! The CPU's instruction set level, as a value: detected once, may be lowered, never raised.

use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set that kernels have a version for.
///
/// Kernels take the level as an argument; a level that this CPU lacks must not be passed on to vector code, so the fronts clamp it
/// with [`CpuLevel::usable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CpuLevel {
    /// Plain Rust: the definition of every kernel.
    Scalar,
    /// x86-64 with AVX2 and the bit instructions that came with it (BMI1, BMI2, LZCNT, POPCNT).
    Avx2,
    /// aarch64, little-endian, with Advanced SIMD.
    Neon,
}

const UNKNOWN: u8 = u8::MAX;

static DETECTED: AtomicU8 = AtomicU8::new(UNKNOWN);
static CURRENT: AtomicU8 = AtomicU8::new(UNKNOWN);

impl CpuLevel {
    /// The highest level of this CPU.
    pub fn detected() -> Self {
        match Self::from_code(DETECTED.load(Ordering::Relaxed)) {
            Some(level) => level,
            None => {
                let level = Self::detect();
                DETECTED.store(level as u8, Ordering::Relaxed);
                level
            }
        }
    }

    /// The level that callers without a wish of their own use: the detected one, or what [`CpuLevel::lower`] set.
    pub fn current() -> Self {
        Self::from_code(CURRENT.load(Ordering::Relaxed)).unwrap_or_else(Self::detected)
    }

    /// Makes this level the current one for the whole process, as far as the CPU has it.
    pub fn lower(self) {
        CURRENT.store(self.usable() as u8, Ordering::Relaxed);
    }

    /// This level if the CPU has it, else [`CpuLevel::Scalar`].
    pub fn usable(self) -> Self {
        if self == Self::detected() { self } else { Self::Scalar }
    }

    /// Every level of this CPU, lowest first.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Scalar, Self::Avx2, Self::Neon].into_iter().filter(|level| level.usable() == *level)
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Scalar),
            1 => Some(Self::Avx2),
            2 => Some(Self::Neon),
            _ => None,
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn detect() -> Self {
        let has = std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("bmi1")
            && std::arch::is_x86_feature_detected!("bmi2")
            && std::arch::is_x86_feature_detected!("lzcnt")
            && std::arch::is_x86_feature_detected!("popcnt");
        if has { Self::Avx2 } else { Self::Scalar }
    }

    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    fn detect() -> Self {
        if std::arch::is_aarch64_feature_detected!("neon") { Self::Neon } else { Self::Scalar }
    }

    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", target_endian = "little"))))]
    fn detect() -> Self {
        Self::Scalar
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_the_cpu_lacks_becomes_scalar() {
        let other = if CpuLevel::detected() == CpuLevel::Neon { CpuLevel::Avx2 } else { CpuLevel::Neon };
        assert_eq!(other.usable(), CpuLevel::Scalar);
        assert_eq!(CpuLevel::detected().usable(), CpuLevel::detected());
    }

    #[test]
    fn the_levels_begin_with_scalar_and_end_with_the_detected_one() {
        let levels: Vec<_> = CpuLevel::all().collect();
        assert_eq!(levels.first(), Some(&CpuLevel::Scalar));
        assert_eq!(levels.last(), Some(&CpuLevel::detected()));
    }
    /// Without this a CPU whose NEON is not detected would pass every kernel's test by comparing scalar with scalar.
    #[test]
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    fn every_arm_cpu_of_64_bits_has_neon() {
        assert_eq!(CpuLevel::detected(), CpuLevel::Neon);
    }
}
