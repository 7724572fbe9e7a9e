//! The golden store of eight-bit floats, as `compat` holds it.

use std::fs;

use super::compat::{contents, golden, make_member, weights};
use mgit::codec::formula::Formula;
use mgit::tensor::{e4m3_bits, float8_bits};
use mgit::{Dtype, How, Store};

/// What shrank from its parent in the three ways, in two types, and floats of eight bits with a scale.
#[test]
#[ignore = "makes a new golden store; run by hand when the format gains something"]
fn make_decays() {
    let name = std::env::var("MGIT_GOLDEN").expect("MGIT_GOLDEN names the new golden store");
    let path = golden().join(name).with_extension("mgit");
    let store = Store::create(&path).unwrap();
    let mut base = weights(6000, 1);
    base[100..200].fill(-0.0);
    base[300..304].copy_from_slice(&[f32::NAN, f32::INFINITY, f32::from_bits(3), 1e-38]);
    let floats = |values: &[f32]| mgit::bytemuck::cast_slice::<f32, u8>(values).to_vec();
    let bytes = floats(&base);
    make_member(&store, "base", &[], How::Other, Dtype::F32, 60, &bytes);
    for (way, factor) in [(0u8, 0.999f32), (1, 0.1), (2, 0.1)] {
        let parameters = [&factor.to_le_bytes()[..], &10u16.to_le_bytes(), &[way]].concat();
        let decay = Formula::parse(14, &Dtype::F32, &[Dtype::F32], &parameters).unwrap();
        let mut made = vec![0; bytes.len()];
        decay.predict(&(0..made.len() as u64), &[&bytes], &mut made);
        // Rows that something came to.
        made[4000..8000].copy_from_slice(&floats(&weights(1000, 9)));
        make_member(&store, &format!("way-{way}"), &["base"], How::Other, Dtype::F32, 60, &made);
    }
    let half = |values: &[f32]| -> Vec<u8> {
        values.iter().flat_map(|v| mgit::half::bf16::from_f32(*v).to_le_bytes()).collect()
    };
    make_member(&store, "half", &["base"], How::Cast, Dtype::Bf16, 60, &half(&base));
    let parameters = [&0.1f32.to_le_bytes()[..], &3u16.to_le_bytes(), &[1]].concat();
    let decay = Formula::parse(14, &Dtype::Bf16, &[Dtype::Bf16], &parameters).unwrap();
    let mut made = vec![0; 12000];
    decay.predict(&(0..12000), &[&half(&base)], &mut made);
    make_member(&store, "half-shrunk", &["half"], How::Other, Dtype::Bf16, 60, &made);
    for dtype in [Dtype::F8E4M3, Dtype::F8E5M2, Dtype::F8E4M3Fnuz, Dtype::F8E5M2Fnuz] {
        let scaled: Vec<u8> = base
            .iter()
            .map(|v| float8_bits(&dtype, (v * 1777.0).clamp(-240.0, 240.0)).unwrap())
            .collect();
        make_member(&store, dtype.name(), &["base"], How::Quantise, dtype.clone(), 60, &scaled);
    }
    fs::write(path.with_extension("txt"), contents(&store)).unwrap();
}

/// Casts to and from every float type of eight bits, values among them that no cast keeps.
#[test]
#[ignore = "makes a new golden store; run by hand when the format gains something"]
fn make_eight_bit_casts() {
    let name = std::env::var("MGIT_GOLDEN").expect("MGIT_GOLDEN names the new golden store");
    let path = golden().join(name).with_extension("mgit");
    let store = Store::create(&path).unwrap();
    let mut base = weights(6000, 1);
    base[100..200].fill(-0.0);
    let odd = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 464.0, 464.1, 1e9, -1e9];
    base[200..208].copy_from_slice(&odd);
    let floats = mgit::bytemuck::cast_slice::<f32, u8>(&base).to_vec();
    let halves: Vec<u8> =
        base.iter().flat_map(|v| mgit::half::f16::from_f32(*v).to_le_bytes()).collect();
    make_member(&store, "base", &[], How::Other, Dtype::F32, 60, &floats);
    make_member(&store, "half", &["base"], How::Cast, Dtype::F16, 60, &halves);
    for dtype in [Dtype::F8E4M3, Dtype::F8E5M2, Dtype::F8E4M3Fnuz, Dtype::F8E5M2Fnuz] {
        let codes: Vec<u8> = base.iter().map(|v| float8_bits(&dtype, *v).unwrap()).collect();
        let parent = if dtype == Dtype::F8E5M2 { "half" } else { "base" };
        make_member(&store, dtype.name(), &[parent], How::Cast, dtype.clone(), 60, &codes);
        let mut near = codes.clone();
        near[5000] ^= 1;
        let name = format!("{}-near", dtype.name());
        make_member(&store, &name, &["base"], How::Cast, dtype.clone(), 60, &near);
        let cast = Formula::cast(&dtype, &Dtype::Bf16).unwrap();
        let mut wide = vec![0; 2 * codes.len()];
        cast.predict(&(0..wide.len() as u64), &[&near], &mut wide);
        make_member(&store, &format!("{name}-wide"), &[&name], How::Cast, Dtype::Bf16, 60, &wide);
    }
    fs::write(path.with_extension("txt"), contents(&store)).unwrap();
}

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
