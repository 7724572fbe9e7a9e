//! The files of a model, one after the other, each until it is whole.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE,
};

use super::listing::{self, ListedFile, Listing};
use super::part::{Part, strong};
use super::session::{Answer, Session};
use super::work_folder::WorkFolder;
use super::{HubAdvance, HubError, HubFault, HubFolder, HubModel, HubOptions};
use crate::interchange::{FILES_MAX, SourceOptions, left_out_of};

/// How far a file must come for it not to count as a try without coming further.
const FURTHER: u64 = 64 << 10;
/// The longest pause between two tries, and the longest that a hub may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(30);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What ends a try: a fault of the hub, or of this machine.
enum Stop {
    Fault(HubFault),
    Here(HubError),
}

impl From<HubFault> for Stop {
    fn from(fault: HubFault) -> Self {
        Stop::Fault(fault)
    }
}

impl From<HubError> for Stop {
    fn from(error: HubError) -> Self {
        Stop::Here(error)
    }
}

/// Downloads a model into a folder in `beside`.
pub(super) fn download(
    model: &HubModel,
    hub: &HubOptions,
    files: &SourceOptions,
    beside: &Path,
    progress: &dyn Fn(HubAdvance),
) -> Result<HubFolder, HubError> {
    let session = Session::new(hub)?;
    let refused = |fault| HubError::Listing {
        model: model.to_string(),
        endpoint: hub.endpoint.clone(),
        source: Box::new(fault),
    };
    let Listing { commit, files: listed } = list(&session, model, hub).map_err(refused)?;
    let by_path: Vec<(&str, u64)> = listed.iter().map(|it| (it.path.as_str(), it.len)).collect();
    let (places, left_out) = left_out_of(&by_path, files);
    let taken = listed.iter().enumerate().filter(|(at, _)| !places.contains(at));
    let taken: Vec<&ListedFile> = taken.map(|(_, file)| file).collect();
    if taken.len() > FILES_MAX {
        return Err(refused(HubFault::TooManyFiles { found: taken.len() }));
    }
    let work = WorkFolder::open(&HubFolder::place(model, hub, beside))?;
    let snapshot = work.snapshot(model, &commit)?;
    let total = taken.iter().fold(0u64, |sum, file| sum.saturating_add(file.len));
    let download = Download { session, hub, model, commit: &commit, work: &work, total, progress };
    let mut whole = 0;
    for file in taken {
        let to = snapshot.join(&file.path);
        let is_here = to.symlink_metadata().is_ok_and(|it| it.is_file() && it.len() == file.len);
        if !is_here {
            download.fetch(file, whole, &to)?;
        }
        whole += file.len;
        progress(HubAdvance { bytes: whole, of: total });
    }
    Ok(HubFolder { path: snapshot, commit, left_out, work })
}

/// Asks for the list of files, and again where the hub is not to be had at the moment.
fn list(session: &Session, model: &HubModel, hub: &HubOptions) -> Result<Listing, HubFault> {
    let mut tries = 1;
    loop {
        match listing::ask(session, model) {
            Err(fault) if may_pass(&fault) && tries < hub.tries => wait(hub, tries, &fault),
            listed => return listed,
        }
        tries += 1;
    }
}

/// Whether the same may be asked again with another result.
fn may_pass(fault: &HubFault) -> bool {
    match fault {
        HubFault::Status { status, retry_after, .. } => {
            let is_soon = retry_after.is_none_or(|after| after <= RETRY_AFTER_MAX);
            matches!(status, 408 | 416 | 425 | 429 | 500..) && is_soon
        }
        HubFault::Connection { .. }
        | HubFault::Silent { .. }
        | HubFault::Cut { .. }
        | HubFault::Range { .. }
        | HubFault::Changed
        | HubFault::Hash { .. } => true,
        _ => false,
    }
}

/// Waits before the next try: as long as the hub asks for, but twice as long each time at least.
fn wait(hub: &HubOptions, tries: u32, fault: &HubFault) {
    let asked = match fault {
        HubFault::Status { retry_after, .. } => retry_after.unwrap_or_default(),
        _ => Duration::ZERO,
    };
    let doubled = hub.pause.saturating_mul(1 << tries.saturating_sub(1).min(16));
    sleep(doubled.min(PAUSE_MAX).max(asked));
}

/// What all files of a download have in common.
struct Download<'d> {
    session: Session,
    hub: &'d HubOptions,
    model: &'d HubModel,
    commit: &'d str,
    work: &'d WorkFolder,
    total: u64,
    progress: &'d dyn Fn(HubAdvance),
}

impl Download<'_> {
    /// Fetches a file, behind `before` bytes of others.
    fn fetch(&self, file: &ListedFile, before: u64, to: &Path) -> Result<(), HubError> {
        let mut part = Part::open(&self.work.part(&file.path), file)?;
        let (mut tries, mut furthest) = (0, part.len());
        loop {
            let fault = match self.attempt(file, &mut part, before) {
                Ok(()) => return part.finish(to),
                Err(Stop::Here(error)) => return Err(error),
                Err(Stop::Fault(fault)) => fault,
            };
            tries += 1;
            if part.len() >= furthest.saturating_add(FURTHER) {
                (tries, furthest) = (1, part.len());
            }
            if !may_pass(&fault) || tries >= self.hub.tries {
                return Err(self.unfinished(file, &part, before, fault));
            }
            wait(self.hub, tries, &fault);
        }
    }

    fn unfinished(&self, file: &ListedFile, part: &Part, before: u64, fault: HubFault) -> HubError {
        HubError::File {
            model: self.model.to_string(),
            file: file.path.clone(),
            came: part.len(),
            len: file.len,
            kept: before.saturating_add(part.len()),
            total: self.total,
            folder: self.work.path().to_owned(),
            source: Box::new(fault),
        }
    }

    /// Fetches what is missing of a file, and checks it.
    fn attempt(&self, file: &ListedFile, part: &mut Part, before: u64) -> Result<(), Stop> {
        if part.len() > 0 && !part.can_go_on(file) {
            part.restart()?;
        }
        if part.len() < file.len {
            self.receive(file, part, before)?;
        }
        let Some(expected) = &file.sha256 else { return Ok(()) };
        let found = part.sha256()?;
        if found == *expected {
            return Ok(());
        }
        part.restart()?;
        Err(HubFault::Hash { expected: expected.clone(), found }.into())
    }

    fn receive(&self, file: &ListedFile, part: &mut Part, before: u64) -> Result<(), Stop> {
        let parts = self.model.repository().split('/').chain(["resolve", self.commit]);
        let url = self.session.address(parts.chain(file.path.split('/')));
        let answer = self.session.get(url, &range(part));
        if matches!(answer, Err(HubFault::Status { status: 416, .. })) {
            part.restart()?;
        }
        let mut answer = answer?;
        match answer.status() {
            206 => {
                if let Err(fault) = check_range(&answer, file, part) {
                    part.restart()?;
                    return Err(fault.into());
                }
            }
            _ => part.begin(answer.header(&ETAG).as_deref())?,
        }
        let missing = file.len - part.len();
        let announced = answer.header(&CONTENT_LENGTH).and_then(|it| it.trim().parse().ok());
        if let Some(announced) = announced.filter(|len: &u64| *len != missing) {
            let found = part.len().saturating_add(announced);
            part.restart()?;
            return Err(HubFault::Length { expected: file.len, found }.into());
        }
        (self.progress)(HubAdvance { bytes: before + part.len(), of: self.total });
        while let Some(block) = answer.block()? {
            let found = part.len().saturating_add(block.len() as u64);
            if found > file.len {
                part.restart()?;
                return Err(HubFault::Length { expected: file.len, found }.into());
            }
            part.append(&block)?;
            (self.progress)(HubAdvance { bytes: before + part.len(), of: self.total });
        }
        match part.len() == file.len {
            true => Ok(()),
            false => Err(HubFault::Cut { host: answer.host().to_owned() }.into()),
        }
    }
}

/// Asks for what is behind the bytes that are here, if the file is still the same.
fn range(part: &Part) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let from = HeaderValue::from_str(&format!("bytes={}-", part.len()));
    if let (Ok(from), true) = (from, part.len() > 0) {
        headers.insert(RANGE, from);
        let etag = part.etag().and_then(|etag| HeaderValue::from_str(etag).ok());
        headers.extend(etag.map(|etag| (IF_RANGE, etag)));
    }
    headers
}

/// Checks that a part of a file is the one that was asked for, of the same file.
fn check_range(answer: &Answer<'_>, file: &ListedFile, part: &Part) -> Result<(), HubFault> {
    let found = answer.header(&CONTENT_RANGE).unwrap_or_default();
    let last = file.len.saturating_sub(1);
    let fits = [file.len.to_string(), "*".to_owned()]
        .iter()
        .any(|of| found == format!("bytes {}-{last}/{of}", part.len()));
    if !fits || part.len() == 0 {
        return Err(HubFault::Range { from: part.len(), found });
    }
    let etag = answer.header(&ETAG).and_then(|etag| strong(&etag));
    match (part.etag(), etag) {
        (Some(ours), Some(theirs)) if ours != theirs => Err(HubFault::Changed),
        _ => Ok(()),
    }
}
