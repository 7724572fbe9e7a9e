//! The rice-delta encoding as `format-spec.md` describes it, written from the page, element by element.
//! It shares nothing with the codec; it is slow and panics on what no writer writes.

/// The row of the page's table of float types.
#[derive(Clone, Copy, Debug)]
pub struct Float {
    pub bytes: usize,
    pub mantissa_bits: u32,
}

/// Bits, the lowest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> u64 {
        (0..count).fold(0, |value, place| {
            let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
            self.at += 1;
            value | u64::from(bit) << place
        })
    }

    /// A bit for each of these elements; those with a one.
    fn plane(&mut self, elements: &[usize]) -> Vec<usize> {
        elements.iter().copied().filter(|_| self.take(1) == 1).collect()
    }
}

/// The chunk.
pub fn decode(float: Float, stored: &[u8], base: &[u8]) -> Vec<u8> {
    let kept = u32::from(stored[0]);
    let elements = base.len() / float.bytes;
    let blocks = elements.div_ceil(64);
    let modes: Vec<u8> =
        (0..blocks).map(|block| stored[1 + block / 4] >> (2 * (block % 4)) & 3).collect();
    let rest = &stored[1 + blocks.div_ceil(4)..];
    let changed = modes.iter().filter(|mode| **mode != 0).count();
    let mut scales = rest[..changed].iter().copied();
    let mut bits = Bits { bytes: &rest[changed..], at: 0 };
    let mut out = base.to_vec();
    for (block, mode) in out.chunks_mut(64 * float.bytes).zip(modes) {
        if mode != 0 {
            decode_block(float, kept, mode, scales.next().unwrap(), &mut bits, block);
        }
    }
    assert_eq!(bits.at.div_ceil(8), bits.bytes.len(), "all bits are read");
    while !bits.at.is_multiple_of(8) {
        assert_eq!(bits.take(1), 0, "filling");
    }
    out
}

fn decode_block(float: Float, kept: u32, mode: u8, scale: u8, bits: &mut Bits, block: &mut [u8]) {
    let width = 8 * float.bytes as u32;
    let mantissa = float.mantissa_bits - kept;
    let sign = 1u64 << (width - 1);
    let parents: Vec<u64> = block
        .chunks(float.bytes)
        .map(|bytes| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
        .collect();
    let mut children = parents.clone();
    let mut live: Vec<usize> = (0..parents.len()).collect();
    let mut scale = u32::from(scale);
    if scale == 0 && mode != 3 {
        scale = bits.take(8) as u32;
        let candidates: Vec<usize> =
            live.iter().copied().filter(|i| parents[*i] & (sign - 1) != 0).collect();
        for i in bits.plane(&candidates) {
            children[i] = parents[i] & sign;
            live.retain(|other| *other != i);
        }
    }
    let magnitude = |i: usize| (parents[i] & (sign - 1)) >> kept;
    let count = |i: usize| -> u32 {
        let exponent = (magnitude(i) >> mantissa).max(1) as u32;
        match scale {
            _ if mode == 3 => mantissa,
            _ if magnitude(i) == 0 => 0,
            224.. => (scale - 224).min(mantissa + 1),
            _ => scale.saturating_sub(exponent).min(mantissa + 1),
        }
    };
    let mut low = vec![0u64; parents.len()];
    let most = live.iter().map(|i| count(*i)).max().unwrap_or(0);
    for part in (0..most).step_by(8) {
        if live.len() == 64 && live.iter().all(|i| count(*i) >= part + 8) {
            live.iter().for_each(|i| low[*i] |= bits.take(8) << part);
            continue;
        }
        for bit in part..part + 8 {
            let with: Vec<usize> = live.iter().copied().filter(|i| count(*i) > bit).collect();
            bits.plane(&with).into_iter().for_each(|i| low[i] |= 1 << bit);
        }
    }
    let mut unary = vec![0u64; parents.len()];
    let mut going = live.clone();
    for number in 0..8 {
        going = if number == 0 && mode == 2 {
            let used = bits.take(8);
            let bytes = (0..8).map(|at| if used >> at & 1 == 1 { bits.take(8) } else { 0 });
            let bytes: Vec<u64> = bytes.collect();
            let ones = (0..live.len()).filter(|at| bytes[at / 8] >> (at % 8) & 1 == 1);
            ones.map(|at| live[at]).collect()
        } else {
            bits.plane(&going)
        };
        going.iter().for_each(|i| unary[*i] += 1);
        if going.is_empty() {
            break;
        }
    }
    let residual = |i: usize| (unary[i] << count(i)) + low[i];
    let known: Vec<usize> = live.iter().copied().filter(|i| unary[*i] < 8).collect();
    let signed: Vec<usize> =
        known.iter().copied().filter(|i| mode == 3 || residual(*i) != 0).collect();
    let negative = bits.plane(&signed);
    let kept_of = |i: usize| parents[i] & ((1 << kept) - 1);
    for i in known {
        let negative = negative.contains(&i);
        if mode == 3 {
            let own = ((u64::from(scale) - unary[i]) << mantissa) + low[i];
            children[i] = own << kept | kept_of(i) | if negative { sign } else { 0 };
            continue;
        }
        let step = if negative { -(residual(i) as i64) } else { residual(i) as i64 };
        let to = magnitude(i) as i64 + step;
        let (to, crossed) = if to >= 0 { (to, 0) } else { (-to - 1, sign) };
        let to = (to as u64) << kept & (sign - 1);
        children[i] = (parents[i] & sign) ^ crossed | to | kept_of(i);
    }
    for i in going {
        children[i] = bits.take(width);
    }
    for (bytes, child) in block.chunks_mut(float.bytes).zip(children) {
        bytes.copy_from_slice(&child.to_le_bytes()[..float.bytes]);
    }
}
