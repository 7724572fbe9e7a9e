//! Huffman codes of bytes, at most 11 bits long, in four streams that are decoded side by side.
//!
//! Stored: the first and the last byte that occur, the lengths of the codes between in four bits
//! each, the lengths of the first three streams, the streams.

const LONGEST: u32 = 11;

/// Codes that fit a word of 64 bits beside seven bits left over.
const AT_ONCE: usize = 5;

/// Bytes behind the last stream, so that a whole word can be read anywhere.
const PADDING: usize = 8;

/// Appends the code of `bytes`; `false` and nothing appended where it would not be shorter.
pub fn encode(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let counts = count(bytes);
    let Some(first) = counts.iter().position(|count| *count > 0) else { return false };
    let last = counts.iter().rposition(|count| *count > 0).unwrap_or(first);
    let lengths = lengths(&counts);
    let bits: u64 = counts.iter().zip(&lengths).map(|(n, len)| u64::from(n * len)).sum();
    if bits / 8 + 160 > bytes.len() as u64 {
        return false;
    }
    out.extend_from_slice(&[first as u8, last as u8]);
    for pair in lengths[first..=last].chunks(2) {
        out.push(pair[0] as u8 | (pair.get(1).copied().unwrap_or(0) << 4) as u8);
    }
    let codes = codes(&lengths);
    let lengths_at = out.len();
    out.extend_from_slice(&[0; 12]);
    for (stream, part) in bytes.chunks(bytes.len().div_ceil(4)).enumerate() {
        let start = out.len();
        encode_stream(part, &codes, out);
        if stream < 3 {
            let len = (out.len() - start) as u32;
            out[lengths_at + 4 * stream..][..4].copy_from_slice(&len.to_le_bytes());
        }
    }
    out.extend_from_slice(&[0; PADDING]);
    true
}

/// Counts in four tables, so that equal bytes in a row do not wait for each other.
fn count(bytes: &[u8]) -> [u32; 256] {
    let mut tables = [[0u32; 256]; 4];
    let (quads, rest) = bytes.as_chunks::<4>();
    for quad in quads {
        for (table, byte) in tables.iter_mut().zip(quad) {
            table[usize::from(*byte)] += 1;
        }
    }
    rest.iter().for_each(|byte| tables[0][usize::from(*byte)] += 1);
    std::array::from_fn(|byte| tables.iter().map(|table| table[byte]).sum())
}

/// Lengths of the codes: Huffman's, those that are too long cut, and others lengthened until all
/// fit again.
fn lengths(counts: &[u32; 256]) -> [u32; 256] {
    let mut lengths = [0; 256];
    let mut sorted: Vec<usize> = (0..256).filter(|byte| counts[*byte] > 0).collect();
    sorted.sort_by_key(|byte| counts[*byte]);
    if let [only] = sorted[..] {
        lengths[only] = 1;
        return lengths;
    }
    // Two queues: leaves, and nodes in the order they are made in, both by rising weight.
    let leaves = sorted.len();
    let mut weights: Vec<u32> = sorted.iter().map(|byte| counts[*byte]).collect();
    let mut parents = vec![0; 2 * leaves - 1];
    let (mut leaf, mut node) = (0, leaves);
    while weights.len() < 2 * leaves - 1 {
        let new = weights.len();
        let mut weight = 0;
        for _ in 0..2 {
            let take_leaf = leaf < leaves && (node == new || weights[leaf] <= weights[node]);
            let next = if take_leaf { &mut leaf } else { &mut node };
            weight += weights[*next];
            parents[*next] = new;
            *next += 1;
        }
        weights.push(weight);
    }
    let mut depths = vec![0u32; 2 * leaves - 1];
    for node in (0..2 * leaves - 2).rev() {
        depths[node] = depths[parents[node]] + 1;
    }
    // What all codes take of the 2^11 that there are; the rarest are lengthened first.
    let mut taken = 0;
    for depth in &mut depths[..leaves] {
        *depth = (*depth).min(LONGEST);
        taken += 1 << (LONGEST - *depth);
    }
    while taken > 1 << LONGEST {
        let next = (0..leaves).find(|leaf| depths[*leaf] < LONGEST).expect("256 codes fit");
        depths[next] += 1;
        taken -= 1 << (LONGEST - depths[next]);
    }
    // Room that is left over goes to the commonest.
    for depth in depths[..leaves].iter_mut().rev() {
        while *depth > 1 && taken + (1 << (LONGEST - *depth)) <= 1 << LONGEST {
            taken += 1 << (LONGEST - *depth);
            *depth -= 1;
        }
    }
    for (byte, depth) in sorted.iter().zip(&depths) {
        lengths[*byte] = *depth;
    }
    lengths
}

/// Each byte's code, first bit lowest, and its length.
fn codes(lengths: &[u32; 256]) -> [(u16, u8); 256] {
    let mut codes = [(0, 0); 256];
    let mut next = 0u32;
    for length in 1..=LONGEST {
        for byte in (0..256).filter(|byte| lengths[*byte] == length) {
            codes[byte] = (next.reverse_bits() >> (32 - LONGEST), length as u8);
            next += 1 << (LONGEST - length);
        }
    }
    codes.map(|(code, length)| (code as u16, length))
}

fn encode_stream(bytes: &[u8], codes: &[(u16, u8); 256], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len() * LONGEST as usize / 8 + 16, 0);
    let target = &mut out[start..];
    let (mut word, mut bits, mut at) = (0u64, 0u32, 0);
    let mut put = |bytes: &[u8]| {
        for byte in bytes {
            let (code, length) = codes[usize::from(*byte)];
            word |= u64::from(code) << bits;
            bits += u32::from(length);
        }
        target[at..at + 8].copy_from_slice(&word.to_le_bytes());
        at += (bits / 8) as usize;
        // At most 62 bits: never a whole word.
        word >>= bits / 8 * 8;
        bits %= 8;
    };
    let (groups, rest) = bytes.as_chunks::<AT_ONCE>();
    groups.iter().for_each(|group| put(group));
    put(rest);
    let end = start + at + usize::from(bits > 0);
    out.truncate(end);
}

/// Decodes what [`encode`] wrote for as many bytes as `out` has.
pub fn decode(stored: &[u8], out: &mut [u8]) {
    let (first, last) = (usize::from(stored[0]), usize::from(stored[1]));
    let (nibbles, stored) = stored[2..].split_at((last - first + 2) / 2);
    let mut lengths = [0; 256];
    for (at, length) in lengths[first..=last].iter_mut().enumerate() {
        *length = u32::from(nibbles[at / 2] >> (at % 2 * 4) & 15);
    }
    let mut table = [(0u8, 0u8); 1 << LONGEST];
    for (byte, (code, length)) in codes(&lengths).into_iter().enumerate() {
        if length > 0 {
            for entry in table.iter_mut().skip(usize::from(code)).step_by(1 << length) {
                *entry = (byte as u8, length);
            }
        }
    }
    let (sizes, streams) = stored.split_at(12);
    let mut starts = [0; 4];
    for (stream, size) in sizes.as_chunks().0.iter().enumerate() {
        starts[stream + 1] = starts[stream] + u32::from_le_bytes(*size) as usize;
    }
    decode_streams(streams, starts.map(|start| start * 8), &table, out);
}

fn decode_streams(
    streams: &[u8],
    mut at: [usize; 4],
    table: &[(u8, u8); 1 << LONGEST],
    out: &mut [u8],
) {
    let mut parts = out.chunks_mut(out.len().div_ceil(4));
    let mut parts: [&mut [u8]; 4] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let groups = parts.each_ref().map(|part| part.len() / AT_ONCE);
    let word_at = |bit: usize| {
        let word = streams[bit / 8..].first_chunk().expect("padding behind the streams");
        u64::from_le_bytes(*word) >> (bit % 8)
    };
    let together = groups[3];
    for group in 0..together {
        let mut words: [u64; 4] = std::array::from_fn(|stream| word_at(at[stream]));
        // Byte by byte of all four, so that no stream waits for itself.
        let mut rows = [[0; 4]; AT_ONCE];
        for row in &mut rows {
            for ((out, word), at) in row.iter_mut().zip(&mut words).zip(&mut at) {
                let (byte, length) = table[*word as usize % (1 << LONGEST)];
                *out = byte;
                *word >>= length;
                *at += usize::from(length);
            }
        }
        for (stream, part) in parts.iter_mut().enumerate() {
            let bytes = rows.map(|row| row[stream]);
            part[group * AT_ONCE..][..AT_ONCE].copy_from_slice(&bytes);
        }
    }
    for (part, at) in parts.iter_mut().zip(&mut at) {
        for out in &mut part[together * AT_ONCE..] {
            let (byte, length) = table[word_at(*at) as usize % (1 << LONGEST)];
            *out = byte;
            *at += usize::from(length);
        }
    }
}
