//! Networks of full layers, and how they learn: by any of four optimizers, in single precision or
//! with weights in bf16 throughout, whole or in part, or by matrices of low rank beside.

use super::digits::Random;
use super::task::Task;

/// How weights are changed by their slopes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    Sgd,
    Momentum,
    Adam,
    /// With this decay of the weights a step, relative to the rate.
    AdamW(f32),
}

/// A training.
#[derive(Clone, Copy, Debug)]
pub struct Training {
    pub task: Task,
    pub optimizer: Optimizer,
    pub rate: f32,
    pub steps: usize,
    pub seed: u64,
    /// The layers below this one stay as they are.
    pub from_layer: usize,
    /// Weights are rounded to bf16 after every step.
    pub bf16: bool,
}

/// Examples of a step.
const BATCH: usize = 8;

/// A network of full layers with rectified sums between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Neurons of every layer, the inputs first.
    pub sizes: Vec<usize>,
    /// Of every layer its matrix, a row a neuron, then its biases.
    pub values: Vec<Vec<f32>>,
}

pub fn bf16(value: f32) -> f32 {
    mgit::half::bf16::from_f32(value).to_f32()
}

impl Network {
    /// One that has learned nothing.
    pub fn new(sizes: &[usize], seed: u64) -> Self {
        let mut random = Random(seed);
        let mut values = Vec::new();
        for ends in sizes.windows(2) {
            let scale = (2.0 / ends[0] as f32).sqrt();
            values.push((0..ends[0] * ends[1]).map(|_| random.normal() * scale).collect());
            values.push(vec![0.0; ends[1]]);
        }
        Network { sizes: sizes.to_vec(), values }
    }

    fn layers(&self) -> usize {
        self.sizes.len() - 1
    }

    /// What every layer says of an example.
    fn activations(&self, example: &[f32]) -> Vec<Vec<f32>> {
        let mut all = vec![example.to_vec()];
        for layer in 0..self.layers() {
            let below = &all[layer];
            let rows = self.values[2 * layer].chunks_exact(self.sizes[layer]);
            let neuron = |(row, bias): (&[f32], &f32)| {
                let sum: f32 = row.iter().zip(below).map(|(w, v)| w * v).sum::<f32>() + bias;
                if layer + 1 < self.layers() { sum.max(0.0) } else { sum }
            };
            all.push(rows.zip(&self.values[2 * layer + 1]).map(neuron).collect());
        }
        all
    }

    /// Adds the slopes of an example.
    fn slopes(&self, example: &[f32], class: usize, from_layer: usize, into: &mut [Vec<f32>]) {
        let all = self.activations(example);
        let last = &all[self.layers()];
        let largest = last.iter().copied().fold(f32::MIN, f32::max);
        let powers: Vec<f32> = last.iter().map(|value| (value - largest).exp()).collect();
        let sum: f32 = powers.iter().sum();
        let mut slopes: Vec<f32> = powers.iter().map(|power| power / sum / BATCH as f32).collect();
        slopes[class] -= 1.0 / BATCH as f32;
        for layer in (from_layer..self.layers()).rev() {
            let below = &all[layer];
            let mut next = vec![0.0; below.len()];
            let width = self.sizes[layer];
            for (neuron, slope) in slopes.iter().enumerate().filter(|(_, slope)| **slope != 0.0) {
                let own = neuron * width..(neuron + 1) * width;
                let row = &self.values[2 * layer][own.clone()];
                let into = &mut into[2 * layer][own];
                for (((into, value), weight), next) in
                    into.iter_mut().zip(below).zip(row).zip(&mut next)
                {
                    *into += slope * value;
                    *next += slope * weight;
                }
            }
            for (into, slope) in into[2 * layer + 1].iter_mut().zip(&slopes) {
                *into += slope;
            }
            for (slope, value) in next.iter_mut().zip(below) {
                if layer > 0 && *value <= 0.0 {
                    *slope = 0.0;
                }
            }
            slopes = next;
        }
    }

    fn zeros(&self) -> Vec<Vec<f32>> {
        self.values.iter().map(|values| vec![0.0; values.len()]).collect()
    }

    /// Learns. The rate falls to a tenth.
    pub fn train(&mut self, training: &Training) {
        let mut random = Random(training.seed);
        let mut memory = Memory::of(self);
        for step in 0..training.steps {
            let slopes = self.batch(training, &mut random);
            let share = 1.0 - 0.9 * step as f32 / training.steps as f32;
            let rate = training.rate * share;
            let own = 2 * training.from_layer..;
            for at in (0..self.values.len()).filter(|at| own.contains(at)) {
                let values = &mut self.values[at];
                memory.step(at, values, &slopes[at], training.optimizer, rate, step);
                if training.bf16 {
                    values.iter_mut().for_each(|value| *value = bf16(*value));
                }
            }
        }
    }

    fn batch(&self, training: &Training, random: &mut Random) -> Vec<Vec<f32>> {
        let mut slopes = self.zeros();
        for _ in 0..BATCH {
            let (example, class) = training.task.example(random);
            self.slopes(&example, class, training.from_layer, &mut slopes);
        }
        slopes
    }

    /// Learns by matrices of this rank beside those of all layers but the last, which are added in
    /// the end.
    pub fn train_low_rank(&mut self, training: &Training, rank: usize) {
        let mut random = Random(training.seed);
        let start = self.clone();
        let mut parts: Vec<(Vec<f32>, Vec<f32>)> = Vec::new();
        for layer in 0..self.layers() - 1 {
            let (columns, rows) = (self.sizes[layer], self.sizes[layer + 1]);
            let scale = (1.0 / columns as f32).sqrt();
            let down = (0..rank * columns).map(|_| random.normal() * scale).collect();
            parts.push((down, vec![0.0; rows * rank]));
        }
        let mut memory = Memory::new(parts.iter().flat_map(|(a, b)| [a.len(), b.len()]));
        for step in 0..training.steps {
            let slopes = self.batch(training, &mut random);
            let rate = training.rate * (1.0 - 0.9 * step as f32 / training.steps as f32);
            for (layer, (down, up)) in parts.iter_mut().enumerate() {
                let (columns, rows) = (self.sizes[layer], self.sizes[layer + 1]);
                let slope = &slopes[2 * layer];
                let mut of_down = vec![0.0; down.len()];
                let mut of_up = vec![0.0; up.len()];
                for row in 0..rows {
                    for at in 0..rank {
                        for column in 0..columns {
                            let slope = slope[row * columns + column];
                            of_up[row * rank + at] += slope * down[at * columns + column];
                            of_down[at * columns + column] += slope * up[row * rank + at];
                        }
                    }
                }
                memory.step(2 * layer, down, &of_down, training.optimizer, rate, step);
                memory.step(2 * layer + 1, up, &of_up, training.optimizer, rate, step);
                let values = &mut self.values[2 * layer];
                values.copy_from_slice(&start.values[2 * layer]);
                for row in 0..rows {
                    for column in 0..columns {
                        let product =
                            (0..rank).map(|at| up[row * rank + at] * down[at * columns + column]);
                        values[row * columns + column] += product.sum::<f32>();
                    }
                }
            }
        }
    }

    /// The smallest share of every matrix set to zero.
    pub fn prune(&mut self, share: f32) {
        for values in self.values.iter_mut().step_by(2) {
            let mut sizes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
            sizes.sort_by(f32::total_cmp);
            let bound = sizes[(sizes.len() as f32 * share) as usize];
            values.iter_mut().filter(|value| value.abs() < bound).for_each(|value| *value = 0.0);
        }
    }

    /// The mean of several, by these shares.
    pub fn mean(of: &[(&Network, f32)]) -> Self {
        let mut mean = of[0].0.clone();
        for (at, values) in mean.values.iter_mut().enumerate() {
            for (place, value) in values.iter_mut().enumerate() {
                let sum = of.iter().map(|(network, share)| network.values[at][place] * share);
                *value = sum.sum();
            }
        }
        mean
    }

    /// All weights rounded to bf16.
    pub fn to_bf16(&self) -> Self {
        let mut other = self.clone();
        other.values.iter_mut().flatten().for_each(|value| *value = bf16(*value));
        other
    }

    /// The share of new examples whose class it finds.
    pub fn accuracy(&self, task: Task) -> f64 {
        let (mut random, count) = (Random(0x7e57), 500);
        let right = |_: &usize| {
            let (example, class) = task.example(&mut random);
            let all = self.activations(&example);
            let last = all[self.layers()].iter().enumerate();
            last.max_by(|a, b| a.1.total_cmp(b.1)).is_some_and(|(found, _)| found == class)
        };
        (0..count).filter(right).count() as f64 / f64::from(count as u32)
    }
}

/// What an optimizer remembers: of every tensor the first and the second moment.
struct Memory(Vec<(Vec<f32>, Vec<f32>)>);

impl Memory {
    fn of(network: &Network) -> Self {
        Self::new(network.values.iter().map(Vec::len))
    }

    fn new(lengths: impl Iterator<Item = usize>) -> Self {
        Memory(lengths.map(|len| (vec![0.0; len], vec![0.0; len])).collect())
    }

    fn step(
        &mut self,
        at: usize,
        values: &mut [f32],
        slopes: &[f32],
        optimizer: Optimizer,
        rate: f32,
        step: usize,
    ) {
        let (first, second) = &mut self.0[at];
        let (first_left, second_left) = (0.9f32, 0.99f32);
        let whole = |left: f32| 1.0 - left.powi(step as i32 + 1);
        let (first_whole, second_whole) = (whole(first_left), whole(second_left));
        let decay = if let Optimizer::AdamW(decay) = optimizer { rate * decay } else { 0.0 };
        let moments = first.iter_mut().zip(second);
        for ((value, slope), (first, second)) in values.iter_mut().zip(slopes).zip(moments) {
            match optimizer {
                Optimizer::Sgd => *value -= rate * slope,
                Optimizer::Momentum => {
                    *first = first_left * *first + slope;
                    *value -= rate * *first;
                }
                Optimizer::Adam | Optimizer::AdamW(_) => {
                    *first = first_left * *first + (1.0 - first_left) * slope;
                    *second = second_left * *second + (1.0 - second_left) * slope * slope;
                    let size = (*second / second_whole).sqrt() + 1e-8;
                    *value -= decay * *value + rate * (*first / first_whole) / size;
                }
            }
        }
    }
}
