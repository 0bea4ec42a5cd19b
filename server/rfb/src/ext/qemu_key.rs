//! QEMU extended key events (-258): keysym and scan code.

/// An XT set 1 scan code in QEMU's form: bit 7 stands for the `0xe0` prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct XtCode(u8);

impl XtCode {
    /// Print Screen.
    pub const PRINT_SCREEN: Self = Self(0x54);
    /// Pause.
    pub const PAUSE: Self = Self(0xc6);

    /// The code that a client sent, in its one form; `None` for 0 (the client does not know the key) and for numbers that
    /// are no scan code.
    ///
    /// Both spellings of prefixed keys (`0xe01d` and `0x9d`) and of Print Screen (`0x54`, `0xb7`) are taken.
    ///
    /// ```
    /// use farpane_rfb::ext::qemu_key::XtCode;
    /// assert_eq!(XtCode::from_wire(0xb7), Some(XtCode::PRINT_SCREEN));
    /// assert_eq!(XtCode::from_wire(0xe01d), XtCode::from_wire(0x9d));
    /// assert_eq!(XtCode::from_wire(0), None);
    /// ```
    pub fn from_wire(code: u32) -> Option<Self> {
        let code = match code {
            0x01..=0xff => u8::try_from(code).ok()?,
            0xe001..=0xe07f => u8::try_from(code & 0x7f).ok()? | 0x80,
            _ => return None,
        };
        match code {
            0xb7 => Some(Self::PRINT_SCREEN),
            0x80 => None,
            _ => Some(Self(code)),
        }
    }

    /// The code with the prefix as bit 7.
    pub fn code(self) -> u8 {
        self.0
    }

    /// Whether the key has the `0xe0` prefix.
    pub fn is_extended(self) -> bool {
        self.0 & 0x80 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_accepted_number_gives_a_code_that_stays_itself() {
        for wire in (0..=0x1_0000).chain([u32::MAX, 0x8000_0001]) {
            if let Some(code) = XtCode::from_wire(wire) {
                assert_eq!(XtCode::from_wire(u32::from(code.code())), Some(code), "{wire:#x}");
                assert_ne!(code.code() & 0x7f, 0);
            }
        }
        assert_eq!(XtCode::from_wire(0x100), None);
        assert_eq!(XtCode::from_wire(0xc6), Some(XtCode::PAUSE));
        assert!(XtCode::PAUSE.is_extended());
    }
}
