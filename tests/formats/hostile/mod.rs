//! Files that lie: they are refused, with the reason, and leave nothing behind.

mod files;
mod import;
mod shards;

/// A safetensors file of this header and data, whatever they say.
fn file_of(header: impl AsRef<[u8]>, data: &[u8]) -> Vec<u8> {
    let header = header.as_ref();
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}
