//! `dump`: the file format made visible.

use std::path::PathBuf;
use std::process::ExitCode;

use mgit::Dtype;
use mgit::codec::Encoding;
use mgit::format::{RecordHeader, RecordKind, Superblock};
use mgit::upkeep::{Dump, RecordDump, SlotDump, dump_path_with};
use serde_json::{Value, json};

use crate::document::Document;
use crate::failure::Failure;
use crate::opening;
use crate::output::Output;
use crate::text::{Side, Table, count, shown};

/// Show the superblock, the extents and the records of a store's file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  mgit-db dump family.mgit")]
pub struct Arguments {
    /// The store
    store: PathBuf,
}

/// Shows the structures.
///
/// # Errors
///
/// Those of the store.
pub fn run(arguments: &Arguments, output: &Output) -> Result<ExitCode, Failure> {
    let dump = dump_path_with(&arguments.store, &opening::options());
    let dump = dump.map_err(|error| opening::named(&arguments.store, error))?;
    output.print_long(document(&dump), describe(&dump))?;
    Ok(if dump.catalogue_error.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kind_name(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Tensor => "tensor",
        RecordKind::Manifest => "manifest",
        RecordKind::Change => "change",
        _ => "other",
    }
}

fn encoding_name(code: u16) -> String {
    Encoding::from_code(code).map_or_else(|| format!("#{code}"), |known| known.name().to_owned())
}

/// The encodings of a record's chunks, each once.
fn encodings(record: &RecordDump) -> String {
    let mut codes: Vec<u16> = record.chunks.iter().map(|chunk| chunk.encoding).collect();
    codes.sort_unstable();
    codes.dedup();
    let names: Vec<String> = codes.into_iter().map(encoding_name).collect();
    if names.is_empty() { "-".to_owned() } else { names.join("+") }
}

fn dtype_name(header: &RecordHeader) -> Option<String> {
    Dtype::from_code(header.dtype_code).map(|dtype| dtype.to_string())
}

fn superblock_document(superblock: &Superblock) -> Value {
    let extent =
        |extent: &mgit::format::Extent| json!({ "offset": extent.offset, "len": extent.len });
    json!({
        "format_version": superblock.format_version,
        "state": format!("{:?}", superblock.state).to_lowercase(),
        "store_id": hex(&superblock.store_id),
        "generation": superblock.generation,
        "reader_flags": superblock.reader_flags,
        "writer_flags": superblock.writer_flags,
        "catalog_len": superblock.catalog_len,
        "extents": superblock.extents.iter().map(extent).collect::<Vec<_>>(),
    })
}

fn record_document(record: &RecordDump) -> Value {
    let chunk = |chunk: &mgit::format::ChunkEntry| {
        json!({
            "stored_bytes": chunk.stored_len,
            "crc": format!("{:08x}", chunk.crc),
            "encoding": encoding_name(chunk.encoding),
        })
    };
    let mut document = json!({ "offset": record.offset, "len": record.row_len });
    let rest = match &record.header {
        Err(reason) => json!({ "error": reason }),
        Ok(header) => json!({
            "kind": kind_name(header.kind),
            "dtype": dtype_name(header),
            "raw_bytes": header.raw_len,
            "stored_bytes": header.stored_len,
            "payload_offset": header.payload_offset,
            "chunk_bytes": header.chunk_len(),
            "chain_depth": header.depth,
            "content_id": header.content_id.to_string(),
            "base": (!header.base_id.is_none()).then(|| header.base_id.to_string()),
            "commit": header.sequence,
            "chunks": record.chunks.iter().map(chunk).collect::<Vec<_>>(),
        }),
    };
    if let (Value::Object(document), Value::Object(rest)) = (&mut document, rest) {
        document.extend(rest);
    }
    document
}

fn document(dump: &Dump) -> Document<'_> {
    let slot = |slot: &SlotDump| match &slot.result {
        Ok(superblock) => {
            json!({ "offset": slot.offset, "superblock": superblock_document(superblock) })
        }
        Err(error) => json!({ "offset": slot.offset, "error": error.to_string() }),
    };
    let head = json!({
        "file_bytes": dump.file_bytes,
        "catalogue_error": dump.catalogue_error,
        "superblock": dump.superblock.as_ref().map(superblock_document),
        "slots": dump.slots.iter().map(slot).collect::<Vec<_>>(),
    });
    Document::new().keys(head).list("records", || dump.records.iter().map(record_document))
}

fn describe(dump: &Dump) -> impl Iterator<Item = String> + '_ {
    std::iter::once(head(dump)).chain(records_lines(&dump.records))
}

fn head(dump: &Dump) -> String {
    let mut text = format!("file: {} bytes\n", dump.file_bytes);
    if let Some(error) = &dump.catalogue_error {
        text += &format!("catalogue: {}\n", shown(error));
    }
    text += "\nsuperblock\n";
    let counts = dump.superblock.as_ref().map(|superblock| superblock.generation);
    let mut facts = Table::new(&[("", Side::Left), ("", Side::Left)]);
    let mut fact = |what: &str, value: String| facts.row([what.to_owned(), value]);
    for slot in &dump.slots {
        let says = match &slot.result {
            Ok(superblock) if Some(superblock.generation) == counts => {
                format!("generation {}, the one that counts", superblock.generation)
            }
            Ok(superblock) => format!("generation {}", superblock.generation),
            Err(error) => error.to_string(),
        };
        fact(&format!("slot at byte {}", slot.offset), says);
    }
    if let Some(superblock) = &dump.superblock {
        superblock_facts(superblock, &mut fact);
    }
    text += &facts.lines("  ");
    let extents = dump.superblock.iter().flat_map(|superblock| &superblock.extents);
    let extents: Vec<_> = extents.collect();
    let found = match dump.catalogue_error {
        None => "",
        Some(_) => " found by a scan, free ones among them",
    };
    text += &format!("\ncatalogue in {}\n", count(extents.len() as u64, "extent"));
    let mut table = Table::new(&[("OFFSET", Side::Right), ("LENGTH", Side::Right)]);
    for extent in extents {
        table.row([extent.offset.to_string(), extent.len.to_string()]);
    }
    text += &table.lines("  ");

    text + &format!("\n{}{found}\n", count(dump.records.len() as u64, "record"))
}

fn superblock_facts(superblock: &Superblock, fact: &mut dyn FnMut(&str, String)) {
    fact("format version", superblock.format_version.to_string());
    fact("state", format!("{:?}", superblock.state).to_lowercase());
    fact("store id", hex(&superblock.store_id));
    fact("readers must know", format!("{:#x}", superblock.reader_flags));
    fact("writers must know", format!("{:#x}", superblock.writer_flags));
    fact("catalogue", format!("{} bytes", superblock.catalog_len));
}

/// The lines of the records, of which there can be millions: the columns are fitted first.
fn records_lines(records: &[RecordDump]) -> impl Iterator<Item = String> + '_ {
    let mut table = Table::new(&[
        ("OFFSET", Side::Right),
        ("LENGTH", Side::Right),
        ("KIND", Side::Left),
        ("RAW", Side::Right),
        ("STORED", Side::Right),
        ("CODED AS", Side::Left),
        ("ENCODING", Side::Left),
        ("CHUNKS", Side::Right),
        ("DEPTH", Side::Right),
        ("COMMIT", Side::Right),
        ("CONTENT", Side::Left),
        ("BASE", Side::Left),
    ]);
    records.iter().for_each(|record| table.fit(&record_cells(record)));
    let headings = table.lines("  ");
    let line = move |record| format!("  {}", table.line(&record_cells(record)));
    std::iter::once(headings).chain(records.iter().map(line))
}

fn record_cells(record: &RecordDump) -> [String; 12] {
    let (offset, len) = (record.offset.to_string(), record.row_len.to_string());
    let none = || "-".to_owned();
    match &record.header {
        Ok(header) => [
            offset,
            len,
            kind_name(header.kind).to_owned(),
            header.raw_len.to_string(),
            header.stored_len.to_string(),
            dtype_name(header).unwrap_or_else(none),
            encodings(record),
            record.chunks.len().to_string(),
            header.depth.to_string(),
            header.sequence.to_string(),
            header.content_id.short(),
            if header.base_id.is_none() { none() } else { header.base_id.short() },
        ],
        Err(reason) => {
            let mut cells: [String; 12] = std::array::from_fn(|_| String::new());
            cells[0] = offset;
            cells[1] = len;
            cells[2] = "damaged".to_owned();
            cells[11] = reason.clone();
            cells
        }
    }
}
