//! What the networks learn: three kinds of task, each in several variants.

use super::digits::{self, Random, SIDE};

/// A task: examples drawn from a seed, each with its class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Task {
    /// Pictures of digits.
    Digits(digits::Task),
    /// Points around centres, which the variant moves.
    Points { world: u64, variant: u64 },
    /// Bags of words, most of them rare: the columns of words that do not come stay as they were.
    Words { world: u64, variant: u64 },
}

const POINT_SIDES: usize = 48;
const POINT_CLASSES: usize = 8;
const VOCABULARY: usize = 160;
const TOPICS: usize = 6;

impl Task {
    /// A variant of the task of a family; the world of a family says which kind.
    pub fn of(world: u64, variant: u64) -> Self {
        const DIGITS: [digits::Task; 5] = [
            digits::Task::Plain,
            digits::Task::Mirrored,
            digits::Task::Inverted,
            digits::Task::UpsideDown,
            digits::Task::Noisy,
        ];
        match world % 3 {
            0 => Task::Digits(DIGITS[variant as usize % DIGITS.len()]),
            1 => Task::Points { world, variant },
            _ => Task::Words { world, variant },
        }
    }

    pub fn kind(self) -> &'static str {
        match self {
            Task::Digits(_) => "digits",
            Task::Points { .. } => "points",
            Task::Words { .. } => "words",
        }
    }

    pub fn inputs(self) -> usize {
        match self {
            Task::Digits(_) => SIDE * SIDE,
            Task::Points { .. } => POINT_SIDES,
            Task::Words { .. } => VOCABULARY,
        }
    }

    pub fn classes(self) -> usize {
        match self {
            Task::Digits(_) => 10,
            Task::Points { .. } => POINT_CLASSES,
            Task::Words { .. } => TOPICS,
        }
    }

    /// An example and its class.
    pub fn example(self, random: &mut Random) -> (Vec<f32>, usize) {
        match self {
            Task::Digits(task) => task.picture(random),
            Task::Points { world, variant } => {
                let class = random.below(POINT_CLASSES);
                // Two centres a class; the variant moves every other one.
                let centre = random.below(2) as u64;
                let moved = if centre == 1 { variant } else { 0 };
                let mut place = Random(world ^ (class as u64 * 2 + centre) << 20 ^ moved << 40);
                let values = (0..POINT_SIDES).map(|_| place.normal() + 1.4 * random.normal());
                (values.collect(), class)
            }
            Task::Words { world, variant } => {
                let topic = random.below(TOPICS);
                let mut words = vec![0.0; VOCABULARY];
                for _ in 0..8 {
                    // Low ranks come often; each topic, and each variant, has its own order.
                    let rank = (random.share().powi(3) * (VOCABULARY / 2) as f32) as u64;
                    let own = if rank.is_multiple_of(3) { 0 } else { topic as u64 + 1 };
                    let moved = if rank % 2 == 1 { variant } else { 0 };
                    let mut place = Random(world ^ rank << 8 ^ own << 24 ^ moved << 40);
                    words[place.below(VOCABULARY)] += 0.5;
                }
                (words, topic)
            }
        }
    }
}
