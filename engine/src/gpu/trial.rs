//! Whether a device that was opened does what it should.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use farpane_shaders::{Job, Place};

use super::Ring;
use super::device::{Device, GpuError};
use super::imports::Import;
use super::picture::{Answer, GpuPicture};
use crate::geometry::Size;
use crate::pixel::Fourcc;

/// How long it may take to show that.
const TRIAL: Duration = Duration::from_secs(10);
/// One of each form of texels.
const IMAGES: [Fourcc; 3] = [Fourcc::XRGB8888, Fourcc::XBGR8888, Fourcc::XBGR2101010];

/// Has a device compare two small pictures of which the answer is known, as words and where it takes images as these. Drivers compile what they
/// still have to at this.
pub(super) fn try_out(device: &Arc<Device>) -> Result<(), GpuError> {
    let unfit = |why: &str| GpuError::Unfit(device.adapter().to_string(), why.to_owned());
    let size = Size::new(100, 70);
    let images = IMAGES.into_iter().filter(|_| device.adapter().paths.modifiers);
    for image in [None].into_iter().chain(images.map(Some)) {
        let mut picture = GpuPicture::new(Arc::clone(device), size, 0x00ff_ffff)?;
        picture.set(&[5; 7000]);
        let mut fresh = [0x1200_0005u32; 7000];
        fresh[66 * 100 + 99] = 7;
        let (tell, told) = mpsc::channel();
        let ring: Ring = Arc::new(move || {
            let _ = tell.send(());
        });
        // the lower right cell and the one above it
        let jobs = [(3, [0, 0, 36, 6], 64 * 100 + 64), (1, [0, 0, 36, 64], 64)];
        let jobs = jobs.map(|(cell, clip, base)| Job { cell, clip: u32::from_le_bytes(clip), base, stride: 100 });
        match image {
            None => {
                let mut upload = picture.begin().ok_or_else(|| unfit("it maps no memory"))?;
                upload.write(0, &fresh);
                picture.submit(upload, &jobs, &ring);
            }
            Some(fourcc) => Import::of_pixels(device, size, fourcc, &fresh)
                .and_then(|import| picture.submit_import(&import, None, &jobs, &ring))
                .map_err(|why| unfit(&why))?,
        }
        let end = Instant::now() + TRIAL;
        let mut right = false;
        let answer = loop {
            let _ = told.recv_timeout(Duration::from_millis(20));
            let answer = picture.poll(|packed| {
                let extent = u32::from_le_bytes([35, 2, 36, 3]);
                let place = Place { cell: 3, squares: 1 << 2, extent, count: 1, colours: 2, at: 0 };
                // two colours, and one bit a pixel, of which the one in the third row and the 36th column is set
                let want = |i: usize| [5, 7].get(i).copied().unwrap_or(u32::from(i == 2 + 2 * 2 + 1) << 3);
                right =
                    packed.places() == [place] && packed.words().iter().enumerate().all(|(i, word)| *word == want(i));
            });
            if answer != Answer::Pending || Instant::now() >= end {
                break answer;
            }
        };
        match answer {
            Answer::Done { .. } if right => {}
            Answer::Done { .. } => return Err(unfit("it compares wrongly")),
            Answer::Pending | Answer::Lost => return Err(unfit("it answers nothing")),
        }
    }
    Ok(())
}
