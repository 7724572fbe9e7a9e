//! Models with rounded values in the place of their own: planned, judged by a gate, stored.

use std::sync::Arc;
use std::{fmt, io};

use rayon::prelude::*;
use serde_json::{Value, json};

use crate::catalog::Table;
use crate::codec::{Half, Loss, Lossy, LossyCoder};
use crate::format::{CHUNK_LEN, Manifest, ManifestPart, RecordKind};
use crate::planning::Relation;
use crate::store::base::candidate::{Candidate, Derivation};
use crate::store::base::relatives::BaseFinder;
use crate::store::error::{Result, StoreError, damaged};
use crate::store::read::chain::{Chain, Verify};
use crate::store::read::record::record_row;
use crate::store::slabs::slab_len;
use crate::store::source::{NewTensor, TensorSource};
use crate::tensor::{ContentId, Dtype, Shape, TrainingNames};

/// A tensor of which more than this part would keep their values stays as it is.
const EXACT_PART_MAX: f64 = 0.125;

/// What decides whether a lossy model is good enough: whether the model as drafted is accepted,
/// or why it could not be judged.
pub type Gate<'g> = dyn FnMut(&LossyDraft<'_>) -> std::result::Result<bool, String> + 'g;

/// What making a model lossy did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct LossyReport {
    /// Tensors whose values were rounded.
    pub tensors: u64,
    /// Tensors that stay lossless because the gate could not bear their loss.
    pub kept_tensors: u64,
    /// Elements of the rounded tensors.
    pub elements: u64,
    /// Those of them that keep their value, which rounding would have moved too far.
    pub exact_elements: u64,
    /// The model that this one stands for: content id of its manifest.
    pub stands_for: ContentId,
}

/// How a tensor is rounded.
pub(in crate::store) struct Rounding<'c> {
    base: Arc<Chain<'c>>,
    coder: LossyCoder,
    pub(in crate::store) loss: Loss,
}

impl<'c> Rounding<'c> {
    /// Reads the tensor's own bytes and the base's, from `offset` on.
    fn read(
        &self,
        own: &dyn TensorSource,
        offset: u64,
        len: usize,
    ) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let (mut bytes, mut base) = (vec![0; len], vec![0; len]);
        own.read_at(offset, &mut bytes)?;
        self.base.read(offset, &mut base, Verify::Checksums).map_err(io::Error::other)?;
        Ok((bytes, base))
    }

    pub(in crate::store) fn base(&self) -> &Arc<Chain<'c>> {
        &self.base
    }

    fn stands_on(&self) -> ContentId {
        self.base.record().header().content_id
    }
}

/// A tensor of a plan.
pub(in crate::store) struct PlannedTensor<'p> {
    pub(in crate::store) name: &'p str,
    pub(in crate::store) dtype: &'p Dtype,
    pub(in crate::store) shape: &'p Shape,
    pub(in crate::store) byte_len: u64,
    own: &'p dyn TensorSource,
    /// Content id without loss.
    pub(in crate::store) original: ContentId,
    pub(in crate::store) rounding: Option<Rounding<'p>>,
}

/// The rounded values of a tensor. Ranges are of whole elements.
pub(in crate::store) struct Values<'p>(pub(in crate::store) &'p PlannedTensor<'p>);

impl TensorSource for Values<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let Some(rounding) = &self.0.rounding else { return self.0.own.read_at(offset, out) };
        let (own, base) = rounding.read(self.0.own, offset, out.len())?;
        rounding.coder.round(&base, &own, out);
        Ok(())
    }
}

/// What a rounded tensor adds to its base, or a half of it.
pub(in crate::store) struct Added<'p>(
    pub(in crate::store) &'p PlannedTensor<'p>,
    pub(in crate::store) Half,
);

impl Added<'_> {
    /// The type of its elements, and the length in bytes of all.
    pub(in crate::store) fn layout(&self) -> Option<(Dtype, u64)> {
        let rounding = self.0.rounding.as_ref()?;
        let dtype = rounding.coder.added_type();
        let width = u64::from(dtype == Dtype::F16) + 1;
        Some((dtype, self.0.byte_len / rounding.coder.element_bytes() as u64 * width))
    }
}

impl TensorSource for Added<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let Some(rounding) = &self.0.rounding else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let width = 1 + usize::from(rounding.coder.lossy() == Lossy::Fp16);
        let (from, to) = (offset / width as u64, rounding.coder.element_bytes());
        let (own, base) = rounding.read(self.0.own, from * to as u64, out.len() / width * to)?;
        rounding.coder.write_added(&base, &own, self.1, out);
        Ok(())
    }
}

/// A model that may be made lossy.
pub(in crate::store) struct LossyPlan<'p> {
    pub(in crate::store) lossy: Lossy,
    pub(in crate::store) tensors: Vec<PlannedTensor<'p>>,
    /// The files of the model; without tensors.
    pub(in crate::store) files: Manifest,
    /// The other bytes of its files, where they are contents of their own.
    skeletons: Vec<Bones<'p>>,
}

/// The bytes of a file that belong to no tensor.
struct Bones<'p>(Chain<'p>);

impl TensorSource for Bones<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out, Verify::Checksums).map_err(io::Error::other)
    }
}

/// A lossy model that is not stored yet: what a gate judges.
pub struct LossyDraft<'p> {
    plan: &'p LossyPlan<'p>,
    /// Which tensors have rounded values.
    pub(in crate::store) rounded: Vec<bool>,
}

impl fmt::Debug for LossyDraft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LossyDraft").field("rounded", &self.rounded).finish_non_exhaustive()
    }
}

/// A tensor of a lossy draft.
#[derive(Clone, Copy)]
pub struct LossyTensor<'d> {
    planned: &'d PlannedTensor<'d>,
    rounded: bool,
}

impl fmt::Debug for LossyTensor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LossyTensor").field("name", &self.planned.name).finish_non_exhaustive()
    }
}

impl LossyTensor<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        self.planned.name
    }

    /// Its element type.
    pub fn dtype(&self) -> &Dtype {
        self.planned.dtype
    }

    /// Its dimensions.
    pub fn shape(&self) -> &Shape {
        self.planned.shape
    }

    /// Its length in bytes.
    pub fn byte_len(&self) -> u64 {
        self.planned.byte_len
    }

    /// Whether its values are rounded.
    pub fn is_rounded(&self) -> bool {
        self.rounded
    }

    /// Writes the bytes from `offset` on, which is the beginning of an element, into `out`.
    ///
    /// # Errors
    ///
    /// [`StoreError::BufferLength`] when the range is not inside the tensor; [`StoreError::Source`]
    /// when its source, or what it is rounded to, cannot be read.
    pub fn read_range_into(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.planned.byte_len) {
            let found = offset.saturating_add(out.len() as u64);
            return Err(StoreError::BufferLength { expected: self.planned.byte_len, found });
        }
        let read = match self.rounded {
            true => Values(self.planned).read_at(offset, out),
            false => self.planned.own.read_at(offset, out),
        };
        read.map_err(|source| StoreError::Source { tensor: self.planned.name.to_owned(), source })
    }

    /// All of its bytes.
    ///
    /// # Errors
    ///
    /// As [`read_range_into`](Self::read_range_into); [`StoreError::OutOfMemory`].
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let len = self.planned.byte_len;
        let mut bytes = Vec::new();
        let no_memory = |_| StoreError::OutOfMemory { bytes: len };
        bytes.try_reserve_exact(len as usize).map_err(no_memory)?;
        bytes.resize(len as usize, 0);
        self.read_range_into(0, &mut bytes)?;
        Ok(bytes)
    }
}

impl<'p> LossyDraft<'p> {
    /// The tensors, in the order of the model's files.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = LossyTensor<'_>> {
        let tensors = self.plan.tensors.iter().zip(&self.rounded);
        tensors.map(|(planned, rounded)| LossyTensor { planned, rounded: *rounded })
    }

    /// The same model without loss.
    pub fn original(&self) -> LossyDraft<'p> {
        LossyDraft { plan: self.plan, rounded: vec![false; self.rounded.len()] }
    }

    pub(in crate::store) fn planned(&self) -> impl ExactSizeIterator<Item = &PlannedTensor<'p>> {
        self.plan.tensors.iter()
    }

    /// The model's manifest, without tensors.
    pub(crate) fn files(&self) -> &Manifest {
        &self.plan.files
    }

    /// The other bytes of a file, and how many there are, where they are a content of their own.
    pub(crate) fn skeleton(&self, part: usize) -> Option<(&dyn TensorSource, u64)> {
        let bones = self.plan.skeletons.get(part)?;
        Some((bones, bones.0.raw_len()))
    }

    /// Whether its files are a folder, as against one file.
    pub fn is_folder(&self) -> bool {
        self.plan.files.is_folder()
    }

    /// An id of what it holds: of equal drafts the same, whenever they are made. Nothing is read.
    ///
    /// # Errors
    ///
    /// A manifest beyond the bounds of the format.
    pub fn id(&self) -> Result<ContentId> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.stands_for()?.as_bytes()).update(self.plan.lossy.to_string().as_bytes());
        for (planned, rounded) in self.plan.tensors.iter().zip(&self.rounded) {
            let base = planned.rounding.as_ref().filter(|_| *rounded).map(Rounding::stands_on);
            hasher.update(base.unwrap_or(ContentId::NONE).as_bytes());
        }
        Ok(hasher.finalize().into())
    }

    /// Content id of the manifest of the model without loss.
    pub fn stands_for(&self) -> Result<ContentId> {
        let tensors = self.plan.tensors.iter().map(|planned| crate::format::ManifestTensor {
            name: planned.name,
            dtype: planned.dtype,
            shape: planned.shape,
            byte_len: planned.byte_len,
            content_id: planned.original,
        });
        let tensors = tensors.collect();
        Ok(ContentId::of(&Manifest { tensors, ..self.plan.files.clone() }.encode()?))
    }

    /// What is told of the loss: for the caller, and for ever in the node's metadata.
    pub(in crate::store) fn report(&self) -> Result<(LossyReport, Value)> {
        let mut loss = Loss::default();
        let (mut tensors, mut kept) = (0, 0);
        for (planned, rounded) in self.plan.tensors.iter().zip(&self.rounded) {
            let Some(rounding) = &planned.rounding else { continue };
            if *rounded {
                tensors += 1;
                loss.add(rounding.loss);
            } else {
                kept += 1;
            }
        }
        let report = LossyReport {
            tensors,
            kept_tensors: kept,
            elements: loss.elements,
            exact_elements: loss.exact,
            stands_for: self.stands_for()?,
        };
        let mark = json!({
            "method": self.plan.lossy.to_string(),
            "bound": self.plan.lossy.absolute_bound(),
            "largest_error": loss.largest_error,
            "tensors": tensors,
            "kept_tensors": kept,
            "exact_elements": loss.exact,
            "stands_for": report.stands_for.to_string(),
        });
        Ok((report, mark))
    }
}

/// Reads a tensor once: its content id, and what rounding does to it.
fn look(
    own: &dyn TensorSource,
    len: u64,
    rounding: Option<&Rounding<'_>>,
) -> io::Result<(ContentId, Loss)> {
    let mut slab = vec![0; slab_len().min(len as usize)];
    let (mut hasher, mut loss) = (blake3::Hasher::new(), Loss::default());
    let mut start = 0;
    while start < len {
        let part = &mut slab[..(len - start).min(slab_len() as u64) as usize];
        let pieces = part.par_chunks_mut(CHUNK_LEN).enumerate();
        let found: Vec<Loss> = pieces
            .map(|(at, piece)| {
                let offset = start + (at * CHUNK_LEN) as u64;
                own.read_at(offset, piece)?;
                let Some(rounding) = rounding else { return Ok(Loss::default()) };
                let (mut base, mut values) = (vec![0; piece.len()], vec![0; piece.len()]);
                rounding
                    .base
                    .read(offset, &mut base, Verify::Checksums)
                    .map_err(io::Error::other)?;
                Ok(rounding.coder.round(&base, piece, &mut values))
            })
            .collect::<io::Result<_>>()?;
        found.into_iter().for_each(|found| loss.add(found));
        hasher.update_rayon(part);
        start += part.len() as u64;
    }
    Ok((hasher.finalize().into(), loss))
}

impl<'p> LossyPlan<'p> {
    /// The draft in which the `kept` tensors of the largest error are as they were.
    fn draft(&'p self, order: &[usize], kept: usize) -> LossyDraft<'p> {
        let mut rounded: Vec<bool> =
            self.tensors.iter().map(|planned| planned.rounding.is_some()).collect();
        order.iter().take(kept).for_each(|at| rounded[*at] = false);
        LossyDraft { plan: self, rounded }
    }

    /// The draft with the most loss that the gate bears; `None` when no tensor can be rounded.
    ///
    /// # Errors
    ///
    /// [`StoreError::GateRefused`] when it bears none, [`StoreError::Gate`] when it cannot judge.
    pub(in crate::store) fn settle(
        &'p self,
        gate: Option<&mut Gate<'_>>,
    ) -> Result<Option<LossyDraft<'p>>> {
        let error = |at: &usize| {
            self.tensors[*at].rounding.as_ref().map_or(0.0, |rounding| rounding.loss.squared_error)
        };
        let mut order: Vec<usize> =
            (0..self.tensors.len()).filter(|at| self.tensors[*at].rounding.is_some()).collect();
        order.sort_by(|a, b| error(b).total_cmp(&error(a)));
        let whole = self.draft(&order, 0);
        if order.is_empty() {
            return Ok(None);
        }
        let Some(gate) = gate else { return Ok(Some(whole)) };
        let mut accepts =
            |draft: &LossyDraft<'_>| gate(draft).map_err(|reason| StoreError::Gate { reason });
        if accepts(&whole)? {
            return Ok(Some(whole));
        }
        // What is refused with so many kept; what is accepted, or has no loss left.
        let (mut refused, mut borne) = (0, order.len());
        while borne - refused > 1 {
            let middle = refused.midpoint(borne);
            match accepts(&self.draft(&order, middle))? {
                true => borne = middle,
                false => refused = middle,
            }
        }
        if borne == order.len() {
            return Err(StoreError::GateRefused);
        }
        Ok(Some(self.draft(&order, borne)))
    }
}

/// Plans how `tensors` are made lossy, each against the first of its candidates that has the
/// same elements. Cost: reads all of them, and these bases.
pub(in crate::store) fn plan_lossy<'p, 'a: 'p, 'q>(
    finder: &BaseFinder<'_, 'p>,
    lossy: Lossy,
    tensors: impl Iterator<Item = (&'p NewTensor<'a>, &'q [Candidate])>,
    files: Manifest,
) -> Result<LossyPlan<'p>> {
    let checked = |part: &&ManifestPart| part.is_weights && part.format.has_checksums();
    if let Some(part) = files.parts.iter().find(checked) {
        let (path, format) = (part.path.clone(), part.format);
        let reason = format!(
            "a {format} file has checksums of its values, which rounding would break: bring the \
             model as safetensors"
        );
        return Err(StoreError::BadFile { path, reason });
    }
    let weights = files.weights();
    let tensors: Vec<_> = tensors.collect();
    let states = TrainingNames::among(|each| {
        tensors.iter().take(weights).for_each(|(tensor, _)| each(&tensor.name));
    });
    let mut planned = Vec::new();
    for (at, (tensor, candidates)) in tensors.into_iter().enumerate() {
        // What is beside the weights stays as it is, in files of its own or in theirs.
        let is_weights = at < weights && !states.has(&tensor.name);
        let candidates = if is_weights { candidates } else { &[] };
        let mut rounding = None;
        let same =
            |candidate: &&Candidate| candidate.derivation == Derivation::Related(Relation::Same);
        if let (Some(coder), Some(candidate)) =
            (LossyCoder::new(lossy, &tensor.dtype), candidates.iter().find(same))
        {
            let opened =
                finder.open_candidates(ContentId::NONE, std::slice::from_ref(candidate))?;
            let chain = opened.into_iter().next().and_then(|(_, chains)| chains.into_iter().next());
            if let Some(base) = chain.filter(|chain| chain.raw_len() == tensor.byte_len) {
                base.check()?;
                rounding = Some(Rounding { base, coder, loss: Loss::default() });
            }
        }
        let failed = |source| StoreError::Source { tensor: tensor.name.to_string(), source };
        let (original, loss) = look(tensor, tensor.byte_len, rounding.as_ref()).map_err(failed)?;
        // Without an error nothing is lost, and with many exact elements little is gained.
        let worth =
            loss.squared_error > 0.0 && loss.exact as f64 <= loss.elements as f64 * EXACT_PART_MAX;
        planned.push(PlannedTensor {
            name: &tensor.name,
            dtype: &tensor.dtype,
            shape: &tensor.shape,
            byte_len: tensor.byte_len,
            own: tensor,
            original,
            rounding: rounding.filter(|_| worth).map(|rounding| Rounding { loss, ..rounding }),
        });
    }
    let mut skeletons = Vec::new();
    for skeleton in &files.skeletons {
        let id = skeleton.content_id;
        let row = record_row(finder.tables, Table::Tensors, id.as_bytes())?;
        let row = row.ok_or_else(|| damaged(id, 0)(&"missing from the catalogue"))?;
        let chain = Chain::open(finder.shared, finder.tables, RecordKind::Tensor, id, row)?;
        skeletons.push(Bones(chain));
    }
    Ok(LossyPlan { lossy, tensors: planned, files, skeletons })
}

impl PlannedTensor<'_> {
    /// Which halves of what is added are stored.
    pub(in crate::store) fn halves(&self) -> &'static [Half] {
        match &self.rounding {
            None => &[],
            Some(rounding) if rounding.loss.wide && rounding.coder.lossy() != Lossy::Fp16 => {
                &[Half::Lower, Half::Upper]
            }
            Some(_) => &[Half::Lower],
        }
    }

    /// The type of what is added.
    pub(in crate::store) fn dtype_of_added(&self) -> Option<Dtype> {
        self.rounding.as_ref().map(|rounding| rounding.coder.added_type())
    }

    /// The formula that makes the values, and what it stands on first.
    pub(in crate::store) fn formula(&self) -> Option<(crate::codec::formula::Formula, ContentId)> {
        let rounding = self.rounding.as_ref()?;
        let formula = rounding.coder.formula(self.dtype, self.halves().len() > 1)?;
        Some((formula, rounding.stands_on()))
    }
}
