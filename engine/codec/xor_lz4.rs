//! XOR with the base, split into byte planes, each plane stored the shortest way.
//!
//! Layout: one u32 a plane with the length of its stored bytes, then the planes' stored bytes one
//! after the other. A stored length of 0 is a plane of zeros, one equal to the plane's length is
//! the plane itself, a shorter one is an LZ4 block.

use super::{lz4, planes};

/// Bytes before the planes for a lane of this width.
fn head_len(lane: usize) -> usize {
    4 * lane
}

/// Lanes that do not fill the chunk are coded as bytes.
fn effective_lane(lane: usize, len: usize) -> usize {
    if matches!(lane, 2 | 4 | 8) && len.is_multiple_of(lane) { lane } else { 1 }
}

/// Appends the encoded `chunk` to `out`. `chunk` and `base` have the same length.
pub(super) fn encode(lane: usize, chunk: &[u8], base: &[u8], out: &mut Vec<u8>) {
    let lane = effective_lane(lane, chunk.len());
    let mut scratch = vec![0; chunk.len()];
    planes::xor_split(lane, chunk, base, &mut scratch);
    let head = out.len();
    out.resize(head + head_len(lane), 0);
    for (k, plane) in scratch.chunks((chunk.len() / lane).max(1)).enumerate() {
        let start = out.len();
        if plane.iter().any(|byte| *byte != 0) {
            lz4::encode(plane, out);
            if out.len() - start >= plane.len() {
                out.truncate(start);
                out.extend_from_slice(plane);
            }
        }
        let stored = (out.len() - start) as u32;
        if let Some(field) = out.get_mut(head + 4 * k..head + 4 * k + 4) {
            field.copy_from_slice(&stored.to_le_bytes());
        }
    }
}

/// Turns the base's bytes in `out` into the chunk's.
pub(super) fn decode(lane: usize, stored: &[u8], out: &mut [u8]) -> Result<(), String> {
    let lane = effective_lane(lane, out.len());
    let plane_len = out.len() / lane;
    let (head, mut rest) = stored
        .split_at_checked(head_len(lane))
        .ok_or_else(|| format!("{} bytes, shorter than the plane lengths", stored.len()))?;
    let mut scratch = vec![0; out.len()];
    let lengths = head.chunks_exact(4).map(|field| field.try_into().map(u32::from_le_bytes));
    for (plane, length) in scratch.chunks_mut(plane_len.max(1)).zip(lengths) {
        let length = length.map_err(|_| "a cut plane length".to_owned())? as usize;
        let (bytes, behind) = rest
            .split_at_checked(length)
            .ok_or_else(|| format!("a plane of {length} bytes where {} are left", rest.len()))?;
        rest = behind;
        match length {
            0 => {}
            length if length == plane.len() => plane.copy_from_slice(bytes),
            length if length > plane.len() => {
                return Err(format!("a plane of {} bytes in {length}", plane.len()));
            }
            _ => lz4::decode(bytes, plane)?,
        }
    }
    if !rest.is_empty() {
        return Err(format!("{} bytes behind the last plane", rest.len()));
    }
    planes::xor_join(lane, &scratch, out);
    Ok(())
}
