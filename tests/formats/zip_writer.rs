//! Zip archives made by hand, to be spoiled.

/// An archive, and where its parts are.
#[derive(Clone)]
pub struct Built {
    pub bytes: Vec<u8>,
    /// The local headers.
    pub local: Vec<usize>,
    /// The entries of the directory.
    pub central: Vec<usize>,
    /// The zip64 end record, if there is one.
    pub end64: Option<usize>,
    pub end: usize,
}

impl Built {
    /// With these bytes put at this place.
    pub fn with(&self, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut changed = self.bytes.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    }
}

/// An archive of entries: a name, a method, and the bytes as they stand in the file.
pub fn zip(entries: &[(&str, u16, &[u8])], zip64: bool) -> Built {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    let (mut local, mut central) = (Vec::new(), Vec::new());
    for (name, method, content) in entries {
        let header = bytes.len();
        local.push(header);
        central.push(directory.len());
        let len = content.len() as u32;
        let crc32 = crc32(content);
        let mut common =
            [20u16.to_le_bytes(), [0; 2], method.to_le_bytes(), [0; 2], [0; 2]].concat();
        for number in [crc32, len, len] {
            common.extend(number.to_le_bytes());
        }
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&common);
        bytes.extend(name.as_bytes());
        bytes.extend(*content);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((header as u32).to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (begin, len) = (bytes.len(), directory.len());
    central.iter_mut().for_each(|at| *at += begin);
    bytes.extend(directory);
    let end64 = zip64.then_some(bytes.len());
    if let Some(at) = end64 {
        bytes.extend(b"PK\x06\x06");
        bytes.extend(44u64.to_le_bytes());
        bytes.extend([0; 12]);
        for number in [entries.len(), entries.len(), len, begin] {
            bytes.extend((number as u64).to_le_bytes());
        }
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend((at as u64).to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
    }
    let end = bytes.len();
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    for _ in 0..2 {
        bytes.extend((entries.len() as u16).to_le_bytes());
    }
    for number in [len, begin] {
        bytes.extend((number as u32).to_le_bytes());
    }
    bytes.extend([0; 2]);
    Built { bytes, local, central, end64, end }
}

/// The checksum of an entry, bit by bit.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1))
        })
    })
}
