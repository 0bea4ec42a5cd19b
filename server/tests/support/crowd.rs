//! Viewers of different kinds on one desktop, and what each of them has to show of it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use farpane_engine::geometry::{Rect, Size};

use crate::{Client, PATIENCE, Raw, Security, encoding};

/// A quality level of Tight: 4 of 0 to 9.
const QUALITY_4: i32 = -28;
/// Messages that one client takes before the next one's turn.
const TURN: usize = 64;

/// What a client can, and looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ZRLE, and every screen of every layout.
    Extended,
    /// Tight with JPEG, and the size only.
    Lossy,
    /// Hextile, and no size but the first.
    Fixed,
    /// ZRLE of one output by its name.
    One,
    /// Raw, without being asked.
    Continuous,
}

const KINDS: [Kind; 5] = [Kind::Extended, Kind::Lossy, Kind::Fixed, Kind::One, Kind::Continuous];

impl Kind {
    fn encodings(self) -> Vec<i32> {
        let own: &[i32] = match self {
            Self::Extended => &[encoding::ZRLE, encoding::COPY_RECT, encoding::EXTENDED_DESKTOP_SIZE],
            Self::Lossy => &[encoding::TIGHT, encoding::COPY_RECT, encoding::DESKTOP_SIZE, QUALITY_4],
            Self::Fixed => &[encoding::HEXTILE],
            Self::One => &[encoding::ZRLE, encoding::EXTENDED_DESKTOP_SIZE],
            Self::Continuous => &[
                encoding::RAW,
                encoding::COPY_RECT,
                encoding::EXTENDED_DESKTOP_SIZE,
                encoding::FENCE,
                encoding::CONTINUOUS_UPDATES,
            ],
        };
        // without a cursor of its own a client has the pointer drawn into its picture
        [own, &[encoding::CURSOR, encoding::LAST_RECT]].concat()
    }
}

/// What a desktop shows: the truth that clients are held against.
pub struct Shown {
    /// The canvas.
    pub size: Size,
    /// Its pixels, `0x00RRGGBB`, row by row.
    pub px: Vec<u32>,
    /// Where each output lies on it.
    pub outputs: Vec<(String, Rect)>,
}

impl Shown {
    /// A part as bytes R, G, B; black where no output is.
    fn rgb(&self, part: Rect) -> Vec<u8> {
        let mut out = vec![0; part.area() as usize * 3];
        let seen = part.intersect(&self.size.rect());
        let places = self.outputs.iter().map(|(_, place)| place.intersect(&seen));
        for place in places.filter(|place| !place.is_empty()) {
            for y in place.y..place.bottom() {
                let from = usize::from(y) * usize::from(self.size.w) + usize::from(place.x);
                let to = (usize::from(y - part.y) * usize::from(part.w) + usize::from(place.x - part.x)) * 3;
                let line = &self.px[from..from + usize::from(place.w)];
                for (out, px) in out[to..].chunks_exact_mut(3).zip(line) {
                    out.copy_from_slice(&px.to_be_bytes()[1..]);
                }
            }
        }
        out
    }
}

struct Member {
    kind: Kind,
    client: Client,
    first: Size,
}

/// One client of each kind.
pub struct Crowd {
    members: Vec<Member>,
    /// The output that [`Kind::One`] looks at.
    one: String,
}

impl Crowd {
    /// Connects them: to a listener that shows everything, and to one that shows the output `one`.
    ///
    /// # Panics
    /// When one is not let in.
    pub fn join(all: &str, one: (&str, &str)) -> Self {
        let member = |kind: Kind| {
            let listener = if kind == Kind::One { one.0 } else { all };
            let raw = Raw::connect(listener, PATIENCE).expect("a connection");
            let mut client = Client::handshake(raw, "RFB 003.008\n", Security::None, true).expect("is let in");
            client.set_encodings(&kind.encodings()).expect("a list");
            client.watch().expect("asks");
            client.wait_until("a picture", |c| !c.traffic.updates.is_empty()).expect("a picture");
            if kind == Kind::Continuous {
                client.wait_until("continuous updates", |c| c.traffic.ends > 0).expect("can be had");
                client.watch_continuously().expect("asks");
            }
            Member { kind, first: client.init().size, client }
        };
        Self { members: KINDS.map(member).into(), one: one.1.to_owned() }
    }

    /// The client of a kind.
    ///
    /// # Panics
    /// Never: there is one of each.
    pub fn client(&mut self, kind: Kind) -> &mut Client {
        &mut self.members.iter_mut().find(|m| m.kind == kind).expect("one of each").client
    }

    /// Each takes what is there.
    ///
    /// # Panics
    /// When one was disconnected, or told what no server may tell.
    pub fn turn(&mut self) {
        for Member { kind, client, .. } in &mut self.members {
            let mut left = TURN;
            while left > 0 && client.pump(Instant::now()).unwrap_or_else(|e| panic!("{kind:?}: {e}")) {
                left -= 1;
            }
        }
    }

    /// Goes on until all show what `truth` tells.
    ///
    /// # Panics
    /// When one does not, or was disconnected.
    pub fn until_right(&mut self, what: &str, mut truth: impl FnMut() -> Shown) {
        let end = Instant::now() + PATIENCE;
        loop {
            let shown = truth();
            let mut wrong = String::new();
            for member in &mut self.members {
                if let Err(why) = member.until_it_shows(&shown, &self.one) {
                    writeln!(wrong, "{:?}: {why}", member.kind).expect("text");
                    // the truth may have been taken too early; at the end all that is wrong is named
                    if Instant::now() < end {
                        break;
                    }
                }
            }
            if wrong.is_empty() {
                return;
            }
            let outputs = &shown.outputs;
            assert!(Instant::now() < end, "{what}: {} with {outputs:?}\n{wrong}", shown.size);
        }
    }
}

impl Member {
    /// Gives the client a while to show it; a desktop that draws meanwhile is looked at again.
    fn until_it_shows(&mut self, shown: &Shown, one: &str) -> Result<(), String> {
        let want = match self.kind {
            Kind::Fixed => shown.rgb(self.first.rect()),
            Kind::One => {
                let (_, place) = shown.outputs.iter().find(|(name, _)| name == one).ok_or("its output is not there")?;
                shown.rgb(*place)
            }
            Kind::Extended | Kind::Lossy | Kind::Continuous => shown.rgb(shown.size.rect()),
        };
        let end = Instant::now() + Duration::from_secs(2);
        while let Some(difference) = self.client.first_difference(&want) {
            let now = Instant::now();
            if now >= end {
                return Err(format!("{difference}; its screens are {:?}", self.client.picture().layout()));
            }
            // whole bursts between two looks: a look costs as much as many messages
            self.client.pump(end).map_err(|e| e.to_string())?;
            while self.client.pump(now).map_err(|e| e.to_string())? {}
        }
        Ok(())
    }
}
