//! What a damaged file still holds, without writing anything.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::graph::{FoundChange, History, SavedGraph, SavedNode};
use super::orphans::{adopt_orphans, mend_edges};
use super::report::{GraphSource, LostModel, SalvageReport};
use super::resolve::Resolver;
use super::scan::{Found, Scan, content, scan};
use crate::catalog::{MissingRow, ReadTables, RecordRow, Table, meta};
use crate::container::{
    Container, ContainerError, Disk, LockSpace, Waiting, full_message, lock_out_writers,
};
use crate::format::{
    ChangeRecord, DATA_START, Manifest, READER_FLAGS_KNOWN, RecordKind, SUPERBLOCK_LEN, Superblock,
    WRITER_FLAGS_KNOWN,
};
use crate::lineage::NodeId;
use crate::store::{OpenOptions, Snapshot, Store, StoreError, is_at};
use crate::tensor::ContentId;
use crate::upkeep::UpkeepError;
use crate::upkeep::new_store::Identity;

/// How many reasons are told of a model.
const REASONS_MAX: usize = 100;

/// What a damaged file still holds. Keeps writers out while it lives.
#[derive(Debug)]
pub struct Survey {
    /// What could be saved, and what not.
    pub report: SalvageReport,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) identity: Identity,
    pub(super) graph: SavedGraph,
    /// The manifests that whole models have.
    pub(super) manifests: BTreeMap<ContentId, (Found, Manifest)>,
    /// The records that their tensors are decoded from, by content.
    pub(super) tensors: BTreeMap<ContentId, Found>,
    /// Holds the writer's byte shared.
    _lock: Box<dyn LockSpace>,
}

impl Survey {
    /// `name@version` of every model that is named, whole or not, by name.
    pub fn models(&self) -> Vec<String> {
        let lost = self.report.lost.iter().map(|lost| &lost.model);
        let mut names: Vec<String> =
            self.report.saved.iter().chain(&self.report.renamed).chain(lost).cloned().collect();
        names.sort();
        names
    }
}

/// Looks through the file at `path`, which no writer may have open, for everything that is whole.
/// Nothing is written. Cost: reads the file once, and the catalogue and the manifests once more.
/// Memory: a few hundred bytes a record, and the manifests.
///
/// # Errors
///
/// [`UpkeepError::NothingFound`] when there is no record at all; a lock that is held; a file that
/// cannot be opened.
pub fn survey(
    path: impl AsRef<Path>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Survey, UpkeepError> {
    let path = path.as_ref();
    survey_with(path, &OpenOptions::new(), progress)
}

/// As [`survey`], waiting for a writer as the options say.
///
/// # Errors
///
/// As there.
pub fn survey_with(
    path: impl AsRef<Path>,
    options: &OpenOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Survey, UpkeepError> {
    let path = path.as_ref();
    let (disk, lock) = open_without_writers(path, options.waiting())?;
    // The handle is closed again before the records are looked at.
    let catalogue = options.open_read_only(path).and_then(|store| Catalogue::read(&store));
    let scanned = scan(&*disk, progress)?;
    let (catalogue, catalogue_error) = match catalogue {
        Ok(catalogue) => (Some(catalogue), None),
        // A newer program's file is not a damaged one.
        Err(StoreError::Container(
            error @ (ContainerError::NewerVersion { .. } | ContainerError::UnknownFeatures { .. }),
        )) => return Err(error.into()),
        // Nor is one for which something is missing here.
        Err(error) if error.is_shortage() => return Err(error.into()),
        Err(error) => (None, Some(full_message(&error))),
    };
    let identity = identity(&*disk, &scanned)?;
    Work { disk, identity, lock, catalogue, catalogue_error, scanned }.survey()
}

type LockedDisk = (Arc<dyn Disk>, Box<dyn LockSpace>);

/// The file at `path`, and a lock that keeps writers out of it.
fn open_without_writers(path: &Path, waiting: &Waiting) -> Result<LockedDisk, UpkeepError> {
    loop {
        let disk = Container::open_file(path, false).map_err(StoreError::open_file(path))?;
        let lock = disk.locks().map_err(ContainerError::io("lock", 0))?;
        lock_out_writers(&*lock, &*disk, waiting)?;
        // Whoever held the lock may have put another file in the place of this one meanwhile.
        if is_at(path, disk.file_id().map_err(StoreError::open_file(path))?)? {
            return Ok((disk, lock));
        }
    }
}

/// What is taken from a catalogue that can be read.
struct Catalogue {
    graph: SavedGraph,
    /// Where it has each tensor.
    places: HashMap<ContentId, u64>,
    last_change: Option<ContentId>,
    /// Where tensors are that were never here, by content.
    promisors: HashMap<ContentId, String>,
}

impl Catalogue {
    fn read(store: &Store) -> crate::store::Result<Self> {
        let snapshot: Snapshot = store.snapshot()?;
        snapshot.check_catalogue()?;
        let mut places = HashMap::new();
        snapshot.tables().scan(Table::Tensors, &[], &mut |key, value| {
            if let Ok(id) = key.try_into() {
                places.insert(ContentId::from_bytes(id), RecordRow::decode(value)?.offset);
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        let mut promisors = HashMap::new();
        snapshot.tables().scan(Table::Promised, &[], &mut |key, value| {
            if let Ok(id) = key.try_into() {
                let row = MissingRow::decode(value)?;
                promisors.insert(ContentId::from_bytes(id), row.promisor);
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        let last = snapshot.tables().get(Table::Meta, meta::LAST_CHANGE.as_bytes())?;
        let last = last.and_then(|id| id.try_into().ok()).map(ContentId::from_bytes);
        let last_change = last.filter(|id| !id.is_none());
        let graph = SavedGraph::of_catalogue(&snapshot)?;
        Ok(Catalogue { graph, places, last_change, promisors })
    }
}

/// What the new superblock says: as the old one, or as far as the records tell.
fn identity(disk: &dyn Disk, scanned: &Scan) -> Result<Identity, UpkeepError> {
    let mut head = vec![0; DATA_START as usize];
    for block in head.chunks_mut(512).zip(0u64..) {
        // What cannot be read stays zero, and is no superblock.
        let _ = disk.read_at(block.1 * 512, block.0);
    }
    let slots = head.chunks(SUPERBLOCK_LEN).filter_map(|slot| Superblock::decode(slot).ok());
    if let Some(superblock) = slots.max_by_key(|superblock| superblock.generation) {
        return Ok(Identity::of(&superblock));
    }
    let mut tags: HashMap<[u8; 4], usize> = HashMap::new();
    for found in scanned.records.iter().filter(|found| found.is_whole()) {
        *tags.entry(found.header.store_tag).or_default() += 1;
    }
    let tag = tags.into_iter().max_by_key(|(tag, count)| (*count, *tag)).map(|(tag, _)| tag);
    let tag = tag.ok_or_else(|| UpkeepError::NothingFound {
        reason: format!("no superblock and no whole record in {} bytes", disk.len().unwrap_or(0)),
    })?;
    let mut store_id = [0; 16];
    getrandom::fill(&mut store_id)
        .map_err(|_| StoreError::from(crate::lineage::LineageError::NoRandomness))?;
    // The records begin their store's id.
    for (to, from) in store_id.iter_mut().zip(tag) {
        *to = from;
    }
    // A flag too many only keeps older programs out.
    let (reader_flags, writer_flags) = (READER_FLAGS_KNOWN, WRITER_FLAGS_KNOWN);
    Ok(Identity { store_id, reader_flags, writer_flags, catalogue_end: None })
}

struct Work {
    disk: Arc<dyn Disk>,
    identity: Identity,
    lock: Box<dyn LockSpace>,
    catalogue: Option<Catalogue>,
    catalogue_error: Option<String>,
    scanned: Scan,
}

impl Work {
    fn survey(self) -> Result<Survey, UpkeepError> {
        let Work { disk, identity, lock, catalogue, catalogue_error, scanned } = self;
        let Scan { mut records, headless, unreadable } = scanned;
        let foreign = drop_foreign(&mut records, &identity);
        if records.is_empty() && catalogue.is_none() {
            let reason = "no record of this store is left".to_owned();
            return Err(UpkeepError::NothingFound { reason });
        }
        let mut contents = Contents::read(&*disk, &mut records);
        let damaged_records = damaged_records(headless, &records);
        let places = catalogue.as_ref().map(|c| c.places.clone()).unwrap_or_default();
        let promisors = catalogue.as_ref().map(|c| c.promisors.clone()).unwrap_or_default();
        let tip = catalogue.as_ref().and_then(|catalogue| catalogue.last_change);
        let history = follow(&mut contents, &records, tip);
        let (mut graph, source, renamed) = graph_of(catalogue, &history, &contents);
        if source != GraphSource::Catalogue {
            graph.notes.extend(cut_off(&*disk, &identity));
        }
        if foreign > 0 {
            let note = format!("{foreign} records of another store lie in the file, and are left");
            graph.notes.push(note);
        }
        // Behind everything that has a number.
        let numbers = records.iter().filter(|found| found.is_whole());
        graph.last = numbers.map(|found| found.header.sequence).fold(graph.last, u64::max);

        let mut report = SalvageReport {
            source,
            catalogue_error,
            whole_records: records.iter().filter(|found| found.is_whole()).count() as u64,
            damaged_records,
            unreadable,
            saved: Vec::new(),
            renamed,
            lost: Vec::new(),
            lost_edges: Vec::new(),
            lost_commits: history.lost.clone(),
            uncertain_commit: history.uncertain,
            promisors: Vec::new(),
            notes: Vec::new(),
        };
        let resolver = Resolver::new(&records, &places);
        let (manifests, tensors) = judge(&mut graph, contents, (resolver, &promisors), &mut report);
        report.notes.append(&mut graph.notes);
        Ok(Survey { report, disk, identity, graph, manifests, tensors, _lock: lock })
    }
}

/// Leaves the records of this store. Returns how many others there were.
fn drop_foreign(records: &mut Vec<Found>, identity: &Identity) -> usize {
    let before = records.len();
    records.retain(|found| identity.store_id.starts_with(&found.header.store_tag));
    before - records.len()
}

/// Where records are damaged, and how: those without a header, and those with one.
fn damaged_records(headless: Vec<(u64, String)>, records: &[Found]) -> Vec<(u64, String)> {
    let mut damaged = headless;
    damaged.extend(records.iter().filter_map(|found| Some((found.offset, found.fault.clone()?))));
    damaged.sort();
    damaged
}

/// The commits that lead to `tip`; else to the last that can be read.
fn follow(contents: &mut Contents, records: &[Found], tip: Option<ContentId>) -> History {
    let mut history = History::follow(std::mem::take(&mut contents.changes), tip);
    if tip.is_none() {
        let changes = records.iter().filter(|found| found.header.kind == RecordKind::Change);
        history.lose_behind(changes.map(|found| found.header.sequence).max().unwrap_or(0));
    }
    history
}

/// The graph from the best that there is: the catalogue, else change records, else manifests. The
/// names of models that had to be given some are with it.
fn graph_of(
    catalogue: Option<Catalogue>,
    history: &History,
    contents: &Contents,
) -> (SavedGraph, GraphSource, Vec<String>) {
    if let Some(catalogue) = catalogue {
        return (catalogue.graph, GraphSource::Catalogue, Vec::new());
    }
    let mut graph = SavedGraph::of_history(history);
    let renamed = adopt_orphans(&mut graph, history, &contents.manifests);
    let source = match history.changes.is_empty() {
        true => GraphSource::Manifests,
        false => GraphSource::ChangeRecords,
    };
    (graph, source, renamed)
}

/// What is to be said of a file that ends before its catalogue did.
fn cut_off(disk: &dyn Disk, identity: &Identity) -> Option<String> {
    let end = identity.catalogue_end?;
    let file_len = disk.len().ok().filter(|len| *len < end)?;
    Some(format!(
        "the file is cut off at byte {file_len}, its catalogue ended at {end}: what lay behind is \
         gone, and so are the names of the models there"
    ))
}

/// What manifests and change records say.
struct Contents {
    manifests: BTreeMap<ContentId, (Found, Manifest)>,
    changes: Vec<FoundChange>,
}

impl Contents {
    /// Reads them; one that cannot be read is noted as damaged.
    fn read(disk: &dyn Disk, records: &mut [Found]) -> Self {
        let mut contents = Contents { manifests: BTreeMap::new(), changes: Vec::new() };
        for found in records.iter_mut().filter(|found| found.is_whole()) {
            let read = match found.header.kind {
                RecordKind::Manifest => content(disk, found).and_then(|bytes| {
                    let manifest = Manifest::decode(&bytes).map_err(|error| error.to_string())?;
                    contents.manifests.insert(found.header.content_id, (found.clone(), manifest));
                    Ok(())
                }),
                RecordKind::Change => content(disk, found).and_then(|bytes| {
                    let change = ChangeRecord::decode(&bytes).map_err(|error| error.to_string())?;
                    let id = found.header.content_id;
                    contents.changes.push(FoundChange { id, change });
                    Ok(())
                }),
                RecordKind::Tensor => Ok(()),
            };
            found.fault = read.err();
        }
        contents
    }
}

type Kept = (BTreeMap<ContentId, (Found, Manifest)>, BTreeMap<ContentId, Found>);

/// Tells whole models from lost ones. What is left in `graph` is whole.
fn judge(
    graph: &mut SavedGraph,
    contents: Contents,
    (mut resolver, promisors): (Resolver<'_>, &HashMap<ContentId, String>),
    report: &mut SalvageReport,
) -> Kept {
    let mut lost: HashSet<NodeId> = HashSet::new();
    let mut manifests = BTreeMap::new();
    for (id, node) in &graph.nodes {
        let Some((found, manifest)) = contents.manifests.get(&node.manifest) else {
            let short = node.manifest.short();
            let reasons =
                vec![format!("its manifest {short} is lost: no whole record of it is left")];
            let model = node.full_name();
            report.lost.push(LostModel { model, reasons, ..LostModel::default() });
            lost.insert(*id);
            continue;
        };
        let (model, places) = lost_tensors(node, manifest, &mut resolver, promisors);
        report.promisors.extend(places);
        if let Some(model) = model {
            report.lost.push(model);
            lost.insert(*id);
            continue;
        }
        manifests.insert(node.manifest, (found.clone(), manifest.clone()));
    }
    // Only now is it known which record of each content does for all that stands on it.
    let mut tensors: BTreeMap<ContentId, Found> = BTreeMap::new();
    for (_, manifest) in manifests.values() {
        for tensor in manifest.contents() {
            for found in resolver.chain(tensor.content_id) {
                tensors.entry(found.header.content_id).or_insert_with(|| found.clone());
            }
        }
    }
    mend_edges(graph, &lost, report);
    report.lost.sort_by(|a, b| a.model.cmp(&b.model));
    report.promisors.sort();
    report.promisors.dedup();
    let saved = graph.nodes.values().map(SavedNode::full_name);
    report.saved = saved.filter(|name| !report.renamed.contains(name)).collect();
    report.saved.sort();
    let kept: HashSet<String> = graph.nodes.values().map(SavedNode::full_name).collect();
    report.renamed.retain(|name| kept.contains(name));
    (manifests, tensors)
}

/// What of a model is lost, if anything; and where tensors of it are that were never here.
fn lost_tensors(
    node: &SavedNode,
    manifest: &Manifest,
    resolver: &mut Resolver<'_>,
    promisors: &HashMap<ContentId, String>,
) -> (Option<LostModel>, BTreeSet<String>) {
    let mut lost = LostModel { model: node.full_name(), ..LostModel::default() };
    let mut places = BTreeSet::new();
    for tensor in manifest.contents() {
        let Err(reason) = resolver.resolve(tensor.content_id) else {
            lost.whole_tensors += 1;
            continue;
        };
        lost.lost_tensors += 1;
        let reason = match promisors.get(&tensor.content_id) {
            None => reason,
            Some(place) => {
                lost.missing_tensors += 1;
                places.insert(place.clone());
                format!("it was not pulled yet: it is at {place:?}")
            }
        };
        if lost.reasons.len() < REASONS_MAX {
            lost.reasons.push(format!("tensor {:?}: {reason}", tensor.name));
        }
    }
    ((lost.lost_tensors > 0).then_some(lost), places)
}
