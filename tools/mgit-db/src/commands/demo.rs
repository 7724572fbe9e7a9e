//! `demo`: the main job, on real models.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mgit::container::{TemporaryFolder, TemporaryKind};
use mgit::interchange::{ModelSource, export_to_path};
use mgit::store::ImportReport;
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{How, NewModel, Snapshot, Store, Tensor, TensorView};
use serde_json::{Value, json};

use super::log::Log;
use super::verify::describe;
use crate::demo_data::{DemoData, Member, prepare};
use crate::failure::Failure;
use crate::opening;
use crate::output::{Ink, Output};
use crate::text::{Side, Table, quoted, size};
use crate::values::{Number, decode};

/// Elements of the tensor that are shown.
const VALUES_SHOWN: usize = 6;

/// Run a demo: real models are imported into one file and exported byte for byte.
///
/// Imports models that come with the project, with their lineage, compares sizes and bytes, and
/// leaves the store for you to explore. A second run makes the store again, unless you have added
/// models of your own; a folder that is not a demo's is never changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db demo")]
pub struct Arguments {
    /// The folder for the store
    #[arg(default_value = "mgit-demo")]
    folder: PathBuf,
}

/// A model of the demo, in the store.
struct Imported<'d> {
    member: &'d Member,
    report: ImportReport,
}

/// Runs the demo.
///
/// # Errors
///
/// The models are missing, the folder is not a demo's, or something is not as promised.
pub fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let data = DemoData::find()?;
    prepare(&arguments.folder)?;
    let path = arguments.folder.join("family.mgit");
    remove_old(&path, &data)?;
    let heading = |text: &str| output.text(&format!("\n{}\n\n", output.paint(Ink::Name, text)));

    output.text(&format!(
        "{} real models, and what derives from what, go into one file: {}\n",
        data.members.len(),
        path.display()
    ))?;
    heading("1. Import, each with the model it was derived from")?;
    let (sizes, import_seconds) = import_all(&path, &data)?;
    output.text(&sizes.table())?;

    heading("2. The lineage (mgit-db log)")?;
    let store = opening::open_read_only(&path)?;
    let snapshot = store.snapshot()?;
    output.text(&indented(&Log::read(&snapshot, output)?.text))?;

    heading("3. Export every model and compare it with its file (mgit-db export)")?;
    let export_seconds = compare_all(&snapshot, &data, &sizes.imported, &arguments.folder)?;
    let count = sizes.imported.len();
    let bytes = sizes.plain_bytes();
    let same = output.paint(Ink::Good, &format!("{count} of {count} are the same"));
    output.text(&format!("  {same}, byte for byte: {bytes} bytes compared\n"))?;

    heading("4. Check every checksum, content id and reference (mgit-db verify)")?;
    let report = verify(&store, &snapshot, VerifyDepth::Full, &|_| {})?;
    output.text(&indented(&describe(&report, output)))?;
    if !report.is_clean() {
        return Err(Failure::failed("damaged", "the new store is damaged: report this"));
    }

    heading("5. Read one tensor without a copy")?;
    let zero_copy = ZeroCopy::read(&snapshot, &sizes.imported)?;
    output.text(&zero_copy.text())?;

    heading("The store is yours to explore")?;
    output.text(&next_commands(&path, &sizes.imported))?;
    let document = json!({
        "store": path.display().to_string(),
        "models": sizes.documents(),
        "logical_bytes": bytes,
        "file_bytes": sizes.file_bytes,
        "ratio": sizes.ratio(),
        "import_seconds": import_seconds,
        "export_seconds": export_seconds,
        "identical": true,
        "verify": { "clean": report.is_clean(), "records": report.records, "bytes": report.bytes },
        "zero_copy": zero_copy.document(),
    });
    output.print(document, "")
}

/// Makes the store. Returns what it takes, and the seconds that this took.
fn import_all<'d>(path: &Path, data: &'d DemoData) -> Result<(Sizes<'d>, f64), Failure> {
    let start = Instant::now();
    let imported = {
        let store = Store::create(path)?;
        data.members.iter().map(|member| import(&store, data, member)).collect::<Result<_, _>>()?
    };
    let seconds = start.elapsed().as_secs_f64();
    let file = fs::metadata(path).map_err(|error| Failure::io(format!("read {path:?}"), &error))?;
    Ok((Sizes::new(imported, file.len()), seconds))
}

/// Exports every model and compares it with its file. Returns the seconds that this took.
fn compare_all(
    snapshot: &Snapshot,
    data: &DemoData,
    all: &[Imported<'_>],
    folder: &Path,
) -> Result<f64, Failure> {
    let start = Instant::now();
    let aside = TemporaryFolder::create(folder, TemporaryKind::Demo);
    let aside = aside.map_err(|error| Failure::io("make a temporary folder", &error))?;
    for imported in all {
        compare(snapshot, data, imported, aside.path())?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Removes the store of a demo before, if nobody has brought anything of their own into it.
fn remove_old(path: &Path, data: &DemoData) -> Result<(), Failure> {
    let kept = |what: &str| {
        let message = format!("{} {what}: move it, or name another folder", path.display());
        Failure::failed("already-exists", message)
    };
    match path.symlink_metadata() {
        Err(_) => return Ok(()),
        Ok(found) if !found.is_file() => return Err(kept("is not a file of the demo's")),
        Ok(_) => {}
    }
    let is_ours = |name: &str| data.members.iter().any(|member| member.name == name);
    let nodes = opening::open_read_only(path)?.snapshot()?.nodes()?;
    if nodes.iter().any(|node| !is_ours(node.name())) {
        return Err(kept("holds models that are not the demo's"));
    }
    // Held until it is gone: nobody writes to it meanwhile.
    let _held = opening::open(path)?;
    fs::remove_file(path).map_err(|error| Failure::io(format!("replace {path:?}"), &error))
}

fn import<'d>(store: &Store, data: &DemoData, member: &'d Member) -> Result<Imported<'d>, Failure> {
    let file = ModelSource::open(data.path(member))?;
    let mut model = NewModel::new(&member.name)
        .kind(&member.kind)
        .metadata("licence", member.licence.as_str())
        .metadata("note", member.note.as_str())
        .source(&file);
    if let Some(parent) = &member.parent {
        let how: How = member.how.as_deref().unwrap_or_default().parse()?;
        model = model.parent(parent, how);
    }
    let mut transaction = store.begin_write()?;
    let report = transaction.add_model(model)?;
    transaction.commit()?;
    Ok(Imported { member, report })
}

/// What the plain files take, and what the store takes.
struct Sizes<'d> {
    imported: Vec<Imported<'d>>,
    file_bytes: u64,
}

impl<'d> Sizes<'d> {
    fn new(imported: Vec<Imported<'d>>, file_bytes: u64) -> Self {
        Sizes { imported, file_bytes }
    }

    fn plain_bytes(&self) -> u64 {
        self.imported.iter().map(|imported| imported.report.node.logical_bytes()).sum()
    }

    fn ratio(&self) -> f64 {
        self.plain_bytes() as f64 / self.file_bytes.max(1) as f64
    }

    fn table(&self) -> String {
        let mut table = Table::new(&[
            ("MODEL", Side::Left),
            ("PLAIN FILE", Side::Right),
            ("ADDED", Side::Right),
            ("", Side::Right),
            ("TENSORS", Side::Left),
        ]);
        for Imported { report, .. } in &self.imported {
            let plain = report.node.logical_bytes();
            let parts = [
                (report.deduplicated, "deduplicated"),
                (report.delta, "as deltas"),
                (report.raw, "raw"),
            ];
            let parts = parts.iter().filter(|(count, _)| *count > 0);
            let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
            table.row([
                report.node.full_name(),
                size(plain),
                size(report.added_bytes),
                percent(report.added_bytes, plain),
                parts.join(", "),
            ]);
        }
        let plain = self.plain_bytes();
        table.row([
            "all files, and the store".to_owned(),
            size(plain),
            size(self.file_bytes),
            percent(self.file_bytes, plain),
            format!("{:.2} times smaller", self.ratio()),
        ]);
        table.lines("  ")
    }

    fn documents(&self) -> Vec<Value> {
        let document = |Imported { member, report }: &Imported<'_>| {
            json!({
                "model": report.node.full_name(),
                "file": member.file,
                "logical_bytes": report.node.logical_bytes(),
                "added_bytes": report.added_bytes,
                "deduplicated": report.deduplicated,
                "delta": report.delta,
                "raw": report.raw,
                "licence": member.licence,
            })
        };
        self.imported.iter().map(document).collect()
    }
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.0} %", part as f64 * 100.0 / whole.max(1) as f64)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", format!("  {line}").trim_end())).collect()
}

/// Exports a model and compares every byte with the file it came from.
fn compare(
    snapshot: &Snapshot,
    data: &DemoData,
    imported: &Imported<'_>,
    folder: &Path,
) -> Result<(), Failure> {
    let original = data.path(imported.member);
    let exported = folder.join("exported.safetensors");
    let name = imported.report.node.full_name();
    export_to_path(&snapshot.model(&name)?, &exported, &|_| {})?;
    let read =
        |path: &Path| fs::read(path).map_err(|error| Failure::io(format!("read {path:?}"), &error));
    let same = read(&exported)? == read(&original)?;
    if !same {
        let message =
            format!("{name}, exported to {exported:?}, is not what {original:?} is: report this");
        return Err(Failure::failed("not-identical", message));
    }
    fs::remove_file(&exported).map_err(|error| Failure::io(format!("remove {exported:?}"), &error))
}

/// A tensor that was read where it lies in the file.
struct ZeroCopy {
    model: String,
    tensor: Tensor,
    view: TensorView,
    file_offset: u64,
    first: Vec<Number>,
}

impl ZeroCopy {
    /// Views the largest raw tensor of the first model.
    fn read(snapshot: &Snapshot, imported: &[Imported<'_>]) -> Result<Self, Failure> {
        let failed = |reason: &str| Failure::failed("not-mapped", reason);
        let first = imported.first().ok_or_else(|| failed("the demo has no models"))?;
        let model = snapshot.model(&first.report.node)?;
        let largest = model.tensors().max_by_key(Tensor::byte_len);
        let tensor = largest.ok_or_else(|| failed("the demo's first model has no tensors"))?;
        let view = tensor.view()?;
        let file_offset =
            view.file_offset().ok_or_else(|| failed("a root's tensor was copied: report this"))?;
        // Another look at it is at the same address: the file's own bytes, not equal ones.
        if tensor.view()?.as_ptr() != view.as_ptr() {
            return Err(failed("a mapped tensor has two addresses: report this"));
        }
        let numbers = decode(tensor.dtype(), &view).unwrap_or_default();
        let first = numbers.into_iter().take(VALUES_SHOWN).collect();
        Ok(ZeroCopy { model: model.full_name(), tensor, view, file_offset, first })
    }

    fn text(&self) -> String {
        let values: Vec<&str> = self.first.iter().map(|number| number.text.as_str()).collect();
        format!(
            "  {} of {}: {} {}, {} bytes\n\
             \x20 byte {} of the file is address {:p} of the map: nothing was copied\n\
             \x20 {} ...\n",
            self.tensor.name(),
            self.model,
            self.tensor.dtype(),
            self.tensor.shape(),
            self.view.len(),
            self.file_offset,
            self.view.as_ptr(),
            values.join("  ")
        )
    }

    fn document(&self) -> Value {
        let values: Vec<&Value> = self.first.iter().map(|number| &number.json).collect();
        json!({
            "model": self.model,
            "tensor": self.tensor.name(),
            "dtype": self.tensor.dtype().name(),
            "shape": self.tensor.shape().dims(),
            "bytes": self.view.len(),
            "file_offset": self.file_offset,
            "address": format!("{:p}", self.view.as_ptr()),
            "mapped": self.view.is_mapped(),
            "values": values,
        })
    }
}

fn next_commands(path: &Path, imported: &[Imported<'_>]) -> String {
    let store = quoted(path);
    let child = imported.iter().find(|imported| imported.member.parent.is_some());
    let child = child.map_or("MODEL", |imported| imported.member.name.as_str());
    format!(
        "  mgit-db ls {store}\n\
         \x20 mgit-db log {store}\n\
         \x20 mgit-db show {store} {child}\n\
         \x20 mgit-db export {store} {child} {child}.safetensors\n\
         \x20 mgit-db import {store} YOUR.safetensors --name yours\n"
    )
}
