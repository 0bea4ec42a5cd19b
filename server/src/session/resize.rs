//! Canvas sizes: telling a client of another layout, and carrying out its wishes for one.

use std::time::{Duration, Instant};

use farpane_engine::geometry::{Rect, Scale, Size};
use farpane_engine::pipeline::{ClientPicture, View};
use farpane_rfb::Encoding;
use farpane_rfb::ext::desktop_size::{Layout as WireLayout, Reason, Screen, Status};
use farpane_rfb::wire::Area;

use super::ScaleSpec;
use super::pseudo::write_header;
use super::state::Session;
use super::view::ViewSpec;
use crate::backend::{Layout, LayoutOutput, OutputId, ResizeAnswer};
use crate::policy::Permission;

/// A desktop that agreed to a layout is given this long to show it.
const SETTLE: Duration = Duration::from_secs(1);

/// Wishes of one client that may wait for the desktop; more are refused.
const MAX_WISHES: usize = 8;

/// What a client has still to be told of layouts.
#[derive(Debug, Default)]
pub(super) struct ResizeState {
    /// The layout changed, and why.
    changed: Option<Reason>,
    /// Answers to SetDesktopSize, in order.
    answers: Vec<Status>,
    /// The desktop agreed; its new layout is awaited until then.
    settling: Option<Instant>,
    /// A layout came by this client's wish before the desktop's answer to it did.
    early: bool,
}

impl ResizeState {
    /// The layout is another one, by this client's wish or not.
    pub fn layout_changed(&mut self, by_this: bool, by_other: bool) {
        let reason = match (by_this, by_other) {
            (true, _) => Reason::ThisClient,
            (false, true) => Reason::OtherClient,
            _ => Reason::Server,
        };
        if by_this {
            self.early = self.settling.take().is_none();
            self.answers.push(Status::Ok);
        }
        self.changed = Some(reason);
    }

    /// The client is to be told the layout although it is the same: it asked for everything.
    pub fn tell_again(&mut self) {
        self.changed.get_or_insert(Reason::Server);
    }

    /// A wish was refused, or agreed to and about to happen.
    pub fn answered(&mut self, answer: ResizeAnswer, now: Instant) {
        let early = std::mem::take(&mut self.early);
        match answer {
            ResizeAnswer::Done if early => {}
            ResizeAnswer::Done => self.settling = Some(now + SETTLE),
            ResizeAnswer::Prohibited => self.answers.push(Status::Prohibited),
            ResizeAnswer::OutOfResources => self.answers.push(Status::OutOfResources),
            ResizeAnswer::InvalidLayout => self.answers.push(Status::InvalidLayout),
        }
    }

    /// A wish contradicts itself.
    pub fn refuse(&mut self, status: Status) {
        self.answers.push(status);
    }

    /// When to stop waiting for an agreed layout.
    pub fn settle_at(&self) -> Option<Instant> {
        self.settling
    }

    /// Stops waiting for an agreed layout when it is time; returns whether it was.
    fn settle(&mut self, now: Instant) -> bool {
        let late = self.settling.take_if(|t| *t <= now).is_some();
        if late {
            self.answers.push(Status::Ok);
        }
        late
    }

    fn is_due(&self) -> bool {
        self.changed.is_some() || !self.answers.is_empty()
    }
}

impl Session {
    /// Tells the client of another layout, in an update of its own without pixels. Returns whether one was sent.
    ///
    /// A client that cannot be told keeps its canvas; what lies beyond it is not shown, what is missing is black.
    pub(super) fn tell_layout(&mut self, picture: &mut ClientPicture, now: Instant) -> bool {
        if self.resize.settle(now) {
            self.hub.settled(self.id);
        }
        if !self.resize.is_due() {
            return false;
        }
        // A monitor that is gone leaves the canvas as it was; wishes are answered all the same.
        let Some(seen) = self.seen() else {
            self.resize.changed = None;
            let answers = std::mem::take(&mut self.resize.answers);
            let layout = self.shown_layout.as_ref().filter(|_| self.caps.extended_desktop_size && !answers.is_empty());
            let Some(layout) = layout else { return false };
            let told: Vec<_> = answers.into_iter().map(|status| (Reason::ThisClient, status)).collect();
            let message = layout_update(layout, &told);
            self.queue_update(message, None, now);
            return true;
        };
        let (layout, mut view) = (seen.layout, seen.view);
        let changed = self.resize.changed.take();
        let answers = std::mem::take(&mut self.resize.answers);
        let layout_differs =
            changed.is_some() && (self.shown_layout.as_ref() != Some(&layout) || self.places != seen.places);
        let size_differs = picture.canvas() != view.canvas;
        // a desktop that came back may look as before and be another
        let outputs_differ = changed.is_some() && !picture.shows(&view.outputs);
        if layout_differs || size_differs || outputs_differ {
            self.shown_layout = Some(layout.clone());
            self.places = seen.places;
            if !self.caps.resizable() {
                view.canvas = picture.canvas();
            }
            picture.set_view(&view, &self.notify);
            self.clip_to(view.canvas);
            self.outputs = view.outputs;
        }
        if self.caps.extended_desktop_size {
            let mut told = Vec::new();
            for status in &answers {
                told.push((Reason::ThisClient, *status));
            }
            let agreed = answers.contains(&Status::Ok);
            if let Some(reason) = changed.filter(|_| !agreed) {
                told.push((reason, Status::Ok));
            }
            self.queue_update(layout_update(&layout, &told), None, now);
            return true;
        }
        if self.caps.desktop_size && size_differs {
            let mut message = vec![0, 0, 0, 1];
            write_header(&mut message, Default::default(), picture.canvas(), Encoding::DESKTOP_SIZE);
            self.queue_update(message, None, now);
            return true;
        }
        false
    }

    /// The canvas that ServerInit told, which the desktop may have left since.
    pub(super) fn was_told(&mut self, canvas: Size) {
        if canvas == self.canvas {
            return;
        }
        let seen = self.seen();
        if let (Some(picture), Some(seen)) = (&mut self.picture, seen) {
            picture.set_view(&View { canvas, ..seen.view.clone() }, &self.notify);
            self.outputs = seen.view.outputs;
        }
        self.shown_layout = None;
        self.resize.tell_again();
        self.clip_to(canvas);
    }

    fn clip_to(&mut self, canvas: Size) {
        self.canvas = canvas;
        self.requested.intersect_rect(&canvas.rect());
        if let Some(area) = &mut self.continuous {
            *area = area.intersect(&canvas.rect());
        }
    }

    /// The client wants to see the desktop so many times smaller. One that cannot be told of another size keeps the one that it has.
    pub(super) fn set_scale(&mut self, parts: u8) {
        if parts > 0 && self.caps.resizable() {
            self.scale = ScaleSpec::Divided(parts);
            self.resize.tell_again();
        }
    }

    /// Keeps a wish until the desktop can be asked.
    pub(super) fn wish(&mut self, layout: Layout) {
        if self.wishes.len() < MAX_WISHES {
            self.wishes.push_back(layout);
        } else {
            self.resize.refuse(Status::OutOfResources);
        }
    }

    /// The wish that the desktop is to be asked for now: none before the one before it has shown.
    pub(super) fn next_wish(&mut self) -> Option<Layout> {
        if self.resize.settle_at().is_some() {
            return None;
        }
        self.resize.early = false;
        self.wishes.pop_front()
    }

    /// Checks a client's wish; returns the layout to ask the desktop for.
    pub(super) fn wished_layout(&mut self, wish: &WireLayout) -> Option<Layout> {
        if let Err(status) = wish.validate() {
            self.resize.refuse(status);
            return None;
        }
        // a desktop that changes under the question could hide it
        if !self.may(Permission::Resize) || self.input.is_none() || self.hub.gate().is_asking() {
            self.resize.refuse(Status::Prohibited);
            return None;
        }
        // what is left alone on for a while is no desktop of one monitor, and dark ones come back to their places
        let own = self.settings.side_car.is_some();
        if self.hub.may_light() && !own {
            self.resize.refuse(Status::Prohibited);
            return None;
        }
        let current = self.hub.desktop().layout;
        if self.scale.of(current.size) != Scale::WHOLE {
            // the client speaks of a canvas that the desktop does not have
            self.resize.refuse(Status::Prohibited);
            return None;
        }
        let alone = current.outputs.len() == 1 && self.hub.shows(&self.settings.view);
        if own && wish.screens.len() != 1 {
            // it was made for its viewers, and is one
            self.resize.refuse(Status::InvalidLayout);
            return None;
        }
        if self.settings.view != ViewSpec::All && !alone && !own {
            // one monitor of several cannot be resized from within itself, and whoever looks at one that is gone has no say in the others
            self.resize.refuse(Status::Prohibited);
            return None;
        }
        let outputs = wish.screens.iter().map(|s| {
            let id = OutputId(s.id);
            let name = current.outputs.iter().find(|o| o.id == id).map(|o| o.name.clone()).unwrap_or_default();
            LayoutOutput { id, name, rect: rect_of(&s.area) }
        });
        let outputs = outputs.collect();
        Some(Layout { size: Size::new(wish.width, wish.height), outputs })
    }
}

/// A wire area as a rectangle, clipped to the plane.
pub(super) fn rect_of(area: &Area) -> Rect {
    Rect::new(area.x, area.y, area.width, area.height)
}

/// An update that tells a layout once for each of these.
fn layout_update(layout: &Layout, told: &[(Reason, Status)]) -> Vec<u8> {
    let count = u16::try_from(told.len()).unwrap_or(u16::MAX);
    let mut message = vec![0, 0];
    message.extend_from_slice(&count.to_be_bytes());
    for (reason, status) in told.iter().take(usize::from(count)) {
        write_layout(&mut message, layout, *reason, *status);
    }
    message
}

fn write_layout(out: &mut Vec<u8>, layout: &Layout, reason: Reason, status: Status) {
    for v in [reason.number(), status.number(), layout.size.w, layout.size.h] {
        out.extend_from_slice(&v.to_be_bytes());
    }
    out.extend_from_slice(&Encoding::EXTENDED_DESKTOP_SIZE.0.to_be_bytes());
    let count = u8::try_from(layout.outputs.len()).unwrap_or(u8::MAX);
    out.extend_from_slice(&[count, 0, 0, 0]);
    for o in layout.outputs.iter().take(usize::from(count)) {
        let area = Area { x: o.rect.x, y: o.rect.y, width: o.rect.w, height: o.rect.h };
        Screen { id: o.id.0, area, flags: 0 }.write(out);
    }
}
