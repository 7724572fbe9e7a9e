//! The worked example: the structures of a tiny store, and how the page shows bytes.

use mgit::catalog::RecordRow;
use mgit::format::*;
use mgit::tensor::{ContentId, Dtype};

use super::page::{hex, section};

pub fn example_superblock() -> Superblock {
    Superblock {
        format_version: FORMAT_VERSION,
        state: StoreState::Live,
        store_id: std::array::from_fn(|at| at as u8),
        generation: 1,
        reader_flags: FEATURE_SHARED_TABLE,
        writer_flags: 0,
        catalog_len: 73_728,
        extents: vec![Extent { offset: DATA_START, len: 73_728 }],
    }
}

pub const VALUES: [f32; 3] = [1.0, 2.0, 3.0];

pub fn example_index() -> Vec<u8> {
    let values: &[u8] = mgit::bytemuck::cast_slice(&VALUES);
    let crc = crc32(values);
    ChunkEntry::encode_all(&[ChunkEntry { stored_len: 12, crc, encoding: 0 }])
}

pub fn example_header() -> RecordHeader {
    RecordHeader {
        kind: RecordKind::Tensor,
        dtype_code: Dtype::F32.code(),
        chunk_log2: CHUNK_LOG2,
        depth: 0,
        payload_offset: 192,
        raw_len: 12,
        stored_len: 12,
        content_id: ContentId::of(mgit::bytemuck::cast_slice(&VALUES)),
        base_id: ContentId::NONE,
        sequence: 1,
        store_tag: [0, 1, 2, 3],
        index_crc: crc32(&example_index()),
        formula_len: 0,
        formula_crc: 0,
    }
}

pub fn example_record() -> Vec<u8> {
    let mut bytes = example_header().encode();
    bytes.extend(example_index());
    bytes.resize(192, 0);
    bytes.extend_from_slice(mgit::bytemuck::cast_slice(&VALUES));
    bytes
}

pub fn example_row() -> RecordRow {
    RecordRow {
        offset: 81_920,
        len: 204,
        raw_len: 12,
        stored_len: 12,
        base_id: ContentId::NONE,
        depth: 0,
        formula: 0,
        encodings: 1,
        holders: 1,
        dependents: 0,
        more_bases: Vec::new(),
    }
}

/// CRC-32 as the conventions describe it.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

/// Lines of 16 bytes; lines of zeros only are left out.
pub fn hexdump(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.chunks(16).enumerate().filter(|(_, line)| line.iter().any(|b| *b != 0));
    let text = |(at, line): (usize, &[u8])| {
        let shown = |byte: &u8| if (0x20..0x7f).contains(byte) { *byte as char } else { '.' };
        let chars: String = line.iter().map(shown).collect();
        format!("{:08x}  {:<47}  |{chars}|", at * 16, hex(line))
    };
    lines.map(text).collect()
}

pub fn assert_hexdump(heading: &str, bytes: &[u8]) {
    let lines = section(heading);
    let said = lines.iter().skip_while(|line| **line != "```").skip(1);
    let said: Vec<_> = said.take_while(|line| **line != "```").copied().collect();
    let code = hexdump(bytes);
    assert_eq!(said, code, "{heading}:\n{}", code.join("\n"));
}

/// The LZ4 block format, read naively.
pub fn lz4_block(bytes: &[u8]) -> Vec<u8> {
    let (mut at, mut out) = (0, Vec::new());
    let more = |at: &mut usize, nibble: usize| {
        let mut len = nibble;
        let mut last = if nibble == 15 { 255 } else { 0 };
        while last == 255 {
            last = bytes[*at];
            len += last as usize;
            *at += 1;
        }
        len
    };
    while at < bytes.len() {
        let token = bytes[at] as usize;
        at += 1;
        let literals = more(&mut at, token >> 4);
        out.extend_from_slice(&bytes[at..at + literals]);
        at += literals;
        if at == bytes.len() {
            break;
        }
        let distance = bytes[at] as usize | (bytes[at + 1] as usize) << 8;
        at += 2;
        for _ in 0..more(&mut at, token & 15) + 4 {
            out.push(out[out.len() - distance]);
        }
    }
    out
}
