//! What a Wayland client hears of keyboard and pointer.

use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wayland_client::protocol::{wl_keyboard, wl_pointer, wl_registry, wl_seat};
use wayland_client::{Connection, Dispatch, EventQueue, QueueHandle, WEnum};

/// One thing that was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sound {
    /// The pointer is here, in the window's coordinates.
    At(f64, f64),
    /// A button, by the kernel's code, went down or up.
    Button(u32, bool),
    /// A wheel turned: sideways or not, how far, in how many clicks.
    Wheel(bool, f64, i32),
    /// A key, by the kernel's code, went down or up.
    Key(u32, bool),
    /// These modifiers are held and locked.
    Modifiers(u32, u32),
}

#[derive(Default)]
struct Heard {
    all: Vec<Sound>,
    /// A wheel's clicks, told before how far they are.
    clicks: [i32; 2],
    seat: Option<wl_seat::WlSeat>,
    pointer: Option<wl_pointer::WlPointer>,
    keyboard: Option<wl_keyboard::WlKeyboard>,
}

/// Listens on behalf of a client's windows.
pub struct Ears {
    queue: EventQueue<Heard>,
    heard: Heard,
}

impl Ears {
    /// Listens on a connection beside whoever owns it.
    ///
    /// # Panics
    /// When the compositor is gone.
    pub fn new(connection: &Connection) -> Self {
        let mut queue = connection.new_event_queue();
        let _registry = connection.display().get_registry(&queue.handle(), ());
        let mut heard = Heard::default();
        queue.roundtrip(&mut heard).expect("globals");
        queue.roundtrip(&mut heard).expect("what the seat can");
        Self { queue, heard }
    }

    /// Everything heard so far, oldest first.
    pub fn all(&self) -> &[Sound] {
        &self.heard.all
    }

    /// Forgets what was heard.
    pub fn clear(&mut self) {
        self.heard.all.clear();
    }

    /// Takes what comes until `until`.
    ///
    /// # Panics
    /// When the compositor is gone.
    pub fn listen(&mut self, until: Instant) {
        self.queue.dispatch_pending(&mut self.heard).expect("the compositor lives");
        self.queue.flush().expect("the compositor lives");
        if let Some(guard) = self.queue.prepare_read() {
            let left = until.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::from_borrowed_fd(guard.connection_fd(), PollFlags::IN)];
            if poll(&mut fds, Some(&Timespec::try_from(left).expect("short"))).expect("waits") > 0 {
                guard.read().expect("the compositor lives");
            }
        }
        self.queue.dispatch_pending(&mut self.heard).expect("the compositor lives");
    }
}

impl Dispatch<wl_registry::WlRegistry, ()> for Heard {
    fn event(
        heard: &mut Self,
        registry: &wl_registry::WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        handle: &QueueHandle<Self>,
    ) {
        if let wl_registry::Event::Global { name, interface, .. } = event
            && interface == "wl_seat"
            && heard.seat.is_none()
        {
            heard.seat = Some(registry.bind(name, 5, handle, ()));
        }
    }
}

impl Dispatch<wl_seat::WlSeat, ()> for Heard {
    fn event(
        heard: &mut Self,
        seat: &wl_seat::WlSeat,
        event: wl_seat::Event,
        (): &(),
        _: &Connection,
        handle: &QueueHandle<Self>,
    ) {
        let wl_seat::Event::Capabilities { capabilities: WEnum::Value(can) } = event else { return };
        if can.contains(wl_seat::Capability::Pointer) && heard.pointer.is_none() {
            heard.pointer = Some(seat.get_pointer(handle, ()));
        }
        if can.contains(wl_seat::Capability::Keyboard) && heard.keyboard.is_none() {
            heard.keyboard = Some(seat.get_keyboard(handle, ()));
        }
    }
}

impl Dispatch<wl_pointer::WlPointer, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &wl_pointer::WlPointer,
        event: wl_pointer::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let sideways = |axis: WEnum<wl_pointer::Axis>| axis == WEnum::Value(wl_pointer::Axis::HorizontalScroll);
        heard.all.extend(match event {
            wl_pointer::Event::Enter { surface_x, surface_y, .. }
            | wl_pointer::Event::Motion { surface_x, surface_y, .. } => Some(Sound::At(surface_x, surface_y)),
            wl_pointer::Event::Button { button, state, .. } => {
                Some(Sound::Button(button, state == WEnum::Value(wl_pointer::ButtonState::Pressed)))
            }
            wl_pointer::Event::AxisDiscrete { axis, discrete } => {
                heard.clicks[usize::from(sideways(axis))] = discrete;
                None
            }
            wl_pointer::Event::Axis { axis, value, .. } => {
                let clicks = std::mem::take(&mut heard.clicks[usize::from(sideways(axis))]);
                Some(Sound::Wheel(sideways(axis), value, clicks))
            }
            _ => None,
        });
    }
}

impl Dispatch<wl_keyboard::WlKeyboard, ()> for Heard {
    fn event(
        heard: &mut Self,
        _: &wl_keyboard::WlKeyboard,
        event: wl_keyboard::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        heard.all.extend(match event {
            wl_keyboard::Event::Key { key, state, .. } => {
                Some(Sound::Key(key, state == WEnum::Value(wl_keyboard::KeyState::Pressed)))
            }
            wl_keyboard::Event::Modifiers { mods_depressed, mods_locked, .. } => {
                Some(Sound::Modifiers(mods_depressed, mods_locked))
            }
            _ => None,
        });
    }
}
