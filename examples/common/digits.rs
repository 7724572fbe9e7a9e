//! Pictures of digits, drawn from seeds.

#![allow(dead_code, reason = "no example uses everything")]

/// Pictures are so many dots wide and high.
pub const SIDE: usize = 12;
/// Rows of five dots of every digit, the highest bit left.
const FONT: [[u8; 7]; 10] = [
    [14, 17, 19, 21, 25, 17, 14],
    [4, 12, 4, 4, 4, 4, 14],
    [14, 17, 1, 2, 4, 8, 31],
    [31, 2, 4, 2, 1, 17, 14],
    [2, 6, 10, 18, 31, 2, 2],
    [31, 16, 30, 1, 1, 17, 14],
    [6, 8, 16, 30, 17, 17, 14],
    [31, 1, 2, 4, 8, 8, 8],
    [14, 17, 17, 14, 17, 17, 14],
    [14, 17, 17, 15, 1, 2, 12],
];

/// splitmix64: the same numbers everywhere.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// From 0 to 1.
    pub fn share(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Near enough to normal: a sum of four.
    pub fn normal(&mut self) -> f32 {
        ((0..4).map(|_| self.share()).sum::<f32>() - 2.0) * 1.732
    }
}

/// Which pictures of digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Task {
    Plain,
    Mirrored,
    Inverted,
    UpsideDown,
    Noisy,
}

impl Task {
    /// The task that a model of this name is for.
    pub fn of(name: &str) -> Self {
        match name.split(['-', '@']).next() {
            Some("mirrored") => Task::Mirrored,
            Some("inverted") => Task::Inverted,
            Some("upside") => Task::UpsideDown,
            Some("noisy") => Task::Noisy,
            _ => Task::Plain,
        }
    }

    /// A picture and its digit.
    pub fn picture(self, random: &mut Random) -> (Vec<f32>, usize) {
        let digit = random.below(10);
        let (right, down) = (random.below(SIDE - 4), random.below(SIDE - 6));
        let ink = 0.5 + 0.5 * random.share();
        let noise = if self == Task::Noisy { 0.7 } else { 0.3 };
        let mut dots = vec![0.0; SIDE * SIDE];
        for (row, bits) in FONT[digit].iter().enumerate() {
            for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                if random.below(14) > 0 {
                    dots[(row + down) * SIDE + column + right] = ink;
                }
            }
        }
        for dot in &mut dots {
            *dot += (random.share() - 0.5) * noise;
        }
        match self {
            Task::Mirrored => dots.chunks_mut(SIDE).for_each(<[f32]>::reverse),
            Task::UpsideDown => dots.reverse(),
            Task::Inverted => dots.iter_mut().for_each(|dot| *dot = -*dot),
            Task::Plain | Task::Noisy => {}
        }
        (dots, digit)
    }
}
