//! A card of the kernel's.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use drm::control::{Device as _, Event, Mode, connector, crtc, from_u32, plane, property};
use drm::{ClientCapability, Device as _, DriverCapability, VblankWaitFlags, VblankWaitTarget};
use rustix::fs::OFlags;

use super::card::{Blend, Card, Connector, Crtc, Framebuffer, Plane, PlaneKind, PlaneState, Vblank};

/// Where the system has its cards.
pub const FOLDER: &str = "/dev/dri";

/// An opened card that screens hang on.
pub struct Device {
    file: Opened,
    name: String,
    driver: String,
    /// What properties are called.
    properties: Mutex<HashMap<property::Handle, Name>>,
}

/// What `drm` makes requests of.
struct Opened(OwnedFd);

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Opened {}
impl drm::control::Device for Opened {}

/// A property that is looked at, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Framebuffer,
    Crtc,
    Active,
    Source(usize),
    At(usize),
    Size(usize),
    Zpos,
    Rotation,
    Alpha,
    /// The values of `Premultiplied`'s two alternatives: coverage, none.
    Blend([Option<u64>; 2]),
    Hotspot(usize),
    Damage,
    Kind,
    Other,
}

/// The cards that are there, by name.
pub fn cards() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(FOLDER) else { return Vec::new() };
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix("card")?.parse::<u32>().ok();
    let mut found: Vec<(u32, PathBuf)> =
        entries.flatten().filter_map(|entry| Some((number(&entry.path())?, entry.path()))).collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

impl Device {
    /// Opens a card; none when it has no screens to show anything on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = Opened(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?);
        // whoever opens a card first becomes its master, and a desktop that starts later could not
        let _ = file.release_master_lock();
        // cards that only draw have neither
        if file.set_client_capability(ClientCapability::UniversalPlanes, true).is_err() {
            return Ok(None);
        }
        // the kernel tells of all properties only then; some drivers of virtual machines show their pointer only to who knows
        // of its hotspot
        if file.set_client_capability(ClientCapability::Atomic, true).is_ok() {
            let _ = file.set_client_capability(ClientCapability::CursorPlaneHotspot, true);
        }
        let crtcs = match file.resource_handles() {
            Ok(resources) => resources.crtcs.len(),
            Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported) => 0,
            Err(error) => return Err(error),
        };
        if crtcs == 0 {
            return Ok(None);
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let driver = file.get_driver()?.name().to_string_lossy().into_owned();
        Ok(Some(Self { file, name, driver, properties: Mutex::default() }))
    }

    /// Whether its driver knows of forms other than rows.
    pub fn has_modifiers(&self) -> bool {
        self.file.get_driver_capability(DriverCapability::AddFB2Modifiers).is_ok_and(|value| value != 0)
    }

    fn name_of(&self, handle: property::Handle) -> io::Result<Name> {
        let mut known = self.properties.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(&handle) {
            return Ok(name.clone());
        }
        let info = self.file.get_property(handle)?;
        let name = match info.name().to_bytes() {
            b"FB_ID" => Name::Framebuffer,
            b"CRTC_ID" => Name::Crtc,
            b"ACTIVE" => Name::Active,
            b"SRC_X" => Name::Source(0),
            b"SRC_Y" => Name::Source(1),
            b"SRC_W" => Name::Source(2),
            b"SRC_H" => Name::Source(3),
            b"CRTC_X" => Name::At(0),
            b"CRTC_Y" => Name::At(1),
            b"CRTC_W" => Name::Size(0),
            b"CRTC_H" => Name::Size(1),
            b"zpos" => Name::Zpos,
            b"rotation" => Name::Rotation,
            b"alpha" => Name::Alpha,
            b"pixel blend mode" => Name::Blend(blends(&info)),
            b"HOTSPOT_X" => Name::Hotspot(0),
            b"HOTSPOT_Y" => Name::Hotspot(1),
            b"FB_DAMAGE_CLIPS" => Name::Damage,
            b"type" => Name::Kind,
            _ => Name::Other,
        };
        known.insert(handle, name.clone());
        Ok(name)
    }

    /// What a driver says that knows nothing of properties for it: the plane shows what the CRTC does.
    fn add_legacy(&self, handle: plane::Handle, state: &mut PlaneState) -> io::Result<()> {
        let plane = self.file.get_plane(handle)?;
        let Some(crtc) = plane.crtc() else { return Ok(()) };
        state.framebuffer = plane.framebuffer().map_or(0, u32::from);
        state.crtc = crtc.into();
        let info = self.file.get_crtc(crtc)?;
        let (w, h) = info.mode().map_or((0, 0), |mode| mode.size());
        let (left, top) = info.position();
        state.source = [left << 16, top << 16, u32::from(w) << 16, u32::from(h) << 16];
        state.size = [w.into(), h.into()];
        Ok(())
    }

    fn values<T: drm::control::ResourceHandle>(&self, handle: T) -> io::Result<Vec<(Name, u64)>> {
        let values = self.file.get_properties(handle)?;
        values.iter().map(|(property, value)| Ok((self.name_of(*property)?, *value))).collect()
    }
}

/// The values of a property that stand for coverage and for no alpha at all.
fn blends(info: &property::Info) -> [Option<u64>; 2] {
    let property::ValueType::Enum(values) = info.value_type() else { return [None; 2] };
    let of = |name: &[u8]| values.values().1.iter().find(|v| v.name().to_bytes() == name).map(|v| v.value());
    [of(b"Coverage"), of(b"None")]
}

fn handle<T: From<drm::control::RawResourceHandle>>(id: u32) -> io::Result<T> {
    from_u32(id).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn rate(mode: &Mode) -> u32 {
    let ((_, _, across), (_, _, down)) = (mode.hsync(), mode.vsync());
    let pixels = u64::from(across) * u64::from(down);
    (u64::from(mode.clock()) * 1_000_000).checked_div(pixels).unwrap_or(0) as u32
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Card for Device {
    fn name(&self) -> &str {
        &self.name
    }

    fn driver(&self) -> &str {
        &self.driver
    }

    fn crtcs(&self) -> io::Result<Vec<u32>> {
        Ok(self.file.resource_handles()?.crtcs.into_iter().map(u32::from).collect())
    }

    fn connectors(&self) -> io::Result<Vec<Connector>> {
        let mut all = Vec::new();
        for handle in self.file.resource_handles()?.connectors {
            // one that was unplugged since
            let Ok(info) = self.file.get_connector(handle, false) else { continue };
            let wired = self.values(handle)?.into_iter().find(|(name, _)| *name == Name::Crtc);
            let encoder = info.current_encoder().and_then(|encoder| self.file.get_encoder(encoder).ok());
            let crtc = match wired {
                Some((_, crtc)) => crtc as u32,
                None => encoder.and_then(|encoder| encoder.crtc()).map_or(0, u32::from),
            };
            let connected = match info.state() {
                connector::State::Connected => Some(true),
                connector::State::Disconnected => Some(false),
                connector::State::Unknown => None,
            };
            all.push(Connector { name: info.to_string(), connected, crtc: (crtc != 0).then_some(crtc) });
        }
        Ok(all)
    }

    fn planes(&self) -> io::Result<Vec<Plane>> {
        let resources = self.file.resource_handles()?;
        let mut all = Vec::new();
        for handle in self.file.plane_handles()? {
            let possible = resources.filter_crtcs(self.file.get_plane(handle)?.possible_crtcs());
            let crtcs = (0u32..32).zip(&resources.crtcs).filter(|(_, crtc)| possible.contains(crtc));
            let kind = self.values(handle)?.into_iter().find(|(name, _)| *name == Name::Kind);
            let kind = match kind.map(|(_, value)| value as u32) {
                Some(value) if value == drm::control::PlaneType::Primary as u32 => PlaneKind::Primary,
                Some(value) if value == drm::control::PlaneType::Cursor as u32 => PlaneKind::Cursor,
                _ => PlaneKind::Overlay,
            };
            all.push(Plane { id: handle.into(), crtcs: crtcs.fold(0, |all, (bit, _)| all | 1 << bit), kind });
        }
        Ok(all)
    }

    fn crtc(&self, id: u32) -> io::Result<Crtc> {
        let handle: crtc::Handle = handle(id)?;
        let mode = self.file.get_crtc(handle)?.mode().map(|mode| (mode.size().0, mode.size().1, rate(&mode)));
        let active = self.values(handle)?.into_iter().find(|(name, _)| *name == Name::Active);
        Ok(Crtc { mode, active: active.map_or(mode.is_some(), |(_, value)| value != 0) })
    }

    fn plane(&self, id: u32) -> io::Result<PlaneState> {
        let mut state = PlaneState { alpha: u16::MAX, ..PlaneState::default() };
        let handle: plane::Handle = handle(id)?;
        let values = self.values(handle)?;
        if !values.iter().any(|(name, _)| *name == Name::Framebuffer) {
            self.add_legacy(handle, &mut state)?;
        }
        let mut hotspot = [None; 2];
        for (name, value) in values {
            match name {
                Name::Framebuffer => state.framebuffer = value as u32,
                Name::Crtc => state.crtc = value as u32,
                Name::Source(i) => state.source[i] = value as u32,
                Name::At(i) => state.at[i] = value as i32,
                Name::Size(i) => state.size[i] = value as u32,
                Name::Zpos => state.zpos = Some(value),
                Name::Rotation => state.rotation = value as u32,
                Name::Alpha => state.alpha = value as u16,
                Name::Blend([coverage, _]) if coverage == Some(value) => state.blend = Blend::Coverage,
                Name::Blend([_, none]) if none == Some(value) => state.blend = Blend::None,
                Name::Hotspot(i) => hotspot[i] = Some(value as i32),
                Name::Damage => state.damage = value as u32,
                Name::Blend(_) | Name::Active | Name::Kind | Name::Other => {}
            }
        }
        if let [Some(x), Some(y)] = hotspot {
            state.hotspot = Some([x, y]);
        }
        Ok(state)
    }

    fn framebuffer(&self, id: u32) -> io::Result<Framebuffer> {
        use drm::control::GetPlanarFramebufferError as Error;
        let info = self.file.get_planar_framebuffer(handle(id)?).map_err(|error| match error {
            Error::Io(error) => error,
            Error::UnrecognizedFourcc(unknown) => io::Error::new(io::ErrorKind::InvalidData, unknown),
        })?;
        Ok(Framebuffer {
            size: [info.size().0, info.size().1],
            fourcc: info.pixel_format() as u32,
            modifier: info.modifier().map(u64::from),
            handles: info.buffers().map(|buffer| buffer.map_or(0, u32::from)),
            pitches: info.pitches(),
            offsets: info.offsets(),
        })
    }

    fn export(&self, id: u32) -> io::Result<OwnedFd> {
        self.file.buffer_to_prime_fd(handle(id)?, drm::CLOEXEC)
    }

    fn close(&self, id: u32) -> io::Result<()> {
        self.file.close_buffer(handle(id)?)
    }

    fn damage(&self, blob: u32) -> io::Result<Vec<[i32; 4]>> {
        let bytes = self.file.get_property_blob(blob.into())?;
        // `struct drm_mode_rect`
        let number = |bytes: &[u8; 4]| i32::from_ne_bytes(*bytes);
        let (numbers, _) = bytes.as_chunks::<4>();
        Ok(numbers.as_chunks::<4>().0.iter().map(|rect| [0, 1, 2, 3].map(|i| number(&rect[i]))).collect())
    }

    fn ask_vblank(&self, crtc: u32) -> io::Result<()> {
        let (target, flags) = (VblankWaitTarget::Relative(1), VblankWaitFlags::EVENT);
        self.file.wait_vblank(target, flags, crtc, crtc as usize).map(|_| ())
    }

    fn vblanks(&self) -> io::Result<Vec<Vblank>> {
        let events = match self.file.receive_events() {
            Ok(events) => events,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let told = events.filter_map(|event| match event {
            Event::Vblank(vblank) => {
                Some(Vblank { crtc: vblank.user_data as u32, sequence: vblank.frame, time: vblank.time })
            }
            _ => None,
        });
        Ok(told.collect())
    }
}
