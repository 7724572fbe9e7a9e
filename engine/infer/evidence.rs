//! Which of two relatives came first.

use super::belief::{PairSigns, weight_of};
use super::compare::{Comparison, TensorPair};
use super::declared::names_as_base;
use super::member::Member;
use crate::lineage::How;

/// One reason to think that the first of two models is the parent of the second.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct Reason {
    /// What was found, for people.
    pub text: String,
    /// The natural logarithm of the odds that it gives; negative when it speaks for the second.
    pub weight: f64,
}

/// Everything that was found about the direction between two models.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Evidence {
    /// The reasons.
    pub reasons: Vec<Reason>,
    /// How the later was made of the earlier, as far as that can be seen.
    pub how: How,
    /// The same as numbers.
    pub(super) signs: PairSigns,
}

/// A metadata entry names the other model.
const NAMED: f64 = 5.0;
/// All is equal but for tensors that only one has.
const ADDED: f64 = 3.0;
/// A date in the metadata is later.
const DATED: f64 = 2.0;

/// Metadata keys that give a date.
const DATE_KEYS: [&str; 5] =
    ["date", "created", "created_at", "modelspec.date", "ss_training_finished_at"];

impl Evidence {
    /// What `comparison`, of `a` with `b`, says for `a` as the parent of `b`.
    pub fn between(a: &Member<'_>, b: &Member<'_>, comparison: &Comparison) -> Self {
        let mut evidence = Evidence::default();
        evidence.of_functions(comparison);
        evidence.of_additions(comparison);
        if evidence.signs == PairSigns::default() {
            evidence.of_decay(comparison);
        }
        evidence.of_metadata(a, b);
        evidence.how = how(comparison, evidence.sum() >= 0.0);
        evidence
    }

    /// The logarithm of the odds that all reasons give together.
    pub fn sum(&self) -> f64 {
        self.reasons.iter().map(|reason| reason.weight).sum()
    }

    /// Adds what is set, not learnt.
    fn add(&mut self, text: impl Into<String>, weight: f64) {
        if weight != 0.0 {
            self.signs.given += weight;
            self.reasons.push(Reason { text: text.into(), weight });
        }
    }

    /// The same of what siblings do not have.
    fn add_bound(&mut self, text: impl Into<String>, weight: f64) {
        self.signs.bound += weight.abs();
        self.add(text, weight);
    }

    /// Adds that one of them came later.
    pub(super) fn add_arrival(&mut self, weight: f64) {
        self.add("which of them came later", weight);
    }

    /// Adds a sign, which weighs what was learnt.
    fn add_sign(&mut self, text: impl Into<String>, sign: PairSigns) {
        let weight = weight_of(sign);
        if weight != 0.0 {
            self.reasons.push(Reason { text: text.into(), weight });
        }
        self.signs.function += sign.function;
        self.signs.decay += sign.decay;
    }

    /// That the second is a mean of the first and of others, whose names are these.
    pub(super) fn add_mean(&mut self, others: &str) {
        let sign = PairSigns { function: 1.0, ..PairSigns::default() };
        self.add_sign(format!("it is a mean of the other and {others}"), sign);
    }

    fn of_functions(&mut self, comparison: &Comparison) {
        let kinds: [(&str, FunctionOf); 3] = [
            ("a cast of the other", |pair| pair.cast),
            ("the other in steps of a 127th of the largest", |pair| pair.quantised),
            ("the other with zeros put in", |pair| pair.pruned),
        ];
        for (what, function) in kinds {
            let holds = |place: fn((bool, bool)) -> bool| {
                let changed = || comparison.tensors.iter().filter(|pair| !pair.identical);
                let held: f64 =
                    changed().filter(|pair| place(function(pair))).map(|pair| pair.elements).sum();
                let all: f64 = changed().map(|pair| pair.elements).sum();
                held > 0.0 && held >= 0.9 * all
            };
            let (forward, backward) = (holds(|pair| pair.0), holds(|pair| pair.1));
            if forward != backward && self.signs.function == 0.0 {
                let function = if forward { 1.0 } else { -1.0 };
                self.add_sign(
                    format!("it is {what}"),
                    PairSigns { function, ..PairSigns::default() },
                );
            }
        }
    }

    fn of_additions(&mut self, comparison: &Comparison) {
        if !comparison.is_equal() {
            return;
        }
        match comparison.alone {
            (0, 0) => self.add("both have the same content", 0.0),
            (0, _) => self.add_bound("it is the other with tensors added", ADDED),
            (_, 0) => self.add_bound("it is the other with tensors added", -ADDED),
            _ => {}
        }
    }

    /// What a training does not move but for its decay shrinks by one and the same factor.
    fn of_decay(&mut self, comparison: &Comparison) {
        if let Some(log) = comparison.decay() {
            let decay = if log < 0.0 { 1.0 } else { -1.0 };
            let text = "weight decay: weights are smaller by one and the same factor";
            self.add_sign(text, PairSigns { decay, ..PairSigns::default() });
        }
    }

    fn of_metadata(&mut self, a: &Member<'_>, b: &Member<'_>) {
        match (names_as_base(b, a), names_as_base(a, b)) {
            (true, false) => self.add_bound("it names the other as its base", NAMED),
            (false, true) => self.add_bound("it names the other as its base", -NAMED),
            _ => {}
        }
        let date = |member: &Member<'_>| {
            let dates = DATE_KEYS.iter().filter_map(|key| member.metadata().get(*key));
            // ISO dates sort as text.
            dates
                .into_iter()
                .find(|date| date.as_bytes().first_chunk().is_some_and(is_year))
                .cloned()
        };
        if let Some((first, second)) = date(a).zip(date(b)) {
            let weight = match first.cmp(&second) {
                std::cmp::Ordering::Less => DATED,
                std::cmp::Ordering::Equal => 0.0,
                std::cmp::Ordering::Greater => -DATED,
            };
            self.add(format!("dates in the metadata: {first} and {second}"), weight);
        }
    }
}

type FunctionOf = fn(&TensorPair) -> (bool, bool);

fn is_year(digits: &[u8; 4]) -> bool {
    digits.iter().all(u8::is_ascii_digit)
}

/// How the later was made of the earlier; `forward` when the second is the later.
fn how(comparison: &Comparison, forward: bool) -> How {
    let side = |(first, second): (bool, bool)| if forward { first } else { second };
    let changed: Vec<&TensorPair> =
        comparison.tensors.iter().filter(|pair| !pair.identical).collect();
    let all: f64 = changed.iter().map(|pair| pair.elements).sum();
    let mostly = |test: &dyn Fn(&TensorPair) -> bool| {
        let held: f64 = changed.iter().filter(|pair| test(pair)).map(|pair| pair.elements).sum();
        held > 0.0 && held >= 0.9 * all
    };
    if mostly(&|pair| side(pair.cast)) {
        How::Cast
    } else if mostly(&|pair| side(pair.quantised)) {
        How::Quantise
    } else if mostly(&|pair| side(pair.pruned)) {
        How::Prune
    } else if mostly(&|pair| pair.low_rank.is_some()) {
        How::LoraMerge
    } else if comparison.is_equal() && comparison.alone == (0, 0) {
        How::Other
    } else {
        How::FineTune
    }
}
