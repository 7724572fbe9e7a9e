//! Whether a store is what the format says, and which models it hurts where it is not.
//!
//! A finding is about a subject: a content, a manifest, a node, a change record, or the store as
//! a whole. Models are named at the end, when it is known what stands on what.

mod changes;
mod contents;
mod graph;
mod history;
mod records;
mod rows;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use super::finding::{Finding, VerifyDepth, VerifyReport};
use crate::catalog::{MissingRow, NodeRow, RecordRow, RecordRows, Table};
use crate::container::{Container, full_message};
use crate::lineage::NodeId;
use crate::store::{Result, Snapshot, Store};
use crate::tensor::ContentId;

/// Checks a store as of `snapshot`. Damage is reported, never stopped at. Checksums are computed
/// again, whatever the handle remembers. Cost: reads the file once; a full check also decodes and
/// hashes every content, on all cores, in pieces.
///
/// `progress` is told the bytes done since it was last called; they add up to
/// [`VerifyReport::bytes`].
///
/// # Errors
///
/// The length of the file cannot be read. Damage, of the catalogue too, is in the report.
pub fn verify(
    store: &Store,
    snapshot: &Snapshot,
    depth: VerifyDepth,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<VerifyReport> {
    let checked = snapshot.check_catalogue();
    verify_rows(store, snapshot, depth, checked, progress)
}

/// As [`verify`], of a store whose catalogue's pages were all checked, as `checked` says.
pub(super) fn verify_rows(
    store: &Store,
    snapshot: &Snapshot,
    depth: VerifyDepth,
    checked: Result<()>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<VerifyReport> {
    let container = store.container();
    let file_len = container.disk_len()?;
    let mut check = Check {
        snapshot,
        container,
        progress,
        file_len,
        tensors: RecordRows::default(),
        promised: BTreeMap::new(),
        manifests: BTreeMap::new(),
        changes: BTreeMap::new(),
        nodes: BTreeMap::new(),
        faults: Mutex::default(),
        bytes: Mutex::default(),
    };
    if let Err(error) = checked {
        check.hurt(Subject::Store, full_message(&error));
    }
    check.check_slots();
    check.read_tables();
    check.check_ranges();
    check.check_records();
    check.check_bases();
    let contents = check.read_manifests();
    check.check_references();
    if depth == VerifyDepth::Full {
        check.check_content_ids();
        check.check_counts(&contents);
        check.check_graph(&contents);
        check.check_rows();
        check.check_changes();
    }
    Ok(check.report(&contents))
}

/// What a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Subject {
    Store,
    Tensor(ContentId),
    Manifest(ContentId),
    Change(u64),
    Node(NodeId),
}

impl Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Store => write!(f, "store"),
            Subject::Tensor(id) => write!(f, "tensor {id}"),
            Subject::Manifest(id) => write!(f, "manifest {id}"),
            Subject::Change(sequence) => write!(f, "change record {sequence}"),
            Subject::Node(id) => write!(f, "node {id}"),
        }
    }
}

#[derive(Debug)]
struct Fault {
    subject: Subject,
    /// Whether the subject cannot be read any more, or not be trusted.
    hurts: bool,
    message: String,
}

/// What the manifests that can be read name.
type Contents = BTreeMap<ContentId, Named>;

/// The tensors that a manifest names.
#[derive(Debug, Default)]
struct Named {
    /// How many of them are the other bytes of files, no tensors.
    skeletons: usize,
    /// Those that are here: their places among the rows.
    here: Vec<u32>,
    /// The others.
    elsewhere: Vec<ContentId>,
}

impl Named {
    fn len(&self) -> usize {
        self.here.len() + self.elsewhere.len()
    }
}

/// A check under way.
struct Check<'s> {
    snapshot: &'s Snapshot,
    container: &'s Container,
    progress: &'s (dyn Fn(u64) + Sync),
    file_len: u64,
    tensors: RecordRows,
    promised: BTreeMap<ContentId, MissingRow>,
    manifests: BTreeMap<ContentId, RecordRow>,
    changes: BTreeMap<u64, RecordRow>,
    /// `None` for a row that cannot be read.
    nodes: BTreeMap<NodeId, Option<NodeRow>>,
    faults: Mutex<Vec<Fault>>,
    bytes: Mutex<u64>,
}

impl Check<'_> {
    fn fault(&self, subject: Subject, hurts: bool, message: impl Display) {
        let fault = Fault { subject, hurts, message: message.to_string() };
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// The subject has lost its bytes, or its bytes cannot be trusted.
    fn hurt(&self, subject: Subject, message: impl Display) {
        self.fault(subject, true, message);
    }

    /// Something about the subject is wrong that does not touch its bytes.
    fn note(&self, subject: Subject, message: impl Display) {
        self.fault(subject, false, message);
    }

    fn done(&self, bytes: u64) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
        (self.progress)(bytes);
    }

    /// Scans a table; a table that cannot be read is a finding.
    fn each_row(&self, table: Table, visit: &mut dyn FnMut(&[u8], &[u8])) {
        if let Err(error) = super::each_row(self.snapshot.tables(), table, visit) {
            let message = format!(
                "table {} cannot be read to its end: {}",
                table.name(),
                full_message(&error)
            );
            self.hurt(Subject::Store, message);
        }
    }

    /// Fills in the rows that the checks go by.
    fn read_tables(&mut self) {
        let (mut tensors, mut manifests) = (RecordRows::default(), BTreeMap::new());
        for table in [Table::Tensors, Table::Manifests] {
            self.each_row(table, &mut |key, value| {
                let Ok(id) = <[u8; 32]>::try_from(key).map(ContentId::from_bytes) else {
                    let message = format!("a key of {} bytes in {}", key.len(), table.name());
                    return self.note(Subject::Store, message);
                };
                match RecordRow::decode(value) {
                    Ok(row) if table == Table::Tensors => tensors.push(id, &row),
                    Ok(row) => drop(manifests.insert(id, row)),
                    Err(error) if table == Table::Tensors => self.hurt(Subject::Tensor(id), error),
                    Err(error) => self.hurt(Subject::Manifest(id), error),
                }
            });
        }
        let mut changes = BTreeMap::new();
        self.each_row(Table::Changes, &mut |key, value| {
            let Ok(sequence) = <[u8; 8]>::try_from(key).map(u64::from_be_bytes) else {
                let message = format!("a key of {} bytes in changes", key.len());
                return self.note(Subject::Store, message);
            };
            match RecordRow::decode(value) {
                Ok(row) => drop(changes.insert(sequence, row)),
                Err(error) => self.hurt(Subject::Change(sequence), error),
            }
        });
        let mut nodes = BTreeMap::new();
        self.each_row(Table::Nodes, &mut |key, value| {
            let Ok(id) = <[u8; 16]>::try_from(key).map(NodeId) else {
                let message = format!("a key of {} bytes in nodes", key.len());
                return self.note(Subject::Store, message);
            };
            let row = NodeRow::decode(value).map_err(|error| self.hurt(Subject::Node(id), error));
            nodes.insert(id, row.ok());
        });
        self.promised = self.read_promises();
        (self.tensors, self.manifests) = (tensors, manifests);
        (self.changes, self.nodes) = (changes, nodes);
    }

    /// The subjects that have lost their bytes by themselves.
    fn hurt_subjects(&self) -> HashSet<Subject> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().filter(|fault| fault.hurts).map(|fault| fault.subject).collect()
    }

    fn has_faults(&self) -> bool {
        !self.faults.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn offset_of(&self, subject: Subject) -> Option<u64> {
        let row = match subject {
            Subject::Tensor(id) => return self.tensors.get(&id).map(|row| row.offset),
            Subject::Manifest(id) => self.manifests.get(&id),
            Subject::Change(sequence) => self.changes.get(&sequence),
            Subject::Store | Subject::Node(_) => None,
        };
        row.map(|row| row.offset)
    }

    /// Calls `visit` with tensors and everything that they are decoded from, each once, as far as
    /// the rows lead.
    fn each_below(&self, named: &Named, visit: &mut dyn FnMut(ContentId)) {
        named.elsewhere.iter().for_each(|id| visit(*id));
        let mut seen = vec![false; self.tensors.len()];
        let mut missing = HashSet::new();
        let mut next = named.here.clone();
        while let Some(place) = next.pop() {
            let place = place as usize;
            if seen.get_mut(place).is_none_or(|seen| std::mem::replace(seen, true)) {
                continue;
            }
            self.tensors.id(place).into_iter().for_each(&mut *visit);
            for base in self.tensors.bases_at(place) {
                match self.tensors.place(&base) {
                    Some(base) => next.push(base as u32),
                    None if missing.insert(base) => visit(base),
                    None => {}
                }
            }
        }
    }

    /// Names the models: which are whole, which are hurt, and by what.
    fn report(self, contents: &Contents) -> VerifyReport {
        let hurt = self.hurt_subjects();
        let faults = std::mem::take(&mut *self.faults.lock().unwrap_or_else(|e| e.into_inner()));
        let asked: HashSet<Subject> = faults.iter().map(|fault| fault.subject).collect();
        // Models by what they stand on, as far as a fault asks for it.
        let mut standing: HashMap<Subject, Vec<String>> = HashMap::new();
        let (mut whole_models, mut hurt_models) = (Vec::new(), Vec::new());
        let mut partial_models = Vec::new();
        for (name, id, row) in self.named_nodes() {
            let mut subjects = vec![Subject::Node(id)];
            let mut is_partial = false;
            if let Some(row) = row {
                subjects.push(Subject::Manifest(row.manifest));
                if let Some(named) = contents.get(&row.manifest) {
                    is_partial = named.elsewhere.iter().any(|id| self.is_promised(id));
                    // Nothing is asked of a store without faults.
                    if !asked.is_empty() {
                        self.each_below(named, &mut |id| {
                            subjects.extend(asked.get(&Subject::Tensor(id)));
                        });
                    }
                }
            }
            subjects.sort_unstable();
            subjects.dedup();
            let is_hurt = subjects.iter().any(|subject| hurt.contains(subject));
            match (is_hurt, is_partial) {
                (true, _) => hurt_models.push(name.clone()),
                (false, true) => partial_models.push(name.clone()),
                (false, false) => whole_models.push(name.clone()),
            }
            for subject in subjects.into_iter().filter(|subject| asked.contains(subject)) {
                standing.entry(subject).or_default().push(name.clone());
            }
        }
        let mut findings: Vec<Finding> = faults
            .into_iter()
            .map(|fault| Finding {
                subject: fault.subject.to_string(),
                offset: self.offset_of(fault.subject),
                message: fault.message,
                models: standing.get(&fault.subject).cloned().unwrap_or_default(),
            })
            .collect();
        findings.sort_by(|a, b| {
            (a.offset, &a.subject, &a.message).cmp(&(b.offset, &b.subject, &b.message))
        });
        VerifyReport {
            models: self.nodes.len() as u64,
            records: (self.tensors.len() + self.manifests.len() + self.changes.len()) as u64,
            bytes: self.bytes.into_inner().unwrap_or_else(PoisonError::into_inner),
            findings,
            whole_models,
            hurt_models,
            partial_models,
            missing_tensors: self.promised.len() as u64,
            catalogue_error: None,
        }
    }

    /// Every node with its name, by name and version; one whose row cannot be read goes by its id.
    fn named_nodes(&self) -> Vec<(String, NodeId, Option<&NodeRow>)> {
        let key = |row: &Option<NodeRow>| {
            row.as_ref().map(|row| (row.name.clone(), row.version)).unwrap_or_default()
        };
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_by_cached_key(|(id, row)| (key(row), **id));
        let named = |(id, row): (&NodeId, &'_ Option<NodeRow>)| match row {
            Some(row) => format!("{}@{}", row.name, row.version),
            None => id.to_string(),
        };
        nodes.into_iter().map(|(id, row)| (named((id, row)), *id, row.as_ref())).collect()
    }
}
