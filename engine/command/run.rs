//! Running a command: a process group of its own, two pipes, a time limit.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{Captured, CommandError};

/// How often the command is looked at, besides when it writes.
const TICK: Duration = Duration::from_millis(20);
/// How long a command has between being asked to end and being killed.
const ENDING: Duration = Duration::from_secs(1);
/// How long output is waited for when the command has ended, but a process that left its group
/// still holds the pipe.
const DRAINING: Duration = Duration::from_millis(200);
/// Reads of what is left in the pipes then: more than the largest pipes hold.
const DRAINING_READS_MAX: usize = 64;
/// Bytes that are read at once.
const PIECE_LEN: usize = 64 << 10;

/// What a command may take, and where and with what it runs.
#[derive(Clone)]
pub struct Bounds<'a> {
    /// The time after which it is killed. None: no limit.
    pub time_limit: Option<Duration>,
    /// Bytes that are kept of its standard output, and also of its standard error.
    pub output_limit: usize,
    /// The folder that it runs in; none for this process's.
    pub folder: Option<PathBuf>,
    /// Variables set beside this process's own.
    pub variables: Vec<(OsString, OsString)>,
    /// Set by whoever no longer wants the result: the command is then killed.
    pub cancel: Option<&'a AtomicBool>,
    /// Shown every piece of either output, as it comes.
    pub watch: Option<&'a Watch<'a>>,
    /// Whether its standard error goes where this process's goes, and is not kept.
    pub shows_errors: bool,
}

/// Shown pieces of a command's outputs.
pub type Watch<'a> = dyn Fn(Stream, &[u8]) + Sync + 'a;

/// One of a command's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

impl fmt::Debug for Bounds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bounds { time_limit, output_limit, folder, .. } = self;
        write!(f, "Bounds({time_limit:?}, {output_limit} bytes, {folder:?})")
    }
}

impl Default for Bounds<'_> {
    /// Ten minutes, and a mebibyte of each output.
    fn default() -> Self {
        Bounds {
            time_limit: Some(Duration::from_secs(600)),
            output_limit: 1 << 20,
            folder: None,
            variables: Vec::new(),
            cancel: None,
            watch: None,
            shows_errors: false,
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal, which was not sent from here.
    Signal(i32),
    /// At its time limit, after which it was killed.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// Because it was cancelled.
    Cancelled,
}

impl Exit {
    /// Whether it ended by itself with code 0.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "killed by signal {signal}"),
            Exit::TimedOut { limit } => {
                write!(f, "killed after its time limit of {} s", limit.as_secs_f64())
            }
            Exit::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub exit: Exit,
    /// What it wrote to its standard output.
    pub stdout: Captured,
    /// What it wrote to its standard error.
    pub stderr: Captured,
    /// How long it took.
    pub time: Duration,
}

/// Runs the program that is the first of `words` with the others as its arguments, and waits for
/// it. Its standard input is empty. It gets a process group of its own, all of which is killed at
/// the time limit, and what is left of it when the program ends. (A process that leaves the group
/// is out of reach.) Should this process be killed, the program is killed too, on Linux.
///
/// # Errors
///
/// [`CommandError::Start`]; [`CommandError::Wait`]. A program that fails is no error: see
/// [`Outcome::exit`].
pub fn run(words: &[OsString], bounds: &Bounds<'_>) -> Result<Outcome, CommandError> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(CommandError::BadTemplate { reason: "it has no words".to_owned() });
    };
    let mut command = Command::new(program);
    let errors = if bounds.shows_errors { Stdio::inherit() } else { Stdio::piped() };
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    command.envs(bounds.variables.iter().map(|(key, value)| (key, value))).process_group(0);
    if let Some(folder) = &bounds.folder {
        command.current_dir(folder);
    }
    die_with_this_thread(&mut command);
    let start = Instant::now();
    let child = crate::shutdown::start(|| command.spawn()).map_err(|source| {
        let program = program.to_string_lossy().into_owned();
        CommandError::Start { program, source }
    })?;
    let mut group = Group { child, is_reaped: false };
    let wait = |source: io::Error| CommandError::Wait { source };
    let (exit, stdout, stderr) = group.attend(bounds, start).map_err(wait)?;
    Ok(Outcome { exit, stdout, stderr, time: start.elapsed() })
}

/// An interrupt of the terminal reaches this process's group only: the command's would go on
/// without anybody who waits for it.
fn die_with_this_thread(command: &mut Command) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};
    let parent = getpid();
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // This process may have ended before the call, whose signal then never comes.
        match getppid() == Some(parent) {
            true => Ok(()),
            false => Err(io::ErrorKind::BrokenPipe.into()),
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls and touches no memory but
    // its own copy of a number: it takes no lock and allocates nothing.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// The command's processes: none is left when this is dropped.
struct Group {
    child: Child,
    is_reaped: bool,
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.signal(Signal::KILL);
            // It was killed, so that this does not wait long.
            let _ = crate::shutdown::reap(&mut self.child);
        }
    }
}

/// One of the command's outputs.
struct Pipe<'w, R> {
    from: Option<R>,
    captured: Captured,
    stream: Stream,
    watch: Option<&'w Watch<'w>>,
}

impl<'w, R: Read + AsFd> Pipe<'w, R> {
    fn new(from: Option<R>, stream: Stream, bounds: &Bounds<'w>) -> Self {
        let captured = Captured::with_limit(bounds.output_limit);
        Pipe { from, captured, stream, watch: bounds.watch }
    }

    /// Takes what is there; is called only when something is, or the end.
    fn read(&mut self, piece: &mut [u8]) -> io::Result<()> {
        let Some(from) = &mut self.from else { return Ok(()) };
        match from.read(piece) {
            Ok(0) => self.from = None,
            Ok(len) => {
                let piece = piece.get(..len).unwrap_or_default();
                self.captured.push(piece);
                if let Some(watch) = self.watch {
                    watch(self.stream, piece);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Waits until one of two pipes has something, and reads it. Says whether one had.
fn read_some<A: Read + AsFd, B: Read + AsFd>(
    first: &mut Pipe<'_, A>,
    second: &mut Pipe<'_, B>,
    piece: &mut [u8],
) -> io::Result<bool> {
    let of = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
    let fds =
        [first.from.as_ref().map(|f| of(f.as_fd())), second.from.as_ref().map(|f| of(f.as_fd()))];
    let mut open: Vec<PollFd<'_>> = fds.iter().flatten().cloned().collect();
    let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
    match poll(&mut open, Some(&tick)) {
        Err(rustix::io::Errno::INTR) => return Ok(true),
        count => count?,
    };
    let mut ready = open.iter().map(|fd| !fd.revents().is_empty());
    let mut is_ready = |fd: &Option<PollFd<'_>>| fd.is_some() && ready.next() == Some(true);
    let (a, b) = (is_ready(&fds[0]), is_ready(&fds[1]));
    drop(open);
    if a {
        first.read(piece)?;
    }
    if b {
        second.read(piece)?;
    }
    Ok(a || b)
}

impl Group {
    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }

    /// Sends a signal to the whole group. As long as its first process is not reaped, nobody else
    /// can have its number.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // Fails only when nobody is left.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Whether the program has ended. It is not reaped by this.
    fn has_ended(&self) -> io::Result<bool> {
        let Some(pid) = self.pid() else { return Ok(true) };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(pid), options)?.is_some())
    }

    /// Reads what the command writes until it has ended, and ends it when it must be.
    fn attend(
        &mut self,
        bounds: &Bounds<'_>,
        start: Instant,
    ) -> io::Result<(Exit, Captured, Captured)> {
        let mut stdout = Pipe::new(self.child.stdout.take(), Stream::Stdout, bounds);
        let mut stderr = Pipe::new(self.child.stderr.take(), Stream::Stderr, bounds);
        let mut piece = vec![0; PIECE_LEN];
        // Why it was asked to end, and when.
        let mut ending: Option<(Exit, Instant)> = None;
        while !self.has_ended()? {
            read_some(&mut stdout, &mut stderr, &mut piece)?;
            let cancelled = bounds.cancel.is_some_and(|flag| flag.load(Ordering::Relaxed));
            let late = bounds.time_limit.filter(|limit| start.elapsed() >= *limit);
            match (ending, late) {
                (None, _) if cancelled => ending = Some((Exit::Cancelled, Instant::now())),
                (None, Some(limit)) => ending = Some((Exit::TimedOut { limit }, Instant::now())),
                (None, None) => continue,
                (Some((_, asked)), _) if asked.elapsed() >= ENDING => {
                    self.signal(Signal::KILL);
                    continue;
                }
                (Some(_), _) => continue,
            }
            self.signal(Signal::TERM);
        }
        // What it has left behind in its group.
        self.signal(Signal::KILL);
        let status = crate::shutdown::reap(&mut self.child)?;
        self.is_reaped = true;
        let end = Instant::now();
        // What is in the pipes is read whatever the time: the last words of a program say why it
        // failed. Not for ever: a process that left the group may go on writing.
        let mut reads = 0;
        while stdout.from.is_some() || stderr.from.is_some() {
            match read_some(&mut stdout, &mut stderr, &mut piece)? {
                true if reads < DRAINING_READS_MAX => reads += 1,
                true => break,
                false if end.elapsed() < DRAINING => {}
                false => break,
            }
        }
        let exit = match (ending, status.code()) {
            (Some((exit, _)), _) => exit,
            (None, Some(code)) => Exit::Code(code),
            (None, None) => {
                use std::os::unix::process::ExitStatusExt;
                Exit::Signal(status.signal().unwrap_or_default())
            }
        };
        Ok((exit, stdout.captured, stderr.captured))
    }
}
