use super::{Kind, Method, Zstd, planes};

/// TensorDex: XOR with the parent in pieces of 2 MiB, byte planes, zstd at level 1.
pub struct TensorDex {
    zstd: Zstd,
    planes: Vec<u8>,
}

impl TensorDex {
    pub fn new() -> Self {
        TensorDex { zstd: Zstd::new(1), planes: Vec::new() }
    }
}

impl Method for TensorDex {
    fn encode(&mut self, kind: Kind, child: &[u8], base: &[u8], out: &mut Vec<u8>) {
        self.planes.resize(child.len(), 0);
        planes::xor_split(kind.bytes(), child, base, &mut self.planes);
        self.zstd.encode(&self.planes, out);
    }

    fn decode(&mut self, kind: Kind, stored: &[u8], base: &[u8], out: &mut [u8]) {
        self.planes.resize(out.len(), 0);
        self.zstd.decode(stored, &mut self.planes);
        planes::join_xor(kind.bytes(), &self.planes, base, out);
    }
}
