//! The names that tensors have in the model.

use std::collections::HashSet;

use super::file::{FileRole, SourceFile};
use crate::interchange::limits::{METADATA_KEY, NAME_LEN_MAX};

/// The names of tensors that files have so far. There can be millions: their hashes are kept.
#[derive(Default)]
pub(super) struct Names(HashSet<[u8; 16]>);

impl Names {
    /// Takes the names of a file, unless one of them is taken, or none that a tensor can have in a
    /// model: then it takes none of them.
    pub(super) fn take(&mut self, file: &SourceFile) -> bool {
        let hash = |name: &str| -> [u8; 16] {
            blake3::hash(name.as_bytes()).as_bytes().first_chunk().copied().unwrap_or_default()
        };
        let is_free = |name: &str| name != METADATA_KEY && !self.0.contains(&hash(name));
        if !names_of(file).all(is_free) {
            return false;
        }
        self.0.extend(names_of(file).map(hash));
        true
    }
}

/// Whether all names of a file's tensors are names that a tensor can have in a model.
pub(super) fn are_names(file: &SourceFile) -> bool {
    names_of(file).all(|name| name != METADATA_KEY)
}

fn names_of(file: &SourceFile) -> impl Iterator<Item = &str> {
    let tensors = file.tensors.iter().map(|tensor| tensor.name.as_str());
    tensors.chain(file.views.iter().map(|view| view.name.as_str()))
}

/// Gives the tensors of files that are aside their names in the model: the file's path stands
/// before them. What would be too long stays bytes, with a note.
/// `all`: those of weights too.
pub(super) fn name_aside(files: &mut [SourceFile], all: bool) {
    let is_own = |file: &SourceFile| file.role == FileRole::Weights && !all;
    // Only names of which it is not sure where the path ends can be those of others.
    let mut taken: HashSet<String> = HashSet::new();
    for file in files.iter().filter(|file| is_own(file)) {
        taken.extend(names_of(file).filter(|name| name.contains(':')).map(str::to_owned));
    }
    for file in files.iter_mut().filter(|file| !is_own(file)) {
        let SourceFile { path, tensors, views, notes, .. } = file;
        let room = NAME_LEN_MAX.saturating_sub(path.len() + 8);
        let (mut place, count) = (0, tensors.len());
        let mut places = Vec::with_capacity(if views.is_empty() { 0 } else { tensors.len() });
        let is_viewed = !views.is_empty();
        tensors.retain(|tensor| {
            let stays = tensor.name.len() <= room;
            if is_viewed {
                places.push(stays.then_some(place));
            }
            place += usize::from(stays);
            stays
        });
        if place < count {
            notes.push(format!(
                "{} tensors are kept, not seen: their names are too long",
                count - place
            ));
        }
        views.retain_mut(|view| {
            let place = places.get(view.tensor).copied().flatten();
            view.tensor = place.unwrap_or_default();
            place.is_some() && view.name.len() <= room
        });
        let names = tensors.iter_mut().map(|tensor| &mut tensor.name);
        for name in names.chain(views.iter_mut().map(|view| &mut view.name)) {
            *name = unique(format!("{path}:{name}"), &mut taken);
        }
    }
}

fn unique(name: String, taken: &mut HashSet<String>) -> String {
    if name.matches(':').nth(1).is_none() && !taken.contains(&name) {
        return name;
    }
    let mut free = name.clone();
    let mut count = 1u64;
    while !taken.insert(free.clone()) {
        count += 1;
        free = format!("{name}#{count}");
    }
    free
}
