//! Families of networks whose lineage is known, each from one seed.

use super::digits::Random;
use super::network::{Network, Optimizer, Training};
use super::task::Task;

/// How the weights of a member are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Written {
    F32,
    F16,
    Bf16,
    /// In steps of a 127th of the largest magnitude of a row.
    Int8,
}

/// A member of a family.
#[derive(Clone, Debug)]
pub struct Made {
    pub name: String,
    pub network: Network,
    pub written: Written,
    /// The places of those that it was made of; several of a mean.
    pub parents: Vec<usize>,
    /// How, in words.
    pub how: String,
    /// Whether it is not given away.
    pub withheld: bool,
}

/// Models whose lineage is known.
#[derive(Clone, Debug)]
pub struct Family {
    pub seed: u64,
    pub kind: &'static str,
    /// What the first of them learned.
    pub task: Task,
    pub members: Vec<Made>,
}

/// The kinds of families, in turn.
pub const KINDS: [&str; 12] = [
    "chain",
    "star",
    "siblings, their parent withheld",
    "tree",
    "casts",
    "prunes",
    "means",
    "low rank",
    "strangers",
    "bf16 throughout",
    "a pair",
    "two siblings, their parent withheld",
];

/// A family being made.
struct Maker {
    random: Random,
    world: u64,
    sizes: Vec<usize>,
    /// How much slower a tuning is than a training from the start.
    slower: f32,
    /// How many times fewer steps than usual are made.
    less: usize,
    /// The recipe of all tunings, of most families: the optimizer and the steps.
    recipe: Option<(Optimizer, usize)>,
    members: Vec<Made>,
}

impl Family {
    /// The family of a seed; its kind goes round.
    pub fn of(seed: u64) -> Self {
        Self::sized(seed, None, 1)
    }

    /// A family of smaller networks that have learned a `less`th as long.
    pub fn sized(seed: u64, layers: Option<[usize; 2]>, less: usize) -> Self {
        let kind = KINDS[(seed % KINDS.len() as u64) as usize];
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9).wrapping_add(77));
        let world = random.next() >> 8;
        let task = Task::of(world, 0);
        let usual = [[48, 32], [64, 32], [96, 48], [128, 64]][random.below(4)];
        let hidden = layers.unwrap_or(usual);
        let sizes = vec![task.inputs(), hidden[0], hidden[1], task.classes()];
        let slower = [1.0, 0.3, 0.1, 0.03, 0.01][random.below(5)];
        let members = Vec::new();
        let mut maker = Maker { random, world, sizes, slower, less, recipe: None, members };
        let drawn = maker.training(0, 1.0);
        maker.recipe = (maker.random.below(3) > 0).then_some((drawn.optimizer, drawn.steps));
        maker.make(kind);
        Family { seed, kind, task, members: maker.members }
    }
}

impl Maker {
    fn push(
        &mut self,
        network: Network,
        written: Written,
        parents: &[usize],
        how: String,
    ) -> usize {
        let at = self.members.len();
        let (name, parents) = (format!("m{at}"), parents.to_vec());
        self.members.push(Made { name, network, written, parents, how, withheld: false });
        at
    }

    fn root(&mut self) -> usize {
        let mut network = Network::new(&self.sizes, self.random.next());
        let training = Training {
            steps: (1500 + self.random.below(2500)) / self.less,
            ..self.training(0, 1.0)
        };
        network.train(&training);
        self.push(network, Written::F32, &[], format!("root: {}", told(&training)))
    }

    /// A training of this variant of the family's task, at a rate around the usual one.
    fn training(&mut self, variant: u64, slower: f32) -> Training {
        let optimizer = match self.random.below(5) {
            0 => Optimizer::Sgd,
            1 => Optimizer::Momentum,
            2 => Optimizer::Adam,
            3 => Optimizer::AdamW(0.01),
            _ => Optimizer::AdamW([0.05, 0.2][self.random.below(2)]),
        };
        let steps = [40, 100, 200, 400][self.random.below(4)] / self.less;
        let (task, seed) = (Task::of(self.world, variant), self.random.next());
        let wide = self.random.share() * 1.4 - 0.7;
        let rate = usual_rate(optimizer) * slower * wide.exp();
        Training { task, optimizer, rate, steps, seed, from_layer: 0, bf16: false }
    }

    /// A training that goes on from a model. Most families have one recipe for all, with rates that
    /// differ a little; else also a part of the layers is trained, or one much slower than others.
    fn tuning(&mut self, variant: u64) -> Training {
        let mut training = self.training(variant, self.slower);
        if let Some((optimizer, steps)) = self.recipe {
            let narrow = (self.random.share() - 0.5).exp();
            let rate = usual_rate(optimizer) * self.slower * narrow;
            return Training { optimizer, steps, rate, ..training };
        }
        if self.random.below(6) == 0 {
            training.rate *= 0.2;
        }
        if self.random.below(6) == 0 {
            training.from_layer = 1 + self.random.below(2);
        }
        training
    }

    fn tuned(&mut self, parent: usize, variant: u64) -> usize {
        let training = self.tuning(variant);
        self.tuned_by(parent, &training)
    }

    fn tuned_by(&mut self, parent: usize, training: &Training) -> usize {
        let mut network = self.members[parent].network.clone();
        network.train(training);
        let written = self.members[parent].written;
        self.push(network, written, &[parent], format!("tuned: {}", told(training)))
    }

    /// Of the same task as its parent, or of another.
    fn variant(&mut self) -> u64 {
        if self.random.below(4) == 0 { 0 } else { 1 + self.random.below(8) as u64 }
    }

    fn child(&mut self, parent: usize) -> usize {
        let variant = self.variant();
        self.tuned(parent, variant)
    }

    fn written(&mut self, parent: usize, written: Written) -> usize {
        let network = match written {
            Written::Bf16 => self.members[parent].network.to_bf16(),
            _ => self.members[parent].network.clone(),
        };
        self.push(network, written, &[parent], format!("written as {written:?}"))
    }

    fn pruned(&mut self, parent: usize) -> usize {
        let mut network = self.members[parent].network.clone();
        let share = [0.2, 0.5, 0.8][self.random.below(3)];
        network.prune(share);
        self.push(network, self.members[parent].written, &[parent], format!("pruned by {share}"))
    }

    fn mean(&mut self, of: &[usize]) -> usize {
        let first = [0.5, 0.5, 0.3][self.random.below(3)];
        let share = |at| if at == 0 { first } else { (1.0 - first) / (of.len() - 1) as f32 };
        let networks: Vec<(&Network, f32)> =
            of.iter().enumerate().map(|(at, of)| (&self.members[*of].network, share(at))).collect();
        let network = Network::mean(&networks);
        self.push(network, Written::F32, of, format!("mean, {first} of the first"))
    }

    fn low_rank(&mut self, parent: usize) -> usize {
        let variant = self.variant();
        let training = Training { from_layer: 0, ..self.training(variant, 1.0) };
        let mut network = self.members[parent].network.clone();
        let rank = 1 + self.random.below(3);
        network.train_low_rank(&training, rank);
        let how = format!("rank {rank}: {}", told(&training));
        self.push(network, Written::F32, &[parent], how)
    }

    fn make(&mut self, kind: &str) {
        match kind {
            "chain" => {
                let mut last = self.root();
                // A release goes on with the same task; a line of tunings with others.
                let same = self.random.below(2) == 0;
                for _ in 0..3 + self.random.below(2) {
                    last = if same { self.tuned(last, 0) } else { self.child(last) };
                }
            }
            "star" => {
                let root = self.root();
                for _ in 0..3 + self.random.below(3) {
                    self.child(root);
                }
            }
            "siblings, their parent withheld" => {
                let root = self.root();
                self.members[root].withheld = true;
                let mut last = root;
                for _ in 0..3 + self.random.below(3) {
                    last = self.child(root);
                }
                if self.random.below(3) == 0 {
                    self.child(last);
                }
            }
            "tree" => {
                let root = self.root();
                for _ in 0..2 {
                    let child = self.child(root);
                    for _ in 0..1 + self.random.below(2) {
                        self.child(child);
                    }
                }
            }
            "casts" => {
                let root = self.root();
                let child = self.child(root);
                for written in [Written::Bf16, Written::F16, Written::Int8] {
                    let of = [root, child][self.random.below(2)];
                    self.written(of, written);
                }
            }
            "prunes" => {
                let root = self.root();
                let child = self.child(root);
                self.pruned(root);
                let pruned = self.pruned(child);
                if self.random.below(2) == 0 {
                    self.child(pruned);
                }
            }
            "means" => {
                let root = self.root();
                let (a, b) = (self.child(root), self.child(root));
                self.mean(&[a, b]);
                if self.random.below(2) == 0 {
                    let c = self.child(root);
                    self.mean(&[a, b, c]);
                }
            }
            "low rank" => {
                let root = self.root();
                self.low_rank(root);
                self.low_rank(root);
                self.child(root);
            }
            "strangers" => {
                for _ in 0..3 {
                    self.root();
                }
                self.child(0);
            }
            "bf16 throughout" => {
                let start = self.root();
                let root = self.written(start, Written::Bf16);
                self.members[start].withheld = true;
                let mut last = root;
                for _ in 0..2 + self.random.below(3) {
                    let parent = if self.random.below(3) == 0 { last } else { root };
                    let variant = self.variant();
                    let mut training = self.tuning(variant);
                    // Half keep masters in single precision and round in the end.
                    training.bf16 = self.random.below(2) == 0;
                    last = self.tuned_by(parent, &training);
                    let network = &mut self.members[last].network;
                    *network = network.to_bf16();
                }
                if self.random.below(3) == 0 {
                    self.members[root].withheld = true;
                }
            }
            "a pair" => {
                let root = self.root();
                self.child(root);
            }
            _ => {
                let root = self.root();
                self.members[root].withheld = true;
                self.child(root);
                self.child(root);
            }
        }
    }
}

fn usual_rate(optimizer: Optimizer) -> f32 {
    match optimizer {
        Optimizer::Sgd => 0.1,
        Optimizer::Momentum => 0.02,
        Optimizer::Adam | Optimizer::AdamW(_) => 0.003,
    }
}

fn told(training: &Training) -> String {
    let Training { task, optimizer, rate, steps, from_layer, bf16, .. } = training;
    let task = match task {
        Task::Digits(task) => format!("{task:?} digits"),
        Task::Points { variant, .. } => format!("points {variant}"),
        Task::Words { variant, .. } => format!("words {variant}"),
    };
    let part = if *from_layer > 0 { format!(", from layer {from_layer}") } else { String::new() };
    let bits = if *bf16 { ", bf16" } else { "" };
    format!("{task}, {optimizer:?} {rate:.5}, {steps} steps{part}{bits}")
}
