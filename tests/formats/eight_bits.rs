//! The golden store of eight-bit floats, as `compat` holds it.

use std::fs;

use super::compat::{contents, golden, make_member, weights};
use mgit::tensor::e4m3_bits;
use mgit::{Dtype, How, Store};

/// A matrix of eight-bit floats as the formula of its parent, and one that differs from it.
#[test]
#[ignore = "makes a new golden store; run by hand when the format gains something"]
fn make_eight_bits() {
    let name = std::env::var("MGIT_GOLDEN").expect("MGIT_GOLDEN names the new golden store");
    let path = golden().join(name).with_extension("mgit");
    let store = Store::create(&path).unwrap();
    let mut base = weights(6000, 1);
    base[100..200].fill(-0.0);
    let row = |row: &[f32]| -> Vec<u8> {
        let largest = row.iter().fold(0.0f32, |largest, v| largest.max(v.abs()));
        let scale = if largest == 0.0 { 1.0 } else { largest / 448.0 };
        row.iter().map(|v| e4m3_bits(v / scale)).collect()
    };
    let mut bytes: Vec<u8> = base.chunks(100).flat_map(row).collect();
    let floats = mgit::bytemuck::cast_slice::<f32, u8>(&base).to_vec();
    make_member(&store, "base", &[], How::Other, Dtype::F32, 60, &floats);
    make_member(&store, "fp8", &["base"], How::Quantise, Dtype::F8E4M3, 60, &bytes);
    bytes[5000] ^= 1;
    make_member(&store, "near", &["base"], How::Quantise, Dtype::F8E4M3, 60, &bytes);
    let half: Vec<u8> = bytes.iter().flat_map(|_| [0, 0]).collect();
    make_member(&store, "adapter", &["base"], How::Adapter, Dtype::F16, 60, &half);
    fs::write(path.with_extension("txt"), contents(&store)).unwrap();
}
