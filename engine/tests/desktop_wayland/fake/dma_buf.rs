//! linux-dmabuf: takes buffers, or does not, as it is told.

use wayland_protocols::wp::linux_dmabuf::zv1::server::zwp_linux_buffer_params_v1::{self, ZwpLinuxBufferParamsV1};
use wayland_protocols::wp::linux_dmabuf::zv1::server::zwp_linux_dmabuf_v1::{self, ZwpLinuxDmabufV1};

use super::*;

/// The one format in which dma-bufs are taken.
pub const XR24: u32 = u32::from_le_bytes(*b"XR24");

/// Reaches memory by writing into a file.
pub fn in_file(file: File) -> Draw {
    Box::new(move |rows| rows.iter().for_each(|(at, row)| file.write_all_at(row, *at).expect("inside the memory")))
}

/// Reaches memory that stands in for a dma-buf.
pub fn in_memory(fd: OwnedFd) -> Draw {
    in_file(File::from(fd))
}

struct Plane {
    fd: OwnedFd,
    index: u32,
    offset: u32,
    stride: u32,
    modifier: u64,
}

/// What is told of a buffer before it is made.
#[derive(Default)]
pub struct Params(Mutex<Vec<Plane>>);

impl GlobalDispatch<ZwpLinuxDmabufV1, ()> for State {
    fn bind(
        state: &mut Self,
        _: &DisplayHandle,
        _: &Client,
        resource: New<ZwpLinuxDmabufV1>,
        (): &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let linux = init.init(resource, ());
        assert_eq!(linux.version(), 3, "later versions tell nothing of modifiers here");
        for modifier in &state.manners.modifiers {
            linux.modifier(XR24, (modifier >> 32) as u32, *modifier as u32);
        }
    }
}

impl Dispatch<ZwpLinuxDmabufV1, ()> for State {
    fn request(
        _: &mut Self,
        _: &Client,
        _: &ZwpLinuxDmabufV1,
        request: zwp_linux_dmabuf_v1::Request,
        (): &(),
        _: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if let zwp_linux_dmabuf_v1::Request::CreateParams { params_id } = request {
            init.init(params_id, Params::default());
        }
    }
}

impl Dispatch<ZwpLinuxBufferParamsV1, Params> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        params: &ZwpLinuxBufferParamsV1,
        request: zwp_linux_buffer_params_v1::Request,
        told: &Params,
        display: &DisplayHandle,
        _: &mut DataInit<'_, Self>,
    ) {
        use zwp_linux_buffer_params_v1::Request;
        let mut told = told.0.lock().expect("one thread");
        match request {
            Request::Add { fd, plane_idx, offset, stride, modifier_hi, modifier_lo } => {
                let modifier = u64::from(modifier_hi) << 32 | u64::from(modifier_lo);
                told.push(Plane { fd, index: plane_idx, offset, stride, modifier });
            }
            Request::Create { width, height, format, flags } => {
                assert!(told.iter().enumerate().all(|(i, plane)| plane.index as usize == i), "incomplete");
                assert_eq!(u32::from(flags), 0);
                let Some(plane) = told.pop() else { panic!("incomplete") };
                let known = format == XR24 && state.manners.modifiers.contains(&plane.modifier);
                assert!(known, "invalid_format: {:#x}", plane.modifier);
                if state.manners.mute {
                    return;
                }
                if state.manners.refuses {
                    return params.failed();
                }
                let bytes = i64::from(plane.offset) + i64::from(plane.stride) * i64::from(height);
                let len = rustix::fs::seek(&plane.fd, rustix::fs::SeekFrom::End(0)).expect("its length");
                assert!(plane.stride >= width as u32 * 4 && bytes as u64 <= len, "out_of_bounds");
                let buffer = Buffer {
                    draw: Arc::new((state.reach)(plane.fd)),
                    modifier: Some(plane.modifier),
                    offset: plane.offset as i32,
                    size: (width, height),
                    stride: plane.stride as i32,
                    format,
                };
                let buffer = client.create_resource::<WlBuffer, Buffer, State>(display, 1, buffer).expect("a buffer");
                params.created(&buffer);
                state.taken += 1;
            }
            Request::CreateImmed { .. } => panic!("a refusal would end the connection"),
            _ => {}
        }
    }
}
