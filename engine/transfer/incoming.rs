//! The models that a transfer brings, whose tensors have come: they get their names.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{NodeEntry, Nodes, node_id};
use super::naming::Naming;
use super::plan::{TransferPlan, diverged};
use super::remotes::refuse_credentials;
use super::report::{PullReport, Renumbered};
use super::source::RecordSource;
use super::spool::Manifests;
use super::{Result, TransferError};
use crate::format::Manifest;
use crate::lineage::{Graph, Node, NodeId};
use crate::store::Transaction;

/// What comes, as it was planned.
pub(super) struct Incoming<'i> {
    pub(super) source: &'i dyn RecordSource,
    pub(super) plan: &'i TransferPlan,
    pub(super) manifests: &'i Manifests,
}

impl<'i> Incoming<'i> {
    /// Adds the models, and what is new of others, all in one commit with what is left.
    pub(super) fn name(
        &self,
        mut transaction: Transaction,
        (naming, promisor): (Naming, Option<&str>),
        report: &mut PullReport,
    ) -> Result<()> {
        let theirs = self.source.nodes();
        let models = self.make_room(&mut transaction, naming, report)?;
        let updates: Vec<&NodeEntry> =
            self.plan.updates.iter().filter_map(|id| theirs.get(id)).collect();
        for update in &updates {
            // First all that go, so that a tag can move from one model to another.
            transaction.drop_tags_but(node_id(&update.id)?, &update.tags)?;
        }
        self.add_models(&mut transaction, &models, promisor, report)?;
        for update in &updates {
            if !transaction.update_node(update.incoming()?)? {
                report.updated.retain(|name| *name != update.full_name());
                report.differing.push(update.full_name());
            }
        }
        let named: Vec<&NodeEntry> = models.iter().chain(&updates).copied().collect();
        adopt_tags(&mut transaction, &named, report)?;
        self.set_tests(&mut transaction)?;
        for id in &self.plan.completed {
            if transaction.graph()?.node(*id)?.is_some() {
                transaction.note_whole(*id)?;
            }
        }
        transaction.release_incoming()?;
        self.put_sync_markers(&mut transaction, &named)?;
        for (id, index) in self.source.fresh() {
            transaction.put_index(*id, index)?;
        }
        report.diverged = diverged_now(transaction.graph()?, &models)?;
        Ok(transaction.commit_changes()?)
    }

    /// The models that are not here, once their names are free. Another thread may have committed
    /// since they were planned.
    fn make_room(
        &self,
        transaction: &mut Transaction,
        naming: Naming,
        report: &mut PullReport,
    ) -> Result<Vec<&'i NodeEntry>> {
        let here = NodeEntry::read_all(transaction.graph()?.0)?;
        let theirs = self.source.nodes();
        let planned = self.plan.models.iter().filter(|id| !here.contains_key(*id));
        let models: Vec<&NodeEntry> = planned.filter_map(|id| theirs.get(id)).collect();
        match naming {
            Naming::Push => {
                let names = diverged(theirs, &here, &self.plan.models);
                if !names.is_empty() {
                    return Err(TransferError::Diverged { names });
                }
            }
            _ => make_room(transaction, &here, theirs, &models, report)?,
        }
        Ok(models)
    }

    fn add_models(
        &self,
        transaction: &mut Transaction,
        models: &[&NodeEntry],
        promisor: Option<&str>,
        report: &mut PullReport,
    ) -> Result<()> {
        for model in models {
            let manifest = self.manifests.get(self.source, model.manifest_id()?)?;
            if let Some(place) = promisor {
                report.missing += promise_all(transaction, self.source, &manifest, place)?;
            }
            let mut incoming = model.incoming()?;
            if let Some((older, _)) = &incoming.previous {
                // Either side may have renamed what came before.
                let older = transaction.graph()?.expect(*older)?.row;
                if older.name != incoming.name || older.version >= incoming.version {
                    incoming.previous = None;
                    report.differing.push(model.full_name());
                }
            }
            transaction.adopt_node(incoming, manifest)?;
            report.models.push(model.full_name());
        }
        Ok(())
    }

    fn set_tests(&self, transaction: &mut Transaction) -> Result<()> {
        for name in &self.plan.tests {
            if let Some(definition) = self.source.tests().get(name) {
                transaction.set_test(name, definition.clone())?;
            }
        }
        Ok(())
    }

    /// Remembers how both sides have these models now.
    fn put_sync_markers(&self, transaction: &mut Transaction, named: &[&NodeEntry]) -> Result<()> {
        let Some(id) = self.source.id() else { return Ok(()) };
        let theirs = self.source.nodes();
        let settled = self.plan.settled.iter().filter_map(|id| theirs.get(id));
        for model in named.iter().copied().chain(settled) {
            transaction.put_sync_marker(id, node_id(&model.id)?, model.marker())?;
        }
        Ok(())
    }
}

/// Sets the tags that come with models, where their names are free.
fn adopt_tags(
    transaction: &mut Transaction,
    named: &[&NodeEntry],
    report: &mut PullReport,
) -> Result<()> {
    for model in named {
        for tag in &model.tags {
            if !transaction.adopt_tag(&tag.parse()?, node_id(&model.id)?)? {
                report.tags_left_out.push(tag.clone());
            }
        }
    }
    Ok(())
}

/// Records the tensors of a manifest that are not stored as missing. Returns the number of new
/// rows.
fn promise_all(
    transaction: &mut Transaction,
    source: &dyn RecordSource,
    manifest: &[u8],
    place: &str,
) -> Result<u64> {
    let mut promised = 0;
    for tensor in Manifest::decode(manifest)?.contents() {
        let elsewhere = source.promisor(tensor.content_id)?;
        let place = elsewhere.as_deref().unwrap_or(place);
        refuse_credentials(place)?;
        promised += u64::from(transaction.promise(tensor.content_id, tensor.byte_len, place)?);
    }
    Ok(promised)
}

/// Gives models that the other side does not know numbers behind all others, where it has given
/// theirs to other models: what was published keeps its number.
fn make_room(
    transaction: &mut Transaction,
    here: &Nodes,
    theirs: &Nodes,
    models: &[&NodeEntry],
    report: &mut PullReport,
) -> Result<()> {
    let mut names: BTreeMap<&str, (BTreeSet<u32>, u32)> = BTreeMap::new();
    for model in models {
        let (numbers, highest) = names.entry(&model.name).or_default();
        numbers.insert(model.version);
        *highest = model.version.max(*highest);
    }
    for (name, (numbers, highest)) in names {
        let mut own: Vec<(u32, NodeId)> = here
            .iter()
            .filter(|(_, node)| node.name == name)
            .map(|(id, node)| (node.version, *id))
            .collect();
        own.sort_unstable();
        let Some(first) = own.iter().find(|(version, _)| numbers.contains(version)) else {
            continue;
        };
        let from = first.0;
        let known = transaction.graph()?.highest_version(&name.parse()?)?;
        let mut next = highest.max(known);
        // What follows a model that goes behind goes along: versions ascend along a history.
        let mut going: BTreeSet<String> = BTreeSet::new();
        own.retain(|(version, id)| {
            let before = here.get(id).and_then(|node| node.previous.as_ref());
            let goes = *version >= from
                && (!theirs.contains_key(id)
                    || numbers.contains(version)
                    || before.is_some_and(|edge| going.contains(&edge.parent)));
            if goes {
                going.insert(id.to_string());
            }
            goes
        });
        for (_, id) in own {
            let too_many = crate::lineage::LineageError::TooMany { what: "versions of a name" };
            next = next.checked_add(1).ok_or(too_many)?;
            let node = transaction.graph()?.expect(id)?;
            let moved = transaction.renumber(&node, next)?;
            report.renumbered.push(Renumbered { was: node.full_name(), now: moved.full_name() });
        }
    }
    Ok(())
}

/// Names of these models that have several ends.
fn diverged_now(graph: Graph<'_>, models: &[&NodeEntry]) -> Result<Vec<(String, Vec<String>)>> {
    let names: BTreeSet<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let mut diverged = Vec::new();
    for name in names {
        let tips = graph.tips(&name.parse()?)?;
        if tips.len() > 1 {
            let full = |id: NodeId| Ok(graph.expect(id).map(|node: Node| node.full_name())?);
            diverged.push((name.to_owned(), tips.into_iter().map(full).collect::<Result<_>>()?));
        }
    }
    Ok(diverged)
}
