//! What contents take in each way in which they may be stored.

/// How a content is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stand {
    /// By itself.
    #[default]
    Alone,
    /// As a difference from this one.
    On(usize),
    /// By the formula of this place among those that it may be made by.
    Made(usize),
}

/// A formula that a content may be made by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Making {
    /// What it is made of, each once.
    pub bases: Vec<usize>,
    /// What it takes then.
    pub cost: u64,
    /// Whether nothing differs from it: it is then no step of a chain of differences.
    pub exact: bool,
}

/// Contents that may stand on each other, and what that costs.
#[derive(Clone, Debug, Default)]
pub struct BaseCosts {
    /// What each takes alone.
    pub alone: Vec<u64>,
    /// For each the contents it may stand on, and what it takes then.
    pub edges: Vec<Vec<(usize, u64)>>,
    /// For each the formulas it may be made by.
    pub made: Vec<Vec<Making>>,
    /// How each is stored already.
    pub present: Vec<Stand>,
    /// Those that stay as they are, whatever it costs: they may be stood on, at the depth they are.
    pub fixed: Vec<Option<u8>>,
    /// The most differences that decoding one may pass.
    pub steps_max: u8,
    /// The greatest depth, in which formulas count too.
    pub depth_max: u8,
    /// Those that need not be kept where nothing stands on them. None of them is fixed.
    pub hidden: Vec<bool>,
}

impl BaseCosts {
    /// How many places, edges and formulas there are.
    pub(super) fn size(&self) -> usize {
        let made: usize = self.made.iter().flatten().map(|made| made.bases.len()).sum();
        self.alone.len() + self.edges.iter().map(Vec::len).sum::<usize>() + made
    }

    /// The contents that edges and formulas connect, in either direction: each part ascends.
    pub fn connected(&self) -> Vec<Vec<usize>> {
        let count = self.alone.len();
        let mut beside = vec![Vec::new(); count];
        for (at, edges) in self.edges.iter().enumerate() {
            let made = self.made[at].iter().flat_map(|made| made.bases.iter().copied());
            let present = match self.present[at] {
                Stand::On(base) => Some(base),
                _ => None,
            };
            for other in edges.iter().map(|(base, _)| *base).chain(made).chain(present) {
                beside[at].push(other);
                beside[other].push(at);
            }
        }
        let mut seen = vec![false; count];
        let mut parts = Vec::new();
        for start in 0..count {
            let mut part = Vec::new();
            let mut open = vec![start];
            while let Some(at) = open.pop() {
                if !std::mem::replace(&mut seen[at], true) {
                    part.push(at);
                    open.extend(&beside[at]);
                }
            }
            if !part.is_empty() {
                part.sort_unstable();
                parts.push(part);
            }
        }
        parts
    }

    /// The costs of some contents, all that they are connected to among them, in their order.
    pub fn of_part(&self, part: &[usize]) -> BaseCosts {
        // What is connected is in the part.
        let place = |at: usize| part.binary_search(&at).unwrap_or_default();
        let edges =
            |at: &usize| self.edges[*at].iter().map(|(base, cost)| (place(*base), *cost)).collect();
        let made = |at: &usize| {
            let made = self.made[*at].iter();
            let bases = |made: &Making| made.bases.iter().map(|base| place(*base)).collect();
            made.map(|made| Making { bases: bases(made), ..made.clone() }).collect()
        };
        let present = |at: &usize| match self.present[*at] {
            Stand::On(base) => Stand::On(place(base)),
            stand => stand,
        };
        BaseCosts {
            alone: part.iter().map(|at| self.alone[*at]).collect(),
            edges: part.iter().map(edges).collect(),
            made: part.iter().map(made).collect(),
            present: part.iter().map(present).collect(),
            fixed: part.iter().map(|at| self.fixed[*at]).collect(),
            steps_max: self.steps_max,
            depth_max: self.depth_max,
            hidden: part.iter().map(|at| self.hidden[*at]).collect(),
        }
    }
}
