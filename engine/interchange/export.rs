//! Models of the store to files.

use std::io::Write;
use std::path::Path;

use super::conversion::{Out, Outs, converted, in_order, write_file};
use super::export_error::ExportError;
use super::export_options::{ExportOptions, ExportReport};
use super::model_folder::ModelFolder;
use super::out_name::{check_name, claims_a_format, name_in_folder, own_name};
use super::source::fits;
use crate::container::{Destination, Overwrite};
use crate::format::FileFormat;
use crate::store::Model;
use crate::tensor::ContentId;

/// Writes a model as it was imported: to the file `path`, replacing a file that is there but no
/// store, or, when it is sharded, into the folder `path`. As [`export_to`] with
/// [`Overwrite::Files`].
///
/// # Errors
///
/// Those of [`export_to`].
pub fn export_to_path(
    model: &Model,
    path: impl AsRef<Path>,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    let path = path.as_ref();
    export_to(model, path, Overwrite::Files, progress)
}

/// Writes a model as it was imported, byte for byte: as [`export_with`], with nothing else asked
/// for.
///
/// # Errors
///
/// Those of [`export_with`].
pub fn export_to(
    model: &Model,
    path: impl AsRef<Path>,
    overwrite: Overwrite,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    let options = ExportOptions::new().overwrite(overwrite);
    export_with(model, path, &options, progress).map(drop)
}

/// Writes a model: to the file `path` (into a folder that is there, under its own name), or, when it
/// is a folder of files, into the folder `path`, which must be missing or empty, or, when files may
/// be replaced, hold nothing but files of the model's names. Nothing is seen of it before it is
/// complete and synced. `progress` is told the bytes done. Memory is bounded.
///
/// Files are as they were imported, byte for byte, but for weights that are to become a safetensors
/// file: [`ExportOptions::as_safetensors`]. Their tensors keep their names; each view of a tensor is
/// written as a tensor of its own, so tied weights come as often as they have names. Files beside
/// the weights stay, but for other copies of the weights. The report says what was made of what.
///
/// # Errors
///
/// [`ExportError`]; `path` is then as it was.
pub fn export_with(
    model: &Model,
    path: impl AsRef<Path>,
    options: &ExportOptions,
    progress: &dyn Fn(u64),
) -> Result<ExportReport, ExportError> {
    let path = path.as_ref();
    let (outs, names) = chosen(model, options)?;
    match model.is_folder() {
        true => write_folder(model, path, (outs, &names), options.overwrite, progress),
        false => write_single(model, path, outs, options.overwrite, progress),
    }
}

/// The contents that [`export_with`] reads: of a model whose tensors are still at a remote, these
/// [are to be fetched](crate::transfer::fetch_contents) before. Reads nothing itself.
///
/// # Errors
///
/// What is asked for cannot be had: no file fits a glob, the weights cannot be converted.
pub fn contents_to_export(
    model: &Model,
    options: &ExportOptions,
) -> Result<Vec<ContentId>, ExportError> {
    let (outs, _) = chosen(model, options)?;
    let is_made = |out: &Out| matches!(out, Out::Made(_));
    let weights = model.files().filter(|file| file.is_weights() && outs.files.iter().any(is_made));
    let stored = outs.files.iter().filter_map(|out| match out {
        Out::Stored(file) => Some(file.clone()),
        Out::Made(_) => None,
    });
    Ok(weights.chain(stored).flat_map(|file| file.contents().collect::<Vec<_>>()).collect())
}

/// The files that are asked for, and the paths of those that could have been.
fn chosen(model: &Model, options: &ExportOptions) -> Result<(Outs, Vec<String>), ExportError> {
    if !options.only.is_empty() && !model.is_folder() {
        return Err(ExportError::OneFile { model: model.full_name() });
    }
    let mut outs = match options.as_safetensors {
        true => converted(model, options.dequantise)?,
        false => {
            Outs { files: in_order(model).into_iter().map(Out::Stored).collect(), notes: vec![] }
        }
    };
    let names: Vec<String> = outs.files.iter().map(|out| out.path().to_owned()).collect();
    choose(model, &options.only, &mut outs.files)?;
    Ok((outs, names))
}

/// Writes a model into the folder `path`, which is not there yet, so that it can be loaded from it: a
/// folder of files as it is, a single file under its own name (`model.safetensors`, where it is a
/// safetensors file without one).
///
/// # Errors
///
/// Those of [`export_with`].
pub fn export_to_folder(
    model: &Model,
    path: impl AsRef<Path>,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    let path = path.as_ref();
    let Some(file) = model.files().next().filter(|_| !model.is_folder()) else {
        return export_to_path(model, path, progress);
    };
    let name = name_in_folder(file.path(), file.format())?;
    let mut folder = ModelFolder::new(path, &[&name], Overwrite::Files)?;
    folder.write(&name, |out| write_file(&file, out, path, progress))?;
    folder.finish()
}

/// Leaves only the files that fit one of the globs.
fn choose(model: &Model, only: &[String], files: &mut Vec<Out>) -> Result<(), ExportError> {
    if only.is_empty() {
        return Ok(());
    }
    for glob in only {
        if !files.iter().any(|file| fits(glob, file.path())) {
            let mut files: Vec<String> = files.iter().map(|it| it.path().to_owned()).collect();
            files.sort();
            let (model, glob) = (model.full_name(), glob.clone());
            return Err(ExportError::NoFileFits { model, glob, files });
        }
    }
    files.retain(|file| only.iter().any(|glob| fits(glob, file.path())));
    Ok(())
}

fn write_folder(
    model: &Model,
    path: &Path,
    (outs, names): (Outs, &[String]),
    overwrite: Overwrite,
    progress: &dyn Fn(u64),
) -> Result<ExportReport, ExportError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if claims_a_format(path) && !path.is_dir() {
        return Err(ExportError::NeedsFolder { model: model.full_name() });
    }
    let folder = ModelFolder::new(path, &names, overwrite);
    let mut folder = folder.map_err(|error| match error {
        ExportError::NeedsFolder { .. } => ExportError::NeedsFolder { model: model.full_name() },
        error => error,
    })?;
    let mut report = ExportReport { path: path.to_owned(), files: vec![], notes: outs.notes };
    for out in &outs.files {
        folder.write(out.path(), |to| out.write(model, to, path, progress))?;
        report.files.push(out.report(Path::new(out.path())));
    }
    folder.finish()?;
    Ok(report)
}

fn write_single(
    model: &Model,
    path: &Path,
    outs: Outs,
    overwrite: Overwrite,
    progress: &dyn Fn(u64),
) -> Result<ExportReport, ExportError> {
    let Some(out) = outs.files.first() else { return Ok(ExportReport::default()) };
    let (format, own) = match out {
        Out::Stored(file) => (file.format(), file.path()),
        Out::Made(_) => (FileFormat::Safetensors, ""),
    };
    let path = match (path.is_dir(), model.files().next()) {
        (true, Some(file)) => {
            let name = own_name(model, &file)?;
            let is_made = matches!(out, Out::Made(_));
            path.join(if is_made { name.with_extension("safetensors") } else { name })
        }
        _ => path.to_owned(),
    };
    check_name(model, format, own, &path)?;
    let destination = Destination::new(&path, overwrite)?;
    destination.write(|to| out.write(model, to, &path, progress))?;
    let files = vec![out.report(&path)];
    Ok(ExportReport { files, notes: outs.notes, path })
}

/// Writes a model of one file to a stream.
///
/// # Errors
///
/// [`ExportError::NeedsFolder`] when the model is a folder; otherwise as [`export_to_path`].
pub fn export_to_stream(
    model: &Model,
    out: &mut dyn Write,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    export_to_stream_as(model, out, Path::new("-"), progress)
}

/// Writes the one file of a model that fits one of these globs to a stream, as it was imported. A
/// glob is held against what [`ExportOptions::only`] says; of several files that fit, the one is
/// meant whose path it is.
///
/// # Errors
///
/// [`ExportError::SeveralFiles`], [`ExportError::NoFileFits`] where not one file fits;
/// [`ExportError::OneFile`] of a model that is one; otherwise as [`export_to_path`].
pub fn export_one_to_stream(
    model: &Model,
    only: &[String],
    out: &mut dyn Write,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    if !model.is_folder() {
        return Err(ExportError::OneFile { model: model.full_name() });
    }
    let mut files: Vec<Out> = in_order(model).into_iter().map(Out::Stored).collect();
    choose(model, only, &mut files)?;
    let is_its_path = |file: &&Out| only.iter().any(|glob| glob == file.path());
    if files.iter().filter(is_its_path).count() == 1 {
        files.retain(|file| is_its_path(&file));
    }
    match files.as_slice() {
        [file] => file.write(model, out, Path::new("-"), progress),
        _ => {
            let mut files: Vec<String> = files.iter().map(|it| it.path().to_owned()).collect();
            files.sort();
            Err(ExportError::SeveralFiles { model: model.full_name(), files })
        }
    }
}

fn export_to_stream_as(
    model: &Model,
    out: &mut dyn Write,
    path: &Path,
    progress: &dyn Fn(u64),
) -> Result<(), ExportError> {
    if model.is_folder() {
        return Err(ExportError::NeedsFolder { model: model.full_name() });
    }
    model.files().try_for_each(|file| write_file(&file, out, path, progress))
}
