//! Promise: plans of bases keep their bounds and are about the least that trying everything finds.

use super::arborescence::{BaseCosts, BasePlan, plan_bases, present_sum};
use super::sketch::mix;

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

/// The sum of a plan; `None` when it breaks a bound or misses something.
fn sum(costs: &BaseCosts, BasePlan { base, kept, .. }: &BasePlan) -> Option<u64> {
    let depths = depths(base, &costs.fixed)?;
    let mut sum = 0;
    for at in 0..base.len() {
        if !kept[at] {
            if !costs.hidden[at] {
                return None;
            }
            continue;
        }
        if base[at].is_some_and(|base| !kept[base]) {
            return None;
        }
        if costs.fixed[at].is_some() {
            sum += if costs.hidden[at] { costs.alone[at] } else { 0 };
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
    fn search(costs: &BaseCosts, plan: &mut BasePlan, at: usize) -> u64 {
        if at == costs.alone.len() {
            return sum(costs, plan).unwrap_or(u64::MAX);
        }
        let mut best = search(costs, plan, at + 1);
        if costs.fixed[at].is_none() {
            for (to, _) in &costs.edges[at] {
                plan.base[at] = Some(*to);
                best = best.min(search(costs, plan, at + 1));
            }
            plan.base[at] = None;
        }
        if costs.hidden[at] {
            plan.kept[at] = false;
            best = best.min(search(costs, plan, at + 1));
            plan.kept[at] = true;
        }
        best
    }
    let count = costs.alone.len();
    search(costs, &mut BasePlan { base: vec![None; count], kept: vec![true; count], sum: 0 }, 0)
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
        hidden: vec![false; count],
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
    for hidden in costs.hidden.iter_mut().skip(usize::from(next(2) == 0)) {
        *hidden = seed >= 300 && next(2) == 0;
    }
    for at in 1..count {
        costs.present[at] = (next(2) == 0).then(|| next(at as u64) as usize);
    }
    costs
}

#[test]
fn plans_are_within_two_percent_of_the_best() {
    let mut exact = 0;
    for seed in 0..600 {
        let costs = instance(seed);
        let plan = plan_bases(&costs);
        assert_eq!(sum(&costs, &plan), Some(plan.sum), "seed {seed}");
        let found = sum(&costs, &plan).unwrap_or(u64::MAX);
        let least = brute_force(&costs);
        assert!(found as f64 <= least as f64 * 1.02, "seed {seed}: {found} for {least}");
        exact += usize::from(found == least);
    }
    assert!(exact >= 580, "{exact} of 600 are the best");
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
        hidden: vec![false; count],
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
        hidden: vec![false; count],
    };
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
            alone: vec![1000; 3],
            edges: edges(costs),
            present: vec![Some(2), Some(2), None],
            fixed: vec![None; 3],
            depth_max: vec![2; 3],
            hidden: vec![false, false, true],
        })
    };
    let near = plan([150, 100, 90]);
    assert_eq!((near.kept, near.sum), (vec![true, true, false], 1150));
    let far = plan([900, 100, 90]);
    assert_eq!((far.kept, far.sum), (vec![true; 3], 1190));
}
