use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::limits::{DTYPE_NAME_LEN_MAX, HEADER_LEN_MAX, NAME_LEN_MAX};
use super::limits::{FILES_MAX, FOLDER_DEPTH_MAX, INDEX_LEN_MAX, PATH_LEN_MAX, SHARDS_MAX};
use crate::container::{Shortage, full_message};
use crate::format::FileFormat;
use crate::tensor::{Dtype, RANK_MAX, Shape};

/// Why a model file, or a set of them, is not taken.
///
/// One variant a rule. "Offset" without more is a byte offset in the file named; `begin` and
/// `end` are relative to the data buffer that follows the header, as in the header itself.
/// [`InterchangeError::is_malformed`] tells a file that breaks the format from a mistake in
/// what was asked for, which a user can put right without touching any file's content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are named by what they hold, see the type's docs")]
pub enum InterchangeError {
    /// There is nothing at the path.
    #[error("{path:?} does not exist: check the path")]
    NotFound { path: PathBuf },
    /// The operating system failed to open or read the file.
    #[error("cannot {action} {path:?}")]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    /// The path leads to a folder, a pipe, a device: not to a regular file.
    #[error("{path:?} is {found}, expected a regular file: name a .safetensors file or an index")]
    NotRegularFile { path: PathBuf, found: &'static str },
    /// No weights are in the folder.
    #[error(
        "{folder:?} holds no model: no weights are in it (.safetensors, .bin, .pt, .gguf, .onnx \
         and others){detail}"
    )]
    NoModel { folder: PathBuf, detail: String },
    /// Several files of a model are not taken, each for its own reason.
    #[error("{path:?}: {} faults: {}", .faults.len() as u64 + .more, all(.faults, *.more))]
    Several { path: PathBuf, faults: Vec<InterchangeError>, more: u64 },
    /// Files that belong to a model are not there.
    #[error(
        "{file:?}: expected {} beside it, of the same model: fetch what is missing",
        named(.missing)
    )]
    MissingFiles { file: PathBuf, missing: Vec<String> },
    /// Files that belong to a model are there and left out, while others of it are taken.
    #[error(
        "{file:?}: {} beside it, of the same model, left out: {reason}: take the whole set",
        named(.left_out)
    )]
    FilesLeftOut { file: PathBuf, left_out: Vec<String>, reason: String },
    /// A link leads out of the model's folder.
    #[error(
        "{link:?} is a link that leads out of the model's folder, to {target:?}: leave it out, or \
         allow links to be followed"
    )]
    LinkLeadsOut { link: PathBuf, target: PathBuf },
    /// A link leads to nothing.
    #[error("{link:?} is a link that leads to nothing: leave it out, or fetch what it leads to")]
    LinkToNothing { link: PathBuf },
    /// A path is not UTF-8, so it cannot be kept.
    #[error("{path:?} is not UTF-8: rename it")]
    PathNotUtf8 { path: PathBuf },
    /// A file's path in the folder is too long.
    #[error("{path:?}: expected a path of at most {PATH_LEN_MAX} bytes in the model's folder")]
    PathTooLong { path: PathBuf },
    /// Folders lie too deep in each other.
    #[error("{folder:?}: expected at most {FOLDER_DEPTH_MAX} folders in each other")]
    TooDeep { folder: PathBuf },
    /// A folder has too many files.
    #[error("{folder:?}: expected at most {FILES_MAX} files and folders in it: leave some out")]
    TooManyFiles { folder: PathBuf },
    /// A shard that the index names is not beside it.
    #[error(
        "{index:?}: shard {}, expected beside the index for tensor {}, does not exist: fetch the \
         missing shard",
        Q(.shard), Q(.tensor)
    )]
    MissingShard { index: PathBuf, shard: String, tensor: String },

    /// The file breaks the rules of its format.
    #[error("{file:?}: offset {offset}: as {format}: {}: {DOWNLOAD_AGAIN}", Told(.detail))]
    Malformed { file: PathBuf, format: FileFormat, offset: u64, detail: String },
    /// The file is of a version or kind of its format that is not read.
    #[error("{file:?}: {format}: {found} is not read: {advice}")]
    NotSupported { file: PathBuf, format: FileFormat, found: String, advice: &'static str },
    /// What the file lists would take more memory than a reader may take.
    #[error(
        "{file:?}: offset {offset}: as {format}: expected a list of tensors and operators of at \
         most {limit} bytes in memory, found more: no usual model has as many"
    )]
    LayoutTooLarge { file: PathBuf, format: FileFormat, offset: u64, limit: u64 },
    /// The data of a tensor is said to be in a file that is not in the folder of this one.
    #[error(
        "{file:?}: offset {offset}: tensor {}: expected its data in a file of the same folder or \
         of a folder in it, with / between the names, found {}: {WRITE_AGAIN}",
        Q(.tensor), Q(.path)
    )]
    PathOutside { file: PathBuf, offset: u64, tensor: String, path: String },
    /// A file that is called weights is none.
    #[error("{file:?} is {found}: {help}")]
    NotTheFile { file: PathBuf, found: &'static str, help: &'static str },
    /// A file that was named as the model is of no format that holds tensors, and has no such name.
    #[error(
        "{file:?} is no model: it is of no format that is known, and its name does not say that it \
         holds weights (.safetensors, .bin, .pt, .gguf, .onnx and others)"
    )]
    NotAModel { file: PathBuf },
    /// What a reader says is in a file cannot be.
    #[error("{file:?}: the reader {reader} finds what cannot be: {}", Q(.detail))]
    BadLayout { file: PathBuf, reader: String, detail: String },

    /// The file is shorter than the 8-byte header length it must start with.
    #[error(
        "{file:?}: {found} bytes, expected at least the 8 of the header length: {DOWNLOAD_AGAIN}"
    )]
    FileTooShort { file: PathBuf, found: u64 },
    /// The header length is more than the format allows.
    #[error(
        "{file:?}: offset 0: header length {found}, expected at most {HEADER_LEN_MAX}: this is no \
         safetensors file, or a damaged one"
    )]
    HeaderTooLarge { file: PathBuf, found: u64 },
    /// The header would end past the end of the file.
    #[error(
        "{file:?}: offset 0: header length {header_len}, expected at most {} in a file of \
         {file_len} bytes: {DOWNLOAD_AGAIN}",
        .file_len.saturating_sub(8)
    )]
    HeaderPastEnd { file: PathBuf, header_len: u64, file_len: u64 },
    /// The header is not UTF-8.
    #[error(
        "{file:?}: offset {offset}: expected UTF-8 in the header, found a byte that is not: \
         {DOWNLOAD_AGAIN}"
    )]
    HeaderNotUtf8 { file: PathBuf, offset: u64 },
    /// The header does not start with `{`.
    #[error(
        "{file:?}: offset 8: expected the header to start with '{{', found {}: {WRITE_AGAIN}",
        first_byte(*.found)
    )]
    HeaderNotObject { file: PathBuf, found: Option<u8> },
    /// The header is not JSON.
    #[error(
        "{file:?}: offset {offset}: expected JSON in the header, found an error: {detail}: \
         {DOWNLOAD_AGAIN}"
    )]
    HeaderNotJson { file: PathBuf, offset: u64, detail: String },
    /// A tensor's entry lacks a field, has it twice, or has one of another type.
    #[error(
        "{file:?}: tensor {}: offset {offset}: expected dtype, shape and data_offsets: {detail}: \
         {WRITE_AGAIN}",
        Q(.tensor)
    )]
    MalformedEntry { file: PathBuf, tensor: String, offset: u64, detail: String },
    /// `__metadata__` is not an object of strings.
    #[error(
        "{file:?}: offset {offset}: __metadata__{}: expected an object of strings: {detail}: \
         {WRITE_AGAIN}",
        at_key(.key)
    )]
    MetadataNotStrings { file: PathBuf, key: Option<String>, offset: u64, detail: String },
    /// `__metadata__` stands twice.
    #[error("{file:?}: expected __metadata__ once, found it twice in the header: {WRITE_AGAIN}")]
    DuplicateMetadata { file: PathBuf },
    /// A tensor's name is the empty string.
    #[error(
        "{file:?}: entry {entry} of the header: expected a tensor's name, found the empty string: \
         name the tensor"
    )]
    EmptyName { file: PathBuf, entry: u64 },
    /// A tensor's name is too long.
    #[error(
        "{file:?}: tensor {}...: expected a name of at most {NAME_LEN_MAX} bytes, found {found}: \
         shorten it",
        Q(.starts_with)
    )]
    NameTooLong { file: PathBuf, starts_with: String, found: usize },
    /// Two entries have one name, maybe spelled with different escapes.
    #[error(
        "{file:?}: tensor {}: expected every name once, found it twice in the header: rename one \
         of the two",
        Q(.tensor)
    )]
    DuplicateName { file: PathBuf, tensor: String },
    /// The name of an element type is empty or too long.
    #[error(
        "{file:?}: tensor {}: expected a dtype name of 1 to {DTYPE_NAME_LEN_MAX} bytes, found \
         {found}: {WRITE_AGAIN}",
        Q(.tensor)
    )]
    DtypeNameLength { file: PathBuf, tensor: String, found: usize },
    /// A dimension or an offset is below zero.
    #[error(
        "{file:?}: tensor {}: {field}: expected a whole number from 0, found {found}: \
         {WRITE_AGAIN}",
        Q(.tensor)
    )]
    NegativeNumber { file: PathBuf, tensor: String, field: &'static str, found: i64 },
    /// A dimension or an offset has a fraction, an exponent, or does not fit 64 bits.
    #[error(
        "{file:?}: tensor {}: {field}: expected a whole number below 2^64, found {found:?}: \
         {WRITE_AGAIN}",
        Q(.tensor)
    )]
    NotWholeNumber { file: PathBuf, tensor: String, field: &'static str, found: f64 },
    /// A shape has too many dimensions.
    #[error(
        "{file:?}: tensor {}: expected a shape of at most {RANK_MAX} dimensions, found {found}: \
         reshape the tensor",
        Q(.tensor)
    )]
    TooManyDimensions { file: PathBuf, tensor: String, found: usize },
    /// The product of the dimensions, or the bits they need, overflow.
    #[error(
        "{file:?}: tensor {}: expected a number of elements and bits below 2^63, found {} of \
         shape {dims:?}: {WRITE_AGAIN}",
        Q(.tensor), .dtype.name().escape_debug()
    )]
    ShapeOverflow { file: PathBuf, tensor: String, dtype: Dtype, dims: Vec<u64> },
    /// A tensor of a sub-byte type does not fill whole bytes.
    #[error(
        "{file:?}: tensor {}: expected whole bytes, found {bits} bits for {} of shape {shape}: \
         pad the tensor",
        Q(.tensor), .dtype.name().escape_debug()
    )]
    PartialByte { file: PathBuf, tensor: String, dtype: Dtype, shape: Shape, bits: u64 },
    /// A tensor's range is not as long as its shape and type need.
    #[rustfmt::skip]
    #[error(
        "{file:?}: tensor {}: data offset {begin}: expected {expected} bytes for {} of shape \
         {shape}, found {found}: {WRITE_AGAIN}",
        Q(.tensor), .dtype.name().escape_debug()
    )]
    LengthMismatch {
        file: PathBuf, tensor: String, dtype: Dtype, shape: Shape,
        begin: u64, expected: u64, found: u64,
    },
    /// A tensor's range ends before it begins.
    #[error(
        "{file:?}: tensor {}: data offset {begin}: expected an end at or after the begin, found \
         {end}: {WRITE_AGAIN}",
        Q(.tensor)
    )]
    OffsetsReversed { file: PathBuf, tensor: String, begin: u64, end: u64 },
    /// A tensor's range ends past the end of the file.
    #[error(
        "{file:?}: tensor {}: data offset {begin}: expected an end within the {buffer_len} bytes \
         after the header, found {end}: {DOWNLOAD_AGAIN}",
        Q(.tensor)
    )]
    PastEnd { file: PathBuf, tensor: String, begin: u64, end: u64, buffer_len: u64 },
    /// A tensor's range begins inside another's.
    #[error(
        "{file:?}: tensor {}: expected it to begin at or after data offset {other_end}, where \
         tensor {} ends, found {begin}: the two overlap, {WRITE_AGAIN}",
        Q(.tensor), Q(.other)
    )]
    Overlap { file: PathBuf, tensor: String, begin: u64, other: String, other_end: u64 },
    /// The tensors up to this one claim more bytes than there are, so some overlap.
    #[error(
        "{file:?}: tensor {}: data offset {begin} to {end}: expected tensors of at most \
         {buffer_len} bytes together, found more with this one: tensors overlap, {WRITE_AGAIN}",
        Q(.tensor)
    )]
    Overcommitted { file: PathBuf, tensor: String, begin: u64, end: u64, buffer_len: u64 },
    /// No tensor covers the bytes before this one.
    #[error(
        "{file:?}: tensor {}: expected it to begin at data offset {expected}, found {begin}: no \
         tensor covers the bytes between, {WRITE_AGAIN}",
        Q(.tensor)
    )]
    Hole { file: PathBuf, tensor: String, begin: u64, expected: u64 },
    /// No tensor covers the bytes at the end of the file.
    #[error(
        "{file:?}: expected {covered} bytes after the header, found {buffer_len}: no tensor \
         covers the trailing bytes, {WRITE_AGAIN}"
    )]
    TrailingBytes { file: PathBuf, covered: u64, buffer_len: u64 },

    /// The index is larger than any index has cause to be.
    #[error(
        "{index:?}: expected an index of at most {INDEX_LEN_MAX} bytes, found {found}: this is no \
         index of a model"
    )]
    IndexTooLarge { index: PathBuf, found: u64 },
    /// The index is not JSON, or not an object.
    #[error(
        "{index:?}: offset {offset}: expected a JSON object, found an error: {detail}: \
         {DOWNLOAD_AGAIN}"
    )]
    IndexNotJson { index: PathBuf, offset: u64, detail: String },
    /// The index has no `weight_map`.
    #[error("{index:?}: expected a weight_map, found none: this is no index of a model")]
    WeightMapMissing { index: PathBuf },
    /// The index has `weight_map` twice.
    #[error("{index:?}: expected weight_map once, found it twice: {FIX_INDEX}")]
    DuplicateWeightMap { index: PathBuf },
    /// `weight_map` is not an object of strings.
    #[error(
        "{index:?}: offset {offset}: weight_map{}: expected an object of strings: {detail}: \
         {FIX_INDEX}",
        at_key(.tensor)
    )]
    WeightMapNotStrings { index: PathBuf, tensor: Option<String>, offset: u64, detail: String },
    /// `weight_map` lists one tensor twice, maybe spelled with different escapes.
    #[error(
        "{index:?}: tensor {}: expected every name once, found it twice in weight_map: {FIX_INDEX}",
        Q(.tensor)
    )]
    DuplicateWeight { index: PathBuf, tensor: String },
    /// A shard's name is more than the name of a file beside the index.
    #[error(
        "{index:?}: tensor {}: expected the plain name of a file beside the index, found {}: \
         {FIX_INDEX}",
        Q(.tensor), Q(.shard)
    )]
    ShardNameNotPlain { index: PathBuf, tensor: String, shard: String },
    /// The index names too many shards.
    #[error(
        "{index:?}: tensor {}: expected at most {SHARDS_MAX} shards, found one more, {}: write \
         the model in fewer shards",
        Q(.tensor), Q(.shard)
    )]
    TooManyShards { index: PathBuf, tensor: String, shard: String },
    /// A shard has a tensor that the index does not list.
    #[error(
        "{index:?}: expected every tensor of shard {} in weight_map, found tensor {} that is not: \
         {FIX_INDEX}",
        Q(.shard), Q(.tensor)
    )]
    UnlistedTensor { index: PathBuf, shard: String, tensor: String },
    /// The shard that the index names for a tensor does not have it.
    #[error(
        "{index:?}: expected tensor {} in shard {}, found it in {}: {FIX_INDEX}",
        Q(.tensor), Q(.shard), shard_or_none(.found_in)
    )]
    TensorNotInShard { index: PathBuf, shard: String, tensor: String, found_in: Option<String> },
    /// Two shards have one tensor.
    #[error(
        "{index:?}: tensor {}: expected it in one shard, found it in {} and {}: {FIX_INDEX}",
        Q(.tensor), Q(.first), Q(.second)
    )]
    TensorInTwoShards { index: PathBuf, tensor: String, first: String, second: String },
}

impl InterchangeError {
    /// Whether the content of a file breaks the format, as against a path that leads to
    /// nothing, to the wrong thing, or to something the system will not read.
    pub fn is_malformed(&self) -> bool {
        use InterchangeError as E;
        if let E::Several { faults, .. } = self {
            return faults.iter().any(InterchangeError::is_malformed);
        }
        !matches!(
            self,
            E::NotFound { .. }
                | E::Io { .. }
                | E::NotRegularFile { .. }
                | E::NotSupported { .. }
                | E::MissingShard { .. }
                | E::NoModel { .. }
                | E::MissingFiles { .. }
                | E::FilesLeftOut { .. }
                | E::LinkLeadsOut { .. }
                | E::LinkToNothing { .. }
                | E::PathNotUtf8 { .. }
                | E::PathTooLong { .. }
                | E::TooDeep { .. }
                | E::TooManyFiles { .. }
        )
    }

    /// A stable name of the kind of error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            InterchangeError::NotFound { .. } => "file-not-found",
            InterchangeError::Io { source, .. } => {
                Shortage::of(source).map_or("unreadable-file", Shortage::code)
            }
            error if error.is_malformed() => "malformed-file",
            _ => "unreadable-file",
        }
    }

    /// An error of the operating system at `path` while it was to `action`.
    pub(super) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => InterchangeError::NotFound { path },
            _ => InterchangeError::Io { path, action, source },
        }
    }
}

/// The most characters of a name or a message from a file that an error repeats.
const SHOWN_CHARS_MAX: usize = 200;

/// The start of `text`, short enough to show.
pub(super) fn shown(text: &str) -> &str {
    let cut = text.char_indices().nth(SHOWN_CHARS_MAX).map_or(text.len(), |(at, _)| at);
    text.get(..cut).unwrap_or(text)
}

/// A name from a file, quoted, escaped and cut, so that no file can write control characters
/// or pages of text to a terminal.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = shown(self.0);
        write!(f, "{shown:?}{}", if shown.len() < self.0.len() { "..." } else { "" })
    }
}

use Quoted as Q;

/// What a reader tells of a file, with names from the file in it: cut, and with control characters
/// escaped once more, in case a name was not.
struct Told<'a>(&'a str);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = shown(self.0);
        for part in shown.split_inclusive(char::is_control) {
            let mut chars = part.chars();
            match chars.next_back().filter(|last| last.is_control()) {
                Some(last) => write!(f, "{}{}", chars.as_str(), last.escape_default())?,
                None => f.write_str(part)?,
            }
        }
        f.write_str(if shown.len() < self.0.len() { "..." } else { "" })
    }
}

const DOWNLOAD_AGAIN: &str = "the file is damaged or incomplete: fetch it again";
const WRITE_AGAIN: &str = "write the file again with a conforming writer";
const FIX_INDEX: &str = "the index and the shards are not of one model: fetch both again";

fn first_byte(found: Option<u8>) -> String {
    found.map_or("an empty header".to_owned(), |byte| format!("'{}'", byte.escape_ascii()))
}

fn at_key(key: &Option<String>) -> String {
    key.as_ref().map(|key| format!(" at key {}", Q(key))).unwrap_or_default()
}

/// Faults with their causes, and how many more there are.
fn all(faults: &[InterchangeError], more: u64) -> String {
    let mut told = faults.iter().map(|fault| full_message(fault)).collect::<Vec<_>>().join("; ");
    if more > 0 {
        told += &format!("; and {more} more");
    }
    told
}

/// Some of the names, and how many more there are.
fn named(names: &[String]) -> String {
    const NAMED_MAX: usize = 5;
    let shown = names.iter().take(NAMED_MAX).map(|name| Q(name).to_string());
    let shown = shown.collect::<Vec<String>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn shard_or_none(found: &Option<String>) -> String {
    found.as_ref().map_or("no shard".to_owned(), |shard| format!("shard {}", Q(shard)))
}
