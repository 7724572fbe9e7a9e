//! Which models an update makes anew, from what, and in which order.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;

use super::{Builtin, Recipe, UpdateError, UpdateMarker};
use crate::codec::Profile;
use crate::lineage::{Direction, Edges, Graph, How, LineageError, ModelRef, Node, NodeId};
use crate::store::{ImportReport, Snapshot};

/// By what functions an update makes models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateMethod {
    /// By the recipe of each, where it has one; else by a rebase.
    #[default]
    Auto,
    /// New parent + (child - old parent).
    Rebase,
    /// By the recipe of each; one without a recipe cannot be made.
    Recorded,
    /// By the function of this name.
    Function(String),
}

impl fmt::Display for UpdateMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpdateMethod::Auto => f.write_str("auto"),
            UpdateMethod::Rebase => f.write_str("rebase"),
            UpdateMethod::Recorded => f.write_str("recorded"),
            UpdateMethod::Function(name) => write!(f, "function {name}"),
        }
    }
}

impl FromStr for UpdateMethod {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(UpdateMethod::Auto),
            "rebase" => Ok(UpdateMethod::Rebase),
            "recorded" => Ok(UpdateMethod::Recorded),
            _ => Err("say auto, rebase or recorded".to_owned()),
        }
    }
}

/// Says of a node whether it is meant.
type Predicate<'a> = Box<dyn Fn(&Node) -> bool + Sync + 'a>;

/// Told what happens; may say to stop.
type Watch<'a> = Box<dyn Fn(Event<'_>) -> ControlFlow<()> + Sync + 'a>;

/// The update of everything that descends from a model for which there is a new version.
///
/// Which models are made: every provenance descendant of the old model, except those that are
/// skipped; those that come after a stop only; the new model and what descends from the old only
/// by way of it; those whose parents have nothing new; and versions that have a newer one, unless
/// something that is made stands on them. One that somebody has put on the new model by hand is
/// taken as it is. An older version of the new model counts as the old model.
#[must_use]
pub struct Update<'a> {
    old: ModelRef,
    new: ModelRef,
    method: UpdateMethod,
    pub(super) jobs: usize,
    pub(super) resume: bool,
    all_versions: bool,
    pub(super) profile: Profile,
    skip: Option<Predicate<'a>>,
    stop: Option<Predicate<'a>>,
    pub(super) watch: Option<Watch<'a>>,
}

impl fmt::Debug for Update<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "update of {} to {} by {}", self.old, self.new, self.method)
    }
}

impl<'a> Update<'a> {
    /// The update of what descends from `old`, now that there is `new`.
    pub fn new(old: impl Into<ModelRef>, new: impl Into<ModelRef>) -> Self {
        Update {
            old: old.into(),
            new: new.into(),
            method: UpdateMethod::Auto,
            jobs: 1,
            resume: false,
            all_versions: false,
            profile: Profile::default(),
            skip: None,
            stop: None,
            watch: None,
        }
    }

    /// Says by what functions models are made.
    pub fn method(mut self, method: UpdateMethod) -> Self {
        self.method = method;
        self
    }

    /// Says how many functions run at a time; commits are made one after the other.
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.max(1);
        self
    }

    /// Says to go on where an earlier run of this update has ended.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Says to update versions that have a newer one too.
    pub fn all_versions(mut self, all: bool) -> Self {
        self.all_versions = all;
        self
    }

    /// Says whether models are to be encoded for speed or for size.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Leaves models alone. What descends from one is made from its newest version, if there is a
    /// newer one.
    pub fn skip(mut self, skip: impl Fn(&Node) -> bool + Sync + 'a) -> Self {
        self.skip = Some(Box::new(skip));
        self
    }

    /// Goes no further behind models. They themselves are updated, and so is what descends from the
    /// old model by another way.
    pub fn stop(mut self, stop: impl Fn(&Node) -> bool + Sync + 'a) -> Self {
        self.stop = Some(Box::new(stop));
        self
    }

    /// Is told what happens, by several threads; a break begins nothing more.
    pub fn watch(mut self, watch: impl Fn(Event<'_>) -> ControlFlow<()> + Sync + 'a) -> Self {
        self.watch = Some(Box::new(watch));
        self
    }

    /// What [`run`](Self::run) would do. Cost: the edges of what is behind the old and the new
    /// model, and the metadata of its versions.
    ///
    /// # Errors
    ///
    /// Models that are not there, or are the same; those of the catalogue.
    pub fn plan(&self, snapshot: &Snapshot) -> Result<UpdatePlan, UpdateError> {
        let graph = snapshot.graph();
        let (old, new) = (graph.find(&self.old)?, graph.find(&self.new)?);
        if old.id == new.id {
            let name = old.full_name();
            return Err(UpdateError::inputs(format!("{name} is both the old and the new model")));
        }
        let plan = plan_id(&old, &new, &self.method);
        Planner::new(self, graph, plan, old, new)?.plan()
    }
}

/// What names an update in the models it makes.
fn plan_id(old: &Node, new: &Node, method: &UpdateMethod) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"mgit update").update(&old.id.0).update(&new.id.0);
    hasher.update(method.to_string().as_bytes());
    hasher.finalize().to_hex().chars().take(32).collect()
}

/// Where a parent of a model that is to be made comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
pub enum StepSource {
    /// It is there.
    Node(Node),
    /// The step of this number makes it.
    Step(usize),
}

/// A parent of a model that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepParent {
    /// The parent of the present version.
    pub from: NodeId,
    /// How it is derived.
    pub how: How,
    /// What takes its place.
    pub to: StepSource,
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Eq)]
// Exhaustive on purpose: whoever matches one is to be told when there is another.
pub enum StepState {
    /// It is to be made by the function of this name.
    ToDo(String),
    /// It cannot be made, for this reason.
    Impossible(String),
    /// It was made by an earlier run.
    Made(Node),
}

/// One model that an update makes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Step {
    /// The present version.
    pub node: Node,
    /// Its parents, in order.
    pub parents: Vec<StepParent>,
    /// How far it is.
    pub state: StepState,
    /// The recipe that it follows.
    pub(super) recipe: Option<Recipe>,
    /// Steps of older versions of it, which come first, so that versions keep their order.
    pub(super) after: Vec<usize>,
}

impl Step {
    /// The model that would take the places of two of its parents: it cannot be made then.
    pub(super) fn twice(&self) -> Option<&Node> {
        let mut seen = HashSet::new();
        self.parents.iter().find_map(|parent| match &parent.to {
            StepSource::Node(node) if !seen.insert(node.id) => Some(node),
            _ => None,
        })
    }
}

/// What happens in an update.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'e> {
    /// A function begins to make a model.
    Begins(&'e Step),
    /// A model is in the store.
    Made(&'e Step, &'e ImportReport),
    /// A model could not be made.
    Failed(&'e Step, &'e UpdateError),
    /// A model is not made, because one that it needs could not be made.
    Blocked(&'e Step),
}

/// What an update makes: every step behind the steps it needs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UpdatePlan {
    /// The name of the update in the models it makes.
    pub id: String,
    /// The model that was replaced.
    pub old: Node,
    /// The model that took its place.
    pub new: Node,
    /// The models to make, parents first.
    pub steps: Vec<Step>,
}

impl UpdatePlan {
    /// How many steps an earlier run has made.
    pub fn made(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.state, StepState::Made(_))).count()
    }

    /// How many steps are left.
    pub fn left(&self) -> usize {
        self.steps.len() - self.made()
    }
}

/// What is known while a plan is made.
struct Planner<'p, 'a> {
    update: &'p Update<'a>,
    graph: Graph<'p>,
    id: String,
    old: Node,
    new: Node,
    /// The new model and what descends from it.
    on_new: HashSet<NodeId>,
    /// The old model, and versions between it and the new one.
    replaced: HashSet<NodeId>,
    /// What descends from the old model.
    reached: BTreeMap<NodeId, Node>,
    /// The versions after a node, with their marks.
    newer: HashMap<NodeId, Vec<(Node, Option<UpdateMarker>)>>,
}

impl<'p, 'a> Planner<'p, 'a> {
    fn new(
        update: &'p Update<'a>,
        graph: Graph<'p>,
        id: String,
        old: Node,
        new: Node,
    ) -> Result<Self, UpdateError> {
        let ids = |walk: crate::lineage::Walk<'p>| -> Result<HashSet<_>, UpdateError> {
            walk.map(|node| Ok(node?.id)).collect()
        };
        let on_new = ids(graph.walk([new.id], Direction::Down, Edges::Provenance))?;
        let history = ids(graph.history(new.id))?;
        let (mut replaced, mut reached) = (HashSet::from([old.id]), BTreeMap::new());
        let mut stack = vec![old.id];
        while let Some(id) = stack.pop() {
            for child in graph.neighbours(id, Direction::Down, Edges::Provenance) {
                let child = child?;
                if child == new.id || reached.contains_key(&child) || replaced.contains(&child) {
                    continue;
                }
                let node = graph.expect(child)?;
                let goes_on = !update.stop.as_ref().is_some_and(|stop| stop(&node));
                if history.contains(&child) {
                    replaced.insert(child);
                    stack.push(child);
                } else {
                    reached.insert(child, node);
                    stack.extend(goes_on.then_some(child));
                }
            }
        }
        let newer = HashMap::new();
        Ok(Planner { update, graph, id, old, new, on_new, replaced, reached, newer })
    }

    fn plan(mut self) -> Result<UpdatePlan, UpdateError> {
        let order = self.order()?;
        let mut wanted: HashSet<NodeId> = HashSet::new();
        let mut made = HashMap::new();
        for node in order.iter().rev() {
            if self.update.skip.as_ref().is_some_and(|skip| skip(node)) {
                continue;
            }
            let done = UpdateMarker::find(&self.graph, &self.id, node)?;
            let is_wanted = match &done {
                Some(_) => true,
                None => !self.is_by_hand(node)? && !self.is_stale(node, &wanted)?,
            };
            if is_wanted {
                wanted.insert(node.id);
            }
            made.extend(done.map(|done| (node.id, done)));
        }
        let mut steps: Vec<Step> = Vec::new();
        let mut places = HashMap::new();
        for node in order {
            if !wanted.contains(&node.id) {
                continue;
            }
            let parents = self.parents(&node, &places)?;
            let is_new = |parent: &StepParent| {
                let upstream =
                    self.replaced.contains(&parent.from) || self.reached.contains_key(&parent.from);
                upstream && !matches!(&parent.to, StepSource::Node(node) if node.id == parent.from)
            };
            let done = made.remove(&node.id);
            if done.is_none() && !parents.iter().any(is_new) {
                continue;
            }
            let (state, recipe) = match done {
                Some(done) => (StepState::Made(done), None),
                None => self.method(&node)?,
            };
            let older = self.graph.history(node.id);
            let older: Vec<NodeId> =
                older.map(|node| Ok(node?.id)).collect::<Result<_, UpdateError>>()?;
            let after = older.iter().filter_map(|id| places.get(id).copied()).collect();
            places.insert(node.id, steps.len());
            let mut step = Step { node, parents, state, recipe, after };
            if let (StepState::ToDo(_), Some(parent)) = (&step.state, step.twice()) {
                let error = LineageError::DuplicateParent { parent: parent.full_name() };
                step.state = StepState::Impossible(error.to_string());
            }
            steps.push(step);
        }
        Ok(UpdatePlan { id: self.id, old: self.old, new: self.new, steps })
    }

    /// What was reached, parents and older versions first; otherwise by name and version.
    fn order(&self) -> Result<Vec<Node>, UpdateError> {
        let mut waiting: HashMap<NodeId, HashSet<NodeId>> = HashMap::new();
        let mut behind: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
        for id in self.reached.keys() {
            let mut first: HashSet<NodeId> = HashSet::new();
            for parent in self.graph.parents(*id)? {
                first.insert(parent.parent);
            }
            for older in self.graph.history(*id) {
                first.insert(older?.id);
            }
            first.retain(|other| other != id && self.reached.contains_key(other));
            first.iter().for_each(|other| behind.entry(*other).or_default().push(*id));
            waiting.insert(*id, first);
        }
        let key = |node: &Node| (node.row.name.clone(), node.row.version, node.id);
        let free = self.reached.values();
        let free = free.filter(|node| waiting.get(&node.id).is_some_and(HashSet::is_empty));
        let mut free: BTreeSet<_> = free.map(key).collect();
        let mut order = Vec::new();
        while let Some((_, _, id)) = free.pop_first() {
            order.extend(self.reached.get(&id).cloned());
            for next in behind.remove(&id).unwrap_or_default() {
                let Some(first) = waiting.get_mut(&next) else { continue };
                first.remove(&id);
                if first.is_empty() {
                    free.extend(self.reached.get(&next).map(key));
                }
            }
        }
        match waiting.iter().find(|(_, first)| !first.is_empty()) {
            // The graph of a sound store has no circle.
            Some((node, _)) => Err(crate::lineage::LineageError::Circle { node: *node }.into()),
            None => Ok(order),
        }
    }

    /// The versions after a node, with their marks.
    fn newer(&mut self, node: NodeId) -> Result<&[(Node, Option<UpdateMarker>)], UpdateError> {
        if !self.newer.contains_key(&node) {
            let mut newer = Vec::new();
            for version in self.graph.descendants(node, Edges::Version) {
                let version = version?;
                let marker = UpdateMarker::read(&self.graph, version.id)?;
                newer.push((version, marker));
            }
            self.newer.insert(node, newer);
        }
        Ok(self.newer.get(&node).map(Vec::as_slice).unwrap_or_default())
    }

    /// Whether somebody has made a newer version on the new model.
    fn is_by_hand(&mut self, node: &Node) -> Result<bool, UpdateError> {
        let newer: Vec<NodeId> = self
            .newer(node.id)?
            .iter()
            .filter(|(_, marker)| marker.is_none())
            .map(|(version, _)| version.id)
            .collect();
        let by_hand = |id: &NodeId| self.on_new.contains(id) && !self.reached.contains_key(id);
        Ok(newer.iter().any(by_hand))
    }

    /// Whether a newer version takes a node's place, and nothing that is wanted stands on it.
    fn is_stale(&mut self, node: &Node, wanted: &HashSet<NodeId>) -> Result<bool, UpdateError> {
        if self.update.all_versions {
            return Ok(false);
        }
        let (old, new) = (self.old.id, self.new.id);
        let of_this = |marker: &UpdateMarker| marker.old == old && marker.new == new;
        let newer: Vec<NodeId> = self
            .newer(node.id)?
            .iter()
            .filter(|(_, marker)| !marker.as_ref().is_some_and(of_this))
            .map(|(version, _)| version.id)
            .collect();
        if newer.iter().all(|id| self.on_new.contains(id)) {
            return Ok(false);
        }
        for child in self.graph.neighbours(node.id, Direction::Down, Edges::Provenance) {
            if wanted.contains(&child?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What takes the places of a node's parents.
    fn parents(
        &mut self,
        node: &Node,
        places: &HashMap<NodeId, usize>,
    ) -> Result<Vec<StepParent>, UpdateError> {
        let mut parents = Vec::new();
        for edge in self.graph.parents(node.id)? {
            let from = edge.parent;
            let to = match places.get(&from) {
                Some(step) => StepSource::Step(*step),
                None if self.replaced.contains(&from) || from == self.new.id => {
                    StepSource::Node(self.new.clone())
                }
                None => StepSource::Node(self.newest(from)?),
            };
            parents.push(StepParent { from, how: edge.how, to });
        }
        Ok(parents)
    }

    /// The newest version of a node that this update does not make.
    fn newest(&mut self, id: NodeId) -> Result<Node, UpdateError> {
        let mut newest = self.graph.expect(id)?;
        let plan = self.id.clone();
        for (version, marker) in self.newer(id)?.to_vec() {
            let own = marker.is_some_and(|marker| marker.plan == plan);
            let key = |node: &Node| (node.row.version, node.row.created_ms, node.id);
            let is_newer = newest.id == id || key(&version) > key(&newest);
            if !own && !self.reached.contains_key(&version.id) && is_newer {
                newest = version;
            }
        }
        Ok(newest)
    }

    /// By what function a node is made.
    fn method(&self, node: &Node) -> Result<(StepState, Option<Recipe>), UpdateError> {
        let rebase = || (StepState::ToDo(Builtin::Rebase.name().to_owned()), None);
        if self.update.method == UpdateMethod::Rebase {
            return Ok(rebase());
        }
        let recipe = match self.recorded(node) {
            Ok(recipe) => recipe,
            Err(error @ UpdateError::BadRecipe { .. }) => {
                return Ok((StepState::Impossible(error.to_string()), None));
            }
            Err(error) => return Err(error),
        };
        Ok(match (&self.update.method, recipe) {
            (UpdateMethod::Function(name), recipe) => {
                let recipe = recipe.filter(|recipe| recipe.function == *name);
                (StepState::ToDo(name.clone()), recipe)
            }
            (_, Some(recipe)) => (StepState::ToDo(recipe.function.clone()), Some(recipe)),
            (UpdateMethod::Recorded, None) => {
                let error = UpdateError::NoRecipe { model: node.full_name() };
                (StepState::Impossible(error.to_string()), None)
            }
            (_, None) => rebase(),
        })
    }

    /// The recipe of a node. A rebase has stood in for what made the version before, so that the
    /// recipe of that one counts, if there is one.
    fn recorded(&self, node: &Node) -> Result<Option<Recipe>, UpdateError> {
        let own = Recipe::read(&self.graph, node)?;
        let (mut recipe, mut seen) = (own.clone(), HashSet::from([node.id]));
        while let Some(rebase) = &recipe
            && rebase.function == Builtin::Rebase.name()
        {
            let Some(old) = rebase.old.filter(|old| seen.insert(*old)) else { break };
            recipe = match self.graph.node(old)? {
                Some(node) => Recipe::read(&self.graph, &node)?,
                None => None,
            };
        }
        Ok(recipe.or(own))
    }
}
