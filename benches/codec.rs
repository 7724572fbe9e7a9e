//! The delta codec beside the field's: sizes, and speeds on one core and on all, of our profiles
//! and of other people's methods (`peers`) on the same tensors, piece by piece, in turn. Criterion
//! has no place for such a table, so this prints its own.
//!
//! Every way of the processor is measured (`MGIT_CPU` lowers the widest); the peers take the widest.
//!
//! The pairs are those of `peers::pairs` whose files are in a folder of `MGIT_MODELS` or in the
//! repository's demo. Only tensors that changed count. `MGIT_SLOW=1` adds methods that take
//! minutes; `MGIT_BENCH_PAIR` takes only the pairs whose name has that in it, and
//! `MGIT_BENCH_METHODS` only the methods that it names, with commas between.

mod common;
mod peers;

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use peers::pairs::{self, Pair};
use peers::{Entry, Kind, Method};
use rayon::prelude::*;

/// Rounds over all methods; ratios are taken within a round, and medians over the rounds.
const ROUNDS: usize = 3;

/// Bytes that say how long a piece is: counted for every method.
const PIECE_HEADER: usize = 4;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let slow = std::env::var_os("MGIT_SLOW").is_some();
    let only = std::env::var("MGIT_BENCH_PAIR").unwrap_or_default();
    let rounds = std::env::var("MGIT_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
    for source in pairs::found() {
        if source.name.contains(&only) {
            measure(&source.load(), rounds.unwrap_or(ROUNDS).max(1), slow);
        }
    }
}

/// What is stored on its own.
struct Piece<'a> {
    kind: Kind,
    child: &'a [u8],
    base: &'a [u8],
    stored: Vec<u8>,
    out: Vec<u8>,
}

/// A method at work on a pair; times in seconds, round by round.
struct Run<'a> {
    entry: Entry,
    method: Box<dyn Method + Send>,
    /// One for each thread of all cores.
    methods: Vec<Mutex<Box<dyn Method + Send>>>,
    pieces: Vec<Piece<'a>>,
    encode: Vec<f64>,
    decode: Vec<f64>,
    encode_all: Vec<f64>,
    decode_all: Vec<f64>,
}

impl<'a> Run<'a> {
    fn new(entry: Entry, pair: &'a Pair) -> Self {
        let cut = |tensor: &'a pairs::Tensor| {
            let size = entry.piece.min(tensor.child.len());
            tensor.child.chunks(size).zip(tensor.base.chunks(size)).map(|(child, base)| Piece {
                kind: tensor.kind,
                child,
                base,
                stored: Vec::new(),
                out: vec![0; child.len()],
            })
        };
        let pieces = pair.tensors.iter().flat_map(cut).collect();
        let [encode, decode, encode_all, decode_all] = [const { Vec::new() }; 4];
        let method = (entry.make)();
        let threads = 0..rayon::current_num_threads();
        let methods = threads.map(|_| Mutex::new((entry.make)())).collect();
        Run { entry, method, methods, pieces, encode, decode, encode_all, decode_all }
    }

    fn round(&mut self) {
        let (methods, method) = (&self.methods, &mut *self.method);
        let encode = |method: &mut dyn Method, piece: &mut Piece| {
            piece.stored.clear();
            method.encode(piece.kind, piece.child, piece.base, &mut piece.stored);
        };
        let decode = |method: &mut dyn Method, piece: &mut Piece| {
            method.decode(piece.kind, &piece.stored, piece.base, &mut piece.out);
        };
        let pieces = &mut self.pieces;
        self.encode.push(seconds(|| pieces.iter_mut().for_each(|piece| encode(method, piece))));
        self.decode.push(seconds(|| pieces.iter_mut().for_each(|piece| decode(method, piece))));
        check(pieces, &self.entry.name);
        if self.entry.all_cores {
            // One for each thread, kept from round to round as the one above is.
            let all = |pieces: &mut [Piece], work: fn(&mut dyn Method, &mut Piece)| {
                pieces.par_iter_mut().for_each(|piece| {
                    let thread = rayon::current_thread_index().expect("a thread of the pool");
                    work(&mut **methods[thread].lock().expect("no panic"), piece);
                });
            };
            self.encode_all.push(seconds(|| all(pieces, encode)));
            self.decode_all.push(seconds(|| all(pieces, decode)));
            check(pieces, &self.entry.name);
        }
    }

    fn stored(&self) -> usize {
        self.pieces.iter().map(|piece| piece.stored.len() + PIECE_HEADER).sum()
    }
}

/// Every piece has come back; and is wiped, so that the next check means something.
fn check(pieces: &mut [Piece], name: &str) {
    for piece in pieces {
        assert!(piece.out == piece.child, "{name} does not give its bytes back");
        piece.out.fill(0);
    }
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn measure(pair: &Pair, rounds: usize, slow: bool) {
    let only = std::env::var("MGIT_BENCH_METHODS").ok();
    let named =
        |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|one| one == name));
    let entries = peers::entries().into_iter();
    let entries = entries.filter(|entry| (slow || !entry.slow) && named(&entry.name));
    let mut runs: Vec<Run> = entries.map(|entry| Run::new(entry, pair)).collect();
    let [mut memcpy, mut blake3] = [const { Vec::new() }; 2];
    let mut copies: Vec<Vec<u8>> =
        pair.tensors.iter().map(|tensor| vec![0; tensor.child.len()]).collect();
    // The first round warms up and does not count, but for what is too slow to run again.
    for round in 0..=rounds {
        for run in &mut runs {
            if run.entry.slow && round > 0 {
                continue;
            }
            run.round();
            if round == 0 && !run.entry.slow {
                [&mut run.encode, &mut run.decode, &mut run.encode_all, &mut run.decode_all]
                    .into_iter()
                    .for_each(Vec::clear);
            }
        }
        memcpy.push(seconds(|| {
            for (copy, tensor) in copies.iter_mut().zip(&pair.tensors) {
                black_box(copy).copy_from_slice(black_box(&tensor.child));
            }
        }));
        blake3.push(seconds(|| {
            for tensor in &pair.tensors {
                black_box(blake3::hash(black_box(&tensor.child)));
            }
        }));
    }
    print(pair, &runs, [("memcpy", memcpy), ("BLAKE3", blake3)], rounds);
}

fn print(pair: &Pair, runs: &[Run], limits: [(&str, Vec<f64>); 2], rounds: usize) {
    let bytes = pair.bytes();
    println!(
        "\n== {}: {} tensors changed, {bytes} bytes; {rounds} rounds in turn, medians",
        pair.name,
        pair.tensors.len(),
    );
    println!("speeds in MB/s, on one core and on all");
    println!(
        "{:17} {:>10} {:>7} | {:>6} {:>6} | all cores",
        "method", "stored", "plain/", "enc", "dec"
    );
    for run in runs {
        let size = run.stored();
        let speed = speeds(bytes, [&run.encode, &run.decode]);
        print!("{:17} {size:10} {:7.3} | {speed}", run.entry.name, bytes as f64 / size as f64);
        if run.entry.all_cores {
            print!(" | {}", speeds(bytes, [&run.encode_all, &run.decode_all]));
        }
        println!();
    }
    for (name, times) in limits {
        println!("{name:17} {:18} | {:6.0}", "", rate(bytes, &times));
    }
    println!("ours / theirs: size, below 1 is smaller, and speeds, above 1 is faster");
    for ours in runs.iter().filter(|run| run.entry.profile.is_some()) {
        for run in runs.iter().filter(|run| run.entry.profile.is_none()) {
            let size = ours.stored() as f64 / run.stored() as f64;
            let speed = ratios([&ours.encode, &ours.decode], [&run.encode, &run.decode]);
            print!("{:17} / {:14} {size:6.3} | enc dec {speed}", ours.entry.name, run.entry.name);
            if ours.entry.all_cores && run.entry.all_cores {
                let all = [&run.encode_all, &run.decode_all];
                print!(" | all {}", ratios([&ours.encode_all, &ours.decode_all], all));
            }
            println!();
        }
    }
}

fn rate(bytes: usize, times: &[f64]) -> f64 {
    bytes as f64 / 1e6 / common::median(times.to_vec())
}

fn speeds(bytes: usize, times: [&Vec<f64>; 2]) -> String {
    times.map(|times| format!("{:6.0}", rate(bytes, times))).join(" ")
}

/// How many times as fast ours are, each round by itself.
fn ratios(ours: [&Vec<f64>; 2], theirs: [&Vec<f64>; 2]) -> String {
    let ratio = |(ours, theirs): (&Vec<f64>, &Vec<f64>)| {
        let rounds = ours.iter().zip(theirs).map(|(ours, theirs)| theirs / ours);
        format!("{:5.2}", common::median(rounds.collect()))
    };
    ours.into_iter().zip(theirs).map(ratio).collect::<Vec<_>>().join(" ")
}
