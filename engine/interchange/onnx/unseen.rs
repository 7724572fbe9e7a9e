//! What an ONNX file holds that is no tensor here, told in one note for each reason.

use std::collections::BTreeMap;

use crate::interchange::error::shown;

/// Names that a note repeats.
const SHOWN_MAX: usize = 3;

/// The tensors that stay in the skeleton, by reason.
#[derive(Debug, Default)]
pub(super) struct Unseen(BTreeMap<&'static str, (u64, Vec<String>)>);

impl Unseen {
    pub(super) fn add(&mut self, reason: &'static str, name: String) {
        let (count, names) = self.0.entry(reason).or_default();
        *count += 1;
        if names.len() < SHOWN_MAX {
            names.push(name);
        }
    }

    pub(super) fn notes(self) -> Vec<String> {
        let note = |(reason, (count, names)): (&str, (u64, Vec<String>))| {
            let names: Vec<String> =
                names.iter().map(|name| format!("{:?}", shown(name))).collect();
            let more = if count > SHOWN_MAX as u64 { ", ..." } else { "" };
            let s = if count == 1 { "" } else { "s" };
            format!(
                "{count} tensor{s} kept, not seen, because {reason}: {}{more}",
                names.join(", ")
            )
        };
        self.0.into_iter().map(note).collect()
    }
}
