//! The names that places suggest.

use std::path::Path;

use crate::interchange::source::shard_name::ShardName;
use crate::lineage::{ModelName, NAME_LEN_MAX};

/// The name of a model that a path suggests: its file's, without the ending, with `-` for what
/// names do not have. `model-` stands before what would be no name for a new model.
pub fn name_of_file(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    whole(&part(&stem(&name)))
}

/// The name of the model that a file is, with its ending, where `name` is that without it; `None`
/// where it is the same.
pub(super) fn with_ending(path: &Path, name: &str) -> Option<String> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(whole(&join(folder, &part(&file)))).filter(|other| other != name)
}

/// The name of a file of weights without its ending, and without the numbers of its shards.
pub(super) fn stem(name: &str) -> String {
    let name = match name.strip_suffix(".index.json") {
        Some(listed) if !listed.is_empty() => listed,
        _ => name,
    };
    if let Some(shard) = ShardName::of(name).filter(|shard| !shard.stem.is_empty()) {
        return shard.stem.to_owned();
    }
    let name = ["pth.tar", "pt.tar"].iter().find_map(|it| name.strip_suffix(it)).unwrap_or(name);
    let stem = Path::new(name.trim_end_matches('.')).file_stem();
    stem.map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What a file's or folder's name is as a part of a model's name; may be empty.
pub(super) fn part(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    name.trim_matches('.').trim_start_matches('-').to_owned()
}

/// Parts as one.
pub(super) fn join(prefix: &str, part: &str) -> String {
    match (prefix, part) {
        ("", part) => part.to_owned(),
        (prefix, "") => format!("{prefix}/model"),
        (prefix, part) => format!("{prefix}/{part}"),
    }
}

/// A legal name of these parts.
pub(super) fn whole(name: &str) -> String {
    let is_name = |name: &str| name.parse::<ModelName>().is_ok_and(|name| name.check_new().is_ok());
    if is_name(name) {
        return name.to_owned();
    }
    let first = format!("model-{name}");
    if is_name(&first) {
        return first;
    }
    // All of them are ASCII: what is too long keeps its end.
    let start = name.len().saturating_sub(NAME_LEN_MAX / 2);
    let end = name.get(start..).unwrap_or_default();
    format!("model-{}", part(&end.replace('/', "-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files() {
        for (path, name) in [
            ("a/b c@2.safetensors", "b-c-2"),
            ("auto.onnx", "model-auto"),
            ("llama-3.1.safetensors", "llama-3.1"),
            ("-rf.safetensors", "rf"),
            ("a/model-00001-of-00003.safetensors", "model"),
            ("a/model.safetensors.index.json", "model"),
            ("e.pth.tar", "e"),
        ] {
            assert_eq!(name_of_file(Path::new(path)), name);
        }
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(name_of_file(Path::new(id)), format!("model-{id}"));
        for odd in ["..", "", "a/.index.json", "\u{e9}.pt", ".pt"] {
            let name = name_of_file(Path::new(odd));
            assert!(name.parse::<ModelName>().is_ok(), "{odd}: {name}");
        }
        let long = whole(&"x".repeat(9000));
        assert!(long.parse::<ModelName>().is_ok_and(|name| name.check_new().is_ok()));
        let long = whole(&vec!["y".repeat(100); 20].join("/"));
        assert!(long.parse::<ModelName>().is_ok());
    }
}
