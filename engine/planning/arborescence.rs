//! Which contents stand on which, for a whole store: the least storage under a bound on depth.
//!
//! A minimum-cost arborescence whose depth is bounded is NP-hard, so this is a heuristic: greedy
//! starts, then moves that make the sum smaller until none does. Every result keeps the bound.
//! Contents that no edge connects are planned apart. Hidden contents, which no model names, are
//! there only where what stands on them saves more than they take.

use rayon::prelude::*;

/// Contents that may stand on each other, and what that costs.
#[derive(Clone, Debug, Default)]
pub struct BaseCosts {
    /// What each takes alone.
    pub alone: Vec<u64>,
    /// For each the contents it may stand on, and what it takes then.
    pub edges: Vec<Vec<(usize, u64)>>,
    /// What each stands on already, where it does.
    pub present: Vec<Option<usize>>,
    /// Those that stay as they are, whatever it costs: they may be stood on, at the depth they are.
    pub fixed: Vec<Option<u8>>,
    /// The greatest depth that each may have, for the sake of what stands on it and is not here.
    pub depth_max: Vec<u8>,
    /// Those that need not be kept where nothing stands on them. One that is fixed too takes what
    /// it takes alone.
    pub hidden: Vec<bool>,
}

/// What stands on what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePlan {
    /// For each what it is to stand on, `None` for alone.
    pub base: Vec<Option<usize>>,
    /// Whether it is kept: of those that are not hidden, all.
    pub kept: Vec<bool>,
    /// What all that are kept take, without those that are fixed and not hidden.
    pub sum: u64,
}

/// Rounds of shaking a result and improving it again.
const SHAKES: usize = 150;
/// Looking stops after so many edges tried: a larger group is shaken less.
const WORK_MAX: usize = 1 << 25;

/// A forest being built: who stands on whom, with what that makes of depths.
#[derive(Clone)]
struct Forest<'c> {
    costs: &'c BaseCosts,
    base: Vec<Option<usize>>,
    above: Vec<Vec<usize>>,
    kept: Vec<bool>,
    sum: u64,
}

impl<'c> Forest<'c> {
    /// All that `kept` says, each alone.
    fn alone(costs: &'c BaseCosts, kept: Vec<bool>) -> Self {
        let count = costs.alone.len();
        let (base, above) = (vec![None; count], vec![Vec::new(); count]);
        let mut forest = Forest { costs, base, above, kept, sum: 0 };
        forest.sum = (0..count).filter(|at| forest.kept[*at]).map(|at| forest.now(at)).sum();
        forest
    }

    /// All that models name, each alone.
    fn named(costs: &'c BaseCosts) -> Self {
        Forest::alone(costs, costs.hidden.iter().map(|hidden| !hidden).collect())
    }

    /// What is present, as far as it keeps the bounds.
    fn present(costs: &'c BaseCosts) -> Self {
        let mut present = Forest::alone(costs, vec![true; costs.alone.len()]);
        for at in 0..costs.alone.len() {
            // Each behind what it stands on; what cannot be put so is alone.
            let mut path = vec![at];
            while let Some(base) = path.last().and_then(|at| costs.present[*at])
                && path.len() <= usize::from(u8::MAX)
            {
                path.push(base);
            }
            for pair in path.windows(2).rev() {
                if present.gain(pair[0], Some(pair[1])).is_some() {
                    present.put(pair[0], Some(pair[1]));
                }
            }
        }
        (0..costs.alone.len()).for_each(|at| present.settle(at));
        present
    }

    fn cost(&self, at: usize, base: Option<usize>) -> Option<u64> {
        match base {
            None if self.costs.fixed[at].is_some() && !self.costs.hidden[at] => Some(0),
            None => Some(self.costs.alone[at]),
            Some(base) => {
                let mut edges = self.costs.edges[at].iter();
                edges.find(|(place, _)| *place == base).map(|(_, cost)| *cost)
            }
        }
    }

    fn now(&self, at: usize) -> u64 {
        self.cost(at, self.base[at]).unwrap_or(u64::MAX / 4)
    }

    fn depth(&self, mut at: usize) -> u8 {
        let mut depth = 0u8;
        loop {
            if let Some(fixed) = self.costs.fixed[at] {
                return depth.saturating_add(fixed);
            }
            let Some(base) = self.base[at] else { return depth };
            (at, depth) = (base, depth.saturating_add(1));
        }
    }

    /// How much deeper than it is `at` may become, with all that stands on it.
    fn fits(&self, at: usize, depth: u8) -> bool {
        depth <= self.costs.depth_max[at]
            && self.above[at].iter().all(|above| self.fits(*above, depth.saturating_add(1)))
    }

    fn stands_on(&self, mut at: usize, below: usize) -> bool {
        loop {
            if at == below {
                return true;
            }
            let Some(base) = self.base[at] else { return false };
            at = base;
        }
    }

    /// Whether `at` goes when no more than `count` others stand on it.
    fn goes_below(&self, at: usize, count: usize) -> bool {
        self.costs.hidden[at] && self.kept[at] && self.above[at].len() <= count
    }

    /// What the hidden ones take that go when `at` moves to `base`.
    fn let_go(&self, at: usize, base: Option<usize>) -> u64 {
        let mut sum = 0;
        let mut below = self.base[at];
        while let Some(at) = below.filter(|at| Some(*at) != base && self.goes_below(*at, 1)) {
            sum += self.now(at);
            below = self.base[at];
        }
        sum
    }

    /// Lets go of `at` when it is hidden and nothing stands on it, and of what it stood on.
    fn settle(&mut self, mut at: usize) {
        while self.goes_below(at, 0) {
            self.sum -= self.now(at);
            self.kept[at] = false;
            let Some(base) = self.base[at].take() else { return };
            self.above[base].retain(|above| *above != at);
            at = base;
        }
    }

    /// What moving `at` onto `base` saves; `None` when it may not.
    fn gain(&self, at: usize, base: Option<usize>) -> Option<i128> {
        let kept = self.kept[at] && base.is_none_or(|base| self.kept[base]);
        if !kept || self.costs.fixed[at].is_some() || self.base[at] == base {
            return None;
        }
        let now = self.now(at) + self.let_go(at, base);
        let gain = i128::from(now) - i128::from(self.cost(at, base)?);
        let depth = match base {
            None => 0,
            Some(base) if self.stands_on(base, at) => return None,
            Some(base) => self.depth(base).checked_add(1)?,
        };
        self.fits(at, depth).then_some(gain)
    }

    /// Puts `at` onto `base`, which is kept; so is `at` then.
    fn put(&mut self, at: usize, base: Option<usize>) {
        if std::mem::replace(&mut self.kept[at], true) {
            self.sum -= self.now(at);
        }
        let old = std::mem::replace(&mut self.base[at], base);
        if let Some(old) = old {
            self.above[old].retain(|above| *above != at);
        }
        if let Some(base) = base {
            self.above[base].push(at);
        }
        self.sum += self.now(at);
        if let Some(old) = old {
            self.settle(old);
        }
    }

    fn bases(&self, at: usize) -> impl Iterator<Item = Option<usize>> + 'c {
        let edges = self.costs.edges[at].iter().map(|(base, _)| Some(*base));
        std::iter::once(None).chain(edges)
    }

    /// The single move that saves most, again and again.
    fn descend(&mut self) {
        loop {
            let mut moved = false;
            for at in 0..self.base.len() {
                let gains = self.bases(at).filter_map(|base| Some((self.gain(at, base)?, base)));
                let best = gains.max_by_key(|(gain, _)| *gain);
                if let Some((_, base)) = best.filter(|(gain, _)| *gain > 0) {
                    self.put(at, base);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Puts `at` onto `base`, whatever stood in the way let go, and lets all that are then better
    /// off stand on it. Whoever was let go finds the best place that is left: also on each other,
    /// or `apart`, so that none of them needs a root of its own. Says whether that makes a
    /// difference.
    fn open(&mut self, at: usize, base: Option<usize>, apart: bool) -> bool {
        let stays = self.costs.fixed[at].is_some() && (self.kept[at] || base.is_some());
        if stays || base.is_some_and(|base| !self.kept[base]) {
            return false;
        }
        let mut loose: Vec<usize> = Vec::new();
        if let Some(base) = base
            && self.stands_on(base, at)
        {
            if self.costs.fixed[base].is_some() {
                return false;
            }
            self.put(base, None);
            loose.push(base);
        }
        let mut depth = base.map_or(0, |base| self.depth(base).saturating_add(1));
        if let Some(base) = base
            && depth > self.costs.depth_max[at]
            && self.costs.fixed[base].is_none()
        {
            self.put(base, None);
            loose.push(base);
            depth = 1;
        }
        if depth > self.costs.depth_max[at] {
            return false;
        }
        if !self.fits(at, depth) {
            let above = self.above[at].clone();
            for above in above {
                if self.costs.fixed[above].is_none() && !self.fits(above, depth.saturating_add(1)) {
                    self.put(above, None);
                    loose.push(above);
                }
            }
        }
        if base.is_some_and(|base| !self.kept[base]) {
            // It went when the last of what stood on it was let go.
            return false;
        }
        self.put(at, base);
        for other in 0..self.base.len() {
            if self.gain(other, Some(at)).is_some_and(|gain| gain > 0) {
                self.put(other, Some(at));
            }
        }
        let keeps_apart = |base: &Option<usize>| !apart || base.is_none_or(|b| !loose.contains(&b));
        for at in &loose {
            let at = *at;
            let bases = self.bases(at).filter(keeps_apart);
            let gains = bases.filter_map(|base| Some((self.gain(at, base)?, base)));
            if let Some((_, base)) = gains.max_by_key(|(gain, _)| *gain).filter(|best| best.0 > 0) {
                self.put(at, base);
            }
        }
        loose.iter().chain([&at]).for_each(|at| self.settle(*at));
        loose.len() > 1
    }

    /// Does without the hidden `at`: `heir` takes its place, where one is given, and what else
    /// stood on it finds the best place that is left.
    fn close(&mut self, at: usize, heir: Option<usize>) {
        let below = self.base[at];
        let loose = self.above[at].clone();
        loose.iter().for_each(|above| self.put(*above, None));
        for (from, to) in heir
            .map(|heir| (heir, below))
            .into_iter()
            .chain(loose.iter().filter(|above| Some(**above) != heir).map(|above| (*above, heir)))
        {
            if self.gain(from, to).is_some_and(|gain| gain > 0) {
                self.put(from, to);
            }
        }
    }

    /// Single moves and openings until neither helps.
    fn improve(&mut self, work: &mut usize) {
        self.descend();
        let edges = self.base.len() + self.costs.edges.iter().map(Vec::len).sum::<usize>();
        loop {
            let before = self.sum;
            for at in 0..self.base.len() {
                for base in self.bases(at) {
                    for apart in [false, true] {
                        if *work == 0 {
                            return;
                        }
                        *work = work.saturating_sub(edges);
                        let mut tried = self.clone();
                        let differs = tried.open(at, base, apart);
                        tried.descend();
                        if tried.sum < self.sum {
                            *self = tried;
                        }
                        if !differs {
                            break;
                        }
                    }
                }
                let heirs: Vec<usize> = match self.goes_below(at, usize::MAX) {
                    true => self.above[at].clone(),
                    false => continue,
                };
                for heir in std::iter::once(None).chain(heirs.into_iter().map(Some)) {
                    if *work == 0 {
                        return;
                    }
                    *work = work.saturating_sub(edges);
                    let mut tried = self.clone();
                    tried.close(at, heir);
                    tried.descend();
                    if tried.sum < self.sum {
                        *self = tried;
                        break;
                    }
                }
            }
            if self.sum == before {
                return;
            }
        }
    }
}

/// For every content what it is to stand on, so that the sum of what all take is about the least.
/// Never more than what is present, where that keeps the bounds. Those that are fixed are given as
/// they are. Deterministic.
///
/// Cost: a fraction of a second of one core for contents that are connected, on all cores.
pub fn plan_bases(costs: &BaseCosts) -> BasePlan {
    let connected = connected(costs);
    let plans: Vec<_> = connected.par_iter().map(|part| plan_connected(&of(costs, part))).collect();
    let count = costs.alone.len();
    let mut plan = BasePlan { base: vec![None; count], kept: vec![true; count], sum: 0 };
    for (part, planned) in connected.iter().zip(plans) {
        for (place, at) in part.iter().enumerate() {
            plan.base[*at] = planned.base[place].map(|base| part[base]);
            plan.kept[*at] = planned.kept[place];
        }
        plan.sum += planned.sum;
    }
    plan
}

/// What is present takes so much, as far as it keeps the bounds.
pub fn present_sum(costs: &BaseCosts) -> u64 {
    Forest::present(costs).sum
}

/// The contents that edges connect, in either direction.
fn connected(costs: &BaseCosts) -> Vec<Vec<usize>> {
    let count = costs.alone.len();
    let mut beside = vec![Vec::new(); count];
    for (at, edges) in costs.edges.iter().enumerate() {
        for other in edges.iter().map(|(base, _)| *base).chain(costs.present[at]) {
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

/// The costs of some contents, all that they are connected to among them.
fn of(costs: &BaseCosts, part: &[usize]) -> BaseCosts {
    let place = |at: usize| part.binary_search(&at).ok();
    let edges = |at: &usize| {
        let edges = costs.edges[*at].iter();
        edges.filter_map(|(base, cost)| Some((place(*base)?, *cost))).collect()
    };
    BaseCosts {
        alone: part.iter().map(|at| costs.alone[*at]).collect(),
        edges: part.iter().map(edges).collect(),
        present: part.iter().map(|at| costs.present[*at].and_then(place)).collect(),
        fixed: part.iter().map(|at| costs.fixed[*at]).collect(),
        depth_max: part.iter().map(|at| costs.depth_max[*at]).collect(),
        hidden: part.iter().map(|at| costs.hidden[*at]).collect(),
    }
}

fn plan_connected(costs: &BaseCosts) -> BasePlan {
    let edges = costs.alone.len() + costs.edges.iter().map(Vec::len).sum::<usize>();
    let mut work = WORK_MAX.min(edges.saturating_mul(3 * edges + 4000));
    let mut best = Forest::named(costs);
    best.improve(&mut work);
    let mut present = Forest::present(costs);
    present.improve(&mut work);
    if present.sum < best.sum {
        best = present;
    }
    let mut random = 1u64;
    let mut below = |bound: usize| {
        random = super::sketch::mix(random);
        (random % bound.max(1) as u64) as usize
    };
    for shake in 0..SHAKES {
        if work == 0 || costs.alone.len() < 3 {
            break;
        }
        let fresh = shake % 3 == 2;
        let mut shaken = if fresh { Forest::named(costs) } else { best.clone() };
        let moves = if fresh { costs.alone.len() } else { 1 + shake % 3 + costs.alone.len() / 8 };
        for _ in 0..moves {
            let at = below(costs.alone.len());
            let edges = &costs.edges[at];
            let base = edges.get(below(edges.len() + 1)).map(|(base, _)| *base);
            shaken.open(at, base, shake % 2 == 1);
        }
        shaken.improve(&mut work);
        if shaken.sum < best.sum {
            best = shaken;
        }
    }
    BasePlan { base: best.base, kept: best.kept, sum: best.sum }
}
