//! What is never a part of a model, by its name.

/// Folders: their names, and what they are.
const FOLDERS: [(&str, &str); 13] = [
    (".git", "of version control"),
    (".hg", "of version control"),
    (".svn", "of version control"),
    (".bzr", "of version control"),
    (".cache", "a cache"),
    (".huggingface", "a cache"),
    (".locks", "a cache"),
    ("__pycache__", "a cache"),
    (".pytest_cache", "a cache"),
    (".mypy_cache", "a cache"),
    (".ruff_cache", "a cache"),
    (".ipynb_checkpoints", "a cache"),
    ("__MACOSX", "of a file manager"),
];

/// Files of file managers.
const FILES: [&str; 3] = [".DS_Store", "Thumbs.db", "desktop.ini"];

/// How the names of files end that are not complete.
const TEMPORARY: [&str; 9] =
    [".tmp", ".temp", ".part", ".partial", ".incomplete", ".crdownload", ".aria2", ".swp", "~"];

/// Why a folder of this name is not taken.
pub(super) fn folder(name: &str) -> Option<&'static str> {
    let known = FOLDERS.iter().find(|(known, _)| *known == name).map(|(_, what)| *what);
    known.or_else(|| ours(name))
}

/// Why a file of this name and length is not taken.
pub(super) fn file(name: &str, len: u64) -> Option<&'static str> {
    if FILES.contains(&name) || name.starts_with("._") {
        return Some("of a file manager");
    }
    // A work tree or a submodule has a file of this name.
    if name == ".git" {
        return Some("of version control");
    }
    if TEMPORARY.iter().any(|ending| name.ends_with(ending)) {
        return Some("a temporary file");
    }
    // Lists of packages are called so too, and have something in them.
    if len == 0 && name.ends_with(".lock") {
        return Some("a lock file");
    }
    ours(name)
}

/// Temporary files and folders of this program.
fn ours(name: &str) -> Option<&'static str> {
    name.starts_with(".mgit-").then_some("a temporary file")
}

/// Why a folder that is called so, and holds weights, is not taken.
pub(super) const CHECKPOINT: &str = "a model of its own";

/// Whether a folder is called as one of the models of a run: `checkpoint-500`.
pub(super) fn is_checkpoint(name: &str) -> bool {
    let step = name.strip_prefix("checkpoint").and_then(|rest| rest.strip_prefix(['-', '_']));
    step.is_some_and(|step| !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()))
}
