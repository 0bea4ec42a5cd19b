//! The thread that reads a display's events.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use x11rb::connection::Connection;
use x11rb::protocol::Event;

use super::shared::Shared;
use super::{Monitor, X11Event};
use crate::geometry::Size;

/// The layout that was told last.
type Told = (Size, Vec<Monitor>);

/// What a batch of events asks for.
#[derive(Default)]
struct Todo {
    damage: bool,
    layout: bool,
    cursor: bool,
}

/// Reads until the display is closed or the server gone.
pub(super) fn run(shared: &Arc<Shared>, mut told: Told, events: &(dyn Fn(X11Event) + Send)) {
    let reason = loop {
        match batch(shared) {
            Ok(_) if shared.closing.load(Ordering::Acquire) => return,
            Ok(todo) => {
                if let Err(error) = act(shared, &todo, &mut told, events) {
                    break error.to_string();
                }
            }
            Err(error) => break error.to_string(),
        }
    };
    let reason = format!("the X server is gone: {reason}");
    if shared.lose(&reason) {
        events(X11Event::Lost(reason));
    }
}

/// Waits for an event and takes all that came with it, so that many of a kind are answered once.
fn batch(shared: &Shared) -> Result<Todo, x11rb::errors::ConnectionError> {
    let mut todo = Todo::default();
    let mut next = Some(shared.connection.wait_for_event()?);
    while let Some(event) = next {
        match event {
            Event::DamageNotify(_) => todo.damage = true,
            Event::RandrScreenChangeNotify(_) | Event::RandrNotify(_) => todo.layout = true,
            Event::ConfigureNotify(e) if e.window == shared.root => todo.layout = true,
            Event::XfixesCursorNotify(_) => todo.cursor = true,
            Event::Error(error) => tracing::debug!(?error, "the X server refused a request"),
            _ => {}
        }
        next = shared.connection.poll_for_event()?;
    }
    Ok(todo)
}

fn act(
    shared: &Shared,
    todo: &Todo,
    told: &mut Told,
    events: &(dyn Fn(X11Event) + Send),
) -> Result<(), super::X11Error> {
    if todo.damage {
        shared.dirty.store(true, Ordering::Release);
        shared.ring_all();
    }
    if todo.layout {
        shared.refresh_layout()?;
        // against what was told and not against what was known: a source whose fetch was refused may have learnt it first
        let now = shared.layout();
        if now != *told {
            told.clone_from(&now);
            let (size, monitors) = now;
            events(X11Event::Layout { size, monitors });
        }
    }
    if todo.cursor {
        let before = shared.cursor.lock().map_or(0, |c| c.as_ref().map_or(0, |i| i.serial));
        if let Some(image) = shared.cursor()?.filter(|image| image.serial != before) {
            events(X11Event::Cursor(image));
        }
    }
    Ok(())
}
