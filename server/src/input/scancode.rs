//! XT set 1 scan codes, as QEMU's extended key event sends them, to key codes of X servers with evdev codes.

/// The X key code of a scan code (`0xe0` prefix as bit 7); none for one that no keyboard sends.
///
/// SOURCE: linux/input-event-codes.h and the PS/2 set 1 table; X adds 8 to the kernel's code.
pub fn x_keycode(scancode: u32) -> Option<u8> {
    let evdev: u8 = match scancode {
        // the first 83 keys of the kernel are numbered as the PC's own, and so are F11 and F12
        0x01..=0x53 | 0x56..=0x58 => u8::try_from(scancode).ok()?,
        0x54 => 99,  // SysRq
        0x59 => 117, // keypad =
        0x5d => 184, // F14
        0x5e => 185, // F15
        0x70 => 93,  // Katakana/Hiragana
        0x73 => 89,  // Ro
        0x79 => 92,  // Henkan
        0x7b => 94,  // Muhenkan
        0x7d => 124, // Yen
        0x7e => 121, // keypad comma
        0x90 => 165, // previous song
        0x99 => 163, // next song
        0x9c => 96,  // keypad Enter
        0x9d => 97,  // right Control
        0xa0 => 113, // mute
        0xa1 => 140, // calculator
        0xa2 => 164, // play
        0xa4 => 166, // stop
        0xae => 114, // quieter
        0xb0 => 115, // louder
        0xb2 => 172, // home page
        0xb5 => 98,  // keypad /
        0xb7 => 99,  // Print
        0xb8 => 100, // right Alt
        0xc6 => 119, // Pause (as Break)
        0xc7 => 102, // Home
        0xc8 => 103, // Up
        0xc9 => 104, // Page Up
        0xcb => 105, // Left
        0xcd => 106, // Right
        0xcf => 107, // End
        0xd0 => 108, // Down
        0xd1 => 109, // Page Down
        0xd2 => 110, // Insert
        0xd3 => 111, // Delete
        0xdb => 125, // left Super
        0xdc => 126, // right Super
        0xdd => 127, // menu
        0xde => 116, // power
        0xdf => 142, // sleep
        0xe3 => 143, // wake
        0xe5 => 217, // search
        0xe6 => 156, // bookmarks
        0xe7 => 173, // refresh
        0xe8 => 128, // stop page
        0xe9 => 159, // forward
        0xea => 158, // back
        0xeb => 157, // computer
        0xec => 155, // mail
        _ => return None,
    };
    evdev.checked_add(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_keys_have_their_codes() {
        for (scan, code) in [(0x1e, 38), (0x39, 65), (0x2a, 50), (0xb8, 108), (0xc8, 111), (0xd3, 119), (0x58, 96)] {
            assert_eq!(x_keycode(scan), Some(code), "{scan:#x}");
        }
    }

    #[test]
    fn no_two_scan_codes_but_print_share_a_key_and_none_overflows() {
        let mut seen = std::collections::HashMap::new();
        for scan in 0..=0x1ff {
            if let Some(code) = x_keycode(scan) {
                assert!(code > 8);
                let before = seen.insert(code, scan);
                assert!(before.is_none() || code == 107, "{scan:#x} and {before:?}");
            }
        }
        assert_eq!(x_keycode(0), None);
        assert_eq!(x_keycode(u32::MAX), None);
    }
}
