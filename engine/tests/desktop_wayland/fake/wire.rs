//! What the compositor's clients ask, handed to its state.

use super::dma_buf::in_file;
use super::*;

impl GlobalDispatch<WlSeat, ()> for State {
    fn bind(
        state: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        resource: New<WlSeat>,
        (): &(),
        init: &mut DataInit<'_, Self>,
    ) {
        state.seats.push(init.init(resource, ()));
        state.plug(state.manners.pointer);
    }
}

impl GlobalDispatch<WlOutput, usize> for State {
    fn bind(
        state: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        resource: New<WlOutput>,
        index: &usize,
        init: &mut DataInit<'_, Self>,
    ) {
        let output = init.init(resource, *index);
        if let Some(Some(monitor)) = state.monitors.get_mut(*index) {
            monitor.bound.push(output.clone());
        }
        state.describe(&output, *index);
    }
}

macro_rules! requests {
    ($interface:ty, $data:ty, |$state:ident, $resource:ident, $request:ident, $udata:ident, $init:ident| $body:expr) => {
        impl Dispatch<$interface, $data> for State {
            fn request(
                $state: &mut Self,
                _: &Client,
                $resource: &$interface,
                $request: <$interface as Resource>::Request,
                $udata: &$data,
                _: &DisplayHandle,
                $init: &mut DataInit<'_, Self>,
            ) {
                $body
            }
        }
    };
}

requests!(WlOutput, usize, |_state, _resource, _request, _udata, _init| {});
requests!(WlBuffer, Buffer, |_state, _resource, request, _udata, _init| match request {
    wl_buffer::Request::Destroy => {}
    other => panic!("{other:?}"),
});
requests!(WlShm, (), |_state, _resource, request, _udata, init| if let wl_shm::Request::CreatePool { id, fd, size } =
    request
{
    let file = File::from(fd);
    let seals = rustix::fs::fcntl_get_seals(file.as_fd()).expect("a memfd");
    assert!(seals.contains(rustix::fs::SealFlags::SHRINK), "memory that may be cut");
    assert_eq!(file.metadata().expect("a file").len(), size as u64);
    init.init(id, Shm { draw: Arc::new(in_file(file)) });
});
requests!(WlShmPool, Shm, |_state, _resource, request, shm, init| if let wl_shm_pool::Request::CreateBuffer {
    id,
    offset,
    width,
    height,
    stride,
    format,
} = request
{
    let format = match format {
        WEnum::Value(known) => u32::from(known),
        WEnum::Unknown(number) => number,
    };
    let draw = Arc::clone(&shm.draw);
    init.init(id, Buffer { draw, modifier: None, offset, size: (width, height), stride, format });
});
requests!(ExtImageCaptureSourceV1, usize, |_state, _resource, request, _udata, _init| match request {
    source::Request::Destroy => {}
    other => panic!("{other:?}"),
});
requests!(ExtOutputImageCaptureSourceManagerV1, (), |_state, _resource, request, _udata, init| {
    if let sources::Request::CreateSource { source, output } = request {
        init.init(source, *output.data::<usize>().expect("made here"));
    }
});
requests!(ExtImageCopyCaptureManagerV1, (), |state, _resource, request, _udata, init| match request {
    manager::Request::CreateSession { session, source, options } => {
        let paints = matches!(options, WEnum::Value(o) if o.contains(manager::Options::PaintCursors));
        state.painted.push(paints);
        let resource = init.init(session, ());
        let output = *source.data::<usize>().expect("made here");
        if state.manners.stops > 0 || state.monitor(output).is_none() {
            state.manners.stops = state.manners.stops.saturating_sub(1);
            return resource.stopped();
        }
        state.sessions.push(Session { resource, output, dirty: None, told: Default::default() });
    }
    manager::Request::CreatePointerCursorSession { session, source, .. } => {
        let cursor = init.init(session, ());
        let output = *source.data::<usize>().expect("made here");
        state.shapes.push(Shape { cursor, session: None, output, told: None, new: true });
    }
    _ => {}
});
requests!(ExtImageCopyCaptureCursorSessionV1, (), |state, resource, request, _udata, init| match request {
    cursor::Request::GetCaptureSession { session } => {
        let made = init.init(session, ());
        let shape = state.shapes.iter_mut().find(|s| s.cursor == *resource).expect("made here");
        assert!(shape.session.replace(made).is_none(), "duplicate_session");
    }
    cursor::Request::Destroy => state.shapes.retain(|s| s.cursor != *resource),
    _ => {}
});
requests!(WlSeat, (), |state, _resource, request, _udata, init| if let wl_seat::Request::GetPointer { id } = request {
    assert!(state.manners.pointer, "missing_capability");
    init.init(id, ());
});
requests!(WlPointer, (), |_state, _resource, _request, _udata, _init| {});
requests!(ExtImageCopyCaptureSessionV1, (), |state, resource, request, _udata, init| match request {
    session::Request::CreateFrame { frame } => {
        let live = |f: &&Frame| f.session == *resource && f.resource.is_alive();
        assert!(state.frames.iter().find(live).is_none(), "two frames at a time");
        let made = init.init(frame, Mutex::default());
        let frame =
            Frame { resource: made, session: resource.clone(), buffer: None, stale: Region::new(), asked: false };
        state.frames.push(frame);
    }
    session::Request::Destroy => state.sessions.retain(|s| s.resource != *resource),
    _ => {}
});
requests!(ExtImageCopyCaptureFrameV1, Mutex<()>, |state, resource, request, _udata, _init| {
    let Some(frame) = state.frames.iter_mut().find(|f| f.resource == *resource) else { return };
    match request {
        frame::Request::AttachBuffer { buffer } => frame.buffer = Some(buffer),
        frame::Request::DamageBuffer { x, y, width, height } => {
            assert!(x >= 0 && y >= 0 && width > 0 && height > 0, "invalid_buffer_damage");
            frame.stale.add(&Rect::new(x as u16, y as u16, width as u16, height as u16));
        }
        frame::Request::Capture => {
            assert!(frame.buffer.is_some() && !frame.asked, "no_buffer or already_captured");
            frame.asked = true;
        }
        _ => {}
    }
});
requests!(ZwlrScreencopyManagerV1, (), |state, _resource, request, _udata, init| if let wlr::Request::CaptureOutput {
    frame,
    output,
    ..
} = request
{
    let resource = init.init(frame, ());
    let output = *output.data::<usize>().expect("made here");
    let (w, h, formats) = state.constraints(output);
    for format in formats {
        let format = wl_shm::Format::try_from(format).expect("a format");
        resource.buffer(format, w, h, state.manners.stride.unwrap_or(w.wrapping_mul(4)));
    }
    if state.manners.dmabuf {
        resource.linux_dmabuf(XR24, w, h);
    }
    if state.manners.done {
        resource.buffer_done();
    }
    state.copies.push(Copy { resource, output, buffer: None });
});
requests!(ZwlrScreencopyFrameV1, (), |state, resource, request, _udata, _init| {
    let Some(copy) = state.copies.iter_mut().find(|c| c.resource == *resource) else { return };
    match request {
        wlr_frame::Request::Copy { buffer } => copy.buffer = Some((buffer, false)),
        wlr_frame::Request::CopyWithDamage { buffer } => copy.buffer = Some((buffer, true)),
        _ => {}
    }
});
