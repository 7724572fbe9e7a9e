//! How a model's files are taken.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::left_out::LeftOut;
use crate::interchange::FormatReader;
use crate::lineage::glob_matches;

/// Which files of a folder are taken, and what reads them.
///
/// A glob is held against a file's path in the folder, against its name, and against the paths and
/// the names of the folders that it lies in: `*.bin`, `onnx`, `onnx/*`. `*` stands for any
/// characters, `/` too. Of a name that is not UTF-8 each part that is none is one character.
///
/// Clones know together which globs have fitted something:
/// [`unused_excludes`](Self::unused_excludes).
#[derive(Clone, Default)]
#[must_use]
pub struct SourceOptions {
    exclude: Vec<Glob>,
    include: Vec<Glob>,
    pub(super) follow_links: bool,
    pub(super) closed: bool,
    pub(super) weights_elsewhere: bool,
    pub(super) readers: Vec<Arc<dyn FormatReader>>,
    pub(super) left_out_before: Arc<[LeftOut]>,
}

/// What files are chosen by.
#[derive(Clone)]
struct Glob {
    text: String,
    /// Whether it has fitted something.
    is_used: Arc<AtomicBool>,
}

impl Glob {
    fn new(text: impl Into<String>) -> Self {
        Glob { text: text.into(), is_used: Arc::default() }
    }

    fn fits(&self, path: &str) -> bool {
        let fits = fits(&self.text, path);
        self.is_used.fetch_or(fits, Ordering::Relaxed);
        fits
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

fn unused(globs: &[Glob]) -> impl Iterator<Item = &str> {
    let unused = globs.iter().filter(|glob| !glob.is_used.load(Ordering::Relaxed));
    unused.map(|glob| glob.text.as_str())
}

impl fmt::Debug for SourceOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceOptions")
            .field("exclude", &self.exclude)
            .field("include", &self.include)
            .field("follow_links", &self.follow_links)
            .finish_non_exhaustive()
    }
}

impl SourceOptions {
    /// All files, and the readers of this crate.
    pub fn new() -> Self {
        SourceOptions::default()
    }

    /// Leaves out what fits `glob`.
    pub fn exclude(mut self, glob: impl Into<String>) -> Self {
        self.exclude.push(Glob::new(glob));
        self
    }

    /// Takes only what fits `glob`, or another glob that is given so.
    pub fn include(mut self, glob: impl Into<String>) -> Self {
        self.include.push(Glob::new(glob));
        self
    }

    /// Says whether links are followed wherever they lead; else only those that stay in the folder,
    /// or lead into the blobs of the Hugging Face cache that the folder belongs to.
    pub fn follow_links(mut self, follow: bool) -> Self {
        self.follow_links = follow;
        self
    }

    /// Says whether files are closed once they were looked at: each is opened again for each
    /// reading, and must be the same file then. For many models at a time.
    pub fn closed(mut self, closed: bool) -> Self {
        self.closed = closed;
        self
    }

    /// Says that the weights of the model are not in its folder: what is there is taken as the files
    /// beside them, as where a program has the tensors in memory and adds them as a
    /// [`NewPart`](crate::NewPart).
    ///
    /// ```
    /// use mgit::interchange::{ModelSource, SourceOptions};
    /// use mgit::{NewModel, NewPart, NewTensor, Store};
    /// # fn main() -> mgit::Result<()> {
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Store::create(folder.path().join("models.mgit"))?;
    /// # let beside = folder.path().join("beside");
    /// # std::fs::create_dir(&beside)?;
    /// std::fs::write(beside.join("config.json"), r#"{"model_type": "bert"}"#)?;
    /// let beside = ModelSource::open_with(beside, &SourceOptions::new().weights_elsewhere(true))?;
    /// let tensor = NewTensor::from_vec("w", [2], vec![1f32, 2.0]);
    /// let weights = NewPart::new("model.safetensors").tensor(tensor);
    /// let mut transaction = store.begin_write()?;
    /// transaction.add_model(NewModel::new("base").part(weights).source(&beside))?;
    /// transaction.commit()?;
    /// assert_eq!(store.snapshot()?.model("base")?.node().kind(), "bert");
    /// # Ok(())
    /// # }
    /// ```
    pub fn weights_elsewhere(mut self, elsewhere: bool) -> Self {
        self.weights_elsewhere = elsewhere;
        self
    }

    /// Says what of the folder was left out before it came to where it is, as where only some files
    /// were downloaded: it is told with what is left out of the folder itself.
    pub fn left_out_before(mut self, left_out: impl IntoIterator<Item = LeftOut>) -> Self {
        self.left_out_before = left_out.into_iter().collect();
        self
    }

    /// Asks `reader` before the readers of this crate.
    pub fn reader(mut self, reader: impl FormatReader + 'static) -> Self {
        self.readers.push(Arc::new(reader));
        self
    }

    /// Why a file or a folder of this path is not taken, by what was asked for.
    pub(super) fn reason(&self, path: &str, is_folder: bool) -> Option<String> {
        // Each is asked, also behind one that fits: it is to know whether it fits something.
        let fit = |globs: &[Glob]| globs.iter().filter(|glob| glob.fits(path)).count() > 0;
        // What is in a folder may fit.
        let is_out = !is_folder && !fit(&self.include) && !self.include.is_empty();
        let mut excludes = self.exclude.iter().filter(|glob| glob.fits(path));
        let excluded = excludes.next();
        excludes.for_each(drop);
        match excluded {
            Some(glob) => Some(format!("fits {glob:?}, which is excluded")),
            None => is_out.then(|| "fits no glob that is included".to_owned()),
        }
    }

    /// The globs of [`exclude`](Self::exclude) that have fitted nothing in the folders that were
    /// looked at with these options, or with a clone of them.
    pub fn unused_excludes(&self) -> impl Iterator<Item = &str> {
        unused(&self.exclude)
    }

    /// The globs of [`include`](Self::include) that have fitted nothing, as
    /// [`unused_excludes`](Self::unused_excludes).
    pub fn unused_includes(&self) -> impl Iterator<Item = &str> {
        unused(&self.include)
    }
}

/// Whether a glob fits a path, its name, or a folder on the way.
pub(in crate::interchange) fn fits(glob: &str, path: &str) -> bool {
    let glob = glob.strip_prefix("./").unwrap_or(glob);
    let glob = glob.strip_suffix('/').unwrap_or(glob);
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let mut paths = ends.filter_map(|end| path.get(..end));
    paths.any(|path| {
        let name = path.rsplit('/').next().unwrap_or_default();
        glob_matches(glob, path) || glob_matches(glob, name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_fit_paths_names_and_folders() {
        for (glob, path) in [
            ("*.bin", "a/b.bin"),
            ("a", "a/b.bin"),
            ("a/", "a/b.bin"),
            ("./a/*", "a/b.bin"),
            ("b.bin", "a/b.bin"),
            ("a/b", "a/b/c"),
        ] {
            assert!(fits(glob, path), "{glob} {path}");
        }
        for (glob, path) in [("b", "a/b.bin"), ("a/b", "x/a/b"), ("*.bin", "a.binary")] {
            assert!(!fits(glob, path), "{glob} {path}");
        }
    }
}
