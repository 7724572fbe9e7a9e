//! Which tensor of a parent a tensor of the child probably came from.

use crate::format::ManifestTensor;
use crate::tensor::{Dtype, Shape, float8_bits};

/// What pairing looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorKey<'a> {
    /// The tensor's name.
    pub name: &'a str,
    /// Element type.
    pub dtype: &'a Dtype,
    /// Dimensions.
    pub shape: &'a Shape,
    /// Length in bytes.
    pub byte_len: u64,
}

impl<'a> From<ManifestTensor<'a>> for TensorKey<'a> {
    fn from(tensor: ManifestTensor<'a>) -> Self {
        let ManifestTensor { name, dtype, shape, byte_len, .. } = tensor;
        TensorKey { name, dtype, shape, byte_len }
    }
}

/// The most cells of the table that finds the longest common subsequence; beyond it, left-over
/// tensors are paired in order, one by one.
const LCS_CELLS_MAX: usize = 1 << 24;

/// How a tensor may have come from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Type and length agree.
    Same,
    /// The type and all dimensions but the first agree: rows were added or taken away.
    Resized,
    /// The same number of elements of another type: cast or quantised.
    Converted,
}

impl Relation {
    /// How `child` may have come from `parent`; `None` when no element of one has its place in
    /// the other.
    pub fn of(child: &TensorKey<'_>, parent: &TensorKey<'_>) -> Option<Self> {
        let rows =
            |key: &TensorKey<'_>| key.shape.dims().split_first().map(|(_, rest)| rest.to_vec());
        if child.dtype == parent.dtype {
            if child.byte_len == parent.byte_len {
                return Some(Relation::Same);
            }
            // A child of more than twice the length is mostly new.
            let grown = child.byte_len <= parent.byte_len.saturating_mul(2);
            let alike = child.dtype.bits().is_some() && rows(child) == rows(parent);
            return (alike && grown && child.shape.rank() > 0).then_some(Relation::Resized);
        }
        let wide =
            |dtype: &Dtype| matches!(dtype, Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64);
        let eight = |dtype: &Dtype| float8_bits(dtype, 0.0).is_some();
        let float = |dtype: &Dtype| wide(dtype) || eight(dtype);
        let convertible = float(parent.dtype) && float(child.dtype)
            || wide(parent.dtype) && *child.dtype == Dtype::I8;
        (convertible && child.shape.dims() == parent.shape.dims()).then_some(Relation::Converted)
    }
}

/// For every tensor of `child`, in order, the place of its pair in `parent` and how it may have
/// come from it: the tensor of the same name, when there is a relation; for those left over, the
/// longest common subsequence of (type, shape) over both manifests. No parent tensor is paired
/// twice.
///
/// Cost: a sort by names, plus at most 2^24 steps for what is left over.
pub fn pair_tensors(
    child: &[TensorKey<'_>],
    parent: &[TensorKey<'_>],
) -> Vec<Option<(usize, Relation)>> {
    // Sorted places instead of a map: there can be a million.
    let mut by_name: Vec<u32> = (0..parent.len() as u32).collect();
    by_name.sort_unstable_by_key(|at| parent[*at as usize].name);
    let named = |name: &str| {
        let found = by_name.binary_search_by_key(&name, |at| parent[*at as usize].name).ok()?;
        Some(by_name[found] as usize)
    };
    let mut taken = vec![false; parent.len()];
    let mut pairs = vec![None; child.len()];
    for (pair, key) in pairs.iter_mut().zip(child) {
        if let Some(at) = named(key.name)
            && let Some(relation) = Relation::of(key, &parent[at])
        {
            *pair = Some((at, relation));
            taken[at] = true;
        }
    }
    let left: Vec<usize> = (0..child.len()).filter(|at| pairs[*at].is_none()).collect();
    let right: Vec<usize> = (0..parent.len()).filter(|at| !taken[*at]).collect();
    let same = |l: usize, r: usize| {
        let (l, r) = (&child[left[l]], &parent[right[r]]);
        l.dtype == r.dtype && l.shape == r.shape && l.byte_len == r.byte_len
    };
    for (l, r) in common_subsequence(left.len(), right.len(), same) {
        pairs[left[l]] = Some((right[r], Relation::Same));
    }
    pairs
}

/// The longest common subsequence of two sequences, as pairs of places.
fn common_subsequence(
    left: usize,
    right: usize,
    same: impl Fn(usize, usize) -> bool,
) -> Vec<(usize, usize)> {
    if left.saturating_mul(right) > LCS_CELLS_MAX {
        return greedy(left, right, same);
    }
    let width = right + 1;
    // best[l * width + r]: the length of the longest for left[l..] and right[r..].
    let mut best = vec![0u32; (left + 1) * width];
    for l in (0..left).rev() {
        for r in (0..right).rev() {
            best[l * width + r] = if same(l, r) {
                best[(l + 1) * width + r + 1] + 1
            } else {
                best[(l + 1) * width + r].max(best[l * width + r + 1])
            };
        }
    }
    let (mut l, mut r) = (0, 0);
    let mut pairs = Vec::new();
    while l < left && r < right {
        if same(l, r) {
            pairs.push((l, r));
            (l, r) = (l + 1, r + 1);
        } else if best[(l + 1) * width + r] >= best[l * width + r + 1] {
            l += 1;
        } else {
            r += 1;
        }
    }
    pairs
}

/// Pairs in order, each with the next that fits.
fn greedy(left: usize, right: usize, same: impl Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let mut next = 0;
    for l in 0..left {
        // A bounded look ahead keeps this linear.
        if let Some(r) = (next..right.min(next + 64)).find(|r| same(l, *r)) {
            pairs.push((l, r));
            next = r + 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys<'a>(tensors: &'a [(&'a str, Shape)], dtype: &'a Dtype) -> Vec<TensorKey<'a>> {
        tensors
            .iter()
            .map(|(name, shape)| TensorKey { name, dtype, shape, byte_len: shape.elements() * 4 })
            .collect()
    }

    #[test]
    fn names_first_then_shapes_in_order() {
        let shape = |dims: &[u64]| Shape::new(dims).unwrap();
        let dtype = Dtype::F32;
        let parent = [
            ("emb", shape(&[4, 2])),
            ("l0.w", shape(&[2, 2])),
            ("l1.w", shape(&[2, 2])),
            ("norm", shape(&[2])),
        ];
        let child = [
            ("emb", shape(&[4, 2])),
            ("head", shape(&[9])),
            ("block0.w", shape(&[2, 2])),
            ("norm", shape(&[3])),
            ("block1.w", shape(&[2, 2])),
        ];
        let pairs = pair_tensors(&keys(&child, &dtype), &keys(&parent, &dtype));
        let same = |at| Some((at, Relation::Same));
        let resized = Some((3, Relation::Resized));
        assert_eq!(pairs, [same(0), None, same(1), resized, same(2)]);
    }

    #[test]
    fn relations_by_type_and_shape() {
        let relation = |child: (&Dtype, &[u64]), parent: (&Dtype, &[u64])| {
            let (a, b) = (Shape::new(child.1).unwrap(), Shape::new(parent.1).unwrap());
            let len = |dtype: &Dtype, shape| dtype.byte_len(shape).unwrap().unwrap();
            let child =
                TensorKey { name: "", dtype: child.0, shape: &a, byte_len: len(child.0, &a) };
            let parent =
                TensorKey { name: "", dtype: parent.0, shape: &b, byte_len: len(parent.0, &b) };
            Relation::of(&child, &parent)
        };
        use Dtype::{Bf16, F8E4M3, F8E5M2, F32, I8};
        assert_eq!(relation((&F32, &[6, 2]), (&F32, &[4, 3])), Some(Relation::Same));
        assert_eq!(relation((&F32, &[5, 3]), (&F32, &[4, 3])), Some(Relation::Resized));
        assert_eq!(relation((&F32, &[1, 3]), (&F32, &[4, 3])), Some(Relation::Resized));
        assert_eq!(relation((&F32, &[9, 3]), (&F32, &[4, 3])), None);
        assert_eq!(relation((&F32, &[4, 4]), (&F32, &[4, 3])), None);
        assert_eq!(relation((&Bf16, &[4, 3]), (&F32, &[4, 3])), Some(Relation::Converted));
        assert_eq!(relation((&I8, &[4, 3]), (&F32, &[4, 3])), Some(Relation::Converted));
        assert_eq!(relation((&F8E4M3, &[4, 3]), (&F32, &[4, 3])), Some(Relation::Converted));
        assert_eq!(relation((&F32, &[4, 3]), (&F8E4M3, &[4, 3])), Some(Relation::Converted));
        assert_eq!(relation((&F8E5M2, &[4, 3]), (&F8E4M3, &[4, 3])), Some(Relation::Converted));
        assert_eq!(relation((&I8, &[4, 3]), (&F8E4M3, &[4, 3])), None);
        assert_eq!(relation((&F32, &[4, 3]), (&I8, &[4, 3])), None);
        assert_eq!(relation((&I8, &[4, 3]), (&F32, &[4, 4])), None);
    }

    proptest! {
        #[test]
        fn the_subsequence_is_common_and_longest(
            a in proptest::collection::vec(0u8..4, 0..9),
            b in proptest::collection::vec(0u8..4, 0..9),
        ) {
            let pairs = common_subsequence(a.len(), b.len(), |l, r| a[l] == b[r]);
            prop_assert!(pairs.iter().all(|(l, r)| a[*l] == b[*r]));
            prop_assert!(pairs.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1));
            let longest = (0u32..1 << a.len()).filter_map(|mask| {
                let picked: Vec<u8> =
                    (0..a.len()).filter(|i| mask >> i & 1 == 1).map(|i| a[i]).collect();
                let mut rest = b.iter();
                picked.iter().all(|x| rest.any(|y| y == x)).then_some(picked.len())
            }).max().unwrap();
            prop_assert_eq!(pairs.len(), longest);
        }
    }
}
