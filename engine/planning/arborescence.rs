//! Which contents stand on which, for a whole store: the least storage under a bound on depth.
//!
//! A minimum-cost arborescence whose depth is bounded is NP-hard, so this is a heuristic: greedy
//! starts, then moves that make the sum smaller until none does. Every result keeps the bound.
//! Contents that no edge connects are planned apart.

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
    sum: u64,
}

impl<'c> Forest<'c> {
    fn alone(costs: &'c BaseCosts) -> Self {
        let count = costs.alone.len();
        let sum = (0..count).filter(|at| costs.fixed[*at].is_none()).map(|at| costs.alone[at]);
        let sum = sum.sum();
        Forest { costs, base: vec![None; count], above: vec![Vec::new(); count], sum }
    }

    fn cost(&self, at: usize, base: Option<usize>) -> Option<u64> {
        match base {
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

    /// What moving `at` onto `base` saves; `None` when it may not.
    fn gain(&self, at: usize, base: Option<usize>) -> Option<i128> {
        if self.costs.fixed[at].is_some() || self.base[at] == base {
            return None;
        }
        let gain = i128::from(self.now(at)) - i128::from(self.cost(at, base)?);
        let depth = match base {
            None => 0,
            Some(base) if self.stands_on(base, at) => return None,
            Some(base) => self.depth(base).checked_add(1)?,
        };
        self.fits(at, depth).then_some(gain)
    }

    fn put(&mut self, at: usize, base: Option<usize>) {
        self.sum -= self.now(at);
        if let Some(old) = self.base[at] {
            self.above[old].retain(|above| *above != at);
        }
        self.base[at] = base;
        if let Some(base) = base {
            self.above[base].push(at);
        }
        self.sum += self.now(at);
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
        if self.costs.fixed[at].is_some() {
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
        loose.len() > 1
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
            }
            if self.sum == before {
                return;
            }
        }
    }
}

/// For every content what it is to stand on, `None` for alone, so that the sum of what all take
/// is about the least. Never more than what is present, where that keeps the bounds. Those that are
/// fixed are given as they are. Deterministic.
///
/// Cost: a fraction of a second of one core for contents that are connected, on all cores.
pub fn plan_bases(costs: &BaseCosts) -> Vec<Option<usize>> {
    let connected = connected(costs);
    let plans: Vec<_> = connected.par_iter().map(|part| plan_connected(&of(costs, part))).collect();
    let mut plan = vec![None; costs.alone.len()];
    for (part, planned) in connected.iter().zip(plans) {
        for (at, base) in part.iter().zip(planned) {
            plan[*at] = base.map(|base| part[base]);
        }
    }
    plan
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
    }
}

fn plan_connected(costs: &BaseCosts) -> Vec<Option<usize>> {
    let edges = costs.alone.len() + costs.edges.iter().map(Vec::len).sum::<usize>();
    let mut work = WORK_MAX.min(edges.saturating_mul(3 * edges + 4000));
    let mut best = Forest::alone(costs);
    best.improve(&mut work);
    let mut present = Forest::alone(costs);
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
        let mut shaken = if fresh { Forest::alone(costs) } else { best.clone() };
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
    best.base
}

#[cfg(test)]
mod tests {
    use super::super::sketch::mix;
    use super::*;

    fn depths(base: &[Option<usize>], fixed: &[Option<u8>]) -> Option<Vec<u8>> {
        let depth = |mut at: usize| {
            let mut depth = 0;
            loop {
                if let Some(fixed) = fixed[at] {
                    return Some(depth + fixed);
                }
                let Some(base) = base[at] else { return Some(depth) };
                (at, depth) = (base, depth + 1);
                if usize::from(depth) > fixed.len() {
                    return None;
                }
            }
        };
        (0..base.len()).map(depth).collect()
    }

    /// The sum of a plan; `None` when it breaks a bound.
    fn sum(costs: &BaseCosts, base: &[Option<usize>]) -> Option<u64> {
        let depths = depths(base, &costs.fixed)?;
        let mut sum = 0;
        for at in 0..base.len() {
            if costs.fixed[at].is_some() {
                continue;
            }
            if depths[at] > costs.depth_max[at] {
                return None;
            }
            sum += match base[at] {
                None => costs.alone[at],
                Some(base) => costs.edges[at].iter().find(|(to, _)| *to == base)?.1,
            };
        }
        Some(sum)
    }

    /// The least sum, by trying everything.
    fn brute_force(costs: &BaseCosts) -> u64 {
        fn search(costs: &BaseCosts, base: &mut Vec<Option<usize>>, at: usize) -> u64 {
            if at == costs.alone.len() {
                return sum(costs, base).unwrap_or(u64::MAX);
            }
            let mut best = search(costs, base, at + 1);
            if costs.fixed[at].is_none() {
                for (to, _) in &costs.edges[at] {
                    base[at] = Some(*to);
                    best = best.min(search(costs, base, at + 1));
                }
                base[at] = None;
            }
            best
        }
        search(costs, &mut vec![None; costs.alone.len()], 0)
    }

    /// Contents at random places of a line or a cloud; costs grow with distance.
    fn instance(seed: u64) -> BaseCosts {
        let mut state = seed;
        let mut next = |bound: u64| {
            state = mix(state);
            state % bound
        };
        let count = 3 + next(4) as usize;
        let bound = 1 + next(3) as u8;
        let kind = next(3);
        let places: Vec<[i64; 2]> =
            (0..count).map(|_| [next(1000) as i64, next(1000) as i64]).collect();
        let mut costs = BaseCosts {
            alone: (0..count).map(|_| 900 + next(400)).collect(),
            edges: vec![Vec::new(); count],
            present: vec![None; count],
            fixed: vec![None; count],
            depth_max: vec![bound; count],
        };
        for a in 0..count {
            for b in (0..count).filter(|b| *b != a) {
                let [x, y] = [0, 1].map(|k| places[a][k].abs_diff(places[b][k]));
                let cost = match kind {
                    0 => x,
                    1 => 100 + x.max(y) / 2,
                    _ => 20 + next(900),
                };
                if next(8) > 0 {
                    costs.edges[a].push((b, cost));
                }
            }
            if next(6) == 0 {
                costs.depth_max[a] = next(u64::from(bound) + 1) as u8;
            }
        }
        if next(3) == 0 {
            costs.fixed[0] = Some(next(u64::from(bound) + 1) as u8);
        }
        for at in 1..count {
            costs.present[at] = (next(2) == 0).then(|| next(at as u64) as usize);
        }
        costs
    }

    #[test]
    fn plans_are_within_two_percent_of_the_best() {
        let mut exact = 0;
        for seed in 0..300 {
            let costs = instance(seed);
            let plan = plan_bases(&costs);
            let found = sum(&costs, &plan).unwrap_or(u64::MAX);
            let least = brute_force(&costs);
            assert!(found as f64 <= least as f64 * 1.02, "seed {seed}: {found} for {least}");
            exact += usize::from(found == least);
        }
        assert!(exact >= 290, "{exact} of 300 are the best");
    }

    #[test]
    fn versions_in_any_order_stand_on_the_middle_one() {
        let places = [11usize, 0, 5, 8, 2, 10, 4, 7, 1, 9, 3, 6];
        let edges = |a: usize| {
            let others = (0..places.len()).filter(move |b| *b != a);
            others.map(|b| (b, 800 * places[a].abs_diff(places[b]) as u64)).collect()
        };
        let count = places.len();
        let costs = BaseCosts {
            alone: vec![160_000; count],
            edges: (0..count).map(edges).collect(),
            present: vec![None; count],
            fixed: vec![None; count],
            depth_max: vec![1; count],
        };
        let found = sum(&costs, &plan_bases(&costs)).unwrap();
        assert_eq!(found, 160_000 + 800 * 36);
    }

    #[test]
    fn a_large_group_keeps_its_bounds_and_is_no_worse_than_before() {
        let count = 400usize;
        let near = |a: usize| (a.saturating_sub(4)..(a + 5).min(count)).filter(move |b| *b != a);
        let cost = |a: usize, b: usize| 10 * a.abs_diff(b) as u64;
        let costs = BaseCosts {
            alone: vec![1000; count],
            edges: (0..count).map(|a| near(a).map(|b| (b, cost(a, b))).collect()).collect(),
            present: (0..count).map(|a| (a % 2 == 1).then(|| a - 1)).collect(),
            fixed: vec![None; count],
            depth_max: vec![2; count],
        };
        let found = sum(&costs, &plan_bases(&costs)).unwrap();
        assert!(found < sum(&costs, &costs.present).unwrap() / 2, "{found}");
    }
}
