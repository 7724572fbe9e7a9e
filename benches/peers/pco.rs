use pco::data_types::Number;
use pco::standalone::{simple_compress, simple_decompress};
use pco::{ChunkConfig, DeltaSpec};

use super::order::{float_16, float_32, order_16, order_32};
use super::{Kind, Method};

/// pco, a coder for columns of numbers, on the same steps that ours and FM-Delta's code: it finds
/// its own bins, and knows nothing of the parent.
pub struct Pco;

fn put<T: Number>(steps: &[T], out: &mut Vec<u8>) {
    let config = ChunkConfig::default().with_delta_spec(DeltaSpec::NoOp);
    out.extend_from_slice(&simple_compress(steps, &config).expect("numbers"));
}

impl Method for Pco {
    fn encode(&mut self, kind: Kind, child: &[u8], base: &[u8], out: &mut Vec<u8>) {
        if kind == Kind::F32 {
            let pairs = child.as_chunks().0.iter().zip(base.as_chunks().0);
            let step = |(child, base)| order_32(child).wrapping_sub(order_32(base)) as i32;
            put(&pairs.map(step).collect::<Vec<_>>(), out);
        } else {
            let pairs = child.as_chunks().0.iter().zip(base.as_chunks().0);
            let step = |(child, base)| order_16(child).wrapping_sub(order_16(base)) as i16;
            put(&pairs.map(step).collect::<Vec<_>>(), out);
        }
    }

    fn decode(&mut self, kind: Kind, stored: &[u8], base: &[u8], out: &mut [u8]) {
        if kind == Kind::F32 {
            let steps: Vec<i32> = simple_decompress(stored).expect("a stream");
            let pairs = steps.iter().zip(base.as_chunks().0);
            for (out, (step, base)) in out.as_chunks_mut().0.iter_mut().zip(pairs) {
                *out = float_32(order_32(base).wrapping_add(*step as u32));
            }
        } else {
            let steps: Vec<i16> = simple_decompress(stored).expect("a stream");
            let pairs = steps.iter().zip(base.as_chunks().0);
            for (out, (step, base)) in out.as_chunks_mut().0.iter_mut().zip(pairs) {
                *out = float_16(order_16(base).wrapping_add(*step as u16));
            }
        }
    }
}
