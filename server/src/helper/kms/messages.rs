//! What a server and the helper tell each other ([`wire`](crate::helper::wire)).

use farpane_engine::capture::drm::{Area, Blend, Layer, Picture, Pointer, Screen};
use farpane_engine::geometry::{Point, Rect, Size};
use serde::{Deserialize, Serialize};

use crate::helper::uinput::DeviceEvent;

/// Screens that are told of at most.
pub const MOST_SCREENS: usize = 32;
/// Layers of a picture at most.
pub const MOST_LAYERS: usize = 16;
/// Rectangles of damage that are told; more are told as none.
pub const MOST_RECTS: usize = 64;

/// What a server asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// Look at this screen, and begin with all that it shows.
    Watch(u32),
    /// Tell the next change of it.
    Next(u32),
    /// Look at it no more.
    Leave(u32),
    /// Make the input devices, or remove them.
    Input(bool),
    /// Something is typed or pointed at.
    Events(Vec<DeviceEvent>),
}

/// A screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScreenNote {
    /// Its number from here on.
    pub id: u32,
    /// The card's name.
    pub card: String,
    /// The card's driver.
    pub driver: String,
    /// The CRTC's index.
    pub crtc: u32,
    /// The connector's name.
    pub connector: String,
    /// Width and height.
    pub size: [u16; 2],
    /// Pictures in 1000 s.
    pub rate: u32,
    /// The framebuffer that is shown, and the place in it.
    pub shown: Option<(u32, [u16; 2])>,
}

/// A buffer, whose descriptor comes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BufferNote {
    /// The screen.
    pub screen: u32,
    /// What it is called in pictures of that screen.
    pub id: u32,
    /// Pixels of it.
    pub size: [u32; 2],
    /// Its format.
    pub fourcc: u32,
    /// Its modifier.
    pub modifier: Option<u64>,
    /// Offset and pitch of each plane of pixels.
    pub planes: Vec<[u32; 2]>,
}

/// A layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerNote {
    buffer: u32,
    source: [u16; 4],
    at: [i32; 2],
    size: [u32; 2],
    alpha: u16,
    blend: BlendNote,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BlendNote {
    Premultiplied,
    Coverage,
    None,
}

/// The pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointerNote {
    layer: LayerNote,
    hotspot: Option<[i32; 2]>,
    turned: u32,
    serial: u32,
}

/// What the helper tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Told {
    /// The screens are these now.
    Screens(Vec<ScreenNote>),
    /// Here is a buffer that pictures will name.
    Buffer(BufferNote),
    /// They will not name this one again.
    Forget {
        /// The screen.
        screen: u32,
        /// The buffer.
        id: u32,
    },
    /// A screen shows something else.
    Picture {
        /// Which.
        screen: u32,
        /// Its width and height.
        size: [u16; 2],
        /// What it shows, lowest first.
        layers: Vec<LayerNote>,
        /// What changed in the lowest.
        damage: Option<Vec<[u16; 4]>>,
    },
    /// The pointer of a screen is another, elsewhere, or none.
    Pointer {
        /// Which.
        screen: u32,
        /// The pointer.
        pointer: Option<PointerNote>,
    },
    /// A screen cannot be looked at.
    Lost {
        /// Which.
        screen: u32,
        /// Why.
        reason: String,
    },
    /// Lock keys, as the RFB LED state has them.
    Leds(u8),
    /// There are no input devices, and why.
    NoInput(String),
}

impl ScreenNote {
    /// Notes a screen.
    pub fn new(id: u32, screen: &Screen) -> Self {
        let Screen { card, driver, crtc, connector, size, rate, shown } = screen.clone();
        let shown = shown.map(|(number, at)| (number, [at.x, at.y]));
        Self { id, card, driver, crtc, connector, size: [size.w, size.h], rate, shown }
    }

    /// The screen that was noted.
    pub fn screen(self) -> Screen {
        let Self { card, driver, crtc, connector, size: [w, h], rate, shown, .. } = self;
        let shown = shown.map(|(number, [x, y])| (number, Point::new(x, y)));
        Screen { card, driver, crtc, connector, size: Size::new(w, h), rate, shown }
    }
}

impl From<&Layer> for LayerNote {
    fn from(layer: &Layer) -> Self {
        let Layer { buffer, source: Rect { x, y, w, h }, to, alpha, blend } = *layer;
        let blend = match blend {
            Blend::Premultiplied => BlendNote::Premultiplied,
            Blend::Coverage => BlendNote::Coverage,
            Blend::None => BlendNote::None,
        };
        Self { buffer, source: [x, y, w, h], at: [to.x, to.y], size: [to.w, to.h], alpha, blend }
    }
}

impl From<LayerNote> for Layer {
    fn from(note: LayerNote) -> Self {
        let LayerNote { buffer, source: [x, y, w, h], at, size, alpha, blend } = note;
        let blend = match blend {
            BlendNote::Premultiplied => Blend::Premultiplied,
            BlendNote::Coverage => Blend::Coverage,
            BlendNote::None => Blend::None,
        };
        let to = Area { x: at[0], y: at[1], w: size[0], h: size[1] };
        Self { buffer, source: Rect::new(x, y, w, h), to, alpha, blend }
    }
}

impl From<&Pointer> for PointerNote {
    fn from(pointer: &Pointer) -> Self {
        let Pointer { layer, hotspot, turned, serial } = pointer;
        Self { layer: layer.into(), hotspot: *hotspot, turned: *turned, serial: *serial }
    }
}

impl From<PointerNote> for Pointer {
    fn from(note: PointerNote) -> Self {
        let PointerNote { layer, hotspot, turned, serial } = note;
        Self { layer: layer.into(), hotspot, turned, serial }
    }
}

impl Told {
    /// A picture of a screen.
    pub fn picture(screen: u32, picture: &Picture) -> Self {
        let layers = picture.layers.iter().take(MOST_LAYERS).map(LayerNote::from).collect();
        let damage = picture.damage.as_ref().filter(|rects| rects.len() <= MOST_RECTS);
        let damage = damage.map(|rects| rects.iter().map(|rect| [rect.x, rect.y, rect.w, rect.h]).collect());
        Self::Picture { screen, size: [picture.size.w, picture.size.h], layers, damage }
    }
}

/// The picture that was told.
pub fn picture([w, h]: [u16; 2], layers: Vec<LayerNote>, damage: Option<Vec<[u16; 4]>>) -> Picture {
    let layers = layers.into_iter().take(MOST_LAYERS).map(Layer::from).collect();
    let rects = |rects: Vec<[u16; 4]>| rects.into_iter().map(|[x, y, w, h]| Rect::new(x, y, w, h)).collect();
    Picture { size: Size::new(w, h), layers, damage: damage.map(rects) }
}
