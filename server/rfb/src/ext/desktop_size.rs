//! ExtendedDesktopSize (-308): the screens of a desktop, and clients that ask for others.

use crate::limits;
use crate::wire::{Area, Put, Reader};

/// One screen of the desktop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Screen {
    /// A number that stays with the screen.
    pub id: u32,
    /// Where it is in the framebuffer.
    pub area: Area,
    /// Undefined by the protocol; kept as it came.
    pub flags: u32,
}

impl Screen {
    /// Reads 16 bytes; `None` when incomplete.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { id: reader.u32()?, area: reader.area()?, flags: reader.u32()? })
    }

    /// Writes 16 bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_u32(self.id);
        out.put_area(self.area);
        out.put_u32(self.flags);
    }
}

/// A framebuffer and its screens, as a server tells or a client asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Columns of the framebuffer.
    pub width: u16,
    /// Rows of the framebuffer.
    pub height: u16,
    /// The screens, at most 255.
    pub screens: Vec<Screen>,
}

/// Who changed the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The server, or nobody: the client is merely told.
    Server,
    /// The client that gets this rectangle.
    ThisClient,
    /// Another client.
    OtherClient,
    /// A number that the protocol does not define.
    Unknown(u16),
}

impl Reason {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::Server => 0,
            Self::ThisClient => 1,
            Self::OtherClient => 2,
            Self::Unknown(number) => number,
        }
    }

    /// The reason of a number.
    pub fn from_number(number: u16) -> Self {
        match number {
            0 => Self::Server,
            1 => Self::ThisClient,
            2 => Self::OtherClient,
            other => Self::Unknown(other),
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Done.
    Ok,
    /// Resizing is not allowed.
    Prohibited,
    /// The desktop cannot be made that large.
    OutOfResources,
    /// The layout contradicts itself.
    InvalidLayout,
    /// Passed on; the outcome comes later.
    Forwarded,
    /// A number that the protocol does not define.
    Unknown(u16),
}

impl Status {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::Ok => 0,
            Self::Prohibited => 1,
            Self::OutOfResources => 2,
            Self::InvalidLayout => 3,
            Self::Forwarded => 4,
            Self::Unknown(number) => number,
        }
    }

    /// The status of a number.
    pub fn from_number(number: u16) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Prohibited,
            2 => Self::OutOfResources,
            3 => Self::InvalidLayout,
            4 => Self::Forwarded,
            other => Self::Unknown(other),
        }
    }
}

impl Layout {
    /// A framebuffer of one screen.
    pub fn single(width: u16, height: u16, id: u32) -> Self {
        Self { width, height, screens: vec![Screen { id, area: Area::whole(width, height), flags: 0 }] }
    }

    /// Whether a client may ask for this layout: some size, at least one screen, ids used once, every screen with an area
    /// and inside.
    ///
    /// ```
    /// use farpane_rfb::ext::desktop_size::{Layout, Status};
    /// assert_eq!(Layout::single(1920, 1080, 1).validate(), Ok(()));
    /// assert_eq!(Layout::single(0, 1080, 1).validate(), Err(Status::InvalidLayout));
    /// assert_eq!(Layout::single(65_535, 1080, 1).validate(), Err(Status::OutOfResources));
    /// ```
    ///
    /// # Errors
    ///
    /// The status to answer with: [`Status::InvalidLayout`], or [`Status::OutOfResources`] above [`limits::FRAMEBUFFER_SIDE`]
    /// or [`limits::SCREENS`].
    pub fn validate(&self) -> Result<(), Status> {
        if self.width == 0 || self.height == 0 || self.screens.is_empty() {
            return Err(Status::InvalidLayout);
        }
        if self.width.max(self.height) > limits::FRAMEBUFFER_SIDE || self.screens.len() > limits::SCREENS {
            return Err(Status::OutOfResources);
        }
        let mut ids: Vec<u32> = self.screens.iter().map(|s| s.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let inside = |s: &Screen| s.area.pixels() > 0 && s.area.fits(self.width, self.height);
        if ids.len() != self.screens.len() || !self.screens.iter().all(inside) {
            return Err(Status::InvalidLayout);
        }
        Ok(())
    }

    /// Reads `u8 n`, `padding` bytes and `n` screens; `None` when incomplete.
    pub(crate) fn read_screens(reader: &mut Reader<'_>, padding: usize) -> Option<Vec<Screen>> {
        let count = reader.u8()?;
        reader.pad(padding)?;
        let mut body = Reader::new(reader.take(usize::from(count).saturating_mul(16))?);
        (0..count).map(|_| Screen::read(&mut body)).collect()
    }

    /// Writes `u8 n`, `padding` zeros and the screens; more than 255 are cut.
    pub(crate) fn write_screens(&self, padding: usize, out: &mut Vec<u8>) {
        let count = u8::try_from(self.screens.len()).unwrap_or(u8::MAX);
        out.put_u8(count);
        out.resize(out.len().saturating_add(padding), 0);
        for screen in self.screens.iter().take(usize::from(count)) {
            screen.write(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(id: u32, x: u16, y: u16, width: u16, height: u16) -> Screen {
        Screen { id, area: Area { x, y, width, height }, flags: 0 }
    }

    fn layout(screens: Vec<Screen>) -> Result<(), Status> {
        Layout { width: 300, height: 200, screens }.validate()
    }

    #[test]
    fn each_broken_layout_gets_its_status() {
        assert_eq!(layout(vec![screen(1, 0, 0, 150, 200), screen(2, 150, 0, 150, 200)]), Ok(()));
        assert_eq!(layout(vec![screen(1, 0, 0, 150, 200), screen(1, 150, 0, 150, 200)]), Err(Status::InvalidLayout));
        assert_eq!(layout(vec![]), Err(Status::InvalidLayout));
        assert_eq!(layout(vec![screen(1, 1, 0, 300, 200)]), Err(Status::InvalidLayout));
        assert_eq!(layout(vec![screen(1, 65_535, 0, 65_535, 200)]), Err(Status::InvalidLayout));
        assert_eq!(layout(vec![screen(1, 0, 0, 0, 200)]), Err(Status::InvalidLayout));
        let many = (0..65).map(|id| screen(id, 0, 0, 1, 1)).collect();
        assert_eq!(layout(many), Err(Status::OutOfResources));
    }

    #[test]
    fn numbers_and_names_match_both_ways() {
        for number in 0..8 {
            assert_eq!(Status::from_number(number).number(), number);
            assert_eq!(Reason::from_number(number).number(), number);
        }
    }
}
