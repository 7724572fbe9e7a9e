//! Whether a remote, or a bundle, is intact.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::bundle::{BundleFile, index_of};
use super::check::{Closure, IndexAt, Looked};
use super::folder::open_file;
use super::packed::RemoteFile;
use super::refs::{Head, PackRef};
use super::{Place, Remote, Result, TransferError, open_remote};
use crate::upkeep::VerifyDepth;

/// Something that is wrong with a remote.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RemoteFinding {
    /// The file, as a path in the remote; empty for what several packs are to hold together.
    pub subject: String,
    /// What is wrong.
    pub message: String,
}

/// What was found at a remote or in a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RemoteReport {
    /// Refs looked at; none of a bundle.
    pub refs: u64,
    /// Packs that count.
    pub packs: u64,
    /// Packs that no ref names: what pushes that were cut short have left. They do no harm.
    pub unnamed_packs: u64,
    /// Records looked at.
    pub records: u64,
    /// Bytes of the packs.
    pub bytes: u64,
    /// Models.
    pub models: u64,
    /// What is wrong.
    pub findings: Vec<RemoteFinding>,
}

impl RemoteReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, subject: &str, message: impl Into<String>) {
        let (subject, message) = (subject.to_owned(), message.into());
        self.findings.push(RemoteFinding { subject, message });
    }

    fn count(&mut self, subject: &str, (looked, faults): (Looked, Vec<String>)) {
        self.records += looked.records;
        self.bytes += looked.bytes;
        faults.into_iter().for_each(|fault| self.find(subject, fault));
    }

    fn close(&mut self, closure: &Closure<'_>) {
        self.models = closure.nodes.len() as u64;
        closure.faults().into_iter().for_each(|fault| self.find("", fault));
    }
}

/// Checks a remote or a bundle: refs, the lengths and indexes of packs, the checksums of all
/// records, and that what they name is there. Tensors that stand alone are decoded and hashed;
/// differences are not decoded: a clone does that. A quick look reads heads, indexes and manifests
/// only. `progress` is called with the bytes of records looked at since the last call.
///
/// Cost: reads everything once.
///
/// # Errors
///
/// [`TransferError::NotFound`] where there is none; [`TransferError::BadRemote`] for a store, which
/// [`verify`](crate::upkeep::verify) checks; refs that cannot be read. Damage of packs is no error:
/// the report says what was found.
pub fn verify_place(
    place: &Place,
    depth: VerifyDepth,
    progress: &dyn Fn(u64),
) -> Result<RemoteReport> {
    match place {
        Place::Bundle(path) => {
            let shown = path.display().to_string();
            let file = open_file(path).map_err(TransferError::io("open", &*shown))?;
            let mut report = RemoteReport { packs: 1, ..RemoteReport::default() };
            let at = match index_of(&file, &shown) {
                Ok(at) => at,
                Err(TransferError::Damaged { reason, .. }) => {
                    report.find(&shown, reason);
                    return Ok(report);
                }
                Err(error) => return Err(error),
            };
            let (file, mut closure) = (BundleFile(file), Closure::default());
            let opened = closure.open(&file, at);
            closure.settle();
            match opened {
                Ok(opened) => {
                    let payload = depth == VerifyDepth::Full;
                    report.count(&shown, closure.check(opened, &file, payload, progress));
                }
                Err(fault) => report.find(&shown, fault),
            }
            report.close(&closure);
            Ok(report)
        }
        Place::Store(path) => {
            let reason = "this is a store, and no remote";
            Err(TransferError::BadRemote { what: path.display().to_string(), reason })
        }
        place => verify_remote(&*open_remote(place)?, depth, progress),
    }
}

/// As [`verify_place`], of a remote that is open.
///
/// # Errors
///
/// As there.
pub fn verify_remote(
    remote: &dyn Remote,
    depth: VerifyDepth,
    progress: &dyn Fn(u64),
) -> Result<RemoteReport> {
    let head = Head::read(remote)?;
    if head.number == 0 {
        return Err(TransferError::NotFound { place: remote.place() });
    }
    let mut report = RemoteReport { packs: head.packs.len() as u64, ..RemoteReport::default() };
    check_refs(remote, &head, &mut report)?;
    let listed =
        remote.list("packs").map_err(TransferError::io("list the packs of", remote.place()))?;
    let listed: Option<BTreeMap<String, u64>> = listed.map(|files| files.into_iter().collect());
    let named: HashSet<String> = head.packs.iter().map(PackRef::file_name).collect();
    if let Some(listed) = &listed {
        let packs = listed.keys().filter(|name| name.ends_with(".pack"));
        report.unnamed_packs = packs.filter(|name| !named.contains(*name)).count() as u64;
    }
    let (mut closure, mut opened) = (Closure::default(), Vec::new());
    for pack in &head.packs {
        let path = pack.path();
        if let Some(listed) = &listed
            && let Some(fault) = pack.fault(listed.get(&pack.file_name()).copied())
        {
            report.find(&path, fault);
            continue;
        }
        let Some(id) = pack.content_id() else { continue };
        let at = IndexAt { offset: pack.index_offset, len: pack.index_bytes, id };
        let file = RemoteFile { remote, path };
        match closure.open(&file, at) {
            Ok(pack) => opened.push((file, pack)),
            Err(fault) => report.find(&file.path, fault),
        }
    }
    closure.settle();
    for (file, pack) in opened {
        let payload = depth == VerifyDepth::Full;
        report.count(&file.path, closure.check(pack, &file, payload, progress));
    }
    report.close(&closure);
    Ok(report)
}

/// Every ref is there and names the hash of the one before it, and no pack went on the way but for
/// one that stands in its place.
fn check_refs(remote: &dyn Remote, head: &Head, report: &mut RemoteReport) -> Result<()> {
    let last: HashSet<&str> = head.packs.iter().map(|pack| pack.id.as_str()).collect();
    let (mut went, mut replaced) = (Vec::new(), HashMap::new());
    let mut before: Option<String> = Some(String::new());
    for number in 1..=head.number {
        let path = super::refs::path_of(number);
        report.refs += 1;
        let found = match Head::read_ref(remote, number) {
            Ok(found) => found,
            Err(TransferError::Damaged { reason, .. }) => {
                report.find(&path, reason);
                before = None;
                continue;
            }
            Err(error) => return Err(error),
        };
        if before.as_ref().is_some_and(|before| *before != found.previous) {
            report.find(&path, "it names another ref as the one before it");
        }
        if head.id != found.head.id {
            report.find(&path, "it is of another remote");
        }
        let gone = found.head.packs.into_iter().filter(|pack| !last.contains(pack.id.as_str()));
        went.extend(gone.map(|pack| (path.clone(), pack.id)));
        replaced.extend(found.replaced.into_iter().map(|pack| (pack.lost, pack.by)));
        before = Some(found.head.hash);
    }
    for (path, pack) in went {
        let (mut id, mut steps) = (Some(&pack), 0);
        while let Some(gone) = id.filter(|id| steps < head.number && !last.contains(id.as_str())) {
            (id, steps) = (replaced.get(gone), steps + 1);
        }
        if id.is_none_or(|id| !last.contains(id.as_str())) {
            report.find(&path, format!("pack {pack} is not in the last ref"));
        }
    }
    Ok(())
}
