//! A store on a simulated disk, and everything that can be done to it as a whole. A new step is a
//! function and a line in [`STEPS`].

use std::ops::ControlFlow;
use std::sync::Arc;

use mgit::catalog::{ReadTables, RecordRow, Table};
use mgit::container::Disk;
use mgit::merge::{Merge, MergeError, MergeOptions, Resolution};
use mgit::model_tests::RunOptions;
use mgit::store::StoreError;
use mgit::update::{Strategy, UpdateError};
use mgit::upkeep::{UpkeepError, VerifyDepth, gc, vacuum_onto, verify};
use mgit::{Snapshot, Store};

use super::changes::{Place, Sizes};
use super::choices::Choices;
use super::disk::{Mark, Recording, Rule, SimDisk};
use super::faults::{Call, Dropped, Fault, PLANNED};
use super::plain::{PlainStore, shown};

/// A step: its name, how often it is taken among the others, and what it does.
pub struct Step {
    /// For reports.
    pub name: &'static str,
    /// How often.
    pub weight: usize,
    /// What it does.
    pub run: fn(&mut Session) -> Result<(), Stop>,
}

/// Every step.
pub const STEPS: [Step; 8] = [
    Step { name: "commit", weight: 9, run: Session::commit },
    Step { name: "merge", weight: 1, run: Session::merge },
    Step { name: "drop a transaction", weight: 2, run: Session::drop_transaction },
    Step { name: "collect and punch", weight: 2, run: Session::collect },
    Step { name: "vacuum", weight: 1, run: Session::vacuum },
    Step { name: "close and open", weight: 2, run: Session::reopen },
    Step { name: "hold a snapshot", weight: 1, run: Session::hold },
    Step { name: "let a snapshot go", weight: 1, run: Session::let_go },
];

/// The most snapshots that are held.
const HELD_MAX: usize = 6;

/// Why a step came to an end.
#[derive(Debug)]
pub enum Stop {
    /// The store refused: right when the disk failed before, wrong otherwise.
    Refused(Box<StoreError>),
    /// The store is not as it must be.
    Wrong(String),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Stop::Refused(Box::new(error))
    }
}

impl Stop {
    /// As words.
    pub fn message(self) -> String {
        match self {
            Stop::Refused(error) => format!("{}: {error}", error.code()),
            Stop::Wrong(message) => message,
        }
    }
}

/// Fails with these words unless it is so.
fn ensure(is_so: bool, words: impl FnOnce() -> String) -> Result<(), Stop> {
    if is_so { Ok(()) } else { Err(Stop::Wrong(words())) }
}

#[derive(Debug)]
struct Held {
    snapshot: Snapshot,
    /// Of the writer's own handle, which it keeps open.
    is_own: bool,
    then: Arc<PlainStore>,
}

/// A store on a simulated disk beside the plain model of what was put in.
#[derive(Debug)]
pub struct Session {
    /// Where choices come from.
    pub choices: Choices,
    held: Vec<Held>,
    /// `None` between closing and opening.
    store: Option<Store>,
    plain: Arc<PlainStore>,
    disk: Arc<SimDisk>,
    /// Of the disks that a vacuum has put another one in the place of.
    before: Vec<Recording>,
    /// Whether calls of the disk fail now and then.
    pub has_faults: bool,
}

impl Session {
    /// Makes a store.
    pub fn create(choices: Choices, off: Option<Rule>) -> Result<Self, Stop> {
        let disk = SimDisk::new(Vec::new(), off);
        let plain = Arc::new(PlainStore::default());
        // The rename and its sync are the file system's; here they are one mark.
        let visible = || disk.mark(Mark::Visible(Arc::clone(&plain)));
        if off == Some(Rule::MadeAside) {
            visible();
        }
        let store = Store::create_on(Arc::clone(&disk) as Arc<_>, disk.path())?;
        visible();
        Ok(Session { store: Some(store), ..Self::on(disk, plain, choices) })
    }

    /// Opens what a power cut has left. It must show one of `allowed`, and nothing must be wrong
    /// with it.
    pub fn open(
        image: Vec<u8>,
        allowed: &[Arc<PlainStore>],
        choices: Choices,
        off: Option<Rule>,
    ) -> Result<Self, Stop> {
        let disk = SimDisk::new(image, off);
        let mut session = Self::on(disk, Arc::default(), choices);
        session.open_again(allowed)?;
        Ok(session)
    }

    fn on(disk: Arc<SimDisk>, plain: Arc<PlainStore>, choices: Choices) -> Self {
        let (held, before) = (Vec::new(), Vec::new());
        Session { choices, held, store: None, plain, disk, before, has_faults: false }
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<SimDisk> {
        &self.disk
    }

    /// What was done to each file that had the store's name, in turn.
    pub fn recordings(&self) -> Vec<Recording> {
        let now = self.disk.recording();
        self.before.iter().cloned().chain([now]).collect()
    }

    /// What must be shown.
    pub fn plain(&self) -> &Arc<PlainStore> {
        &self.plain
    }

    fn store(&self) -> Result<&Store, Stop> {
        self.store.as_ref().ok_or_else(|| Stop::Wrong("the store is closed".to_owned()))
    }

    /// Looks at what a power cut has left, without writing. It must show one of `allowed`.
    pub fn look(image: &[u8], allowed: &[Arc<PlainStore>], off: Option<Rule>) -> Result<(), Stop> {
        let disk = SimDisk::new(image.to_vec(), off);
        let look = open_reader(&disk)?;
        one_of(&look.snapshot()?, allowed)?;
        drop(look);
        ensure(disk.bytes() == image, || "a look has written".to_owned())
    }

    /// Opens the store, which must show one of `allowed`.
    fn open_again(&mut self, allowed: &[Arc<PlainStore>]) -> Result<(), Stop> {
        let store = Store::open_on(Arc::clone(&self.disk) as Arc<_>, self.disk.path())?;
        self.plain = one_of(&store.snapshot()?, allowed)?;
        self.store = Some(store);
        Ok(())
    }

    /// Asserts that the store shows the plain model, that a full check of it finds nothing, and
    /// that every held snapshot shows what it did.
    pub fn check(&self) -> Result<(), Stop> {
        let store = self.store()?;
        let snapshot = store.snapshot()?;
        ensure(self.plain.is_shown(&snapshot)?, || "not what was put in".to_owned())?;
        let report = verify(store, &snapshot, VerifyDepth::Full, &|_| ())?;
        ensure(report.is_clean(), || format!("verify: {}", report.findings[0].message))?;
        let slots = store.container().superblock_slots().map_err(StoreError::from)?;
        ensure(slots.iter().all(Result::is_ok), || format!("superblock slots: {slots:?}"))?;
        self.held.iter().try_for_each(Held::check)
    }

    /// Takes one step. After a fault of the disk the store is opened again on a sound one.
    pub fn step(&mut self) -> Result<(), Stop> {
        let mut run = self.choices.weighted(&STEPS, |step| step.weight).run;
        let readers_matter = [Rule::FreedWhenUnread, Rule::CutWhenUnread].map(Some);
        if readers_matter.contains(&self.disk.off()) && self.choices.one_in(2) {
            run = Session::hold;
        }
        if self.has_faults && self.choices.one_in(3) {
            self.arm();
        }
        match run(self) {
            Err(Stop::Refused(error)) if self.disk.failed() > 0 => self.recover(&error),
            result => {
                self.disk.heal();
                result
            }
        }
    }

    /// Lets some call of the disk fail from here on.
    fn arm(&mut self) {
        let choices = &mut self.choices;
        let calls = [Call::Sync, Call::Write, Call::AnyChange, Call::SetLen, Call::Read];
        let call = calls[choices.below(calls.len())];
        // A commit has two or three syncs and some twenty writes.
        let most = if call == Call::Sync { 4 } else { 24 };
        let kinds = [std::io::ErrorKind::Other, std::io::ErrorKind::StorageFull];
        let dropped = [Dropped::Nothing, Dropped::Silently, Dropped::Visibly];
        let fault = Fault {
            call,
            at: 1 + choices.below(most) as u64,
            for_ever: choices.one_in(2),
            kind: kinds[choices.below(kinds.len())],
            dropped: dropped[choices.below(dropped.len())],
        };
        let seed = choices.seed();
        self.disk.arm(fault, seed);
    }

    /// Commits one to three changes.
    pub fn commit(&mut self) -> Result<(), Stop> {
        let mut next = PlainStore::clone(&self.plain);
        let mut transaction = self.store()?.begin_write()?;
        for _ in 0..1 + self.choices.below(3) {
            self.change(&mut transaction, &mut next)?;
        }
        // A transaction of refusals alone is none.
        if next.sequence == self.plain.sequence {
            return Ok(transaction.commit()?);
        }
        let next = Arc::new(next);
        self.disk.mark(Mark::Trying(Arc::clone(&next)));
        transaction.commit()?;
        self.disk.mark(Mark::Promised);
        self.plain = next;
        if self.disk.off() == Some(Rule::CutWhenUnread) {
            let end = self.end_of_used()?;
            self.disk.set_len(end).map_err(|error| Stop::Wrong(error.to_string()))?;
        }
        Ok(())
    }

    /// Merges two models of one ancestor, if there are such, else commits.
    fn merge(&mut self) -> Result<(), Stop> {
        let Some((merge, next)) = self.some_merge()? else { return self.commit() };
        let next = Arc::new(next);
        self.disk.mark(Mark::Trying(Arc::clone(&next)));
        match merge.run(self.store()?, RunOptions::default()) {
            Ok(_) => {}
            Err(MergeError::Store(error) | MergeError::Update(UpdateError::Store(error))) => {
                return Err(error.into());
            }
            Err(error) => return Err(Stop::Wrong(format!("a merge: {error}"))),
        }
        self.disk.mark(Mark::Promised);
        self.plain = next;
        Ok(())
    }

    /// A merge that can be made, and what the store is after it: found on another disk.
    fn some_merge(&mut self) -> Result<Option<(Merge, PlainStore)>, Stop> {
        let names: Vec<String> = self.plain.models.keys().cloned().collect();
        if names.len() < 2 {
            return Ok(None);
        }
        let settled = [
            Resolution::Ours,
            Resolution::Theirs,
            Resolution::Blend(Strategy::Linear),
            Resolution::Blend(Strategy::Ties),
        ];
        for _ in 0..4 {
            let [ours, theirs] = [0, 1].map(|_| names[self.choices.below(names.len())].clone());
            let on_conflict = Some(settled[self.choices.below(settled.len())]);
            let options = MergeOptions { on_conflict, ..MergeOptions::default() };
            let name = format!("net/{}", self.choices.below(5));
            let merge = || Merge::new(&ours, &theirs, &name).options(options.clone());
            if merge().plan(&self.store()?.snapshot()?).is_err() {
                continue;
            }
            let disk = SimDisk::new(self.disk.bytes(), self.disk.off());
            let other = Store::open_on(Arc::clone(&disk) as Arc<_>, disk.path())?;
            if merge().run(&other, RunOptions::default()).is_err() {
                continue;
            }
            let (models, tags, sequence) = shown(&other.snapshot()?)?;
            ensure(sequence == self.plain.sequence + 1, || "not one commit".to_owned())?;
            ensure(models.len() == names.len() + 1, || "not one model more".to_owned())?;
            let mut highest = self.plain.highest.clone();
            *highest.entry(name.clone()).or_default() += 1;
            return Ok(Some((merge(), PlainStore { models, highest, tags, sequence })));
        }
        Ok(None)
    }

    fn change(
        &mut self,
        transaction: &mut mgit::store::Transaction,
        plain: &mut PlainStore,
    ) -> Result<(), Stop> {
        let sizes = match self.disk.off() {
            // Records of all lengths, so that some of the last in the file are freed.
            Some(Rule::CutWhenUnread) => Sizes { long_one_in: 4, ..Sizes::SMALL },
            _ => Sizes::SMALL,
        };
        Ok(Place { choices: &mut self.choices, transaction, plain, sizes }.change()?)
    }

    /// Makes changes, and thinks better of it.
    fn drop_transaction(&mut self) -> Result<(), Stop> {
        let mut unwanted = PlainStore::clone(&self.plain);
        let mut transaction = self.store()?.begin_write()?;
        for _ in 0..1 + self.choices.below(3) {
            self.change(&mut transaction, &mut unwanted)?;
        }
        Ok(())
    }

    /// Frees what nothing needs, which is nothing, and makes holes of free space.
    fn collect(&mut self) -> Result<(), Stop> {
        match gc(self.store()?) {
            Ok(report) => ensure(report.collected.corrected == 0, || format!("{report:?}")),
            Err(UpkeepError::Store(error)) => Err(error.into()),
            Err(error) => Err(Stop::Wrong(error.to_string())),
        }
    }

    /// Writes the store anew onto another disk, in the place of this one.
    fn vacuum(&mut self) -> Result<(), Stop> {
        let disk = SimDisk::new(Vec::new(), self.disk.off());
        // The rename and its sync are the file system's; here they are one mark.
        let visible = || disk.mark(Mark::Visible(Arc::clone(&self.plain)));
        if disk.off() == Some(Rule::MadeAside) {
            visible();
        }
        let store = self.store()?;
        let made = match vacuum_onto(Arc::clone(&disk) as Arc<_>, disk.path(), store) {
            Ok(made) => made,
            Err(UpkeepError::Store(error)) => return Err(error.into()),
            // What could not be read is damage to a copy.
            Err(UpkeepError::Damaged { .. }) if self.disk.failed() > 0 => return Ok(()),
            Err(error) => return Err(Stop::Wrong(error.to_string())),
        };
        visible();
        let recording = self.disk.recording();
        // A failure leaves readers of the old file with what they see.
        let _ = store.container().retire();
        self.before.push(recording);
        self.held.retain(|held| !held.is_own);
        self.store = Some(made);
        self.disk = disk;
        Ok(())
    }

    /// Closes the store, and opens it. Readers of other handles outlive that.
    pub fn reopen(&mut self) -> Result<(), Stop> {
        self.held.retain(|held| !held.is_own);
        self.store = None;
        self.open_again(&[Arc::clone(&self.plain)])
    }

    /// Holds a snapshot of this handle or of a reader's.
    fn hold(&mut self) -> Result<(), Stop> {
        let is_own = self.choices.one_in(2);
        let snapshot = match is_own {
            true => self.store()?.snapshot()?,
            false => open_reader(&self.disk)?.snapshot()?,
        };
        let held = Held { snapshot, is_own, then: Arc::clone(&self.plain) };
        held.check()?;
        if self.held.len() >= HELD_MAX {
            self.held.remove(0).check()?;
        }
        self.held.push(held);
        Ok(())
    }

    /// Looks at a held snapshot once more, and drops it.
    fn let_go(&mut self) -> Result<(), Stop> {
        if self.held.is_empty() {
            return self.commit();
        }
        let at = self.choices.below(self.held.len());
        self.held.remove(at).check()
    }

    /// Drops the store after a fault, and opens it on a disk that is sound again.
    fn recover(&mut self, error: &StoreError) -> Result<(), Stop> {
        let expected = ["io", "disk-full", "outcome-unknown", "poisoned"];
        // A record that could not be read names the fault.
        let is_typed =
            expected.contains(&error.code()) || mgit::full_message(error).contains(PLANNED);
        ensure(is_typed, || format!("{}: {error}", error.code()))?;
        self.held.retain(|held| !held.is_own);
        self.store = None;
        self.disk.heal();
        let recording = self.disk.recording();
        let mut medium = super::power_cut::Medium::new(&recording);
        medium.advance(recording.entries.len());
        self.open_again(medium.allowed())?;
        self.disk.mark(Mark::Found(Arc::clone(&self.plain)));
        Ok(())
    }

    /// Where the last byte ends that the last commit needs.
    fn end_of_used(&self) -> Result<u64, Stop> {
        let store = self.store()?;
        let snapshot = store.snapshot()?;
        let extents = store.container().superblock().extents;
        let mut end = extents.iter().map(mgit::format::Extent::end).max().unwrap_or_default();
        for table in [Table::Tensors, Table::Manifests, Table::Changes] {
            let scanned = snapshot.tables().scan(table, &[], &mut |_, value| {
                end = end.max(RecordRow::decode(value)?.extent().end());
                Ok(ControlFlow::Continue(()))
            });
            scanned.map_err(|error| Stop::Wrong(error.to_string()))?;
        }
        Ok(end)
    }
}

impl Held {
    fn check(&self) -> Result<(), Stop> {
        let words = || format!("a snapshot of commit {} has changed", self.then.sequence);
        ensure(self.then.is_shown(&self.snapshot)?, words)
    }
}

/// Another handle, which follows what this one commits.
fn open_reader(disk: &Arc<SimDisk>) -> Result<Store, Stop> {
    Ok(Store::open_read_only_on(|| Ok(disk.again() as Arc<_>), disk.path())?)
}

/// The state among `allowed` that a snapshot shows.
fn one_of(snapshot: &Snapshot, allowed: &[Arc<PlainStore>]) -> Result<Arc<PlainStore>, Stop> {
    for state in allowed {
        if state.is_shown(snapshot)? {
            return Ok(Arc::clone(state));
        }
    }
    let numbers: Vec<_> = allowed.iter().map(|state| state.sequence).collect();
    let words = format!("commit {} shown, one of {numbers:?} expected", snapshot.sequence());
    Err(Stop::Wrong(words))
}
