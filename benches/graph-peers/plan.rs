//! The graph that all contestants hold.

/// A small seeded generator (splitmix64).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A node: the number of its name, and its parents.
pub struct Planned {
    /// Nodes of one name are its versions.
    pub name: usize,
    /// Places of nodes before it.
    pub parents: Vec<usize>,
}

/// A family of `count` models: most are fine-tuned from one of the thousand before, one in ten is
/// a merge of two, one in five is the next version of another, one in a thousand is a root.
pub fn plan(count: usize) -> Vec<Planned> {
    let mut random = Random(7);
    let mut nodes: Vec<Planned> = Vec::with_capacity(count);
    for at in 0..count {
        let name = match random.below(5) {
            0 if at > 0 => nodes[random.below(at)].name,
            _ => at,
        };
        let parents = match random.below(1000) {
            0 => 0,
            1..=100 => 2,
            _ => 1,
        };
        let mut parents: Vec<usize> =
            (0..parents.min(at)).map(|_| at - 1 - random.below(at.min(1000))).collect();
        parents.sort_unstable();
        parents.dedup();
        nodes.push(Planned { name, parents });
    }
    nodes
}
