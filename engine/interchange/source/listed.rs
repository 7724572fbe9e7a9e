//! Files of a folder that is not here yet, but listed: which of them would be left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::left_out::LeftOut;
use super::options::SourceOptions;
use super::passed_over;
use super::walk::{is_called_weights, reason};

/// Of files, each a path with a length: the places of those that would be left out, and the
/// reasons, by path. It is what a walk through the folder leaves out for what it was asked for, and
/// by names.
pub(crate) fn left_out_of(
    files: &[(&str, u64)],
    options: &SourceOptions,
) -> (BTreeSet<usize>, Vec<LeftOut>) {
    let weights = files.iter().filter(|(path, _)| is_called_weights(Path::new(path)));
    let with_weights: BTreeSet<&str> =
        weights.filter_map(|(path, _)| Some(path.rsplit_once('/')?.0)).collect();
    let mut folders: BTreeMap<&str, Option<String>> = BTreeMap::new();
    let (mut places, mut left_out) = (BTreeSet::new(), Vec::new());
    for (at, (path, len)) in files.iter().enumerate() {
        let ends = path.match_indices('/').map(|(at, _)| at);
        let mut above = ends.filter_map(|end| path.get(..end));
        let is_below_left_out = above.any(|folder| {
            let reason = folders.entry(folder).or_insert_with(|| {
                let reason = of_folder(folder, options, with_weights.contains(folder));
                left_out.extend(
                    reason.clone().map(|reason| LeftOut { path: format!("{folder}/"), reason }),
                );
                reason
            });
            reason.is_some()
        });
        let own = if is_below_left_out { None } else { reason(options, path, false, *len) };
        if is_below_left_out || own.is_some() {
            places.insert(at);
        }
        left_out.extend(own.map(|reason| LeftOut { path: (*path).to_owned(), reason }));
    }
    left_out.sort();
    (places, left_out)
}

fn of_folder(path: &str, options: &SourceOptions, holds_weights: bool) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let checkpoint =
        || (passed_over::is_checkpoint(name) && holds_weights).then_some(passed_over::CHECKPOINT);
    let by_name = || passed_over::folder(name).or_else(checkpoint).map(str::to_owned);
    options.reason(path, true).or_else(by_name)
}
