use super::order::{float_16, float_32, order_16, order_32};
use super::range_coder::{Decoder, Encoder, Model, SYMBOLS};
use super::{Kind, Method};

/// FM-Delta: the difference of both elements as integers in the floats' order; its sign and
/// length in bits under an adaptive range coder, the bits below as they are.
pub struct FmDelta;

/// The class of no difference at all.
const MIDDLE: usize = SYMBOLS / 2;

impl Method for FmDelta {
    fn encode(&mut self, kind: Kind, child: &[u8], base: &[u8], out: &mut Vec<u8>) {
        let mut model = Model::new();
        let mut coder = Encoder::new(out);
        let mut put = |step: i32| {
            let size = step.unsigned_abs();
            let class = (32 - size.leading_zeros()) as usize;
            coder.symbol(&mut model, if step < 0 { MIDDLE - class } else { MIDDLE + class });
            if class > 1 {
                coder.raw(size ^ 1 << (class - 1), class as u32 - 1);
            }
        };
        if kind == Kind::F32 {
            for (child, base) in child.as_chunks().0.iter().zip(base.as_chunks().0) {
                put(order_32(child).wrapping_sub(order_32(base)) as i32);
            }
        } else {
            for (child, base) in child.as_chunks().0.iter().zip(base.as_chunks().0) {
                put(i32::from(order_16(child)) - i32::from(order_16(base)));
            }
        }
        coder.finish();
    }

    fn decode(&mut self, kind: Kind, stored: &[u8], base: &[u8], out: &mut [u8]) {
        let mut model = Model::new();
        let mut coder = Decoder::new(stored);
        let mut take = || {
            let symbol = coder.symbol(&mut model);
            let class = symbol.abs_diff(MIDDLE) as u32;
            let size = match class {
                0 | 1 => class,
                _ => 1 << (class - 1) | coder.raw(class - 1),
            };
            (if symbol < MIDDLE { size.wrapping_neg() } else { size }) as i32
        };
        if kind == Kind::F32 {
            for (out, base) in out.as_chunks_mut().0.iter_mut().zip(base.as_chunks().0) {
                *out = float_32(order_32(base).wrapping_add(take() as u32));
            }
        } else {
            for (out, base) in out.as_chunks_mut().0.iter_mut().zip(base.as_chunks().0) {
                *out = float_16(order_16(base).wrapping_add(take() as u16));
            }
        }
    }
}
