use mgit::codec::{Cpu, Encoding, Lane, Profile, decode, encode_delta};

use super::{Kind, Method};

/// The codec of this crate, in one of the ways of this processor. The encoding, which the store keeps in a chunk's row, goes before.
pub struct Ours(pub Profile, pub Cpu);

impl Method for Ours {
    fn encode(&mut self, kind: Kind, child: &[u8], base: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 2]);
        let lane = Lane::of(&kind.dtype());
        let encoding = self.1.lowered(|| encode_delta(self.0, lane, child, base, out));
        out[start..start + 2].copy_from_slice(&encoding.code().to_le_bytes());
    }

    fn decode(&mut self, kind: Kind, stored: &[u8], base: &[u8], out: &mut [u8]) {
        let (code, stored) = stored.split_first_chunk().expect("an encoding");
        let encoding = Encoding::from_code(u16::from_le_bytes(*code)).expect("an encoding");
        if encoding.needs_base() {
            out.copy_from_slice(base);
        }
        let lane = Lane::of(&kind.dtype());
        self.1.lowered(|| decode(encoding, lane, stored, out)).expect("a chunk");
    }
}
