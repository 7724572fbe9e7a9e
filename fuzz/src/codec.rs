//! Chunks.

use mgit::Dtype;
use mgit::codec::{
    Cpu, Encoding, Lane, Profile, decode, encode_delta, encode_plain, encode_standalone,
};

/// A lane of every kind.
pub fn lane(choice: u8) -> Lane {
    let kinds = [
        Dtype::U8,
        Dtype::F16,
        Dtype::F32,
        Dtype::F64,
        Dtype::Bf16,
        Dtype::I32,
        Dtype::F8E4M3,
        Dtype::I8,
        Dtype::I16,
        Dtype::I64,
    ];
    Lane::of(&kinds[usize::from(choice) % kinds.len()])
}

/// The input's first bytes choose lane, length and base; the rest is the stored chunk.
///
/// Invariants checked, for every encoding:
///
/// - Decoding arbitrary bytes gives an error or a chunk of the length asked for, and never panics.
/// - It gives the same twice, on every set of instructions that the processor has: nothing is read
///   but the stored bytes and the base.
pub fn codec_decode(data: &[u8]) {
    let Some((&[choice, low, high, fill], stored)) = data.split_first_chunk() else { return };
    let len = usize::from(u16::from_le_bytes([low, high]));
    for encoding in Encoding::ALL {
        let mut first = vec![fill; len];
        let outcome = decode(encoding, lane(choice), stored, &mut first);
        for cpu in Cpu::available() {
            let mut other = vec![fill; len];
            let decoded = cpu.lowered(|| decode(encoding, lane(choice), stored, &mut other));
            assert_eq!(outcome, decoded, "{cpu}");
            assert!(decoded.is_err() || first == other, "{encoding:?} decodes to two: {cpu}");
        }
    }
}

/// The first byte chooses the lane; one half of the rest is the base, the other half is XORed to
/// it and is the chunk.
///
/// Invariants checked:
///
/// - `decode(encode(chunk)) == chunk`, as a delta of every profile and alone.
/// - A delta is the same bytes on every set of instructions that the processor has.
/// - What is stored is never longer than the chunk.
/// - Bytes that stand in the output before are left alone.
pub fn codec_roundtrip(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    let lane = lane(*choice);
    let (base, change) = rest.split_at(rest.len() / 2);
    let chunk: Vec<u8> = base.iter().zip(change).map(|(base, change)| base ^ change).collect();

    for profile in Profile::ALL {
        let mut out = b"before".to_vec();
        let encoding = encode_delta(profile, lane, &chunk, base, &mut out);
        let stored = out.strip_prefix(b"before").expect("what stood there");
        assert!(stored.len() <= chunk.len());
        for cpu in Cpu::available() {
            let mut other = Vec::new();
            let with = cpu.lowered(|| encode_delta(profile, lane, &chunk, base, &mut other));
            assert!(with == encoding && other == stored, "{encoding:?} writes two: {cpu}");
        }
        let mut decoded = base.to_vec();
        decode(encoding, lane, stored, &mut decoded).expect("what was encoded");
        assert_eq!(decoded, chunk);
    }

    let mut stored = Vec::new();
    let encoding = encode_standalone(Profile::Dense, lane, &chunk, &mut stored);
    assert!(stored.len() <= chunk.len() && !encoding.needs_base());
    let mut decoded = vec![0xaa; chunk.len()];
    decode(encoding, lane, &stored, &mut decoded).expect("what was encoded");
    assert_eq!(decoded, chunk);

    let mut stored = Vec::new();
    let encoding = encode_plain(&chunk, &mut stored);
    assert!(stored.len() <= chunk.len() && !encoding.needs_base());
    let mut decoded = vec![0xaa; chunk.len()];
    decode(encoding, lane, &stored, &mut decoded).expect("what was encoded");
    assert_eq!(decoded, chunk);
}
