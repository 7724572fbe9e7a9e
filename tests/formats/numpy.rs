//! Promise: a file of NumPy gives the arrays that NumPy reads from it, by name, type, shape and value;
//! whatever is wrong with it is refused or kept.

use super::layouts::{agree, door, expected, mangle};

#[test]
fn numpy_and_this_read_the_same() {
    for (file, tensors) in expected(&door("expected-torch.json")) {
        if !file.starts_with("numpy") {
            continue;
        }
        let (layout, more) = agree(&door(&file), &tensors.unwrap());
        println!(
            "{file}: {} tensors, {} views, {more:?} {:?}",
            layout.tensors.len(),
            layout.views.len(),
            layout.notes
        );
        println!("{file}: {:?}", mangle(&door(&file)));
    }
}

#[test]
fn every_array_of_the_door() {
    let Some(folder) = super::pytorch::whole_door() else { return };
    for (file, tensors) in expected(&folder.join("expected.json")) {
        let is_it = file.ends_with(".npy") || file.ends_with(".npz");
        if !is_it || file.starts_with("compressed") {
            continue;
        }
        let tensors: std::collections::BTreeMap<_, _> = tensors
            .unwrap()
            .into_iter()
            .map(|(name, it)| (if name.is_empty() { "array".to_owned() } else { name }, it))
            .collect();
        let (layout, more) = agree(&folder.join(&file), &tensors);
        println!(
            "{file}: {} tensors, {} views, {more:?} {:?}",
            layout.tensors.len(),
            layout.views.len(),
            layout.notes
        );
    }
}
