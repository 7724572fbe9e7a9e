//! The tests of the engine.

use std::fmt::Write as _;
use std::str::FromStr;

use super::summaries::Summarised;
use super::{Better, Finding, Metric, Summary, TestError};

/// The most tensors that a finding names.
const NAMED_MAX: usize = 20;

/// The metric of how many tensors a test has not looked into.
const NOT_SEEN: &str = "not-seen";

/// The tests of the engine. The metric `not-seen` counts the tensors of a type that cannot be
/// computed with, such as those of GGUF in blocks; a model of nothing else fails. All of them need no
/// more than a summary of each tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Builtin {
    /// Fails when an element is NaN or infinite, and names the tensors. Metrics `nan` and
    /// `infinite`.
    Finite,
    /// Metric `norm-drift`: by what share the length of a tensor differs from the one of its name
    /// in a parent, the largest of all tensors. Never fails by itself.
    NormDrift,
    /// Metric `sparsity`: the share of elements that are zero. Never fails by itself.
    Sparsity,
    /// Metrics `mean`, `deviation`, `min` and `max` of all elements; against the parents,
    /// tensor by tensor, the largest `mean-shift` (in the parent's deviations) and
    /// `deviation-drift` (as a share of the parent's). Never fails by itself.
    Statistics,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Builtin; 4] =
        [Builtin::Finite, Builtin::NormDrift, Builtin::Sparsity, Builtin::Statistics];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Builtin::Finite => "finite",
            Builtin::NormDrift => "norm-drift",
            Builtin::Sparsity => "sparsity",
            Builtin::Statistics => "statistics",
        }
    }

    /// Whether it compares a model with its parents.
    pub fn needs_parents(self) -> bool {
        matches!(self, Builtin::NormDrift | Builtin::Statistics)
    }

    /// Judges a model by the summaries of its tensors and of its parents'.
    pub(super) fn judge(self, model: &Summarised<'_>, parents: &[Summarised<'_>]) -> Finding {
        let mut finding = match self {
            Builtin::Finite => finite(model),
            Builtin::Sparsity => sparsity(model),
            Builtin::NormDrift => norm_drift(model, parents),
            Builtin::Statistics => statistics(model, parents),
        };
        let unread = model.iter().filter(|(_, summary)| summary.is_none()).count();
        let unseen = model.why_unseen();
        let is_tested = unseen.is_none();
        if let Some(reason) = unseen {
            finding.metrics.clear();
            finding.failure = Some(format!("not tested: {reason}"));
        }
        if unread > 0 {
            let _ = writeln!(finding.output, "{unread} tensors of a type that is not looked into");
        }
        // A metric is shown, and may have a bound, also where the test has passed. It is no 0 where
        // weights have no tensors that could be counted.
        if unread > 0 || is_tested {
            finding.metrics.push(Metric::new(NOT_SEEN, unread as f64, Some(Better::Lower)));
        }
        finding
    }
}

impl FromStr for Builtin {
    type Err = TestError;

    fn from_str(text: &str) -> Result<Self, TestError> {
        let found = Builtin::ALL.into_iter().find(|builtin| builtin.name() == text);
        found.ok_or_else(|| TestError::bad(text, "no built-in test has this name"))
    }
}

fn finite(model: &Summarised<'_>) -> Finding {
    let (mut nan, mut infinite, mut tensors, mut output) = (0, 0, 0, String::new());
    for (name, summary) in model.iter() {
        let Some(summary) = summary.filter(|s| s.nan + s.infinite > 0) else { continue };
        nan += summary.nan;
        infinite += summary.infinite;
        tensors += 1;
        if tensors <= NAMED_MAX {
            let _ = writeln!(output, "{name}: {} NaN, {} infinite", summary.nan, summary.infinite);
        }
    }
    if tensors > NAMED_MAX {
        let _ = writeln!(output, "and {} tensors more", tensors - NAMED_MAX);
    }
    let failure = format!("{nan} NaN and {infinite} infinite elements in {tensors} tensors");
    let metric = |name, count: u64| Metric::new(name, count as f64, Some(Better::Lower));
    Finding {
        metrics: vec![metric("nan", nan), metric("infinite", infinite)],
        failure: (tensors > 0).then_some(failure),
        output,
        seconds: 0.0,
    }
}

fn summaries<'m>(model: &Summarised<'m>) -> impl Iterator<Item = Summary> + use<'m> {
    model.iter().filter_map(|(_, summary)| summary)
}

fn sparsity(model: &Summarised<'_>) -> Finding {
    let elements: u64 = summaries(model).map(|summary| summary.elements).sum();
    let zeros: u64 = summaries(model).map(|summary| summary.zeros).sum();
    let share = zeros as f64 / elements.max(1) as f64;
    Finding { metrics: vec![Metric::new("sparsity", share, None)], ..Finding::default() }
}

/// The largest value over every tensor that a parent has too, and whose it is.
fn worst<'m>(
    model: &Summarised<'m>,
    parents: &[Summarised<'_>],
    of: impl Fn(&Summary, &Summary) -> f64,
) -> (f64, Option<&'m str>) {
    let mut worst = (0.0, None);
    for parent in parents {
        for (name, summary) in model.iter() {
            let Some((mine, theirs)) = summary.zip(parent.named(name)) else { continue };
            let value = of(&mine, &theirs);
            // NaN is worse than every number.
            if worst.1.is_none() || value.is_nan() || value > worst.0 {
                worst = (value, Some(name));
            }
            if value.is_nan() {
                return worst;
            }
        }
    }
    worst
}

/// `a / b`; 0 where both are 0.
fn share(a: f64, b: f64) -> f64 {
    if a == 0.0 && b == 0.0 { 0.0 } else { a / b }
}

fn norm_drift(model: &Summarised<'_>, parents: &[Summarised<'_>]) -> Finding {
    let drift = |mine: &Summary, theirs: &Summary| {
        share((mine.norm() - theirs.norm()).abs(), theirs.norm())
    };
    let (drift, tensor) = worst(model, parents, drift);
    let output = match tensor {
        Some(tensor) => format!("the largest is that of {tensor}\n"),
        None => "no parent has a tensor of a name of this model's\n".to_owned(),
    };
    let metrics = vec![Metric::new("norm-drift", drift, Some(Better::Lower))];
    Finding { metrics, output, ..Finding::default() }
}

fn statistics(model: &Summarised<'_>, parents: &[Summarised<'_>]) -> Finding {
    let mut all = Summary { min: f64::MAX, max: f64::MIN, ..Summary::default() };
    for summary in summaries(model).filter(|summary| summary.finite() > 0) {
        all.elements += summary.finite();
        all.sum += summary.sum;
        all.squares += summary.squares;
        all.min = all.min.min(summary.min);
        all.max = all.max.max(summary.max);
    }
    if all.elements == 0 {
        (all.min, all.max) = (0.0, 0.0);
    }
    let metric = |name, value| Metric::new(name, value, None);
    let mut metrics = vec![
        metric("mean", all.mean()),
        metric("deviation", all.deviation()),
        metric("min", all.min),
        metric("max", all.max),
    ];
    if !parents.is_empty() {
        let shift = worst(model, parents, |mine, theirs| {
            share((mine.mean() - theirs.mean()).abs(), theirs.deviation())
        });
        let drift = worst(model, parents, |mine, theirs| {
            share((mine.deviation() - theirs.deviation()).abs(), theirs.deviation())
        });
        metrics.push(Metric::new("mean-shift", shift.0, Some(Better::Lower)));
        metrics.push(Metric::new("deviation-drift", drift.0, Some(Better::Lower)));
    }
    Finding { metrics, ..Finding::default() }
}
