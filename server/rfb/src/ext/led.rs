//! State of the keyboard's lights (-261 and VMware's number).

/// Which lights are on.
///
/// ```
/// use farpane_rfb::ext::led::LedState;
/// assert_eq!(LedState::NUM.union(LedState::CAPS), LedState(6));
/// assert!(LedState(6).contains(LedState::CAPS) && !LedState(6).contains(LedState::SCROLL));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LedState(pub u8);

impl LedState {
    /// Scroll Lock.
    pub const SCROLL: Self = Self(1);
    /// Num Lock.
    pub const NUM: Self = Self(2);
    /// Caps Lock.
    pub const CAPS: Self = Self(4);

    /// Whether all lights of `other` are on.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The lights of both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
