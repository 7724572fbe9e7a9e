//! Records: found, checked, decoded.

use super::encodings::{ENCODINGS, Stored};
use super::formulas::{self, Formula};

/// Reads fields one after the other.
pub struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    pub fn new(rest: &'a [u8]) -> Self {
        Bytes { rest }
    }

    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    /// A little-endian number of `len` bytes.
    pub fn number(&mut self, len: usize) -> u64 {
        self.take(len).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap()
    }

    pub fn text(&mut self) -> String {
        let len = self.number(2) as usize;
        String::from_utf8(self.take(len).to_vec()).unwrap()
    }

    pub fn blob(&mut self) -> Vec<u8> {
        let len = self.number(4) as usize;
        self.take(len).to_vec()
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// The CRC-32 of zlib, bit by bit.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0xedb8_8320 * (crc & 1));
        }
    }
    !crc
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Tensor,
    Manifest,
    Change,
}

/// One chunk of the index.
#[derive(Clone, Debug)]
struct Chunk {
    encoding: u64,
    /// Where its stored bytes are in the file.
    at: usize,
    len: usize,
}

/// A record whose every checksum is right.
#[derive(Clone, Debug)]
pub struct Record {
    pub kind: Kind,
    pub content_id: [u8; 32],
    pub base_id: Option<[u8; 32]>,
    pub sequence: u64,
    pub depth: u64,
    dtype: u8,
    chunk_len: usize,
    raw_len: usize,
    chunks: Vec<Chunk>,
    formula: Option<Formula>,
}

/// Every whole record of a file. A place that only looks like one is passed over: free space may
/// hold anything.
pub fn scan(file: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut at = 8192;
    while at < file.len() {
        match read(file, at) {
            Some((record, end)) => {
                records.push(record);
                at = end.next_multiple_of(64);
            }
            None => at += 64,
        }
    }
    records
}

/// The record that begins at `at`, and where it ends.
fn read(file: &[u8], at: usize) -> Option<(Record, usize)> {
    let header = file.get(at..at + 128).filter(|header| header.starts_with(b"MGITREC1"))?;
    let crc = u32::from_le_bytes(header[124..].try_into().unwrap());
    if crc != crc32(&header[..124]) {
        return None;
    }
    let mut input = Bytes::new(&header[8..]);
    let kind = match input.number(1) {
        1 => Kind::Tensor,
        2 => Kind::Manifest,
        3 => Kind::Change,
        other => panic!("a record of kind {other}"),
    };
    let dtype = input.number(1) as u8;
    let chunk_len = 1usize << input.number(1);
    let depth = input.number(1);
    let payload = at + input.number(4) as usize;
    let (raw_len, stored_len) = (input.number(8) as usize, input.number(8) as usize);
    let (content_id, base_id) = (input.array(), input.array::<32>());
    let sequence = input.number(8);
    assert_eq!(input.number(4), 0, "flags are reserved");
    let _store_tag = input.take(4);
    let index_crc = input.number(4);
    let (formula_len, formula_crc) = (input.number(4) as usize, input.number(4));
    let base_id = (base_id != [0; 32]).then_some(base_id);
    assert_eq!(base_id.is_some(), depth > 0);

    let index_end = at + 128 + 12 * raw_len.div_ceil(chunk_len);
    let index = file.get(at + 128..index_end)?;
    if u64::from(crc32(index)) != index_crc {
        return None;
    }
    let block = file.get(index_end..index_end + formula_len)?;
    if formula_len > 0 && u64::from(crc32(block)) != formula_crc {
        return None;
    }
    let formula = (formula_len > 0).then(|| Formula::read(block));
    let (mut chunks, mut next) = (Vec::new(), payload);
    for entry in index.chunks(12) {
        let mut entry = Bytes::new(entry);
        let (len, crc) = (entry.number(4) as usize, entry.number(4));
        let encoding = entry.number(2);
        assert_eq!(entry.number(2), 0, "reserved bytes are zero");
        if u64::from(crc32(file.get(next..next + len)?)) != crc {
            return None;
        }
        chunks.push(Chunk { encoding, at: next, len });
        next += len;
    }
    assert_eq!(next, payload + stored_len, "the chunks are the payload");
    let record = Record {
        kind,
        content_id,
        base_id,
        sequence,
        depth,
        dtype,
        chunk_len,
        raw_len,
        chunks,
        formula,
    };
    Some((record, next))
}

impl Record {
    /// The content ids of its bases, in order.
    pub fn bases(&self) -> Vec<[u8; 32]> {
        match &self.formula {
            Some(formula) => formula.bases.iter().map(|(id, _)| *id).collect(),
            None => self.base_id.into_iter().collect(),
        }
    }

    /// The content, from those of its bases.
    pub fn decode(&self, file: &[u8], bases: &[Vec<u8>]) -> Vec<u8> {
        let made =
            self.formula.as_ref().map(|f| formulas::make(f, bases, self.dtype, self.raw_len));
        let base = made.as_deref().or(bases.first().map(Vec::as_slice));
        let mut content = Vec::new();
        for chunk in &self.chunks {
            let len = self.chunk_len.min(self.raw_len - content.len());
            let stored = Stored {
                bytes: &file[chunk.at..chunk.at + chunk.len],
                base: base.map(|base| &base[content.len()..content.len() + len]),
                dtype: self.dtype,
                len,
            };
            let known = ENCODINGS.iter().find(|(code, _)| *code == chunk.encoding);
            let (_, decode) = known.unwrap_or_else(|| panic!("encoding {}", chunk.encoding));
            let decoded = decode(&stored);
            assert_eq!(decoded.len(), len);
            content.extend_from_slice(&decoded);
        }
        content
    }
}
