//! A virtual pointer: buttons and wheels as the compositor counts them.

use super::places::Absolute;

/// How far one click of a wheel scrolls, in the compositor's units: what libinput tells of most wheels.
const CLICK: f64 = 15.0;

/// What a pointer is made to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Move {
    /// To a place.
    To(Absolute),
    /// A button, by its kernel code, goes down or up.
    Button(u32, bool),
    /// A wheel turns one click: up and down or, if so, left and right; how far.
    Wheel {
        /// Left and right.
        sideways: bool,
        /// Units, negative up and left.
        value: f64,
        /// Clicks, negative up and left.
        clicks: i32,
    },
}

/// RFB's buttons by bit: the kernel's codes, or a wheel's direction.
#[derive(Clone, Copy)]
enum Part {
    Button(u32),
    Wheel { sideways: bool, clicks: i32 },
}

/// SOURCE: linux/input-event-codes.h, BTN_LEFT and those after it.
const PARTS: [Part; 9] = [
    Part::Button(0x110),
    Part::Button(0x112),
    Part::Button(0x111),
    Part::Wheel { sideways: false, clicks: -1 },
    Part::Wheel { sideways: false, clicks: 1 },
    Part::Wheel { sideways: true, clicks: -1 },
    Part::Wheel { sideways: true, clicks: 1 },
    Part::Button(0x113),
    Part::Button(0x114),
];

/// The pointer's buttons.
#[derive(Debug, Default)]
pub struct Buttons {
    down: u16,
}

impl Buttons {
    /// What makes the pointer be there with these buttons down.
    pub fn change(&mut self, to: Option<Absolute>, buttons: u16) -> Vec<Move> {
        let before = std::mem::replace(&mut self.down, buttons);
        let mut moves: Vec<Move> = to.map(Move::To).into_iter().collect();
        for (bit, part) in PARTS.iter().enumerate() {
            let mask = 1u16 << bit;
            let down = buttons & mask != 0;
            if (before & mask != 0) == down {
                continue;
            }
            match *part {
                Part::Button(code) => moves.push(Move::Button(code, down)),
                Part::Wheel { sideways, clicks } if down => {
                    moves.push(Move::Wheel { sideways, value: f64::from(clicks) * CLICK, clicks });
                }
                Part::Wheel { .. } => {}
            }
        }
        moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buttons_go_down_and_up_once_and_wheels_turn_when_pressed() {
        let mut buttons = Buttons::default();
        let place = Absolute { x: 1, y: 2, width: 3, height: 4 };
        assert_eq!(buttons.change(Some(place), 0), [Move::To(place)]);
        assert_eq!(
            buttons.change(None, 0b1_0000_0101),
            [Move::Button(0x110, true), Move::Button(0x111, true), Move::Button(0x114, true)]
        );
        assert_eq!(buttons.change(None, 0b1_0000_0101), []);
        let wheel = |sideways, clicks: i32| Move::Wheel { sideways, value: f64::from(clicks) * 15.0, clicks };
        assert_eq!(
            buttons.change(None, 0b0_0000_1000),
            [Move::Button(0x110, false), Move::Button(0x111, false), wheel(false, -1), Move::Button(0x114, false)]
        );
        assert_eq!(buttons.change(None, 0), []);
        assert_eq!(buttons.change(None, 0b0_0111_0000), [wheel(false, 1), wheel(true, -1), wheel(true, 1)]);
        // bits that RFB has no buttons for do nothing
        assert_eq!(buttons.change(None, 0xfe00), []);
    }
}
