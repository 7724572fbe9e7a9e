//! Random histories, cut off everywhere.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use mgit::format::DATA_START;

use super::choices::Choices;
use super::disk::{Entry, Recording, Rule};
use super::plain::PlainStore;
use super::power_cut::Medium;
use super::session::{Session, Stop};
use crate::common::Random;

/// Something that a history or a cut of it has broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed of the history.
    pub seed: u64,
    /// Which cut of it, and which of what came after that; empty for the history itself.
    pub cut: String,
    /// What is wrong, and what the cut left.
    pub message: String,
    /// Where the image is kept.
    pub kept: Option<PathBuf>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MGIT_SEED={} MGIT_CUT={}: {}", self.seed, self.cut, self.message)?;
        self.kept.iter().try_for_each(|path| write!(f, "; image: {}", path.display()))
    }
}

/// What was tried and what came of it.
#[derive(Debug, Default)]
pub struct Tally {
    /// Histories run.
    pub histories: u64,
    /// Different images checked: opened, compared with the plain model, verified.
    pub images: u64,
    /// Those of them that are cuts of what was done after an earlier cut.
    pub second_cuts: u64,
    /// Those of them that were written to.
    pub written: u64,
    /// Those of them that were also looked at without writing.
    pub looked: u64,
    /// What was wrong.
    pub failures: Vec<Failure>,
}

impl Tally {
    /// Adds another tally to this one.
    pub fn add(&mut self, other: Tally) {
        self.histories += other.histories;
        self.images += other.images;
        self.second_cuts += other.second_cuts;
        self.written += other.written;
        self.looked += other.looked;
        self.failures.extend(other.failures);
    }
}

/// A history and how it is cut.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of the history and of its cuts.
    pub seed: u64,
    /// Steps of the history.
    pub steps: usize,
    /// Cuts of it.
    pub cuts: usize,
    /// Of ten cuts, how many are around the writing of a superblock.
    pub hot_of_ten: usize,
    /// Cuts of what is done after a cut.
    pub cuts_after: usize,
    /// How often there is a cut after a cut.
    pub depth: usize,
    /// Whether calls of the disk fail now and then.
    pub has_faults: bool,
    /// The rule that the disk breaks.
    pub off: Option<Rule>,
    /// The only cut to make, such as `31` or `31.2`.
    pub only: Option<String>,
}

impl Plan {
    /// As the tests use it.
    pub fn new(seed: u64) -> Self {
        let (steps, cuts, hot_of_ten, cuts_after, depth) = (14, 90, 3, 3, 2);
        let (has_faults, off, only) = (false, None, None);
        Plan { seed, steps, cuts, hot_of_ten, cuts_after, depth, has_faults, off, only }
    }

    /// On a disk that fails now and then.
    pub fn failing(self) -> Self {
        Plan { has_faults: true, steps: 20, ..self }
    }

    /// On a disk that breaks a rule, and with an eye on that rule.
    pub fn breaking(self, rule: Rule) -> Self {
        let plan = Plan { off: Some(rule), ..self };
        match rule {
            Rule::TwoSlots | Rule::SuperblockSynced | Rule::ZeroBehindTheEnd => {
                Plan { hot_of_ten: 10, ..plan }
            }
            // What is wrong shows without a cut.
            Rule::FreedWhenUnread | Rule::CutWhenUnread => Plan { steps: 40, cuts: 1, ..plan },
            _ => plan,
        }
    }

    /// Runs the history and checks its cuts.
    pub fn run(&self) -> Tally {
        let mut run = Run { plan: self, tally: Tally::default(), seen: HashSet::new() };
        run.tally.histories = 1;
        run.history();
        run.tally
    }
}

struct Run<'p> {
    plan: &'p Plan,
    tally: Tally,
    /// Images that were checked already.
    seen: HashSet<[u8; 32]>,
}

/// Runs `work`; a panic is a failure like another.
fn caught<T>(work: impl FnOnce() -> Result<T, Stop>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(Stop::message),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        }
    }
}

impl Run<'_> {
    fn history(&mut self) {
        let (plan, mut recordings) = (self.plan, Vec::new());
        let result = caught(|| {
            let mut session = Session::create(Choices::of_seed(plan.seed), plan.off)?;
            session.has_faults = plan.has_faults;
            let result = run_steps(&mut session, plan.steps);
            recordings = session.recordings();
            result?;
            let disk = Arc::clone(session.disk());
            drop(session);
            recordings.pop();
            recordings.push(disk.recording());
            Ok(())
        });
        if let Err(message) = result {
            self.fail("", message, None);
        }
        if !recordings.is_empty() {
            self.cut(&recordings, &[], "", plan.depth);
        }
    }

    /// Verify cuts of the files that had the name in turn; the first began with one of these
    /// states.
    fn cut(&mut self, files: &[Recording], first: &[Arc<PlainStore>], path: &str, depth: usize) {
        let count = if path.is_empty() { self.plan.cuts } else { self.plan.cuts_after };
        let mut random = Random(self.plan.seed ^ hash(path));
        let every = |(file, recording): (usize, &Recording)| {
            (0..=recording.entries.len()).map(move |at| (file, at)).collect::<Vec<_>>()
        };
        let hot = |(file, recording)| {
            places_of_superblocks(recording).into_iter().map(move |at| (file, at))
        };
        let all: Vec<_> = files.iter().enumerate().flat_map(every).collect();
        let hot: Vec<_> = files.iter().enumerate().flat_map(hot).collect();
        let mut place = |_| match random.below(10) < self.plan.hot_of_ten {
            true if !hot.is_empty() => hot[random.below(hot.len())],
            _ => all[random.below(all.len())],
        };
        let mut places: Vec<(usize, usize)> = (0..count).map(&mut place).collect();
        places.sort_unstable();
        let medium_of = |file: usize| {
            let medium = Medium::new(&files[file]).showing(if file == 0 { first } else { &[] });
            match self.plan.off {
                // A sync that is none promises nothing: what matters is what is overwritten.
                Some(Rule::FreedWhenDurable) => medium.unsure(),
                _ => medium,
            }
        };
        let (mut now, mut medium) = (0, medium_of(0));
        for (at, (file, place)) in places.into_iter().enumerate() {
            if file != now {
                (now, medium) = (file, medium_of(file));
            }
            medium.advance(place);
            let path = if path.is_empty() { at.to_string() } else { format!("{path}.{at}") };
            if self.plan.only.as_ref().is_some_and(|only| !only.starts_with(&path)) {
                continue;
            }
            self.one_cut(&medium, &path, depth);
        }
    }

    fn one_cut(&mut self, medium: &Medium<'_>, path: &str, depth: usize) {
        let allowed = medium.allowed();
        let mut random = Random(self.plan.seed.wrapping_mul(31) ^ hash(path));
        let image = medium.cut(&mut random);
        if allowed.is_empty() || !self.seen.insert(*blake3::hash(&image.bytes).as_bytes()) {
            return;
        }
        self.tally.images += 1;
        self.tally.second_cuts += u64::from(path.contains('.'));
        // Where the file is shorter than its superblock says, both ways to open it count.
        let looks = random.below(6) == 0 || image.is_short;
        let goes_on = random.below(2) == 0;
        let again = depth > 0 && random.below(3) == 0;
        let off = self.plan.off;
        let mut recordings = None;
        let result = caught(|| {
            if looks {
                Session::look(&image.bytes, allowed, off)?;
            }
            let choices = Choices::of_seed(random.next());
            let mut session = Session::open(image.bytes.clone(), allowed, choices, off)?;
            let found = [Arc::clone(session.plain())];
            session.check()?;
            if goes_on || again {
                session.commit()?;
                session.check()?;
            }
            if again {
                run_steps(&mut session, 3)?;
                // What was found is what the medium has.
                let first = if off.is_none() { &found[..] } else { allowed };
                recordings = Some((session.recordings(), first.to_vec()));
            }
            Ok(())
        });
        self.tally.looked += u64::from(looks);
        self.tally.written += u64::from(goes_on || again);
        match result {
            Err(message) => {
                let message = format!("{message} (the cut left {})", image.how);
                self.fail(path, message, Some(&image.bytes));
            }
            Ok(()) => {
                if let Some((recordings, first)) = recordings {
                    self.cut(&recordings, &first, path, depth - 1);
                }
            }
        }
    }

    fn fail(&mut self, cut: &str, message: String, image: Option<&[u8]>) {
        // A broken rule breaks many.
        let image = image.filter(|_| self.plan.off.is_none() && self.tally.failures.len() < 3);
        let kept = image.and_then(|bytes| {
            let name = format!("mgit-crash-{}-{cut}.mgit", self.plan.seed);
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, bytes).ok().map(|()| path)
        });
        self.tally.failures.push(Failure {
            seed: self.plan.seed,
            cut: cut.to_owned(),
            message,
            kept,
        });
    }
}

/// The places at which a superblock is not on the medium yet, and those just after: few, and the
/// ones where most can go wrong.
fn places_of_superblocks(recording: &Recording) -> Vec<usize> {
    let mut places = Vec::new();
    let mut left = 0;
    for (at, entry) in recording.entries.iter().enumerate() {
        match entry {
            Entry::Write { offset, .. } if *offset < DATA_START => left = 2,
            Entry::Sync { .. } => left = left.min(1),
            _ if left == 1 => left = 0,
            _ => {}
        }
        if left > 0 {
            places.push(at + 1);
        }
    }
    places
}

fn run_steps(session: &mut Session, steps: usize) -> Result<(), Stop> {
    for _ in 0..steps {
        session.step()?;
        session.check()?;
    }
    Ok(())
}

fn hash(text: &str) -> u64 {
    let hash = blake3::hash(text.as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("8 bytes"))
}
