//! What every benchmark shares: contestants that are measured in turn, and models.
//!
//! A contestant measures itself, so that what it prepares and clears away does not count. Each
//! is shown to criterion, for its own statistics, and then all of them run in turn, round after
//! round: a ratio is the median over the rounds of the ratio within one round, so that neither
//! a slow minute of the machine nor the order of the contestants decides it.

#![allow(dead_code, reason = "no benchmark uses every helper")]

pub mod host;
pub mod models;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};

/// Rounds in which contestants run in turn; `MGIT_BENCH_ROUNDS` sets another number.
const ROUNDS: usize = 11;

/// One thing to be measured.
pub struct Contestant<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> Duration + 'a>,
}

/// Contestants, and which of them to hold against which.
pub struct Comparison<'a> {
    title: &'static str,
    /// Bytes that every contestant handles, for MB/s.
    bytes: u64,
    contestants: Vec<Contestant<'a>>,
}

/// The time `work` takes.
pub fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let watch = host::Watch::start();
    let start = Instant::now();
    let result = black_box(work());
    let took = start.elapsed();
    watch.stop();
    drop(result);
    took
}

pub fn median<T: PartialOrd + Copy>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("no NaN among times"));
    values[values.len() / 2]
}

impl<'a> Comparison<'a> {
    pub fn new(title: &'static str, bytes: u64) -> Self {
        Comparison { title, bytes, contestants: Vec::new() }
    }

    /// Adds something that measures itself.
    pub fn add(mut self, name: &'static str, run: impl FnMut() -> Duration + 'a) -> Self {
        self.contestants.push(Contestant { name, run: Box::new(run) });
        self
    }

    /// Measures everything in turn, without criterion: for what takes seconds.
    pub fn run_in_turn(mut self, pairs: &[(&str, &str)]) {
        self.rounds(pairs);
    }

    /// Measures everything; `pairs` are the ratios to print: ours, theirs.
    pub fn run(mut self, criterion: &mut Criterion, pairs: &[(&str, &str)]) {
        let mut group = criterion.benchmark_group(self.title);
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        for contestant in &mut self.contestants {
            group.bench_function(contestant.name, |bencher| {
                bencher.iter_custom(|iterations| (0..iterations).map(|_| (contestant.run)()).sum());
            });
        }
        group.finish();
        // Without `--bench` criterion only tries whether everything runs; with `--profile-time`
        // a profiler watches one contestant.
        let has = |word: &str| std::env::args().any(|argument| argument == word);
        if has("--bench") && !has("--profile-time") {
            self.rounds(pairs);
        }
    }

    fn rounds(&mut self, pairs: &[(&str, &str)]) {
        let rounds = std::env::var("MGIT_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
        let rounds: usize = rounds.unwrap_or(ROUNDS).max(1);
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); self.contestants.len()];
        let mut disturbed = 0;
        for _ in 0..rounds {
            for (times, contestant) in times.iter_mut().zip(&mut self.contestants) {
                let (took, still) = host::undisturbed(&mut contestant.run);
                disturbed += usize::from(still);
                times.push(took.as_secs_f64());
            }
        }
        println!("\n== {} ({rounds} rounds in turn, medians)", self.title);
        if disturbed > 0 {
            println!("DISTURBED {disturbed} measurements: the host took memory back meanwhile");
        }
        for (times, contestant) in times.iter().zip(&self.contestants) {
            let time = median(times.clone());
            let rate = self.bytes as f64 / 1e6 / time;
            println!("{:44} {:10.3} ms {rate:10.0} MB/s", contestant.name, time * 1e3);
        }
        let place = |name: &str| {
            let found = self.contestants.iter().position(|contestant| contestant.name == name);
            found.unwrap_or_else(|| panic!("no contestant {name:?}"))
        };
        for (ours, theirs) in pairs {
            let rounds = times[place(ours)].iter().zip(&times[place(theirs)]);
            let ratio = median(rounds.map(|(ours, theirs)| ours / theirs).collect());
            println!("RATIO time {ours} / {theirs} = {ratio:.3}");
        }
        println!();
    }
}

/// The sum of all bytes, on one core, eight at a time.
pub fn sum_bytes(bytes: &[u8]) -> u64 {
    let mut lanes = [0u64; 8];
    let mut blocks = bytes.chunks_exact(64);
    for block in &mut blocks {
        for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            *lane = lane.wrapping_add(word);
        }
    }
    let rest: u64 = blocks.remainder().iter().map(|byte| u64::from(*byte)).sum();
    lanes.iter().fold(rest, |sum, lane| sum.wrapping_add(*lane))
}

/// Reads one byte of every 4 KiB.
pub fn touch_pages(bytes: &[u8]) -> u64 {
    bytes.iter().step_by(4096).map(|byte| u64::from(*byte)).sum()
}
