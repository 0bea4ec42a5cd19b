//! Runs named pieces of work once each, for a tool that counts instructions.
//!
//! `budget --list` names them; `budget CASE...` prepares each, runs it between calls of [`budget_begins`] and [`budget_ends`] and prints
//! its name. Under `valgrind --tool=callgrind --dump-before='*budget_begins*' --dump-before='*budget_ends*'` every second file of
//! counts is one case's. `tests/budgets.rs` does that and compares with `budgets.toml`.

use std::hint::black_box;
use std::sync::OnceLock;

use farpane_benches::{Content, mirror};
use farpane_engine::damage::Mirror;
use farpane_engine::encode::{BLOCK, Codec, LADDER, Params, encode_rect};
use farpane_engine::geometry::{Rect, Size};
use farpane_engine::kernel::CpuLevel;
use farpane_engine::kernel::convert::convert;
use farpane_engine::kernel::neighbour_steps::{CELL, Steps, count_row};
use farpane_engine::kernel::tile_diff::diff_row;
use farpane_engine::pixel::{ClientFormat, Layout, Plan};

/// Two blocks.
const SIZE: Size = Size { w: 512, h: 256 };

/// From here on it counts.
#[inline(never)]
fn budget_begins() {
    black_box(());
}

/// Up to here.
#[inline(never)]
fn budget_ends() {
    black_box(());
}

fn budget_measured(work: &mut dyn FnMut()) {
    budget_begins();
    work();
    budget_ends();
}

/// A picture that shows this content, made once.
fn picture(content: Content) -> &'static Mirror {
    static PICTURES: [OnceLock<Mirror>; Content::ALL.len()] = [const { OnceLock::new() }; Content::ALL.len()];
    let at = Content::ALL.iter().position(|c| *c == content).unwrap_or_default();
    PICTURES[at].get_or_init(|| mirror(SIZE, content))
}

const CODECS: [(&str, Codec, bool); 10] = [
    ("raw", Codec::Raw, false),
    ("rre", Codec::Rre, false),
    ("hextile", Codec::Hextile, false),
    ("zlib", Codec::Zlib, false),
    ("zrle", Codec::Zrle, false),
    ("tight", Codec::Tight, false),
    ("tight-q8", Codec::Tight, true),
    ("zstd", Codec::Zstd, false),
    ("tight-zstd", Codec::TightZstd, false),
    ("zstd-rle", Codec::ZstdRle, false),
];

const KERNELS: [&str; 4] =
    ["kernel/tile-diff-equal", "kernel/tile-diff-all", "kernel/convert-565", "kernel/neighbour-steps"];

fn content(name: &str) -> Option<Content> {
    Content::ALL.into_iter().find(|c| format!("{c:?}").to_lowercase() == name)
}

fn cases() -> Vec<String> {
    let encoders = Content::ALL.into_iter().flat_map(|content| {
        CODECS.map(|(name, ..)| format!("encode/{}/{name}", format!("{content:?}").to_lowercase()))
    });
    encoders.chain(KERNELS.map(str::to_owned)).collect()
}

/// Encodes two blocks; twice, so that buffers have grown and tables are made when it is counted.
fn encoder(content: Content, codec: Codec, jpeg: bool) {
    let data = picture(content).read();
    let params = Params { codec, format: ClientFormat::BGRX, compression: 2, jpeg: jpeg.then_some(LADDER[1]) };
    let mut out = Vec::new();
    let mut work = || {
        out.clear();
        for y in (0..SIZE.h).step_by(usize::from(BLOCK)) {
            for x in (0..SIZE.w).step_by(usize::from(BLOCK)) {
                encode_rect(&data, &Rect::new(x, y, BLOCK, BLOCK), None, &params, &mut out);
            }
        }
    };
    work();
    budget_measured(&mut work);
    assert!(!black_box(&out).is_empty());
}

fn kernel(name: &str) {
    let level = CpuLevel::current();
    let a = picture(Content::Photo).read().pixels.clone();
    let width = usize::from(SIZE.w);
    match name {
        "kernel/tile-diff-equal" | "kernel/tile-diff-all" => {
            let flip = u32::from(name.ends_with("all"));
            let new: Vec<u32> = a.iter().map(|p| p ^ flip).collect();
            let mut old = a;
            let mut found = 0usize;
            budget_measured(&mut || {
                for (new, old) in new.chunks(64).zip(old.chunks_mut(64)) {
                    found += usize::from(diff_row(level, new, old, 0x00ff_ffff).is_some());
                }
            });
            assert_eq!(found > 0, flip == 1);
        }
        "kernel/convert-565" => {
            let format = ClientFormat {
                bpp: 16,
                depth: 16,
                r_max: 31,
                g_max: 63,
                b_max: 31,
                r_shift: 11,
                g_shift: 5,
                b_shift: 0,
                ..ClientFormat::BGRX
            };
            let plan = Plan::new(Layout::BGRX, &format);
            let mut values = vec![0u32; width];
            budget_measured(&mut || {
                for row in a.chunks(width) {
                    convert(level, &plan, row, &mut values);
                }
            });
            black_box(&values);
        }
        _ => {
            let mut steps = vec![Steps::default(); width / CELL];
            budget_measured(&mut || {
                for row in a.chunks(width) {
                    count_row(level, row, 0x00ff_ffff, 28, &mut steps);
                }
            });
            black_box(&steps);
        }
    }
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--list") {
        cases().iter().for_each(|c| println!("{c}"));
        return;
    }
    if args.is_empty() {
        args = cases();
    }
    for case in &args {
        let parts: Vec<&str> = case.split('/').collect();
        match parts[..] {
            ["encode", of, with] => {
                let codec = CODECS.iter().find(|c| c.0 == with);
                let (Some(content), Some(&(_, codec, jpeg))) = (content(of), codec) else {
                    eprintln!("budget: no case {case} (--list names them)");
                    std::process::exit(2);
                };
                encoder(content, codec, jpeg);
            }
            _ if KERNELS.contains(&case.as_str()) => kernel(case),
            _ => {
                eprintln!("budget: no case {case} (--list names them)");
                std::process::exit(2);
            }
        }
        println!("{case}");
    }
}
