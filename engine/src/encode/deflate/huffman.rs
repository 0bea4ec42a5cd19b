//! Prefix codes of bounded length from counts.
//!
//! Lengths come from Moffat and Katajainen's in-place method over sorted counts; codes that are too long are cut and
//! room is made for them by lengthening the longest of the others, as zlib does.
//! Source: RFC 1951 section 3.2.2; A. Moffat, J. Katajainen, "In-place calculation of minimum-redundancy codes", 1995.

/// The longest code of deflate.
pub(super) const LONGEST: usize = 15;

/// The most symbols of an alphabet.
const MOST: usize = 288;

/// Fills `lengths` with the code lengths, at most `limit`, of symbols that occur `counts` times; 0 for those that do not.
///
/// At least two symbols get a code, so that it is complete; the sum of counts is below 2^22.
pub(super) fn lengths(counts: &[u32], limit: usize, lengths: &mut [u8]) {
    let mut keys = [0u32; MOST];
    let mut used = 0;
    for (symbol, count) in counts.iter().enumerate() {
        lengths[symbol] = 0;
        if *count > 0 {
            keys[used] = count << 9 | symbol as u32;
            used += 1;
        }
    }
    if used < 2 {
        let only = if used == 1 { (keys[0] & 511) as usize } else { 0 };
        lengths[only] = 1;
        lengths[usize::from(only == 0)] = 1;
        return;
    }
    let keys = &mut keys[..used];
    keys.sort_unstable();
    let mut depths = [0u32; MOST];
    let depths = &mut depths[..used];
    for (depth, key) in depths.iter_mut().zip(&*keys) {
        *depth = key >> 9;
    }
    minimum_redundancy(depths);
    let mut per_length = [0u32; LONGEST + 1];
    for depth in &*depths {
        per_length[(*depth as usize).min(limit)] += 1;
    }
    shorten(&mut per_length, limit);
    // the rarest first, and so the longest first
    let mut keys = keys.iter();
    for length in (1..=limit).rev() {
        for key in keys.by_ref().take(per_length[length] as usize) {
            lengths[(key & 511) as usize] = length as u8;
        }
    }
}

/// Turns counts in ascending order into code lengths in descending order.
fn minimum_redundancy(a: &mut [u32]) {
    let n = a.len();
    // first pass: inner nodes, each with its parent's index once it has one
    a[0] += a[1];
    let (mut root, mut leaf) = (0, 2);
    for next in 1..n - 1 {
        let mut sum = 0;
        for _ in 0..2 {
            if leaf >= n || root < next && a[root] < a[leaf] {
                sum += std::mem::replace(&mut a[root], next as u32);
                root += 1;
            } else {
                sum += a[leaf];
                leaf += 1;
            }
        }
        a[next] = sum;
    }
    // second pass: depths of inner nodes
    a[n - 2] = 0;
    for next in (0..n - 2).rev() {
        a[next] = a[a[next] as usize] + 1;
    }
    // third pass: depths of leaves
    let (mut available, mut depth, mut root, mut next) = (1usize, 0u32, n - 1, n);
    while available > 0 {
        let mut inner = 0;
        while root > 0 && a[root - 1] == depth {
            inner += 1;
            root -= 1;
        }
        for _ in inner..available {
            next -= 1;
            a[next] = depth;
        }
        available = 2 * inner;
        depth += 1;
    }
}

/// Makes the code complete after lengths were cut down to `limit`.
fn shorten(per_length: &mut [u32; LONGEST + 1], limit: usize) {
    let room = 1u32 << limit;
    let mut taken: u32 = (1..=limit).map(|l| per_length[l] << (limit - l)).sum();
    while taken > room {
        // one code of the longest length below the limit becomes two of the next; one of the cut codes finds its place there
        let mut length = limit - 1;
        while per_length[length] == 0 {
            length -= 1;
        }
        per_length[length] -= 1;
        per_length[length + 1] += 2;
        per_length[limit] -= 1;
        taken -= 1;
    }
}

/// Fills `codes` with `bits << 8 | length` of each symbol, the bits in the order of the stream.
pub(super) fn codes(lengths: &[u8], codes: &mut [u32]) {
    let mut per_length = [0u32; LONGEST + 1];
    for length in lengths {
        per_length[usize::from(*length & 15)] += 1;
    }
    per_length[0] = 0;
    let mut next = [0u32; LONGEST + 1];
    for length in 1..=LONGEST {
        next[length] = (next[length - 1] + per_length[length - 1]) << 1;
    }
    for (code, length) in codes.iter_mut().zip(lengths) {
        let l = usize::from(*length);
        if l == 0 {
            *code = 0;
            continue;
        }
        let value = next[l] as u16;
        next[l] += 1;
        *code = u32::from(value.reverse_bits() >> (16 - l)) << 8 | l as u32;
    }
}
