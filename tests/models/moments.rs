//! Promise: what an optimizer's moments have in common with those of an earlier step is found: rows
//! that no batch held have only shrunk.

use crate::common::{Random, add, new_store, shape, stored_model};
use mgit::format::FEATURE_DECAY;
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{Dtype, How, NewModel, NewTensor, Store};

const ROWS: usize = 400;
const COLUMNS: usize = 96;
const STEPS: usize = 10;

type Round = fn(f32) -> f32;

/// Both moments of an embedding as Adam leaves them after so many more steps, each of which touches
/// rows in front more often.
struct Adam {
    random: Random,
    first: Vec<f32>,
    second: Vec<f32>,
    round: Round,
}

impl Adam {
    fn new(round: Round) -> Self {
        let mut random = Random(3);
        let mut draw = || round((random.next() >> 40) as f32 / (1 << 24) as f32 * 0.01);
        let first = (0..ROWS * COLUMNS).map(|_| draw()).collect();
        let second = (0..ROWS * COLUMNS).map(|_| draw()).collect();
        Adam { random, first, second, round }
    }

    fn step(&mut self) {
        for row in 0..ROWS {
            let is_touched = self.random.below(row + 1) == 0;
            for at in row * COLUMNS..(row + 1) * COLUMNS {
                let gradient =
                    if is_touched { (self.random.next() >> 40) as f32 / 1e8 } else { 0.0 };
                let (first, second) = (&mut self.first[at], &mut self.second[at]);
                // As torch does: `lerp_`, then `mul_` and `addcmul_`.
                *first = (self.round)(0.1f32.mul_add(gradient - *first, *first));
                *second = (self.round)(*second * 0.999);
                *second = (self.round)(gradient.mul_add(gradient * 0.001, *second));
            }
        }
    }

    fn bytes(&self, dtype: &Dtype) -> [Vec<u8>; 2] {
        [&self.first, &self.second].map(|values| match dtype {
            Dtype::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            _ => values
                .iter()
                .flat_map(|value| mgit::half::bf16::from_f32(*value).to_le_bytes())
                .collect(),
        })
    }
}

fn import(store: &Store, name: &str, dtype: &Dtype, [first, second]: &[Vec<u8>; 2]) {
    let dims = shape(&[ROWS as u64, COLUMNS as u64]);
    let tensor = |name: &str, bytes| {
        NewTensor::from_bytes(name.to_owned(), dtype.clone(), dims.clone(), bytes)
    };
    let mut model = NewModel::new(name);
    if name != "first" {
        model = model.parent("first", How::FineTune);
    }
    let model =
        model.tensor(tensor("state.0.exp_avg", first)).tensor(tensor("state.0.exp_avg_sq", second));
    add(store, model).unwrap();
}

#[test]
fn rows_that_no_batch_held_cost_next_to_nothing() {
    let cases: [(Dtype, Round); 2] = [
        (Dtype::F32, |value| value),
        (Dtype::Bf16, |value| mgit::half::bf16::from_f32(value).to_f32()),
    ];
    for (dtype, round) in cases {
        let mut adam = Adam::new(round);
        let before = adam.bytes(&dtype);
        (0..STEPS).for_each(|_| adam.step());
        let after = adam.bytes(&dtype);
        let (_folder, _, store) = new_store();
        import(&store, "first", &dtype, &before);
        import(&store, "later", &dtype, &after);
        let model = stored_model(&store, "later");
        for (tensor, bytes) in model.tensors().zip(&after) {
            assert_eq!(tensor.view().unwrap()[..], bytes[..]);
            let how = tensor.stored_as().unwrap();
            // A second moment in half precision does not shrink: what is lost rounds up again.
            if dtype == Dtype::F32 || tensor.name().ends_with("avg") {
                assert_eq!(how.formula, Some("decay"), "{dtype} {}", tensor.name());
            }
            let most = bytes.len() as u64 / 6;
            assert!(how.stored_len < most, "{dtype} {}: {}", tensor.name(), how.stored_len);
        }
        assert_ne!(store.container().superblock().reader_flags & FEATURE_DECAY, 0);
        let snapshot = store.snapshot().unwrap();
        let found = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).unwrap();
        assert!(found.is_clean(), "{found:?}");
    }
}
