//! Byte planes: byte k of every lane side by side, where similar bytes find each other.
//!
//! Lane widths 1, 2, 4 and 8 have a fast path of fixed width; [`naive`] is what they must equal.

/// Writes `a XOR b` into `planes`, plane by plane. All three have the same length, a multiple of
/// `lane`.
pub(super) fn xor_split(lane: usize, a: &[u8], b: &[u8], planes: &mut [u8]) {
    match lane {
        2 => xor_split_fixed::<2>(a, b, planes),
        4 => xor_split_fixed::<4>(a, b, planes),
        8 => xor_split_fixed::<8>(a, b, planes),
        _ => xor_into(a, b, planes),
    }
}

/// XORs lanes gathered from `planes` onto `out`, in place: the inverse of [`xor_split`].
pub(super) fn xor_join(lane: usize, planes: &[u8], out: &mut [u8]) {
    match lane {
        2 => xor_join_fixed::<2>(planes, out),
        4 => xor_join_fixed::<4>(planes, out),
        8 => xor_join_fixed::<8>(planes, out),
        _ => out.iter_mut().zip(planes).for_each(|(out, plane)| *out ^= plane),
    }
}

fn xor_into(a: &[u8], b: &[u8], out: &mut [u8]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = a ^ b;
    }
}

/// The planes of a buffer as separate slices.
fn split_planes<const LANE: usize>(planes: &[u8]) -> [&[u8]; LANE] {
    let len = planes.len() / LANE;
    std::array::from_fn(|k| planes.get(k * len..(k + 1) * len).unwrap_or_default())
}

fn xor_split_fixed<const LANE: usize>(a: &[u8], b: &[u8], planes: &mut [u8]) {
    let len = planes.len() / LANE;
    for (k, plane) in planes.chunks_exact_mut(len.max(1)).enumerate().take(LANE) {
        let lanes = a.chunks_exact(LANE).zip(b.chunks_exact(LANE));
        for (out, (a, b)) in plane.iter_mut().zip(lanes) {
            *out = a.get(k).copied().unwrap_or(0) ^ b.get(k).copied().unwrap_or(0);
        }
    }
}

fn xor_join_fixed<const LANE: usize>(planes: &[u8], out: &mut [u8]) {
    let planes: [&[u8]; LANE] = split_planes(planes);
    for (i, lane) in out.chunks_exact_mut(LANE).enumerate() {
        for (byte, plane) in lane.iter_mut().zip(planes) {
            *byte ^= plane.get(i).copied().unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// The obvious way, the oracle of the fast paths.
    fn naive(lane: usize, a: &[u8], b: &[u8]) -> Vec<u8> {
        let mut planes = Vec::new();
        for k in 0..lane {
            planes.extend((0..a.len() / lane).map(|i| a[i * lane + k] ^ b[i * lane + k]));
        }
        planes
    }

    proptest::proptest! {
        #[test]
        fn fast_equals_naive_and_joins_back(
            lane in proptest::sample::select(vec![1usize, 2, 4, 8]),
            pairs in proptest::collection::vec((0u8.., 0u8..), 0..64),
        ) {
            let len = pairs.len() / lane * lane;
            let a: Vec<u8> = pairs[..len].iter().map(|p| p.0).collect();
            let b: Vec<u8> = pairs[..len].iter().map(|p| p.1).collect();
            let mut planes = vec![0; len];
            xor_split(lane, &a, &b, &mut planes);
            proptest::prop_assert_eq!(&planes, &naive(lane, &a, &b));
            let mut out = b.clone();
            xor_join(lane, &planes, &mut out);
            proptest::prop_assert_eq!(out, a);
        }
    }
}
