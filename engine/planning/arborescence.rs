//! Which contents stand on which, for a whole store: the least storage under a bound on depth.
//!
//! A minimum-cost arborescence whose depth is bounded is NP-hard, so this is a heuristic: greedy
//! starts, then moves that make the sum smaller until none does. Every result keeps the bound.
//! A content may also be made of several others by a formula, which makes the forest a graph
//! without circles. Contents that nothing connects are planned apart. Hidden contents, which no
//! model names, are there only where what stands on them saves more than they take.

use rayon::prelude::*;

use super::base_costs::{BaseCosts, Stand};

/// What stands on what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePlan {
    /// How each is to be stored.
    pub stand: Vec<Stand>,
    /// Whether it is kept: of those that are not hidden, all.
    pub kept: Vec<bool>,
    /// What all that are kept take, without those that are fixed.
    pub sum: u64,
}

/// The most rounds of shaking a result and improving it again.
pub const SHAKES_MAX: usize = 150;
/// The search stops after this number of edges: a larger group is perturbed less.
const WORK_MAX: usize = 1 << 25;

/// How far a content is from what stands on nothing: differences on the way, and records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Height {
    steps: u8,
    depth: u8,
}

impl Height {
    fn max(self, other: Height) -> Height {
        Height { steps: self.steps.max(other.steps), depth: self.depth.max(other.depth) }
    }
}

/// A forest being built: who stands on whom, with what that makes of depths.
struct Forest<'c> {
    costs: &'c BaseCosts,
    stand: Vec<Stand>,
    /// What stands on each, once however often it names it.
    above: Vec<Vec<usize>>,
    kept: Vec<bool>,
    sum: u64,
}

impl Clone for Forest<'_> {
    fn clone(&self) -> Self {
        let (stand, above, kept) = (self.stand.clone(), self.above.clone(), self.kept.clone());
        Forest { costs: self.costs, stand, above, kept, sum: self.sum }
    }

    /// Allocates next to nothing: every move that is tried begins with it.
    fn clone_from(&mut self, other: &Self) {
        (self.costs, self.sum) = (other.costs, other.sum);
        self.stand.clone_from(&other.stand);
        self.above.clone_from(&other.above);
        self.kept.clone_from(&other.kept);
    }
}

impl<'c> Forest<'c> {
    /// All that `kept` says, each alone.
    fn alone(costs: &'c BaseCosts, kept: Vec<bool>) -> Self {
        let count = costs.alone.len();
        let (stand, above) = (vec![Stand::Alone; count], vec![Vec::new(); count]);
        let mut forest = Forest { costs, stand, above, kept, sum: 0 };
        forest.sum = (0..count).filter(|at| forest.kept[*at]).map(|at| forest.now(at)).sum();
        forest
    }

    /// All that models name, each alone.
    fn named(costs: &'c BaseCosts) -> Self {
        Forest::alone(costs, costs.hidden.iter().map(|hidden| !hidden).collect())
    }

    /// What is present, as far as it keeps the bounds.
    fn present(costs: &'c BaseCosts) -> Self {
        let count = costs.alone.len();
        let mut present = Forest::alone(costs, vec![true; count]);
        // Each behind what it stands on; what cannot be put so is alone.
        let mut seen = vec![false; count];
        for at in 0..count {
            let mut open = vec![(at, false)];
            while let Some((at, behind)) = open.pop() {
                let stand = costs.present[at];
                if behind {
                    if present.gain(at, stand).is_some() && present.may_be(at, stand) {
                        present.put(at, stand);
                    }
                } else if !std::mem::replace(&mut seen[at], true) {
                    open.push((at, true));
                    open.extend(present.bases(at, stand).map(|base| (base, false)));
                }
            }
        }
        (0..count).for_each(|at| present.settle(at));
        present
    }

    /// What a content stands on when it is stored so.
    fn bases(&self, at: usize, stand: Stand) -> impl Iterator<Item = usize> + use<'c> {
        let (one, many): (_, &'c [usize]) = match stand {
            Stand::Alone => (None, &[]),
            Stand::On(base) => (Some(base), &[]),
            Stand::Made(place) => {
                (None, self.costs.made[at].get(place).map_or(&[], |made| &made.bases))
            }
        };
        one.into_iter().chain(many.iter().copied())
    }

    fn cost(&self, at: usize, stand: Stand) -> Option<u64> {
        match stand {
            Stand::Alone if self.costs.fixed[at].is_some() => Some(0),
            Stand::Alone => Some(self.costs.alone[at]),
            Stand::On(base) => {
                let mut edges = self.costs.edges[at].iter();
                edges.find(|(place, _)| *place == base).map(|(_, cost)| *cost)
            }
            Stand::Made(place) => self.costs.made[at].get(place).map(|made| made.cost),
        }
    }

    fn now(&self, at: usize) -> u64 {
        self.cost(at, self.stand[at]).unwrap_or(u64::MAX / 4)
    }

    fn height(&self, at: usize) -> Height {
        match self.costs.fixed[at] {
            Some(fixed) => Height { steps: fixed, depth: fixed },
            None => self.height_of(at, self.stand[at]),
        }
    }

    /// The height of `at` when it is stored so.
    fn height_of(&self, at: usize, stand: Stand) -> Height {
        let below = self.bases(at, stand).map(|base| self.height(base)).reduce(Height::max);
        below.map_or(Height::default(), |below| self.raised(at, stand, below))
    }

    /// The height of `at` when it is stored so, over what is of height `below`.
    fn raised(&self, at: usize, stand: Stand, below: Height) -> Height {
        let exact = match stand {
            Stand::Made(place) => self.costs.made[at].get(place).is_some_and(|made| made.exact),
            _ => false,
        };
        let steps = below.steps.saturating_add(u8::from(!exact));
        Height { steps, depth: below.depth.saturating_add(1) }
    }

    /// Whether `at` may be of this height when it is stored so, and all that stands on it then. A
    /// formula may be of more steps: it is no worse a place for it.
    fn fits(&self, at: usize, stand: Stand, height: Height) -> bool {
        let made = matches!(stand, Stand::Made(_));
        height.depth <= self.costs.depth_max
            && (made || height.steps <= self.costs.steps_max)
            && self.above[at].iter().all(|above| {
                let stand = self.stand[*above];
                self.fits(*above, stand, self.raised(*above, stand, height))
            })
    }

    fn stands_on(&self, at: usize, below: usize) -> bool {
        at == below || self.bases(at, self.stand[at]).any(|base| self.stands_on(base, below))
    }

    /// Whether `at` goes when no more than `count` others stand on it.
    fn goes_below(&self, at: usize, count: usize) -> bool {
        self.costs.hidden[at] && self.kept[at] && self.above[at].len() <= count
    }

    /// What the hidden ones take that go when `at` is stored so.
    fn let_go(&self, at: usize, stand: Stand) -> u64 {
        if self.bases(at, self.stand[at]).all(|base| !self.costs.hidden[base]) {
            return 0;
        }
        let mut sum = 0;
        let mut lost: Vec<(usize, usize)> = Vec::new();
        let mut open: Vec<usize> = self.bases(at, self.stand[at]).collect();
        while let Some(below) = open.pop() {
            if !self.costs.hidden[below] || self.bases(at, stand).any(|base| base == below) {
                continue;
            }
            let count = match lost.iter_mut().find(|(lost, _)| *lost == below) {
                Some((_, count)) => {
                    *count += 1;
                    *count
                }
                None => {
                    lost.push((below, 1));
                    1
                }
            };
            // Once: with the last of what stands on it.
            if self.goes_below(below, count) {
                sum += self.now(below);
                open.extend(self.bases(below, self.stand[below]));
            }
        }
        sum
    }

    /// Lets go of `at` when it is hidden and nothing stands on it, and of what it stood on.
    fn settle(&mut self, at: usize) {
        let mut open = vec![at];
        while let Some(at) = open.pop() {
            if self.goes_below(at, 0) {
                self.sum -= self.now(at);
                self.kept[at] = false;
                let stand = std::mem::take(&mut self.stand[at]);
                for base in self.bases(at, stand) {
                    self.above[base].retain(|above| *above != at);
                    open.push(base);
                }
            }
        }
    }

    /// What storing `at` so saves, if it [may be](Self::may_be); `None` of what is not kept.
    fn gain(&self, at: usize, stand: Stand) -> Option<i128> {
        let kept = self.kept[at] && self.bases(at, stand).all(|base| self.kept[base]);
        if !kept || self.costs.fixed[at].is_some() || self.stand[at] == stand {
            return None;
        }
        let cost = self.cost(at, stand)?;
        Some(i128::from(self.now(at) + self.let_go(at, stand)) - i128::from(cost))
    }

    /// Whether `at` may be stored so: within the bounds, and not on itself.
    fn may_be(&self, at: usize, stand: Stand) -> bool {
        self.bases(at, stand).all(|base| !self.stands_on(base, at))
            && self.fits(at, stand, self.height_of(at, stand))
    }

    fn helps(&self, at: usize, stand: Stand) -> bool {
        self.gain(at, stand).is_some_and(|gain| gain > 0) && self.may_be(at, stand)
    }

    /// Stores `at` so, on what is kept; so is `at` then.
    fn put(&mut self, at: usize, stand: Stand) {
        if std::mem::replace(&mut self.kept[at], true) {
            self.sum -= self.now(at);
        }
        let old = std::mem::replace(&mut self.stand[at], stand);
        for base in self.bases(at, old) {
            self.above[base].retain(|above| *above != at);
        }
        for base in self.bases(at, stand) {
            self.above[base].push(at);
        }
        self.sum += self.now(at);
        for base in self.bases(at, old) {
            self.settle(base);
        }
    }

    /// All ways in which `at` may be stored.
    fn stands(&self, at: usize) -> impl Iterator<Item = Stand> + use<'c> {
        let edges = self.costs.edges[at].iter().map(|(base, _)| Stand::On(*base));
        let made = (0..self.costs.made[at].len()).map(Stand::Made);
        std::iter::once(Stand::Alone).chain(edges).chain(made)
    }

    /// The best of `stands`, if any saves anything.
    fn best(&self, at: usize, stands: impl Iterator<Item = Stand>) -> Option<Stand> {
        let mut best = (1, None);
        for stand in stands {
            // Bounds take longer to check than gains.
            let gain = self.gain(at, stand).filter(|gain| *gain >= best.0);
            if let Some(gain) = gain.filter(|_| self.may_be(at, stand)) {
                best = (gain, Some(stand));
            }
        }
        best.1
    }

    /// The single move that saves most, again and again.
    fn descend(&mut self) {
        loop {
            let mut moved = false;
            for at in 0..self.stand.len() {
                if let Some(stand) = self.best(at, self.stands(at)) {
                    self.put(at, stand);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Stores `at` so, whatever stood in the way let go, and lets all that are then better off
    /// stand on it. Whoever was let go finds the best place that is left: also on each other, or
    /// `apart`, so that none of them needs a root of its own. Says whether that makes a
    /// difference.
    fn open(&mut self, at: usize, stand: Stand, apart: bool) -> bool {
        let alone = stand == Stand::Alone;
        if self.costs.fixed[at].is_some() && (self.kept[at] || !alone) {
            return false;
        }
        let mut loose: Vec<usize> = Vec::new();
        for base in self.bases(at, stand) {
            if self.stands_on(base, at) && !self.loosen(base, &mut loose) {
                return false;
            }
        }
        self.keep_bases(at, stand);
        for base in self.bases(at, stand) {
            if !self.is_low_enough(at, stand) && self.stand[base] != Stand::Alone {
                self.loosen(base, &mut loose);
            }
        }
        if !self.is_low_enough(at, stand) {
            return self.settle_all(self.bases(at, stand));
        }
        self.loosen_too_high(at, stand, &mut loose);
        if self.bases(at, stand).any(|base| !self.kept[base] || self.stands_on(base, at)) {
            // It went when the last of what stood on it was let go.
            return self.settle_all(self.bases(at, stand));
        }
        self.put(at, stand);
        for other in 0..self.stand.len() {
            if self.helps(other, Stand::On(at)) {
                self.put(other, Stand::On(at));
            }
        }
        self.place_again(&loose, apart);
        loose.iter().chain([&at]).for_each(|at| self.settle(*at));
        loose.len() > 1
    }

    /// What `at` needs where it stands so comes with it, in the best place of its own.
    fn keep_bases(&mut self, at: usize, stand: Stand) {
        for base in self.bases(at, stand) {
            if !self.kept[base] {
                self.put(base, Stand::Alone);
                if let Some(best) = self.best(base, self.stands(base)) {
                    self.put(base, best);
                }
            }
        }
    }

    /// Whether the chain below `at` is short enough, whatever stands on it.
    fn is_low_enough(&self, at: usize, stand: Stand) -> bool {
        let height = self.height_of(at, stand);
        let made = matches!(stand, Stand::Made(_));
        height.depth <= self.costs.depth_max && (made || height.steps <= self.costs.steps_max)
    }

    /// Lets go of what stands on `at` and would be too high there.
    fn loosen_too_high(&mut self, at: usize, stand: Stand, loose: &mut Vec<usize>) {
        let height = self.height_of(at, stand);
        if self.fits(at, stand, height) {
            return;
        }
        for above in self.above[at].clone() {
            let stands = self.stand[above];
            if !self.fits(above, stands, self.raised(above, stands, height)) {
                self.loosen(above, loose);
            }
        }
    }

    /// Gives those that were let go the best place that is left; `apart`, not on each other.
    fn place_again(&mut self, loose: &[usize], apart: bool) {
        for other in loose {
            let stands = self.stands(*other);
            let stands = stands.filter(|stand| {
                !apart || self.bases(*other, *stand).all(|base| !loose.contains(&base))
            });
            if let Some(best) = self.best(*other, stands) {
                self.put(*other, best);
            }
        }
    }

    /// Lets go of those that nothing stands on after all; says no.
    fn settle_all(&mut self, all: impl Iterator<Item = usize>) -> bool {
        all.for_each(|at| self.settle(at));
        false
    }

    /// Takes `at` off what it stands on, where it may be moved.
    fn loosen(&mut self, at: usize, loose: &mut Vec<usize>) -> bool {
        let may = self.costs.fixed[at].is_none();
        if may {
            self.put(at, Stand::Alone);
            loose.push(at);
        }
        may
    }

    /// Does without the hidden `at`: `heir` takes its place, where one is given, and what else
    /// stood on it finds the best place that is left.
    fn close(&mut self, at: usize, heir: Option<usize>) {
        let below = self.stand[at];
        let loose = self.above[at].clone();
        loose.iter().for_each(|above| self.put(*above, Stand::Alone));
        let to = heir.map_or(Stand::Alone, Stand::On);
        let others = loose.iter().filter(|above| Some(**above) != heir).map(|above| (*above, to));
        for (from, to) in heir.map(|heir| (heir, below)).into_iter().chain(others) {
            // Its own formulas are not its heir's.
            if !matches!(to, Stand::Made(_)) && self.helps(from, to) {
                self.put(from, to);
            }
        }
    }

    /// Single moves and openings until neither helps.
    fn improve(&mut self, work: &mut usize) {
        self.descend();
        let edges = self.costs.size();
        let mut tried = self.clone();
        loop {
            let before = self.sum;
            for at in 0..self.stand.len() {
                for stand in self.stands(at) {
                    for apart in [false, true] {
                        if *work == 0 {
                            return;
                        }
                        *work = work.saturating_sub(edges);
                        tried.clone_from(self);
                        let differs = tried.open(at, stand, apart);
                        tried.descend();
                        if tried.sum < self.sum {
                            std::mem::swap(self, &mut tried);
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
                    tried.clone_from(self);
                    tried.close(at, heir);
                    tried.descend();
                    if tried.sum < self.sum {
                        std::mem::swap(self, &mut tried);
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
    let parts = costs.connected();
    let plans: Vec<_> =
        parts.par_iter().map(|part| plan_part(&costs.of_part(part), part, SHAKES_MAX)).collect();
    let count = costs.alone.len();
    let stand = vec![Stand::Alone; count];
    let mut plan = BasePlan { stand, kept: vec![true; count], sum: 0 };
    for (part, planned) in parts.iter().zip(plans) {
        for (place, at) in part.iter().enumerate() {
            plan.stand[*at] = planned.stand[place];
            plan.kept[*at] = planned.kept[place];
        }
        plan.sum += planned.sum;
    }
    plan
}

/// The plan of the contents of one [part](BaseCosts::connected), of which `costs`
/// [are](BaseCosts::of_part): in the order of the part. The bases that it names are places among
/// all contents. With fewer `shakes` it is found sooner, and may be a little worse.
pub fn plan_part(costs: &BaseCosts, part: &[usize], shakes: usize) -> BasePlan {
    let mut plan = plan_connected(costs, shakes);
    for stand in &mut plan.stand {
        if let Stand::On(base) = stand {
            *base = part[*base];
        }
    }
    plan
}

/// What is present takes so much, as far as it keeps the bounds.
pub fn present_sum(costs: &BaseCosts) -> u64 {
    Forest::present(costs).sum
}

fn plan_connected(costs: &BaseCosts, shakes: usize) -> BasePlan {
    let edges = costs.size();
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
    for shake in 0..shakes {
        if work == 0 || costs.alone.len() < 3 {
            break;
        }
        let fresh = shake % 3 == 2;
        let mut shaken = if fresh { Forest::named(costs) } else { best.clone() };
        let moves = if fresh { costs.alone.len() } else { 1 + shake % 3 + costs.alone.len() / 8 };
        for _ in 0..moves {
            let at = below(costs.alone.len());
            let stands = costs.edges[at].len() + costs.made[at].len();
            // The last is none: alone.
            let place = (below(stands + 1) + 1) % (stands + 1);
            let stand = shaken.stands(at).nth(place).unwrap_or_default();
            shaken.open(at, stand, shake % 2 == 1);
        }
        shaken.improve(&mut work);
        if shaken.sum < best.sum {
            best = shaken;
        }
    }
    BasePlan { stand: best.stand, kept: best.kept, sum: best.sum }
}
