use mgit::codec::{Encoding, Lane, Profile, decode, encode_delta};

use super::{Kind, Method};

/// The codec of this crate. The encoding, which the store keeps in a chunk's row, goes before.
pub struct Ours(pub Profile);

impl Method for Ours {
    fn encode(&mut self, kind: Kind, child: &[u8], base: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 2]);
        let encoding = encode_delta(self.0, Lane::of(&kind.dtype()), child, base, out);
        out[start..start + 2].copy_from_slice(&encoding.code().to_le_bytes());
    }

    fn decode(&mut self, kind: Kind, stored: &[u8], base: &[u8], out: &mut [u8]) {
        let (code, stored) = stored.split_first_chunk().expect("an encoding");
        let encoding = Encoding::from_code(u16::from_le_bytes(*code)).expect("an encoding");
        if encoding.needs_base() {
            out.copy_from_slice(base);
        }
        decode(encoding, Lane::of(&kind.dtype()), stored, out).expect("a chunk");
    }
}
