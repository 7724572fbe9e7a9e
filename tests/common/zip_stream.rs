//! Zip archives of stored entries, written without holding them.

use std::io::{self, Write};

/// What hands the bytes of an entry out, piece by piece; it is called twice.
pub type Pieces<'p> = &'p dyn Fn(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>;

/// An archive that is being written, below 4 GiB; of any number of entries.
pub struct ZipStream<'w> {
    out: &'w mut dyn Write,
    at: u64,
    directory: Vec<u8>,
    count: u64,
}

impl<'w> ZipStream<'w> {
    pub fn new(out: &'w mut dyn Write) -> Self {
        ZipStream { out, at: 0, directory: Vec::new(), count: 0 }
    }

    /// Adds these bytes, which begin at a multiple of `alignment`, as torch lays them.
    pub fn entry(&mut self, name: &str, bytes: &[u8], alignment: u64) -> io::Result<()> {
        self.pieces(name, bytes.len() as u64, alignment, &|each| each(bytes))
    }

    /// As [`entry`](Self::entry), of `len` bytes that are made.
    pub fn pieces(
        &mut self,
        name: &str,
        len: u64,
        alignment: u64,
        pieces: Pieces<'_>,
    ) -> io::Result<()> {
        let mut crc = crc32fast::Hasher::new();
        pieces(&mut |part| {
            crc.update(part);
            Ok(())
        })?;
        let (len, header) = (u32::try_from(len).map_err(io::Error::other)?, self.at as u32);
        let mut extra = Vec::new();
        if alignment > 1 {
            let begin = self.at + 30 + name.len() as u64 + 4;
            let fill = begin.next_multiple_of(alignment) - begin;
            extra = [&b"FB"[..], &(fill as u16).to_le_bytes(), &vec![b'Z'; fill as usize]].concat();
        }
        let mut common = [20u16, 0, 0, 0, 0].map(u16::to_le_bytes).concat();
        common.extend([crc.finalize(), len, len].map(u32::to_le_bytes).concat());
        common.extend((name.len() as u16).to_le_bytes());
        let extra_len = (extra.len() as u16).to_le_bytes();
        let local = [b"PK\x03\x04", &common[..], &extra_len, name.as_bytes(), &extra].concat();
        self.out.write_all(&local)?;
        pieces(&mut |part| self.out.write_all(part))?;
        self.at += local.len() as u64 + u64::from(len);
        self.directory.extend(b"PK\x01\x02\x14\0");
        self.directory.extend(common);
        self.directory.extend([0; 12]);
        self.directory.extend(header.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count += 1;
        Ok(())
    }

    /// Writes the directory.
    pub fn finish(self) -> io::Result<()> {
        let (len, begin) = (self.directory.len() as u64, self.at);
        self.out.write_all(&self.directory)?;
        let count = u16::try_from(self.count).unwrap_or(u16::MAX);
        if count == u16::MAX {
            let mut end = [&b"PK\x06\x06"[..], &44u64.to_le_bytes(), &[0; 12]].concat();
            end.extend([self.count, self.count, len, begin].map(u64::to_le_bytes).concat());
            end.extend([&b"PK\x06\x07\0\0\0\0"[..], &(begin + len).to_le_bytes()].concat());
            end.extend(1u32.to_le_bytes());
            self.out.write_all(&end)?;
        }
        let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
        end.extend([count, count].map(u16::to_le_bytes).concat());
        end.extend([len as u32, begin as u32].map(u32::to_le_bytes).concat());
        end.extend([0; 2]);
        self.out.write_all(&end)
    }
}
