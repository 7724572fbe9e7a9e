//! What a test's metric must be.

use std::fmt;
use std::str::FromStr;

use super::TestError;

/// What a bound is measured against.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Against {
    Number(f64),
    /// The value that every parent has.
    Parent,
    /// The value that the version before has.
    Previous,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    None,
    Add(f64),
    Times(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    AtLeast,
    AtMost,
    Above,
    Below,
}

/// What a metric must be: `accuracy>=0.9`, `loss<=parent*1.02`, `accuracy>=previous-0.01`.
///
/// A metric, one of `>=`, `<=`, `>` and `<`, then a number, or `parent` or `previous` with as
/// wanted `+`, `-` or `*` and a number. A bound on `parent` holds against every parent; a model
/// without one (a root, a first version) meets it. NaN meets no bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    metric: String,
    is: Is,
    against: Against,
    change: Change,
}

impl FromStr for Bound {
    type Err = TestError;

    fn from_str(text: &str) -> Result<Self, TestError> {
        let wrong =
            || TestError::bad(text, "not a bound: write accuracy>=0.9 or loss<=parent*1.02");
        let at = text.find(['<', '>']).ok_or_else(wrong)?;
        let (metric, rest) = text.split_at(at);
        let signs = [(">=", Is::AtLeast), ("<=", Is::AtMost), (">", Is::Above), ("<", Is::Below)];
        let found = signs.iter().find_map(|(sign, is)| Some((rest.strip_prefix(sign)?, *is)));
        let (value, is) = found.ok_or_else(wrong)?;
        let (metric, value) = (metric.trim(), value.trim());
        let number = |text: &str| -> Result<f64, TestError> {
            let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(wrong)
        };
        let words = [("parent", Against::Parent), ("previous", Against::Previous)];
        let relative = words.iter().find_map(|(word, to)| Some((value.strip_prefix(word)?, *to)));
        let (against, change) = match relative {
            None => (Against::Number(number(value)?), Change::None),
            Some((rest, against)) => {
                let mut characters = rest.trim().chars();
                let change = match characters.next() {
                    None => Change::None,
                    Some('+') => Change::Add(number(characters.as_str())?),
                    Some('-') => Change::Add(-number(characters.as_str())?),
                    Some('*') => Change::Times(number(characters.as_str())?),
                    Some(_) => return Err(wrong()),
                };
                (against, change)
            }
        };
        match metric {
            "" => Err(wrong()),
            _ => Ok(Bound { metric: metric.to_owned(), is, against, change }),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.is {
            Is::AtLeast => ">=",
            Is::AtMost => "<=",
            Is::Above => ">",
            Is::Below => "<",
        };
        write!(f, "{}{sign}", self.metric)?;
        match self.against {
            Against::Number(number) => write!(f, "{number}")?,
            Against::Parent => f.write_str("parent")?,
            Against::Previous => f.write_str("previous")?,
        }
        match self.change {
            Change::None => Ok(()),
            Change::Add(number) if number < 0.0 => write!(f, "{number}"),
            Change::Add(number) => write!(f, "+{number}"),
            Change::Times(number) => write!(f, "*{number}"),
        }
    }
}

impl Bound {
    /// The metric that it bounds.
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// Whether the parents' values are needed to judge.
    pub fn needs_parents(&self) -> bool {
        self.against == Against::Parent
    }

    /// Whether the value of the version before is needed to judge.
    pub fn needs_previous(&self) -> bool {
        self.against == Against::Previous
    }

    /// Why a value does not meet it, if it does not. `before` are the values of those that it is
    /// measured against, by name; none where one could not be had.
    pub(super) fn broken_by(&self, value: f64, before: &[(String, Option<f64>)]) -> Vec<String> {
        let meets = |limit: f64| match self.is {
            Is::AtLeast => value >= limit,
            Is::AtMost => value <= limit,
            Is::Above => value > limit,
            Is::Below => value < limit,
        };
        if let Against::Number(limit) = self.against {
            let broken = !meets(limit);
            return broken.then(|| format!("{self} is broken: {value}")).into_iter().collect();
        }
        let judge = |(name, from): &(String, Option<f64>)| {
            let Some(from) = from else {
                return Some(format!("{self} cannot be judged: {name} has no {}", self.metric));
            };
            let limit = match self.change {
                Change::None => *from,
                Change::Add(number) => from + number,
                Change::Times(number) => from * number,
            };
            (!meets(limit)).then(|| format!("{self} is broken: {value}, of {name} {from}"))
        };
        before.iter().filter_map(judge).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bounds_are_read_and_written() {
        for text in ["a>=0.9", "a<=parent*1.02", "a>previous-0.01", "a-b<parent+2", "a>=parent"] {
            assert_eq!(text.parse::<Bound>().unwrap().to_string(), text);
        }
        assert_eq!(" a >= parent - 1 ".parse::<Bound>().unwrap().to_string(), "a>=parent-1");
        for text in ["", "a", ">=1", "a>=", "a>=x", "a>=NaN", "a>=parent/2", "a>=parent*", "a=1"] {
            assert!(text.parse::<Bound>().is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_judged() {
        let broken = |bound: &str, value: f64, before: &[Option<f64>]| {
            let before: Vec<_> = before.iter().map(|value| ("p".to_owned(), *value)).collect();
            bound.parse::<Bound>().unwrap().broken_by(value, &before).len()
        };
        assert_eq!(broken("a>=0.5", 0.5, &[]), 0);
        assert_eq!(broken("a>0.5", 0.5, &[]), 1);
        assert_eq!(broken("a>=0.5", f64::NAN, &[]), 1);
        assert_eq!(broken("a<0.5", f64::NAN, &[]), 1);
        assert_eq!(broken("a>=parent-0.02", 0.9, &[]), 0);
        assert_eq!(broken("a>=parent-0.02", 0.9, &[Some(0.91), Some(0.93)]), 1);
        assert_eq!(broken("a<=previous*1.1", 1.2, &[Some(1.0)]), 1);
        assert_eq!(broken("a<=previous*1.1", 1.05, &[Some(1.0)]), 0);
        assert_eq!(broken("a<=previous", 1.0, &[None]), 1);
        assert_eq!(broken("a<=previous", 1.0, &[Some(f64::NAN)]), 1);
    }
}
