//! The formulas that contents may be made by when bases are chosen anew.
//!
//! A formula stays as long as its bases do. Where one of them is hidden, it is also tried over what
//! models still have that is nearest to the hidden one. Whatever takes much is tried over all that
//! an import of its models would find now.

use rayon::prelude::*;

use super::family::Kin;
use super::member::{Member, Search, Searched};
use super::options::Repack;
use crate::codec::Lane;
use crate::format::CHUNK_LEN;
use crate::store::base::encode::delta_chunks;
use crate::store::base::prediction::Prediction;
use crate::store::base::relatives::BaseFinder;
use crate::store::error::Result;
use crate::store::read::chain::Verify;
use crate::store::read::formula::StoredFormula;
use crate::store::shared::Shared;
use crate::store::slabs::slab_len;
use crate::store::source::{NewTensor, TensorSource};
use crate::store::write::transaction::Transaction;
use crate::tensor::ContentId;

/// The number of contents that are tried in the place of a hidden base.
const INSTEAD_MAX: usize = 2;
/// What a formula does not make exactly takes a step more to read. A new one must save this part of
/// the content: else a master would become its own cast and the bits that this has not.
const WORTH_A_STEP_ONE_IN: u64 = 32;

/// A content read as it was before.
pub(in crate::store) struct Before<'m, 'c>(pub(in crate::store) &'m Member<'c>);

impl TensorSource for Before<'_, '_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.chain.read(offset, out, Verify::Checksums).map_err(std::io::Error::other)
    }
}

/// Adds to each member the formula that it has, and those that it may have instead.
pub(in crate::store) fn find_formulas_of(
    transaction: &Transaction,
    shared: &Shared,
    kin: &mut Kin<'_>,
    searched: &Searched,
    how: &Repack,
) -> Result<()> {
    for at in 0..kin.members.len() {
        let member = &kin.members[at];
        let Some(formula) = member.chain.record().formula().cloned() else { continue };
        let header = member.chain.record().header();
        let cost = header.stored_len + u64::from(header.formula_len);
        let exact = header.stored_len == 0 && !member.chain.record().adds_stored();
        kin.add(at, formula, cost, exact);
    }
    let finder = transaction.finder(shared, how.policy())?;
    let mut tried: Vec<(usize, StoredFormula)> = Vec::new();
    for at in 0..kin.members.len() {
        tried.extend(kin.instead(at).into_iter().map(|formula| (at, formula)));
        for search in searched.get(&kin.members[at].id).into_iter().flatten() {
            let found = as_imported(&finder, &kin.members[at], search)?;
            tried.extend(found.into_iter().map(|formula| (at, formula)));
        }
    }
    let measured: Vec<(u64, bool)> = tried
        .par_iter()
        .map(|(at, formula)| kin.measure(*at, formula, how))
        .collect::<Result<_>>()?;
    for ((at, formula), (cost, exact)) in tried.into_iter().zip(measured) {
        let least = if exact { 0 } else { kin.members[at].row.raw_len / WORTH_A_STEP_ONE_IN };
        kin.add(at, formula, cost + least, exact);
    }
    Ok(())
}

/// The formulas over what an import would try.
fn as_imported(
    finder: &BaseFinder<'_, '_>,
    member: &Member<'_>,
    search: &Search,
) -> Result<Vec<StoredFormula>> {
    // A model may have the content under another type than its record has.
    if search.dtype != member.dtype {
        return Ok(Vec::new());
    }
    let opened = finder.open_candidates(member.id, &search.candidates)?;
    let len = member.row.raw_len;
    // As much as an import has at hand.
    let whole = len <= slab_len() as u64;
    let mut beginning = vec![0; if whole { len as usize } else { CHUNK_LEN }];
    member.chain.read(0, &mut beginning, Verify::Checksums)?;
    let before = Before(member);
    let (dtype, shape) = (search.dtype.clone(), search.shape.clone());
    let tensor = NewTensor::from_source("", dtype, shape, len, &before);
    let bases = Prediction::of_candidates(&tensor, &beginning, &opened)?;
    Ok(bases.into_iter().filter_map(|prediction| prediction.formula).collect())
}

impl<'c> Kin<'c> {
    /// The formula of a member over others in the place of its hidden bases: of one at a time, and
    /// of all.
    fn instead(&self, at: usize) -> Vec<StoredFormula> {
        let Some(formula) = self.formulas[at].first() else { return Vec::new() };
        let Some(bases) = self.bases(formula) else { return Vec::new() };
        let mut all = formula.clone();
        let (mut found, mut replaced) = (Vec::new(), 0);
        for hidden in bases.into_iter().filter(|base| self.members[*base].hidden) {
            let id = self.members[hidden].id;
            let nearest = self.nearest_named(hidden, at);
            let over = |formula: &StoredFormula, to: ContentId| {
                formula.over(&|base| if base == id { to } else { base })
            };
            found.extend(nearest.iter().map(|to| over(formula, *to)));
            if let Some(to) = nearest.first() {
                all = over(&all, *to);
                replaced += 1;
            }
        }
        found.extend((replaced > 1).then_some(all));
        found
    }

    /// The contents of models that a hidden one is the nearest to, of its type.
    fn nearest_named(&self, hidden: usize, but: usize) -> Vec<ContentId> {
        let is_like = |place: usize| {
            let member = &self.members[place];
            !member.hidden && place != but && member.dtype == self.members[hidden].dtype
        };
        let edges = self.costs.edges[hidden].iter();
        let mut near: Vec<(u64, usize)> =
            edges.filter(|(base, _)| is_like(*base)).map(|(base, cost)| (*cost, *base)).collect();
        near.sort_unstable();
        near.iter().take(INSTEAD_MAX).map(|(_, place)| self.members[*place].id).collect()
    }

    /// What a member is coded against when it is made by a formula over members, at this depth.
    pub(in crate::store) fn prediction(
        &self,
        formula: &StoredFormula,
        depth: Option<u8>,
    ) -> Prediction<'c> {
        let places = formula.base_ids().filter_map(|base| self.places.get(&base));
        let chains = places.map(|place| self.members[*place].chain.clone()).collect();
        Prediction { formula: Some(formula.clone()), ..Prediction::plain(chains, depth) }
    }

    /// What a member takes when it is made by a formula, and whether that holds exactly: of all of
    /// a short one, and by three chunks of a long one.
    fn measure(&self, at: usize, formula: &StoredFormula, how: &Repack) -> Result<(u64, bool)> {
        let own = formula.encode().len() as u64;
        if self.bases(formula).is_none() {
            return Ok((u64::MAX / 8, false));
        }
        let (member, prediction) = (&self.members[at], self.prediction(formula, None));
        let (lane, len) = (Lane::of(&member.dtype), member.row.raw_len);
        let (piece, places) = if len <= slab_len() as u64 {
            (len, vec![0])
        } else {
            let chunks = len / CHUNK_LEN as u64;
            let places = [0, chunks / 2, chunks - 1].map(|at| at * CHUNK_LEN as u64);
            (CHUNK_LEN as u64, places.to_vec())
        };
        let (mut bytes, mut sum) = (vec![0; piece as usize], 0);
        for start in &places {
            member.chain.read(*start, &mut bytes, Verify::Checksums)?;
            sum += delta_chunks(how.profile, lane, &bytes, *start, &prediction)?.stored_len();
        }
        let looked_at = (piece * places.len() as u64).max(1);
        let scaled = u128::from(sum) * u128::from(len) / u128::from(looked_at);
        Ok((own + scaled as u64, sum == 0 && !formula.adds_stored()))
    }
}
