//! Encoding 2, RRE: a background and rectangles of one colour; raw where that is smaller.

use super::plain;
use super::scratch::{Picture, Tools};
use super::{Encoded, Params, number};
use crate::pixel::PixelBytes;

/// Encoding 2, or 0 for pictures that it would make larger.
pub(super) fn encode(picture: Picture<'_>, params: &Params, tools: &mut Tools) -> Encoded {
    let form = PixelBytes::pixel(&params.format);
    let width = usize::from(picture.rect.w);
    let limit = (picture.values.len() * form.len()).saturating_sub(4 + form.len()) / (form.len() + 8);
    // the background is the most frequent colour, found among the first 256
    tools.palette.start(256);
    let mut counts = [0u32; 256];
    for v in picture.values {
        if let Some(i) = tools.palette.index(*v) {
            counts[usize::from(i)] += 1;
        }
    }
    let most = counts.iter().enumerate().max_by_key(|(i, n)| (**n, std::cmp::Reverse(*i))).map_or(0, |(i, _)| i);
    let background = tools.palette.values()[most];
    let mut head = vec![0; 4];
    form.push(background, &mut head);
    let mut boxes = Boxes::new(picture.values, width, background, &mut tools.indices);
    let mut count = 0usize;
    while let Some((value, [x, y, w, h])) = boxes.next_box() {
        count += 1;
        if count > limit {
            return plain::raw(picture, params);
        }
        form.push(value, &mut head);
        for v in [x, y, w, h] {
            head.extend_from_slice(&(v as u16).to_be_bytes());
        }
    }
    head[..4].copy_from_slice(&(count as u32).to_be_bytes());
    Encoded { rect: picture.rect, encoding: number::RRE, head, chunk: None, lossy: false }
}

/// Rectangles of one colour that together cover everything but the background, each as wide as its first row allows and then
/// as high as it goes, or the other way round if that covers more.
pub(super) struct Boxes<'a> {
    values: &'a [u32],
    width: usize,
    background: u32,
    done: &'a mut Vec<u8>,
    at: usize,
}

impl<'a> Boxes<'a> {
    /// The boxes of a picture; `done` is a buffer to mark pixels in.
    pub(super) fn new(values: &'a [u32], width: usize, background: u32, done: &'a mut Vec<u8>) -> Self {
        done.clear();
        done.resize(values.len(), 0);
        Self { values, width, background, done, at: 0 }
    }

    /// The next colour and its x, y, w, h.
    pub(super) fn next_box(&mut self) -> Option<(u32, [usize; 4])> {
        let rest = self.values.get(self.at..)?.iter().zip(self.done.get(self.at..)?);
        self.at += rest.take_while(|(v, done)| **v == self.background || **done != 0).count();
        let value = *self.values.get(self.at)?;
        let (x, y) = (self.at % self.width, self.at / self.width);
        let height = self.values.len() / self.width;
        let free = |x: usize, y: usize| self.values[y * self.width + x] == value && self.done[y * self.width + x] == 0;
        let w = (x..self.width).take_while(|x| free(*x, y)).count();
        let h = (y..height).take_while(|y| (x..x + w).all(|x| free(x, *y))).count();
        let tall_h = (y..height).take_while(|y| free(x, *y)).count();
        let tall_w = (x..self.width).take_while(|x| (y..y + tall_h).all(|y| free(*x, y))).count();
        let (w, h) = if tall_w * tall_h > w * h { (tall_w, tall_h) } else { (w, h) };
        for row in y..y + h {
            self.done[row * self.width + x..][..w].fill(1);
        }
        Some((value, [x, y, w, h]))
    }
}
