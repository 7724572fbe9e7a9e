//! What the contents of a group would take, alone and against each other, as repacking tries it.

use std::collections::HashMap;

use rayon::prelude::*;

use super::member::Member;
use super::options::Repack;
use crate::codec::{self, Lane};
use crate::store::error::Result;
use crate::store::read::chain::{Chain, Verify};
use crate::tensor::ContentId;

/// Of a content's kin by their sketches all are tried as its base, up to so many; of more, the
/// nearest and the most central: under a low bound many stand on one that is next to few of them.
const ALL_MAX: usize = 24;
const NEAR_MAX: usize = 6;
const CENTRAL_MAX: usize = 4;
/// The number of relatives that are known of a content.
const KIN_MAX: usize = 64;
/// The number of contents to either side, in the order of models, that are compared by their
/// sketches.
const WINDOW: usize = 512;
/// Two pieces of a content, `room` bytes together; all of a short one.
pub(in crate::store) fn sample(chain: &Chain<'_>, room: usize) -> Result<Vec<u8>> {
    let len = chain.raw_len();
    if len <= room as u64 {
        let mut bytes = vec![0; len as usize];
        chain.read(0, &mut bytes, Verify::Checksums)?;
        return Ok(bytes);
    }
    let mut bytes = vec![0; room];
    let half = room / 2;
    let (first, second) = bytes.split_at_mut(half);
    chain.read(len / 4 / 16 * 16, first, Verify::Checksums)?;
    chain.read((len - len / 4 - half as u64) / 16 * 16, second, Verify::Checksums)?;
    Ok(bytes)
}

/// What each content of a group takes alone, and against others, as far as it is tried.
pub(in crate::store) fn costs(
    members: &[Member<'_>],
    how: &Repack,
) -> Vec<(u64, Vec<(usize, u64)>)> {
    let places: HashMap<ContentId, usize> =
        members.iter().enumerate().map(|(at, member)| (member.id, at)).collect();
    let scaled = |member: &Member<'_>, len: usize| {
        let sample = member.sample.len().max(1) as u128;
        (len as u128 * u128::from(member.row.raw_len) / sample) as u64
    };
    let mut near = near(members);
    for at in 0..members.len() {
        for other in near[at].clone() {
            if !near[other].contains(&at) {
                near[other].push(at);
            }
        }
    }
    let measure = |at: usize| -> (u64, Vec<(usize, u64)>) {
        let member = &members[at];
        if member.fixed {
            return (0, Vec::new());
        }
        let plain = member.row.formula == 0;
        let present = places.get(&member.row.base_id).copied().filter(|_| plain);
        let lane = Lane::of(&member.dtype);
        let mut out = Vec::new();
        codec::encode_standalone(how.profile, lane, &member.sample, &mut out);
        let mut alone = scaled(member, out.len());
        if member.row.base_id.is_none() {
            alone = alone.min(member.row.stored_len);
        }
        let mut edges: Vec<(usize, u64)> = Vec::new();
        for base in near[at].iter().chain(present.iter()) {
            if edges.iter().any(|(known, _)| known == base) {
                continue;
            }
            out.clear();
            let cost = if present == Some(*base) {
                member.row.stored_len
            } else {
                codec::encode_delta(
                    how.profile,
                    lane,
                    &member.sample,
                    &members[*base].sample,
                    &mut out,
                );
                scaled(member, out.len())
            };
            edges.push((*base, cost));
        }
        (alone, edges)
    };
    (0..members.len()).into_par_iter().map(measure).collect()
}

/// For each content those that are worth trying as its base, by their sketches.
fn near(members: &[Member<'_>]) -> Vec<Vec<usize>> {
    let all = |_: usize| true;
    let mut near = nearest(members, all);
    if members.iter().any(|member| member.hidden) {
        // There must be a way to do without hidden ones.
        for (near, named) in near.iter_mut().zip(nearest(members, |at| !members[at].hidden)) {
            near.extend(named);
            near.sort_unstable();
            near.dedup();
        }
    }
    near
}

/// Of those of `which`.
fn nearest(members: &[Member<'_>], which: impl Fn(usize) -> bool + Sync) -> Vec<Vec<usize>> {
    let kin: Vec<Vec<(f64, usize)>> =
        (0..members.len()).into_par_iter().map(|at| kin(members, &which, at)).collect();
    let central: Vec<f64> =
        kin.iter().map(|kin| kin.iter().map(|(saved, _)| saved).sum()).collect();
    let some = |kin: &Vec<(f64, usize)>| -> Vec<usize> {
        let mut kin: Vec<usize> = kin.iter().map(|(_, other)| *other).collect();
        if kin.len() > ALL_MAX {
            kin[NEAR_MAX..].sort_by(|a, b| central[*b].total_cmp(&central[*a]).then(a.cmp(b)));
            kin.truncate(NEAR_MAX + CENTRAL_MAX);
        }
        kin
    };
    kin.iter().map(some).collect()
}

/// The contents that one resembles, the nearest first, and the bits an element that each saves.
fn kin(
    members: &[Member<'_>],
    which: &(impl Fn(usize) -> bool + Sync),
    at: usize,
) -> Vec<(f64, usize)> {
    let Some(sketch) = &members[at].sketch else { return Vec::new() };
    let window = at.saturating_sub(WINDOW)..members.len().min(at + WINDOW + 1);
    let saved = |other: usize| {
        let there = members[other].sketch.as_ref().filter(|there| there.dtype() == sketch.dtype());
        let estimate = there.filter(|_| other != at && which(other))?.estimate(sketch)?;
        let saved = sketch.alone_bits() - estimate.bits;
        (saved > 0.0).then_some((saved, other))
    };
    let mut kin: Vec<(f64, usize)> = window.filter_map(saved).collect();
    kin.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.abs_diff(at).cmp(&b.1.abs_diff(at))));
    kin.truncate(KIN_MAX);
    kin
}
