//! What a merge will do, layer by layer, before it does it.

use std::sync::OnceLock;

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::{Map, Value};

use super::class::{Class, Classes, Path, Touched};
use super::layers::{BASE, Entry, Layers, OURS, Slot, THEIRS};
use super::tests_of::{self, TestConflict};
use super::values::{self, ValueConflict};
use super::{MergeError, MergeOptions, Resolution};
use crate::container::full_message;
use crate::diff::InTurn;
use crate::lineage::{Edges, Node, glob_matches};
use crate::store::Model;
use crate::tensor::TrainingNames;
use crate::update::UpdateError;

/// What a side did to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
pub enum Touch {
    /// Nothing.
    Same,
    /// It has other contents, or another kind or size.
    Changed,
    /// The base does not have it.
    Added,
    /// Only the base has it.
    Removed,
}

impl Touch {
    /// A word.
    pub fn name(self) -> &'static str {
        match self {
            Touch::Same => "same",
            Touch::Changed => "changed",
            Touch::Added => "added",
            Touch::Removed => "removed",
        }
    }
}

/// A layer that a side has changed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct LayerMerge {
    /// Its name in the merged model.
    pub name: String,
    /// Who has changed it.
    pub touched: Touched,
    /// What ours did.
    pub ours: Touch,
    /// What theirs did.
    pub theirs: Touch,
    /// What that means.
    pub class: Class,
    /// For a possible conflict: the layers on a shortest path to one that the other side has
    /// changed, in the direction of the data, both ends among them. Of a long path some in between
    /// are left out.
    pub path: Vec<String>,
    /// How many layers of the path are left out, and behind how many of those that are named.
    pub left_out: (usize, usize),
    /// Bytes of its tensors.
    pub bytes: u64,
    /// How it is settled: one name for all its tensors, or several; empty where nobody has said.
    pub settled: Vec<Resolution>,
    /// Why it cannot be settled so.
    pub unsettled: Option<String>,
}

/// What a merge will do.
#[derive(Debug)]
#[non_exhaustive]
pub struct MergePlan {
    /// The first model.
    pub ours: Node,
    /// The second model.
    pub theirs: Node,
    /// What both are compared with: given, or of their nearest common ancestors the one with the
    /// fewest steps to both, and of those the one of the lowest id.
    pub base: Node,
    /// Other nearest common ancestors, which were passed over.
    pub other_bases: Vec<Node>,
    /// How many layers neither side has changed.
    pub unchanged: usize,
    /// The merged metadata.
    pub metadata: Map<String, Value>,
    /// The merged kind of model.
    pub kind: String,
    /// Keys of the metadata that both sides have changed differently.
    pub metadata_conflicts: Vec<ValueConflict>,
    /// Tests that the merged model inherits though they are not for its name: by what they run.
    pub inherited_tests: Vec<crate::model_tests::Test>,
    /// Tests that both sides have changed differently: both are kept.
    pub test_conflicts: Vec<TestConflict>,
    pub(super) models: [Model; 3],
    pub(super) merged: Layers,
    pub(super) touched: Vec<Touched>,
    /// Made again when a path is asked for: it takes as much memory as a model.
    classes: OnceLock<Classes>,
    /// Entries that a side has changed, by their classes.
    rows: Vec<(Class, u32)>,
    options: MergeOptions,
    /// Which names of each model are those of a training's state.
    pub(super) states: [TrainingNames; 3],
}

/// As an object of the models and conflicts, and of its [`layers`](MergePlan::layers).
impl Serialize for MergePlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut plan = serializer.serialize_struct("MergePlan", 9)?;
        plan.serialize_field("ours", &self.ours)?;
        plan.serialize_field("theirs", &self.theirs)?;
        plan.serialize_field("base", &self.base)?;
        plan.serialize_field("other_bases", &self.other_bases)?;
        plan.serialize_field("layers", &InTurn(|| self.layers()))?;
        plan.serialize_field("unchanged", &self.unchanged)?;
        plan.serialize_field("metadata", &self.metadata)?;
        plan.serialize_field("metadata_conflicts", &self.metadata_conflicts)?;
        plan.serialize_field("test_conflicts", &self.test_conflicts)?;
        plan.end()
    }
}

impl MergePlan {
    /// The plan of a merge of two models of one snapshot.
    ///
    /// # Errors
    ///
    /// One model twice; no common ancestor; a base that is not there; a glob that fits nothing.
    pub fn of(ours: &Model, theirs: &Model, options: &MergeOptions) -> Result<Self, MergeError> {
        if ours.node().id == theirs.node().id {
            return Err(MergeError::SameModel { model: ours.full_name() });
        }
        let snapshot = ours.snapshot();
        let graph = snapshot.graph();
        let (base, other_bases) = match &options.base {
            Some(base) => (snapshot.model(base)?, Vec::new()),
            None => {
                let ids = [ours.node().id, theirs.node().id];
                let found = graph.nearest_common_ancestors(&ids, Edges::Both)?;
                let nodes =
                    found.iter().map(|id| graph.expect(*id)).collect::<Result<Vec<_>, _>>()?;
                let mut nodes = nodes.into_iter();
                let Some(base) = nodes.next() else {
                    let (ours, theirs) = (ours.full_name(), theirs.full_name());
                    return Err(MergeError::NoCommonAncestor { ours, theirs });
                };
                (snapshot.model_of(base)?, nodes.collect())
            }
        };
        let merged = Layers::of([&base, ours, theirs])?;
        let touched: Vec<Touched> = merged.entries().map(|entry| touched(&entry)).collect();
        let classes = Classes::of(&touched, &merged.all_edges());
        for take in options.takes.iter().filter(|take| !take.glob.starts_with(values::PREFIX)) {
            if !merged.entries().any(|entry| fits(&take.glob, &entry)) {
                return Err(MergeError::NothingTaken { glob: take.glob.clone() });
            }
        }
        let of = |(at, touched): (usize, &Touched)| Some((classes.class(at, *touched)?, at as u32));
        let mut rows: Vec<(Class, u32)> = touched.iter().enumerate().filter_map(of).collect();
        // Of a class in the order of the layers.
        rows.sort_unstable();
        drop(classes);
        let unchanged = touched.iter().filter(|it| **it == Touched::Neither).count();
        let values = values::merge([&base, ours, theirs], options)?;
        let tests = tests_of::merge([&base, ours, theirs])?;
        Ok(MergePlan {
            ours: ours.node().clone(),
            theirs: theirs.node().clone(),
            base: base.node().clone(),
            other_bases,
            unchanged,
            metadata: values.metadata,
            kind: values.kind,
            metadata_conflicts: values.conflicts,
            inherited_tests: tests.inherited,
            test_conflicts: tests.conflicts,
            states: [&base, ours, theirs].map(|model| model.manifest().training_names()),
            models: [base, ours.clone(), theirs.clone()],
            merged,
            touched,
            classes: OnceLock::new(),
            rows,
            options: options.clone(),
        })
    }

    /// Layers that a side has changed: conflicts, then possible ones, then the others.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = LayerMerge> + '_ {
        self.rows.iter().map(|(class, at)| self.layer(*class, *at as usize))
    }

    /// How many layers are of a class.
    pub fn count(&self, class: Class) -> usize {
        self.rows.iter().filter(|row| row.0 == class).count()
    }

    /// Layers that nobody has settled, or that cannot be settled as somebody has said.
    pub fn unsettled(&self) -> impl Iterator<Item = LayerMerge> + '_ {
        self.layers().filter(|layer| layer.unsettled.is_some())
    }

    /// Whether the merged model must pass the tests of both sides: it has layers of both that
    /// meet, or a conflict that was settled.
    pub fn needs_tests(&self) -> bool {
        self.rows.iter().any(|(class, _)| *class != Class::None)
    }

    /// Frees the memory of the paths.
    pub(super) fn forget_paths(&mut self) {
        self.classes = OnceLock::new();
    }

    fn classes(&self) -> &Classes {
        self.classes.get_or_init(|| Classes::of(&self.touched, &self.merged.all_edges()))
    }

    fn layer(&self, class: Class, at: usize) -> LayerMerge {
        let touched = self.touched.get(at).copied().unwrap_or_default();
        let path = match class {
            Class::Possible => self.classes().path(at, touched),
            _ => Path::default(),
        };
        let entry = self.merged.entry(at);
        let left_out = (path.left_out, path.first.len());
        let path = path.first.into_iter().chain(path.last);
        let path = path.map(|at| self.merged.entry(at).name().to_owned()).collect();
        layer(&entry, (touched, class), (path, left_out), (&self.options, &self.states))
    }
}

fn touched(entry: &Entry<'_>) -> Touched {
    match (entry.is_equal(BASE, OURS), entry.is_equal(BASE, THEIRS)) {
        (true, true) => Touched::Neither,
        (false, true) => Touched::Ours,
        (true, false) => Touched::Theirs,
        (false, false) if entry.is_equal(OURS, THEIRS) => Touched::Alike,
        (false, false) => Touched::Both,
    }
}

fn touch(entry: &Entry<'_>, side: usize) -> Touch {
    match (entry.has(BASE), entry.has(side)) {
        (true, false) => Touch::Removed,
        (false, true) => Touch::Added,
        _ if entry.is_equal(BASE, side) => Touch::Same,
        _ => Touch::Changed,
    }
}

/// Whether a glob fits a layer, or one of its tensors, as any of the models calls them.
fn fits(glob: &str, entry: &Entry<'_>) -> bool {
    entry.names().any(|name| glob_matches(glob, name))
        || entry.slots().any(|slot| fits_tensor(glob, &slot))
}

fn fits_tensor(glob: &str, slot: &Slot) -> bool {
    slot.iter().flatten().any(|tensor| glob_matches(glob, tensor.name()))
}

/// Whether a place holds the state of a training, such as an optimizer's moments.
fn is_training_state(slot: &Slot, states: &[TrainingNames; 3]) -> bool {
    let names = slot.iter().zip(states);
    names.filter_map(|(tensor, of)| Some((tensor.as_ref()?, of))).any(|(it, of)| of.has(it.name()))
}

/// Whether a place would have been mixed if it did not hold the state of a training.
pub(super) fn is_left_to_ours(
    slot: &Slot,
    touched: Touched,
    resolution: Resolution,
    (options, states): (&MergeOptions, &[TrainingNames; 3]),
) -> bool {
    let is_mixed = matches!(options.on_conflict, Some(Resolution::Blend(_)));
    let left = touched == Touched::Both && resolution == Resolution::Ours;
    left && is_mixed
        && is_training_state(slot, states)
        && !options.takes.iter().any(|take| fits_tensor(&take.glob, slot))
}

/// How a tensor is settled: by the first glob that fits it or its layer, else by who has changed
/// the layer; `None` for a conflict that nobody has settled.
pub(super) fn resolution(
    entry: &Entry<'_>,
    slot: Option<&Slot>,
    touched: Touched,
    (options, states): (&MergeOptions, &[TrainingNames; 3]),
) -> Option<Resolution> {
    let by_layer = |glob: &str| entry.names().any(|name| glob_matches(glob, name));
    let taken = options.takes.iter().find(|take| {
        by_layer(&take.glob) || slot.is_some_and(|slot| fits_tensor(&take.glob, slot))
    });
    match (taken, touched) {
        (Some(take), _) => Some(take.resolution),
        (None, Touched::Theirs) => Some(Resolution::Theirs),
        // The states of two trainings are no weights that could be mixed.
        (None, Touched::Both) if slot.is_some_and(|slot| is_training_state(slot, states)) => {
            options.on_conflict.map(|settled| match settled {
                Resolution::Blend(_) => Resolution::Ours,
                side => side,
            })
        }
        (None, Touched::Both) => options.on_conflict,
        (None, _) => Some(Resolution::Ours),
    }
}

/// Why a strategy cannot mix what both sides have in this place.
pub(super) fn obstacle(slot: &Slot, resolution: Resolution) -> Option<UpdateError> {
    let Resolution::Blend(strategy) = resolution else { return None };
    let [base, ours, theirs] = slot;
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        let one = slot.iter().flatten().next().map(|tensor| tensor.name().to_owned());
        let reason = "only one side has it: take a side".to_owned();
        return Some(UpdateError::Tensor { tensor: one.unwrap_or_default(), reason });
    };
    if super::layers::is_same(ours, theirs) {
        return None;
    }
    let settings = crate::update::BlendSettings::new(strategy, 2, 0);
    let parts = [ours.clone(), theirs.clone()];
    let made = crate::update::blend_tensor(strategy, &settings, base.as_ref(), &parts);
    made.err().map(|error| match error {
        UpdateError::Tensor { tensor, reason } => {
            UpdateError::Tensor { tensor, reason: format!("{reason}: take a side") }
        }
        error => error,
    })
}

fn layer(
    entry: &Entry<'_>,
    (touched, class): (Touched, Class),
    (path, left_out): (Vec<String>, (usize, usize)),
    how: (&MergeOptions, &[TrainingNames; 3]),
) -> LayerMerge {
    let mut settled: Vec<Resolution> = Vec::new();
    let (mut unsettled, mut bytes) = (None, 0);
    let none = entry.slot_places().is_empty().then_some(None);
    for slot in entry.slots().map(Some).chain(none) {
        match resolution(entry, slot.as_ref(), touched, how) {
            Some(resolution) => {
                if !settled.contains(&resolution) {
                    settled.push(resolution);
                }
                let found = slot.as_ref().and_then(|slot| obstacle(slot, resolution));
                let named = found.map(|error| match error {
                    UpdateError::Tensor { tensor, reason } if tensor == entry.name() => reason,
                    error => full_message(&error),
                });
                unsettled = unsettled.or(named);
            }
            None => {
                let why = || "both sides have changed it, each otherwise".to_owned();
                unsettled.get_or_insert_with(why);
            }
        }
        let tensors = slot.iter().flatten().flatten();
        bytes += tensors.map(crate::store::Tensor::byte_len).max().unwrap_or(0);
    }
    LayerMerge {
        name: entry.name().to_owned(),
        touched,
        ours: touch(entry, OURS),
        theirs: touch(entry, THEIRS),
        class,
        path,
        left_out,
        bytes,
        settled,
        unsettled,
    }
}
