//! Models as they lie in files: which files are taken, what each is to the model, and what is
//! refused.

mod door;
mod facts;
mod found;
mod refused;
mod taken;

use std::fs;
use std::path::Path;

use mgit::interchange::{FileRole, ModelSource};

/// A safetensors file with a tensor of four bytes for each name.
pub fn safetensors(names: &[&str]) -> Vec<u8> {
    let entry = |(at, name): (usize, &&str)| {
        let (begin, end) = (4 * at, 4 * at + 4);
        format!(r#""{name}":{{"dtype":"F32","shape":[1],"data_offsets":[{begin},{end}]}}"#)
    };
    let entries: Vec<String> = names.iter().enumerate().map(entry).collect();
    let header = format!("{{{}}}", entries.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..4 * names.len()).map(|at| at as u8));
    bytes
}

/// An index of which tensor is in which shard.
pub fn index(listed: &[(&str, &str)]) -> String {
    let listed = listed.iter().map(|(tensor, shard)| format!(r#""{tensor}":"{shard}""#));
    format!(r#"{{"weight_map":{{{}}}}}"#, listed.collect::<Vec<_>>().join(","))
}

/// Writes a file, and the folders that it lies in.
pub fn put(folder: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Of each file of a model: its path, whether it is weights, and its tensors.
pub fn files(source: &ModelSource) -> Vec<(String, bool, Vec<String>)> {
    let file = |file: &mgit::interchange::SourceFile| {
        let tensors = file.tensors().iter().map(|tensor| tensor.name.clone());
        (file.path().to_owned(), file.role() == FileRole::Weights, tensors.collect())
    };
    source.files().iter().map(file).collect()
}

/// The paths of the weights, and those of the other files.
pub fn paths(source: &ModelSource) -> (Vec<&str>, Vec<&str>) {
    let of = |role: FileRole| {
        let files = source.files().iter().filter(move |file| file.role() == role);
        files.map(|file| file.path()).collect()
    };
    (of(FileRole::Weights), of(FileRole::Aside))
}

/// What is left out of a folder, with the reasons.
pub fn left_out(source: &ModelSource) -> Vec<(&str, &str)> {
    source.left_out().iter().map(|left| (left.path.as_str(), left.reason.as_str())).collect()
}

/// Every file under a folder, by its path.
pub fn tree(folder: &Path, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            files.extend(tree(&entry.path(), &format!("{path}/")));
        } else {
            files.push((path, fs::read(entry.path()).unwrap()));
        }
    }
    files.sort();
    files
}
