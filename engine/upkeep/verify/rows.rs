//! Rows that no other row mirrors: features, sketches, tests, results, and what is known of other
//! places. What a program must do without is checked for its form alone.

use std::ops::ControlFlow;

use serde_json::{Map, Value};

use super::{Check, Subject};
use crate::catalog::{ReadTables, Table, meta};
use crate::format::{
    FEATURE_ARRIVALS, FEATURE_EDGE_METADATA, FEATURE_FOLDS, FEATURE_LOSSY, FEATURE_PINNED,
    FEATURE_PROMISED, FEATURE_TAGS, FEATURE_TESTS,
};
use crate::lineage::{LOSSY_KEY, ModelName, PINNED_KEY};
use crate::planning::{Sketch, Sketcher};
use crate::store::features_of;
use crate::tensor::{ContentId, Dtype};

/// Tables that a writer must know as soon as they have a row.
const FLAGGED: [(Table, u64); 5] = [
    (Table::Tags, FEATURE_TAGS),
    (Table::TagsOf, FEATURE_TAGS),
    (Table::EdgeMetadata, FEATURE_EDGE_METADATA),
    (Table::Tests, FEATURE_TESTS),
    (Table::Arrivals, FEATURE_ARRIVALS),
];
/// Tables whose rows say all they say in their keys.
const KEYS_ONLY: [Table; 4] = [Table::Children, Table::TagsOf, Table::Bands, Table::Arrivals];
/// Bytes of a tensor's summary in `test-results`.
const SUMMARY_LEN: usize = 64;

impl Check<'_> {
    pub(super) fn check_rows(&self) {
        self.check_features();
        for table in KEYS_ONLY {
            self.check_form(table, |_, value| value.is_empty());
        }
        self.check_form(Table::Sketches, |key, value| {
            key.len() == 33 && key.last() == value.get(1) && Sketch::decode(value).is_ok()
        });
        self.check_form(Table::Bands, |key, _| key.len() == 24);
        self.check_form(Table::Tests, |key, value| {
            let name = std::str::from_utf8(key).map(str::parse::<ModelName>);
            name.is_ok_and(|name| name.is_ok()) && object(value).is_some()
        });
        self.check_form(Table::TestResults, |key, value| {
            key.len() == 64 && (value.len() == SUMMARY_LEN || object(value).is_some())
        });
        self.check_form(Table::Remotes, |key, value| {
            let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
            let url = object(value).and_then(|row| row.get("url").map(Value::is_string));
            (1..=64).contains(&key.len()) && key.iter().all(legal) && url == Some(true)
        });
        self.check_form(Table::Agreed, |key, value| key.len() == 32 && value.len() == 16);
        // Whoever asks for the pack relies on its index instead of reading it again.
        self.check_form(Table::Packs, |key, value| ContentId::of(value).as_bytes() == key);
    }

    fn check_form(&self, table: Table, is_right: impl Fn(&[u8], &[u8]) -> bool) {
        self.each_row(table, &mut |key, value| {
            if !is_right(key, value) {
                let key: String = key.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
                let message = format!("row {key} of {} is not what it must be", table.name());
                self.note(Subject::Store, message);
            }
        });
    }

    /// What is used is flagged: without its flag an older program would misread it, or break it.
    fn check_features(&self) {
        let records =
            self.tensors.iter().map(|(_, row)| row).chain(self.manifests.values().cloned());
        let features = records.chain(self.changes.values().cloned()).map(|row| {
            let formula = Some(row.formula).filter(|code| *code > 0);
            features_of(row.encodings, formula)
        });
        let mut reader = features.fold(0, |all, one| all | one);
        if !self.promised.is_empty() {
            reader |= FEATURE_PROMISED;
        }
        let mut writer = 0;
        for (table, feature) in FLAGGED {
            self.each_row(table, &mut |_, _| writer |= feature);
        }
        self.each_row(Table::Metadata, &mut |key, _| match key.get(16..) {
            Some(name) if name == LOSSY_KEY.as_bytes() => writer |= FEATURE_LOSSY,
            Some(name) if name == PINNED_KEY.as_bytes() => writer |= FEATURE_PINNED,
            _ => {}
        });
        if let Ok(Some(_)) = self.snapshot.tables().get(Table::Meta, meta::FOLDS.as_bytes()) {
            writer |= FEATURE_FOLDS;
        }
        let flagged = self.container.superblock();
        for (word, missing) in
            [("reader", reader & !flagged.reader_flags), ("writer", writer & !flagged.writer_flags)]
        {
            for bit in (0..u64::BITS).filter(|bit| missing >> bit & 1 == 1) {
                let message =
                    format!("feature bit {bit} of the {word}'s word is not set, but used");
                self.note(Subject::Store, message);
            }
        }
    }

    /// The sketches that are kept of a content, each with what makes it anew. Of eight-bit floats
    /// older programs took what is no number for one, and of few elements this one makes none.
    pub(super) fn sketched(&self, id: ContentId, len: u64) -> Vec<(Sketch, Sketcher)> {
        let mut sketched = Vec::new();
        // A table that cannot be read is found elsewhere.
        let _ = self.snapshot.tables().scan(Table::Sketches, id.as_bytes(), &mut |key, value| {
            let dtype = key.last().and_then(|code| Dtype::from_code(*code));
            if let (Some(dtype), Ok(Some(kept))) = (dtype, Sketch::decode(value)) {
                let made = Sketcher::new(&dtype, len);
                if made.makes_one() && !dtype.to_string().starts_with("F8") {
                    sketched.push((kept, made));
                }
            }
            Ok(ControlFlow::Continue(()))
        });
        sketched
    }

    pub(super) fn check_sketch(&self, id: ContentId, kept: &Sketch, made: &Sketch) {
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        let samples = || kept.numbers().zip(made.numbers());
        if kept.elements() != made.elements() || !samples().all(same) {
            self.note(Subject::Tensor(id), format!("its sketch as {} is another's", made.dtype()));
        }
    }
}

fn object(value: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice(value).ok()
}
