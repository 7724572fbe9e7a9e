//! What the readers of header and index share on top of the streaming JSON parser.
//!
//! Invariants: a refusal with a structure of its own comes through the parser unchanged; a
//! value that is skipped is still checked as the reference implementation checks it.

use std::cell::RefCell;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::InterchangeError;
use super::error::shown;

/// Carries one structured refusal past the parser, whose own errors are text only.
#[derive(Default)]
pub(super) struct Refusal(RefCell<Option<InterchangeError>>);

impl Refusal {
    /// Keeps `error`, the first one only, and gives the parser an error that stops it.
    pub(super) fn stop<E: de::Error>(&self, error: InterchangeError) -> E {
        self.0.borrow_mut().get_or_insert(error);
        E::custom("refused")
    }

    pub(super) fn into_inner(self) -> Option<InterchangeError> {
        self.0.into_inner()
    }
}

/// Where in `text` the parser stopped, in bytes, and why, without the line and column.
pub(super) fn explain(text: &str, error: &serde_json::Error) -> (u64, String) {
    let before = error.line().saturating_sub(1);
    let line_start: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
    let offset = line_start + error.column().saturating_sub(1);
    let message = error.to_string();
    let detail = message.rfind(" at line ").and_then(|at| message.get(..at)).unwrap_or(&message);
    (offset as u64, shown(detail).to_string())
}

/// Whether `error` is about the kind of a value, not about JSON itself.
pub(super) fn is_wrong_type(error: &serde_json::Error) -> bool {
    error.classify() == serde_json::error::Category::Data
}

/// Any value at all, read and dropped.
///
/// Not [`de::IgnoredAny`]: that one lets numbers out of range, broken escapes and any depth
/// pass, which the reference implementation refuses.
pub(super) struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Skipped)
    }
}

impl<'de> Visitor<'de> for Skipped {
    type Value = Skipped;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_str<E>(self, _: &str) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_unit<E>(self) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Skipped, A::Error> {
        while seq.next_element::<Skipped>()?.is_some() {}
        Ok(Skipped)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Skipped, A::Error> {
        while map.next_entry::<Skipped, Skipped>()?.is_some() {}
        Ok(Skipped)
    }
}
