//! Small real networks that learn to read digits, for the examples.
//!
//! Networks of 18,922 weights. The digits are drawn by this program: a font of 5 by 7 dots, put
//! somewhere in 12 by 12, with strokes that fade, dots that are missing, and noise. It is a real
//! task, with accuracies on pictures that no network has seen, but an easy one: no handwriting, no
//! photographs. Nothing is downloaded, and there is no other language.

#![allow(dead_code, reason = "no example uses everything")]

mod digits;

use std::error::Error;

use mgit::update::{Draft, UpdateError};
use mgit::{Dtype, Model, NewTensor, Shape};

pub use digits::Task;
use digits::{Random, SIDE};

pub type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Neurons of every layer, the dots of a picture first.
const LAYERS: [usize; 4] = [SIDE * SIDE, 96, 48, 10];

/// Floats of half or single precision.
pub fn floats(dtype: &Dtype, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::F16 => {
            let half = |bytes: &[u8; 2]| mgit::half::f16::from_le_bytes(*bytes).to_f32();
            bytes.as_chunks().0.iter().map(half).collect()
        }
        _ => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
    }
}

/// A tensor of single precision.
#[derive(Clone, Debug)]
pub struct OwnTensor {
    name: String,
    dims: Vec<u64>,
    bytes: Vec<u8>,
}

impl OwnTensor {
    /// For a transaction.
    pub fn to_new(&self) -> NewTensor<'_> {
        let shape = Shape::new(&self.dims).expect("two dimensions at most");
        NewTensor::from_bytes(&self.name, Dtype::F32, shape, &self.bytes)
    }
}

/// A network of full layers with rectified sums between them.
#[derive(Clone, Debug)]
pub struct Network {
    /// Of every layer its matrix, a row for every neuron, and its biases.
    layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Network {
    /// One that has learned nothing.
    pub fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let layer = |ends: &[usize]| {
            let scale = (2.0 / ends[0] as f32).sqrt();
            let weights = (0..ends[0] * ends[1]).map(|_| random.normal() * scale).collect();
            (weights, vec![0.0; ends[1]])
        };
        Network { layers: LAYERS.windows(2).map(layer).collect() }
    }

    /// The network that a model is.
    pub fn of(model: &Model) -> Result<Self, UpdateError> {
        Network::read(|name| {
            let tensor = model.tensor(name)?;
            Ok(floats(tensor.dtype(), &tensor.view()?))
        })
    }

    /// A network of tensors that `read` gives by their names.
    pub fn read<E>(read: impl Fn(&str) -> Result<Vec<f32>, E>) -> Result<Self, E> {
        let layer = |at| {
            let (weights, biases) = (format!("layer{at}.weight"), format!("layer{at}.bias"));
            Ok((read(&weights)?, read(&biases)?))
        };
        Ok(Network { layers: (0..LAYERS.len() - 1).map(layer).collect::<Result<_, E>>()? })
    }

    /// Its tensors by name, with their dimensions.
    fn named(&self) -> impl Iterator<Item = (String, Vec<u64>, &Vec<f32>)> {
        self.layers.iter().enumerate().flat_map(|(at, (weights, biases))| {
            let (columns, rows) = (LAYERS[at] as u64, LAYERS[at + 1] as u64);
            let weights = (format!("layer{at}.weight"), vec![rows, columns], weights);
            [weights, (format!("layer{at}.bias"), vec![rows], biases)]
        })
    }

    /// Its tensors, for a function that makes a model.
    pub fn draft(self) -> Result<Draft, UpdateError> {
        self.named().try_fold(Draft::new(), |draft, (name, dims, values)| {
            draft.floats(&name, &dims, values.clone())
        })
    }

    /// Its tensors, one by one.
    pub fn tensors(&self) -> Vec<OwnTensor> {
        let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let own = |(name, dims, values): (_, _, &Vec<f32>)| OwnTensor {
            name,
            dims,
            bytes: bytes(values),
        };
        self.named().map(own).collect()
    }

    /// The values of every layer for a picture.
    fn values(&self, picture: &[f32]) -> Vec<Vec<f32>> {
        let mut all = vec![picture.to_vec()];
        for (at, (weights, biases)) in self.layers.iter().enumerate() {
            let below = &all[at];
            let neuron = |(row, bias): (&[f32], &f32)| {
                let sum: f32 = row.iter().zip(below).map(|(w, v)| w * v).sum::<f32>() + bias;
                if at + 1 < self.layers.len() { sum.max(0.0) } else { sum }
            };
            let values = weights.chunks(LAYERS[at]).zip(biases).map(neuron).collect();
            all.push(values);
        }
        all
    }

    /// One step of gradient descent on one picture.
    fn learn(&mut self, picture: &[f32], digit: usize, rate: f32) {
        let values = self.values(picture);
        let last = &values[self.layers.len()];
        let largest = last.iter().copied().fold(f32::MIN, f32::max);
        let powers: Vec<f32> = last.iter().map(|value| (value - largest).exp()).collect();
        let sum: f32 = powers.iter().sum();
        let mut slopes: Vec<f32> = powers.iter().map(|power| power / sum).collect();
        slopes[digit] -= 1.0;
        for at in (0..self.layers.len()).rev() {
            let (weights, biases) = &mut self.layers[at];
            let below = &values[at];
            let mut next = vec![0.0; below.len()];
            for ((row, bias), slope) in weights.chunks_mut(LAYERS[at]).zip(biases).zip(&slopes) {
                if *slope == 0.0 {
                    continue;
                }
                for ((weight, value), next) in row.iter_mut().zip(below).zip(&mut next) {
                    *next += slope * *weight;
                    *weight -= rate * slope * value;
                }
                *bias -= rate * slope;
            }
            for (slope, value) in next.iter_mut().zip(below) {
                if at > 0 && *value <= 0.0 {
                    *slope = 0.0;
                }
            }
            slopes = next;
        }
    }

    /// Learns from so many pictures of a task, at a rate that falls to a tenth; `label` may lie
    /// about a digit.
    pub fn train(
        &mut self,
        task: Task,
        (count, rate): (usize, f32),
        seed: u64,
        label: impl Fn(usize) -> usize,
    ) {
        let mut random = Random(seed);
        for step in 0..count {
            let (picture, digit) = task.picture(&mut random);
            let rate = rate * (1.0 - 0.9 * step as f32 / count as f32);
            self.learn(&picture, label(digit), rate);
        }
    }

    /// The share of new pictures of a task that it reads rightly.
    pub fn accuracy(&self, task: Task) -> f64 {
        let (mut random, count) = (Random(0x7e57), 4000);
        let right = |_: &usize| {
            let (picture, digit) = task.picture(&mut random);
            let values = self.values(&picture);
            let best =
                values[self.layers.len()].iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            best.is_some_and(|(read, _)| read == digit)
        };
        (0..count).filter(right).count() as f64 / count as f64
    }
}
