//! What happens when this program is told to end: by the terminal (INT, HUP), or by TERM.
//!
//! A thread waits for the signals. At the first one another ends commands, removes what is
//! temporary, says what is done and what is not, and ends the program as the signal does by
//! default. A second signal does that at once.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mgit::shutdown::{Done, interrupt};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::failure::Failure;
use crate::output::Output;
use crate::text::{count, shown};

/// Set by the first signal.
static TOLD: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// Set by whoever prints the one document of `--json`.
static HAS_PRINTED: AtomicBool = AtomicBool::new(false);
/// Set while `browse` has the terminal.
static DRAWS: AtomicBool = AtomicBool::new(false);

/// What the first signal does in place of ending the program.
type Instead = Box<dyn Fn() + Send + Sync>;
static INSTEAD: OnceLock<Instead> = OnceLock::new();

/// What a command has to say, or to do, when it is interrupted.
type LastWord = Box<dyn FnOnce(&mut Done) -> String + Send>;
static LAST_WORD: Mutex<Option<LastWord>> = Mutex::new(None);

/// Begins to watch for signals, but for those that whoever started the program has told it to
/// ignore, as `nohup` does.
///
/// # Errors
///
/// Those of the operating system.
pub fn watch(output: Output) -> io::Result<()> {
    let told = Arc::clone(TOLD.get_or_init(Arc::default));
    let watched: Vec<i32> =
        [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal)).collect();
    // First, so that no signal sets the flag, for which everybody waits, and wakes nobody.
    let mut signals = Signals::new(&watched)?;
    for signal in &watched {
        // At once, and not when the thread comes to it: what fails because programs got the same
        // signal is not to be said.
        flag::register(*signal, Arc::clone(&told))?;
    }
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut is_ending = false;
        for signal in signals.forever() {
            // The first may have come before the flag was there to be set.
            told.store(true, Ordering::SeqCst);
            if std::mem::replace(&mut is_ending, true) {
                end_at_once(signal);
            }
            if let Some(instead) = INSTEAD.get() {
                instead();
                continue;
            }
            let ending = std::thread::Builder::new().name("ending".to_owned());
            if ending.spawn(move || end(signal, output)).is_err() {
                end(signal, output);
            }
        }
    })?;
    Ok(())
}

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}

/// Lets a command say something when it is interrupted, in place of what is said of every command,
/// or do something first: what `word` takes out of what is done does not count as done.
pub fn last_word(word: impl FnOnce(&mut Done) -> String + Send + 'static) {
    *LAST_WORD.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(word));
}

/// Lets a command that runs until it is told to end do so by itself: the first signal calls this, the
/// second ends the program at once. The first call counts.
#[cfg(feature = "serve")]
pub fn instead_of_ending(instead: impl Fn() + Send + Sync + 'static) {
    let _ = INSTEAD.set(Box::new(instead));
}

/// Says that a command has ended as it was told to, so that nothing waits for the program to end.
#[cfg(feature = "serve")]
pub fn has_ended() {
    if let Some(told) = TOLD.get() {
        told.store(false, Ordering::SeqCst);
    }
}

/// Lets a command say how to go on from what it has done.
pub fn advise(advice: &'static str) {
    last_word(move |done| match done.is_nothing() {
        true => String::new(),
        false => format!(": {advice}"),
    });
}

/// Takes back what a command had to say.
pub fn no_last_word() {
    *LAST_WORD.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Says whether a command draws on the terminal.
pub fn draws(draws: bool) {
    DRAWS.store(draws, Ordering::SeqCst);
}

/// Returns, unless the program was told to end: then whoever asks waits for it, and says nothing.
pub fn wait_if_told() {
    while TOLD.get().is_some_and(|told| told.load(Ordering::SeqCst)) {
        std::thread::park();
    }
}

/// Whether nobody has printed a document yet; whoever asks does so now.
pub fn takes_the_document() -> bool {
    !HAS_PRINTED.swap(true, Ordering::SeqCst)
}

fn end(signal: i32, output: Output) {
    let mut done = interrupt();
    if DRAWS.load(Ordering::SeqCst) {
        // There is nobody left to tell that this failed.
        let _ = ratatui::try_restore();
    }
    let word = LAST_WORD.lock().unwrap_or_else(PoisonError::into_inner).take();
    let word = word.map(|word| word(&mut done)).unwrap_or_default();
    let message = describe(&done) + &word;
    if !output.is_json() && io::stderr().is_terminal() {
        // A bar of progress may be there.
        let _ = write!(io::stderr(), "\r\x1b[2K");
    }
    if !output.is_json() || takes_the_document() {
        output.print_last(&Failure::failed("interrupted", message));
    }
    end_at_once(signal);
}

fn end_at_once(signal: i32) -> ! {
    // Does not come back.
    let _ = emulate_default_handler(signal);
    std::process::exit(128 + signal);
}

fn describe(done: &Done) -> String {
    if done.is_nothing() {
        return "interrupted: nothing was changed".to_owned();
    }
    let name = |path: &Path| shown(&path.display().to_string());
    let commits = done.commits.iter();
    let commits =
        commits.map(|(path, made)| format!("{} to {}", count(*made, "commit"), name(path)));
    let written = done.written.iter().map(|path| format!("{} is written", name(path)));
    let mut parts: Vec<String> = commits.chain(written).collect();
    if done.more > 0 {
        parts.push(format!("{} more", done.more));
    }
    format!("interrupted: what was done before stays: {}", parts.join(", "))
}
