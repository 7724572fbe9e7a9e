//! The models that the demo works on, and the folder it works in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::failure::Failure;

/// Which models there are: it lies beside them, parents before children.
const LINEAGE: &str = "lineage.json";
/// Tells a demo's folder, which may be rebuilt, from any other.
const MARKER: &str = ".mgit-demo";
const MARKER_TEXT: &str = "Made by `mgit-db demo`, which makes family.mgit anew here every time.\n\
                           Delete the folder when you have seen enough.\n";

/// A model of the demo.
#[derive(Debug, Deserialize)]
pub struct Member {
    /// The name to import it under.
    pub name: String,
    /// Its file, beside the list.
    pub file: String,
    /// The model it was derived from.
    pub parent: Option<String>,
    /// How, in the words of `import --how`.
    pub how: Option<String>,
    /// What kind of model it is.
    pub kind: String,
    /// How it was made.
    pub note: String,
    /// Its licence.
    pub licence: String,
}

#[derive(Debug, Deserialize)]
struct Lineage {
    members: Vec<Member>,
}

/// The demo's models.
#[derive(Debug)]
pub struct DemoData {
    folder: PathBuf,
    /// The models, parents before children.
    pub members: Vec<Member>,
}

impl DemoData {
    /// Finds the models: in the source tree that this program was built from, or beside it.
    ///
    /// # Errors
    ///
    /// They are in neither place, as after an installation.
    pub fn find() -> Result<Self, Failure> {
        let in_source = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
        let program = std::env::current_exe().ok();
        let beside = program.and_then(|program| Some(program.parent()?.join("demo")));
        Self::find_in(&[Some(in_source), beside].into_iter().flatten().collect::<Vec<_>>())
    }

    fn find_in(places: &[PathBuf]) -> Result<Self, Failure> {
        for folder in places {
            let path = folder.join(LINEAGE);
            match fs::read(&path) {
                Ok(bytes) => {
                    let lineage: Lineage = serde_json::from_slice(&bytes).map_err(|error| {
                        Failure::failed("demo-data", format!("cannot read {path:?}: {error}"))
                    })?;
                    return Ok(DemoData { folder: folder.clone(), members: lineage.members });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::io(format!("read {path:?}"), &error)),
            }
        }
        let looked: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        let message = format!(
            "the demo's models are not installed with the program (looked in {}): run \
             `cargo run --release -p mgit-db -- demo` in a clone of the project, or copy its \
             folder tools/mgit-db/demo beside the program",
            looked.join(" and ")
        );
        Err(Failure::failed("demo-data-missing", message))
    }

    /// The path of a model's file.
    pub fn path(&self, member: &Member) -> PathBuf {
        self.folder.join(&member.file)
    }
}

/// Makes `folder` ready for a demo: new, empty, or one that a demo has made before. Anything else
/// is left alone.
///
/// # Errors
///
/// The folder is somebody else's, or cannot be made.
pub fn prepare(folder: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::io(format!("use the folder {folder:?}"), &error);
    match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.is_dir() => return Err(foreign(folder, "is not a folder")),
        Ok(_) if is_demo(folder) => return Ok(()),
        Ok(_) => {
            if fs::read_dir(folder).map_err(failed)?.next().is_some() {
                return Err(foreign(folder, "holds something that is not a demo's"));
            }
        }
    }
    fs::write(folder.join(MARKER), MARKER_TEXT).map_err(failed)
}

fn is_demo(folder: &Path) -> bool {
    fs::read(folder.join(MARKER)).is_ok_and(|text| text == MARKER_TEXT.as_bytes())
}

fn foreign(folder: &Path, what: &str) -> Failure {
    let message = format!("{} {what}, and is left as it is: name another folder", folder.display());
    Failure::failed("foreign-folder", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_models_are_found_with_parents_first() {
        let data = DemoData::find().unwrap();
        let mut known = Vec::new();
        for member in &data.members {
            assert!(data.path(member).is_file(), "{}", member.file);
            assert!(member.parent.iter().all(|parent| known.contains(&parent)), "{}", member.name);
            known.push(&member.name);
        }
        assert!(known.len() >= 7);
    }

    #[test]
    fn missing_models_are_a_message() {
        let failure = DemoData::find_in(&["/nowhere/demo".into()]).unwrap_err();
        assert_eq!(failure.code(), "demo-data-missing");
        assert!(failure.to_string().contains("/nowhere/demo"));
    }

    #[test]
    fn a_marker_with_other_text_is_not_a_demos() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MARKER), "mine").unwrap();
        assert_eq!(prepare(folder.path()).unwrap_err().code(), "foreign-folder");
        assert_eq!(fs::read(folder.path().join(MARKER)).unwrap(), b"mine");
    }
}
