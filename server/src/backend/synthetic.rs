//! The built-in scene as a desktop: one output, the scene's own pointer, input that is only recorded.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use farpane_engine::capture::synthetic::{Scene, SyntheticSource, SyntheticSpec, pointer_image};
use farpane_engine::frame::CursorImage;

use super::{Backend, BackendEvent, Events, Layout, LayoutOutput, OutputId, ResizeAnswer};
use crate::clipboard::Clipboard;
use crate::input::InputSink;
use crate::input::record::RecordSink;

#[derive(Clone, Copy, Default)]
struct State {
    watched: bool,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

/// A desktop that shows a built-in scene.
pub struct SyntheticBackend {
    spec: SyntheticSpec,
    input: Arc<RecordSink>,
    shared: Arc<Shared>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl SyntheticBackend {
    /// Opens a scene that starts at `epoch`.
    ///
    /// # Errors
    /// When the system has no thread left for the scene's pointer.
    pub fn open(spec: SyntheticSpec, epoch: Instant, events: Events) -> std::io::Result<Self> {
        let rect = spec.size.rect();
        let output = LayoutOutput { id: OutputId(0), name: "synthetic".into(), rect };
        let source = Box::new(SyntheticSource::new(spec, epoch));
        let pointed = matches!(spec.scene, Scene::Desktop | Scene::Still);
        let none = CursorImage { size: Default::default(), hotspot: Default::default(), rgba: Vec::new(), serial: 0 };
        let cursor = if pointed { pointer_image() } else { none };
        for event in [
            BackendEvent::OutputAdded(output.id, source),
            BackendEvent::LayoutChanged(Layout { size: spec.size, outputs: vec![output] }),
            BackendEvent::Cursor(Arc::new(cursor)),
            BackendEvent::PointerMoved(spec.pointer(0)),
            BackendEvent::Leds(0),
        ] {
            let _ = events.send(event);
        }
        let shared = Arc::new(Shared::default());
        let thread = if spec.scene == Scene::Desktop {
            let mine = Arc::clone(&shared);
            let run = move || move_pointer(&spec, epoch, &mine, &events);
            Some(std::thread::Builder::new().name("scene-pointer".into()).spawn(run)?)
        } else {
            None
        };
        Ok(Self { spec, input: Arc::new(RecordSink::new()), shared, thread: Mutex::new(thread) })
    }

    /// What clients typed and pointed at.
    pub fn recorded(&self) -> &RecordSink {
        &self.input
    }
}

/// Tells where the scene's pointer is, picture by picture, while somebody watches.
fn move_pointer(spec: &SyntheticSpec, epoch: Instant, shared: &Shared, events: &Events) {
    let mut last = None;
    let mut state = shared.lock();
    loop {
        if state.ended || events.is_closed() {
            return;
        }
        if !state.watched {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let now = Instant::now();
        let n = spec.picture_at(now.saturating_duration_since(epoch));
        let at = spec.pointer(n);
        if last.replace(at) != Some(at) {
            let _ = events.send(BackendEvent::PointerMoved(at));
        }
        let left = (epoch + spec.due(n + 1)).saturating_duration_since(now);
        state = shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Backend for SyntheticBackend {
    fn name(&self) -> String {
        format!("synthetic {}", self.spec.size)
    }

    fn input(&self) -> Option<Arc<dyn InputSink>> {
        Some(Arc::clone(&self.input) as Arc<dyn InputSink>)
    }

    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        None
    }

    fn resize(&self, _layout: &Layout) -> ResizeAnswer {
        ResizeAnswer::Prohibited
    }

    fn watch(&self, watched: bool) {
        self.shared.change(|s| s.watched = watched);
    }
}

impl Drop for SyntheticBackend {
    fn drop(&mut self) {
        self.shared.change(|s| s.ended = true);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::record::Recorded;
    use crate::input::{KeyInput, PointerInput};
    use tokio::sync::mpsc::unbounded_channel;

    fn spec(text: &str) -> SyntheticSpec {
        farpane_engine::capture::synthetic::parse(text).expect("a scene")
    }

    #[test]
    fn the_first_events_tell_one_output_that_fills_the_canvas() {
        let (send, mut events) = unbounded_channel();
        let backend = SyntheticBackend::open(spec("64x48@30:still"), Instant::now(), send).expect("opens");
        assert!(matches!(events.try_recv(), Ok(BackendEvent::OutputAdded(OutputId(0), s)) if s.info().size.w == 64));
        let Ok(BackendEvent::LayoutChanged(layout)) = events.try_recv() else { panic!("a layout follows") };
        assert_eq!(layout.outputs[0].rect, layout.size.rect());
        assert!(matches!(events.try_recv(), Ok(BackendEvent::Cursor(c)) if c.size.w > 0));
        assert_eq!(backend.resize(&layout), ResizeAnswer::Prohibited);
        assert_eq!(backend.name(), "synthetic 64x48");
    }

    #[test]
    fn the_pointer_moves_only_while_somebody_watches() {
        let (send, mut events) = unbounded_channel();
        let backend = SyntheticBackend::open(spec("640x480@200:desktop"), Instant::now(), send).expect("opens");
        while !matches!(events.try_recv(), Ok(BackendEvent::Leds(0))) {}
        assert!(events.try_recv().is_err());
        backend.watch(true);
        let moved = events.blocking_recv();
        assert!(matches!(moved, Some(BackendEvent::PointerMoved(_))));
    }

    #[test]
    fn input_is_kept() {
        let (send, _events) = unbounded_channel();
        let backend = SyntheticBackend::open(spec("64x48@30:still"), Instant::now(), send).expect("opens");
        let sink = backend.input().expect("takes input");
        let key = KeyInput { down: true, keysym: 0x61, scancode: None };
        sink.key(key);
        sink.pointer(PointerInput { x: 1, y: 2, buttons: 1 });
        let got = backend.recorded().drain();
        assert_eq!(got.first(), Some(&Recorded::Key(key)));
        assert_eq!(got.len(), 2);
    }
}
