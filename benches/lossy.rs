//! Rounding differences to multiples and storing them, beside what MGit does with the same
//! multiples: LZMA. From two tensors in memory to stored bytes, on one core, in turn.
//!
//! The pairs are those of `peers::pairs` of F32 whose files are in a folder of `MGIT_MODELS`;
//! `MGIT_BENCH_PAIR` takes only those whose name has that in it. LZMA takes a minute for each.

mod common;
mod peers;

use common::{median, timed};
use mgit::Dtype;
use mgit::codec::{Half, Lane, Loss, Lossy, LossyCoder, Profile, encode_delta, encode_standalone};
use peers::Kind;
use peers::pairs::{self, Pair, Tensor};

const ROUNDS: usize = 3;
const CHUNK: usize = 1 << 20;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let only = std::env::var("MGIT_BENCH_PAIR").unwrap_or_default();
    for source in pairs::found().into_iter().filter(|source| source.name.contains(&only)) {
        let mut pair = source.load();
        pair.tensors.retain(|tensor| matches!(tensor.kind, Kind::F32));
        if !pair.tensors.is_empty() {
            measure(&pair);
        }
    }
}

fn measure(pair: &Pair) {
    let lossy: Lossy = "quantised:1e-4".parse().expect("a method");
    let (mut ours, mut theirs) = ((0, Loss::default()), 0);
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let (mut fast, mut slow) = (0.0, 0.0);
        (ours, theirs) = ((0, Loss::default()), 0);
        for tensor in &pair.tensors {
            let mut work_ours = || {
                let (bytes, loss) = store(lossy, tensor);
                ours.0 += bytes;
                ours.1.add(loss);
            };
            let mut work_theirs = || theirs += lzma(lossy, tensor);
            // Whoever is first warms the caches for the other.
            if round % 2 == 0 {
                fast += timed(&mut work_ours).as_secs_f64();
                slow += timed(&mut work_theirs).as_secs_f64();
            } else {
                slow += timed(&mut work_theirs).as_secs_f64();
                fast += timed(&mut work_ours).as_secs_f64();
            }
        }
        ratios.push(slow / fast);
    }
    let (bytes, loss) = ours;
    println!("== {}: {} bytes, {lossy}", pair.name, pair.bytes());
    println!(
        "RATIO size ours / LZMA {:.3} ({bytes} / {theirs}); speed ours / LZMA {:.1}",
        bytes as f64 / theirs as f64,
        median(ratios),
    );
    println!(
        "elements {}, exact {}, largest error {:e} of {:e}",
        loss.elements,
        loss.exact,
        loss.largest_error,
        lossy.absolute_bound().expect("a bound"),
    );
}

/// Rounds a tensor, checks every element against the bound, and encodes what is added and what is
/// exact: all that import does between reading and writing but for hashing.
fn store(lossy: Lossy, tensor: &Tensor) -> (usize, Loss) {
    let (mut bytes, mut all) = (0, Loss::default());
    let mut stored = Vec::new();
    let mut add = |stored: &mut Vec<u8>| {
        bytes += stored.len();
        stored.clear();
    };
    let coder = LossyCoder::new(lossy, &Dtype::F32).expect("floats");
    for (child, base) in tensor.child.chunks(CHUNK).zip(tensor.base.chunks(CHUNK)) {
        let mut values = vec![0; child.len()];
        let loss = coder.round(base, child, &mut values);
        let halves = if loss.wide { &[Half::Lower, Half::Upper][..] } else { &[Half::Lower] };
        let mut added = Vec::new();
        for half in halves {
            let mut multiples = vec![0; child.len() / coder.element_bytes()];
            coder.write_added(base, child, *half, &mut multiples);
            encode_standalone(Profile::Dense, Lane::of(&Dtype::I8), &multiples, &mut stored);
            add(&mut stored);
            added.push(multiples);
        }
        let formula = coder.formula(&Dtype::F32, loss.wide).expect("a formula");
        let bases: Vec<&[u8]> = [base].into_iter().chain(added.iter().map(Vec::as_slice)).collect();
        let mut made = vec![0; child.len()];
        formula.predict(&(0..child.len() as u64), &bases, &mut made);
        let lane = Lane::of(&Dtype::F32);
        encode_delta(Profile::Balanced, lane, &values, &made, &mut stored);
        add(&mut stored);
        all.add(loss);
    }
    (bytes, all)
}

/// MGit's way: the multiples of a tensor as 32-bit integers, through LZMA at its usual level.
fn lzma(lossy: Lossy, tensor: &Tensor) -> usize {
    let step = f64::from(lossy.factor());
    let singles = |bytes: &'_ [u8]| {
        let single = |bytes: &[u8; 4]| f64::from(f32::from_le_bytes(*bytes));
        bytes.as_chunks().0.iter().map(single).collect::<Vec<f64>>()
    };
    let numbers = singles(&tensor.base).into_iter().zip(singles(&tensor.child));
    let multiples: Vec<u8> = numbers
        .flat_map(|(base, own)| (((own - base) / step + 0.5).floor() as i32).to_le_bytes())
        .collect();
    liblzma::encode_all(&*multiples, 6).expect("memory").len()
}
