//! One LZ4 block, without its length: the chunk's is known.

/// Appends the LZ4 block of `chunk` to `out`.
pub(super) fn encode(chunk: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + lz4_flex::block::get_maximum_output_size(chunk.len()).max(1), 0);
    let room = out.get_mut(start..).unwrap_or_default();
    // The room is the maximum, so this does not fail; if it ever did, the block left here is
    // longer than the chunk and the caller keeps the chunk raw.
    if let Ok(len) = lz4_flex::block::compress_into(chunk, room) {
        out.truncate(start + len);
    }
}

/// Decodes one LZ4 block that fills `out` exactly.
pub(super) fn decode(stored: &[u8], out: &mut [u8]) -> Result<(), String> {
    match lz4_flex::block::decompress_into(stored, out) {
        Ok(len) if len == out.len() => Ok(()),
        Ok(len) => Err(format!("{len} bytes decoded, {} expected", out.len())),
        Err(error) => Err(error.to_string()),
    }
}
