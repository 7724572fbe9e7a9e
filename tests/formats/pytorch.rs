//! Promise: a file of PyTorch gives the tensors that torch reads from it, by name, type, shape and
//! value; nothing in it is run; whatever is wrong with it is refused or kept, without a panic and in
//! bounded memory.

use std::path::Path;

use super::layouts::{agree, door, expected, mangle, read};
use mgit::interchange::FileFormat;

fn files(
    ending: &[&str],
) -> Vec<(String, std::collections::BTreeMap<String, (String, Vec<u64>, String)>)> {
    let all = expected(&door("expected-torch.json")).into_iter();
    let all = all.filter(|(file, _)| ending.iter().any(|ending| file.starts_with(ending)));
    all.filter_map(|(file, tensors)| Some((file, tensors?))).collect()
}

#[test]
fn torch_and_this_read_the_same() {
    for (file, tensors) in files(&["torch"]) {
        let (layout, more) = agree(&door(&file), &tensors);
        println!(
            "{file}: {} tensors, {} views, {more:?} {:?}",
            layout.tensors.len(),
            layout.views.len(),
            layout.notes
        );
        assert_eq!(layout.format, FileFormat::PyTorch, "{file}");
    }
}

#[test]
fn damage_is_refused_or_kept() {
    for (file, _) in files(&["torch"]) {
        println!("{file}: {:?}", mangle(&door(&file)));
    }
}

/// The files beside the project, or `None` in a clone.
pub fn whole_door() -> Option<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/door");
    let folder = if folder.is_dir() { folder } else { Path::new("/work/shared/door").to_owned() };
    if !folder.is_dir() {
        println!("skipped: ../shared/door is absent");
        return None;
    }
    Some(folder)
}

#[test]
fn every_file_of_the_door() {
    let Some(folder) = whole_door() else { return };
    for (file, tensors) in expected(&folder.join("expected.json")) {
        let is_torch = [".pt", ".pth", ".ckpt", ".bin"].iter().any(|it| file.ends_with(it));
        if !is_torch || file == "legacy.bin" {
            continue;
        }
        let (layout, more) = agree(&folder.join(&file), &tensors.unwrap());
        println!(
            "{file}: {} tensors, {} views, {more:?} {:?}",
            layout.tensors.len(),
            layout.views.len(),
            layout.notes
        );
    }
}

#[test]
fn old() {
    let _ = read("x", b"");
}
