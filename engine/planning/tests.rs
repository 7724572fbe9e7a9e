//! Promise: plans of bases keep their bounds and are about the least that trying everything finds.

use super::arborescence::{BasePlan, plan_bases, present_sum};
use super::base_costs::{BaseCosts, Making, Stand};
use super::sketch::mix;

fn bases(costs: &BaseCosts, at: usize, stand: Stand) -> Vec<usize> {
    match stand {
        Stand::Alone => Vec::new(),
        Stand::On(base) => vec![base],
        Stand::Made(place) => costs.made[at][place].bases.clone(),
    }
}

/// For each how many differences and records it is from what stands on nothing; `None` of a circle.
fn heights(costs: &BaseCosts, plan: &BasePlan) -> Option<Vec<(u8, u8)>> {
    let mut heights = vec![None; plan.stand.len()];
    for _ in 0..=heights.len() {
        for at in 0..heights.len() {
            let stand = plan.stand[at];
            let exact = matches!(stand, Stand::Made(place) if costs.made[at][place].exact);
            let below: Option<Vec<(u8, u8)>> =
                bases(costs, at, stand).iter().map(|base| heights[*base]).collect();
            let Some(below) = below else { continue };
            let steps = below.iter().map(|below| below.0 + u8::from(!exact)).max();
            let depth = below.iter().map(|below| below.1 + 1).max();
            let fixed = costs.fixed[at].map(|fixed| (fixed, fixed));
            heights[at] = fixed.or(Some((steps.unwrap_or(0), depth.unwrap_or(0))));
        }
    }
    heights.into_iter().collect()
}

/// The sum of a plan; `None` when it breaks a bound or misses something.
fn sum(costs: &BaseCosts, plan: &BasePlan) -> Option<u64> {
    let heights = heights(costs, plan)?;
    let mut sum = 0;
    for (at, stand) in plan.stand.iter().copied().enumerate() {
        if !plan.kept[at] {
            if !costs.hidden[at] {
                return None;
            }
            continue;
        }
        if bases(costs, at, stand).iter().any(|base| !plan.kept[*base]) {
            return None;
        }
        if costs.fixed[at].is_some() {
            continue;
        }
        let made = matches!(stand, Stand::Made(_));
        if heights[at].1 > costs.depth_max || (!made && heights[at].0 > costs.steps_max) {
            return None;
        }
        sum += match stand {
            Stand::Alone => costs.alone[at],
            Stand::On(base) => costs.edges[at].iter().find(|(to, _)| *to == base)?.1,
            Stand::Made(place) => costs.made[at][place].cost,
        };
    }
    Some(sum)
}

/// The least sum, by trying everything.
fn brute_force(costs: &BaseCosts) -> u64 {
    fn search(costs: &BaseCosts, plan: &mut BasePlan, at: usize) -> u64 {
        if at == costs.alone.len() {
            return sum(costs, plan).unwrap_or(u64::MAX);
        }
        let mut best = search(costs, plan, at + 1);
        if costs.fixed[at].is_none() {
            let edges = costs.edges[at].iter().map(|(to, _)| Stand::On(*to));
            for stand in edges.chain((0..costs.made[at].len()).map(Stand::Made)) {
                plan.stand[at] = stand;
                best = best.min(search(costs, plan, at + 1));
            }
            plan.stand[at] = Stand::Alone;
        }
        if costs.hidden[at] {
            plan.kept[at] = false;
            best = best.min(search(costs, plan, at + 1));
            plan.kept[at] = true;
        }
        best
    }
    let count = costs.alone.len();
    let stand = vec![Stand::Alone; count];
    search(costs, &mut BasePlan { stand, kept: vec![true; count], sum: 0 }, 0)
}

/// Costs without formulas, each alone, under a bound.
fn plain(alone: Vec<u64>, edges: Vec<Vec<(usize, u64)>>, bound: u8) -> BaseCosts {
    let count = alone.len();
    BaseCosts {
        alone,
        edges,
        made: vec![Vec::new(); count],
        present: vec![Stand::Alone; count],
        fixed: vec![None; count],
        steps_max: bound,
        depth_max: bound + 2,
        hidden: vec![false; count],
    }
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
    let alone = (0..count).map(|_| 900 + next(400)).collect();
    let mut costs = plain(alone, vec![Vec::new(); count], bound);
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
    }
    if next(3) == 0 {
        costs.fixed[0] = Some(next(u64::from(bound) + 1) as u8);
    }
    for hidden in costs.hidden.iter_mut().skip(usize::from(next(2) == 0)) {
        *hidden = seed >= 300 && next(2) == 0;
    }
    for at in 1..count {
        let on = (next(2) == 0).then(|| next(at as u64) as usize);
        costs.present[at] = on.map_or(Stand::Alone, Stand::On);
    }
    if seed >= 600 {
        costs.fixed[0] = None;
        for at in 1..count {
            for _ in 0..next(3) {
                let mut bases: Vec<usize> =
                    (0..1 + next(2)).map(|_| next(at as u64) as usize).collect();
                bases.dedup();
                let exact = next(2) == 0;
                let cost = if exact { 0 } else { next(300) };
                costs.made[at].push(Making { bases, cost, exact });
            }
            if !costs.made[at].is_empty() {
                costs.present[at] = Stand::Made(0);
            }
        }
    }
    if seed >= 750 {
        // Formulas of each other: a master of its cast and the rest, the cast of its master.
        for at in 0..count {
            let base = next(count as u64) as usize;
            if base != at {
                let exact = next(2) == 0;
                let cost = if exact { 0 } else { next(600) };
                costs.made[at].push(Making { bases: vec![base], cost, exact });
            }
        }
    }
    costs
}

#[test]
fn plans_are_within_two_percent_of_the_best() {
    let (mut exact, mut worse) = (0, 0);
    for seed in 0..1000 {
        let costs = instance(seed);
        let plan = plan_bases(&costs);
        assert_eq!(sum(&costs, &plan), Some(plan.sum), "seed {seed}");
        let found = sum(&costs, &plan).unwrap_or(u64::MAX);
        let least = brute_force(&costs);
        if found as f64 > least as f64 * 1.02 {
            // Two that help only together (hidden ones, or formulas of each other) are not always
            // found.
            assert!(seed >= 600, "seed {seed}: {found} for {least}");
            worse += 1;
        }
        exact += usize::from(found == least);
    }
    println!("{exact} of 1000 are the best, {worse} are worse by more");
    assert!(exact >= 990 && worse <= 3, "{exact} of 1000 are the best, {worse} are worse by more");
}

#[test]
fn versions_in_any_order_stand_on_the_middle_one() {
    let places = [11usize, 0, 5, 8, 2, 10, 4, 7, 1, 9, 3, 6];
    let edges = |a: usize| {
        let others = (0..places.len()).filter(move |b| *b != a);
        others.map(|b| (b, 800 * places[a].abs_diff(places[b]) as u64)).collect()
    };
    let count = places.len();
    let costs = plain(vec![160_000; count], (0..count).map(edges).collect(), 1);
    let found = sum(&costs, &plan_bases(&costs)).unwrap();
    assert_eq!(found, 160_000 + 800 * 36);
}

#[test]
fn a_large_group_keeps_its_bounds_and_is_no_worse_than_before() {
    let count = 400usize;
    let near = |a: usize| (a.saturating_sub(4)..(a + 5).min(count)).filter(move |b| *b != a);
    let cost = |a: usize, b: usize| 10 * a.abs_diff(b) as u64;
    let edges = (0..count).map(|a| near(a).map(|b| (b, cost(a, b))).collect()).collect();
    let present = |a: usize| if a % 2 == 1 { Stand::On(a - 1) } else { Stand::Alone };
    let present = (0..count).map(present).collect();
    let costs = BaseCosts { present, ..plain(vec![1000; count], edges, 2) };
    let found = sum(&costs, &plan_bases(&costs)).unwrap();
    assert!(found < present_sum(&costs) / 2, "{found}");
}

#[test]
fn hidden_ones_go_when_they_cost_more_than_they_save() {
    // Two models on a hidden one; a third that only the hidden one is near to.
    let edges = |costs: [u64; 3]| {
        vec![
            vec![(1, costs[0]), (2, costs[1])],
            vec![(0, costs[0]), (2, costs[1])],
            vec![(0, costs[2])],
        ]
    };
    let plan = |costs| {
        plan_bases(&BaseCosts {
            present: vec![Stand::On(2), Stand::On(2), Stand::Alone],
            hidden: vec![false, false, true],
            ..plain(vec![1000; 3], edges(costs), 2)
        })
    };
    let near = plan([150, 100, 90]);
    assert_eq!((near.kept, near.sum), (vec![true, true, false], 1150));
    let far = plan([900, 100, 90]);
    assert_eq!((far.kept, far.sum), (vec![true; 3], 1190));
}

#[test]
fn a_formula_over_a_hidden_one_moves_when_that_is_smaller_in_all() {
    // A hidden one, a cast of it, and a difference of another content from the hidden one.
    let plan = |alone: [u64; 3], on: u64| {
        let mut costs = plain(alone.to_vec(), vec![Vec::new(), Vec::new(), vec![(0, on)]], 2);
        costs.made[1].push(Making { bases: vec![0], cost: 40, exact: true });
        costs.present = vec![Stand::Alone, Stand::Made(0), Stand::On(0)];
        costs.hidden[0] = true;
        plan_bases(&costs)
    };
    // Both leave it, though for each alone that would be no gain.
    let gone = plan([1000, 500, 900], 600);
    assert_eq!((gone.kept, gone.sum), (vec![false, true, true], 1400));
    let kept = plan([1000, 800, 1000], 100);
    assert_eq!((kept.kept, kept.sum), (vec![true; 3], 1140));
    assert_eq!(kept.stand, [Stand::Alone, Stand::Made(0), Stand::On(0)]);
}
