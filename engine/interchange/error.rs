use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::limits::{DTYPE_NAME_LEN_MAX, HEADER_LEN_MAX, NAME_LEN_MAX};
use super::limits::{INDEX_LEN_MAX, SHARDS_MAX};
use crate::tensor::{Dtype, RANK_MAX, Shape};

/// Why a model file, or a set of them, is not taken.
///
/// One variant a rule. "Offset" without more is a byte offset in the file named; `begin` and
/// `end` are relative to the data buffer that follows the header, as in the header itself.
/// [`InterchangeError::is_malformed`] tells a file that breaks the format from a mistake in
/// what was asked for, which a user can put right without touching any file's content.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are named by what they hold, see the type's docs")]
pub enum InterchangeError {
    /// There is nothing at the path.
    NotFound { path: PathBuf, source: io::Error },
    /// The operating system failed to open or read the file.
    Io { path: PathBuf, action: &'static str, source: io::Error },
    /// The path leads to a folder, a pipe, a device: not to a regular file.
    NotRegularFile { path: PathBuf, found: &'static str },
    /// The folder holds no `*.safetensors.index.json`.
    NoIndex { folder: PathBuf },
    /// The folder holds more than one `*.safetensors.index.json`.
    SeveralIndexes { folder: PathBuf, first: String, second: String },
    /// The index file's own name is not UTF-8, so it cannot be kept.
    IndexNameNotUtf8 { path: PathBuf },
    /// A shard that the index names is not beside it.
    MissingShard { index: PathBuf, shard: String, tensor: String },

    /// The file is not ONNX, or breaks its rules.
    MalformedOnnx { file: PathBuf, offset: u64, detail: String },

    /// The file is shorter than the 8-byte header length it must start with.
    FileTooShort { file: PathBuf, found: u64 },
    /// The header length is more than the format allows.
    HeaderTooLarge { file: PathBuf, found: u64 },
    /// The header would end past the end of the file.
    HeaderPastEnd { file: PathBuf, header_len: u64, file_len: u64 },
    /// The header is not UTF-8.
    HeaderNotUtf8 { file: PathBuf, offset: u64 },
    /// The header does not start with `{`.
    HeaderNotObject { file: PathBuf, found: Option<u8> },
    /// The header is not JSON.
    HeaderNotJson { file: PathBuf, offset: u64, detail: String },
    /// A tensor's entry lacks a field, has it twice, or has one of another type.
    MalformedEntry { file: PathBuf, tensor: String, offset: u64, detail: String },
    /// `__metadata__` is not an object of strings.
    MetadataNotStrings { file: PathBuf, key: Option<String>, offset: u64, detail: String },
    /// `__metadata__` stands twice.
    DuplicateMetadata { file: PathBuf },
    /// A tensor's name is the empty string.
    EmptyName { file: PathBuf, entry: u64 },
    /// A tensor's name is too long.
    NameTooLong { file: PathBuf, starts_with: String, found: usize },
    /// Two entries have one name, maybe spelled with different escapes.
    DuplicateName { file: PathBuf, tensor: String },
    /// The name of an element type is empty or too long.
    DtypeNameLength { file: PathBuf, tensor: String, found: usize },
    /// A dimension or an offset is below zero.
    NegativeNumber { file: PathBuf, tensor: String, field: &'static str, found: i64 },
    /// A dimension or an offset has a fraction, an exponent, or does not fit 64 bits.
    NotWholeNumber { file: PathBuf, tensor: String, field: &'static str, found: f64 },
    /// A shape has too many dimensions.
    TooManyDimensions { file: PathBuf, tensor: String, found: usize },
    /// The product of the dimensions, or the bits they need, overflow.
    ShapeOverflow { file: PathBuf, tensor: String, dtype: Dtype, dims: Vec<u64> },
    /// A tensor of a sub-byte type does not fill whole bytes.
    PartialByte { file: PathBuf, tensor: String, dtype: Dtype, shape: Shape, bits: u64 },
    /// A tensor's range is not as long as its shape and type need.
    #[rustfmt::skip]
    LengthMismatch {
        file: PathBuf, tensor: String, dtype: Dtype, shape: Shape,
        begin: u64, expected: u64, found: u64,
    },
    /// A tensor's range ends before it begins.
    OffsetsReversed { file: PathBuf, tensor: String, begin: u64, end: u64 },
    /// A tensor's range ends past the end of the file.
    PastEnd { file: PathBuf, tensor: String, begin: u64, end: u64, buffer_len: u64 },
    /// A tensor's range begins inside another's.
    Overlap { file: PathBuf, tensor: String, begin: u64, other: String, other_end: u64 },
    /// The tensors up to this one claim more bytes than there are, so some overlap.
    Overcommitted { file: PathBuf, tensor: String, begin: u64, end: u64, buffer_len: u64 },
    /// No tensor covers the bytes before this one.
    Hole { file: PathBuf, tensor: String, begin: u64, expected: u64 },
    /// No tensor covers the bytes at the end of the file.
    TrailingBytes { file: PathBuf, covered: u64, buffer_len: u64 },

    /// The index is larger than any index has cause to be.
    IndexTooLarge { index: PathBuf, found: u64 },
    /// The index is not JSON, or not an object.
    IndexNotJson { index: PathBuf, offset: u64, detail: String },
    /// The index has no `weight_map`.
    WeightMapMissing { index: PathBuf },
    /// The index has `weight_map` twice.
    DuplicateWeightMap { index: PathBuf },
    /// `weight_map` is not an object of strings.
    WeightMapNotStrings { index: PathBuf, tensor: Option<String>, offset: u64, detail: String },
    /// `weight_map` lists one tensor twice, maybe spelled with different escapes.
    DuplicateWeight { index: PathBuf, tensor: String },
    /// A shard's name is more than the name of a file beside the index.
    ShardNameNotPlain { index: PathBuf, tensor: String, shard: String },
    /// The index names too many shards.
    TooManyShards { index: PathBuf, tensor: String, shard: String },
    /// A shard has a tensor that the index does not list.
    UnlistedTensor { index: PathBuf, shard: String, tensor: String },
    /// The shard that the index names for a tensor does not have it.
    TensorNotInShard { index: PathBuf, shard: String, tensor: String, found_in: Option<String> },
    /// Two shards have one tensor.
    TensorInTwoShards { index: PathBuf, tensor: String, first: String, second: String },
}

impl InterchangeError {
    /// Whether the content of a file breaks the format, as against a path that leads to
    /// nothing, to the wrong thing, or to something the system will not read.
    pub fn is_malformed(&self) -> bool {
        use InterchangeError as E;
        !matches!(
            self,
            E::NotFound { .. }
                | E::Io { .. }
                | E::NotRegularFile { .. }
                | E::NoIndex { .. }
                | E::SeveralIndexes { .. }
                | E::IndexNameNotUtf8 { .. }
                | E::MissingShard { .. }
        )
    }

    /// An error of the operating system at `path` while it was to `action`.
    pub(super) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => InterchangeError::NotFound { path, source },
            _ => InterchangeError::Io { path, action, source },
        }
    }
}

impl Error for InterchangeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            InterchangeError::NotFound { source, .. } | InterchangeError::Io { source, .. } => {
                Some(source)
            }
            _ => None,
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
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = shown(self.0);
        write!(f, "{shown:?}{}", if shown.len() < self.0.len() { "..." } else { "" })
    }
}

use Quoted as Q;

const DOWNLOAD_AGAIN: &str = "the file is damaged or incomplete: fetch it again";
const WRITE_AGAIN: &str = "write the file again with a conforming writer";
const FIX_INDEX: &str = "the index and the shards are not of one model: fetch both again";

impl fmt::Display for InterchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_request(f)
            .or_else(|| self.fmt_header(f))
            .or_else(|| self.fmt_entry(f))
            .or_else(|| self.fmt_layout(f))
            .or_else(|| self.fmt_index(f))
            .unwrap_or_else(|| write!(f, "{self:?}"))
    }
}

/// The messages, by family; each gives `None` for the variants of the other families.
impl InterchangeError {
    fn fmt_request(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        use InterchangeError as E;
        Some(match self {
            E::NotFound { path, .. } => write!(f, "{path:?} does not exist: check the path"),
            E::Io { path, action, source } => {
                write!(f, "cannot {action} {path:?}: {}", crate::container::io_reason(source))
            }
            E::NotRegularFile { path, found } => write!(
                f,
                "{path:?} is {found}, expected a regular file: name a .safetensors file or an \
                 index"
            ),
            E::NoIndex { folder } => write!(
                f,
                "folder {folder:?} holds no *.safetensors.index.json, expected exactly one: name \
                 a .safetensors file, or a folder with its index"
            ),
            E::SeveralIndexes { folder, first, second } => write!(
                f,
                "folder {folder:?} holds more than one index, {} and {}, expected exactly one: \
                 name the index itself",
                Q(first),
                Q(second)
            ),
            E::IndexNameNotUtf8 { path } => {
                write!(f, "the file name of index {path:?} is not UTF-8: rename it")
            }
            E::MissingShard { index, shard, tensor } => write!(
                f,
                "{index:?}: shard {}, expected beside the index for tensor {}, does not exist: \
                 fetch the missing shard",
                Q(shard),
                Q(tensor)
            ),
            E::MalformedOnnx { file, offset, detail } => {
                write!(f, "{file:?}: offset {offset}: {}: {DOWNLOAD_AGAIN}", Q(detail))
            }
            _ => return None,
        })
    }

    fn fmt_header(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        use InterchangeError as E;
        Some(match self {
            E::FileTooShort { file, found } => write!(
                f,
                "{file:?}: {found} bytes, expected at least the 8 of the header length: \
                 {DOWNLOAD_AGAIN}"
            ),
            E::HeaderTooLarge { file, found } => write!(
                f,
                "{file:?}: offset 0: header length {found}, expected at most {HEADER_LEN_MAX}: \
                 this is no safetensors file, or a damaged one"
            ),
            E::HeaderPastEnd { file, header_len, file_len } => write!(
                f,
                "{file:?}: offset 0: header length {header_len}, expected at most {} in a file \
                 of {file_len} bytes: {DOWNLOAD_AGAIN}",
                file_len.saturating_sub(8)
            ),
            E::HeaderNotUtf8 { file, offset } => write!(
                f,
                "{file:?}: offset {offset}: expected UTF-8 in the header, found a byte that is \
                 not: {DOWNLOAD_AGAIN}"
            ),
            E::HeaderNotObject { file, found } => {
                write!(f, "{file:?}: offset 8: expected the header to start with '{{', found ")
                    .and_then(|()| match found {
                        Some(byte) => write!(f, "'{}'", byte.escape_ascii()),
                        None => write!(f, "an empty header"),
                    })
                    .and_then(|()| write!(f, ": {WRITE_AGAIN}"))
            }
            E::HeaderNotJson { file, offset, detail } => write!(
                f,
                "{file:?}: offset {offset}: expected JSON in the header, found an error: \
                 {detail}: {DOWNLOAD_AGAIN}"
            ),
            E::MetadataNotStrings { file, key, offset, detail } => {
                write!(f, "{file:?}: offset {offset}: __metadata__")
                    .and_then(|()| key.iter().try_for_each(|key| write!(f, " at key {}", Q(key))))
                    .and_then(|()| {
                        write!(f, ": expected an object of strings: {detail}: {WRITE_AGAIN}")
                    })
            }
            E::DuplicateMetadata { file } => write!(
                f,
                "{file:?}: expected __metadata__ once, found it twice in the header: {WRITE_AGAIN}"
            ),
            _ => return None,
        })
    }

    fn fmt_entry(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        use InterchangeError as E;
        Some(match self {
            E::MalformedEntry { file, tensor, offset, detail } => write!(
                f,
                "{file:?}: tensor {}: offset {offset}: expected dtype, shape and data_offsets: \
                 {detail}: {WRITE_AGAIN}",
                Q(tensor)
            ),
            E::EmptyName { file, entry } => write!(
                f,
                "{file:?}: entry {entry} of the header: expected a tensor's name, found the \
                 empty string: name the tensor"
            ),
            E::NameTooLong { file, starts_with, found } => write!(
                f,
                "{file:?}: tensor {}...: expected a name of at most {NAME_LEN_MAX} bytes, found \
                 {found}: shorten it",
                Q(starts_with)
            ),
            E::DuplicateName { file, tensor } => write!(
                f,
                "{file:?}: tensor {}: expected every name once, found it twice in the header: \
                 rename one of the two",
                Q(tensor)
            ),
            E::DtypeNameLength { file, tensor, found } => write!(
                f,
                "{file:?}: tensor {}: expected a dtype name of 1 to {DTYPE_NAME_LEN_MAX} bytes, \
                 found {found}: {WRITE_AGAIN}",
                Q(tensor)
            ),
            E::NegativeNumber { file, tensor, field, found } => write!(
                f,
                "{file:?}: tensor {}: {field}: expected a whole number from 0, found {found}: \
                 {WRITE_AGAIN}",
                Q(tensor)
            ),
            E::NotWholeNumber { file, tensor, field, found } => write!(
                f,
                "{file:?}: tensor {}: {field}: expected a whole number below 2^64, found \
                 {found:?}: {WRITE_AGAIN}",
                Q(tensor)
            ),
            E::TooManyDimensions { file, tensor, found } => write!(
                f,
                "{file:?}: tensor {}: expected a shape of at most {RANK_MAX} dimensions, found \
                 {found}: reshape the tensor",
                Q(tensor)
            ),
            E::ShapeOverflow { file, tensor, dtype, dims } => write!(
                f,
                "{file:?}: tensor {}: expected a number of elements and bits below 2^63, found \
                 {} of shape {dims:?}: {WRITE_AGAIN}",
                Q(tensor),
                dtype.name().escape_debug()
            ),
            E::PartialByte { file, tensor, dtype, shape, bits } => write!(
                f,
                "{file:?}: tensor {}: expected whole bytes, found {bits} bits for {} of shape \
                 {shape}: pad the tensor",
                Q(tensor),
                dtype.name().escape_debug()
            ),
            _ => return None,
        })
    }

    fn fmt_layout(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        use InterchangeError as E;
        Some(match self {
            E::LengthMismatch { file, tensor, dtype, shape, begin, expected, found } => write!(
                f,
                "{file:?}: tensor {}: data offset {begin}: expected {expected} bytes for {} of \
                 shape {shape}, found {found}: {WRITE_AGAIN}",
                Q(tensor),
                dtype.name().escape_debug()
            ),
            E::OffsetsReversed { file, tensor, begin, end } => write!(
                f,
                "{file:?}: tensor {}: data offset {begin}: expected an end at or after the \
                 begin, found {end}: {WRITE_AGAIN}",
                Q(tensor)
            ),
            E::PastEnd { file, tensor, begin, end, buffer_len } => write!(
                f,
                "{file:?}: tensor {}: data offset {begin}: expected an end within the \
                 {buffer_len} bytes after the header, found {end}: {DOWNLOAD_AGAIN}",
                Q(tensor)
            ),
            E::Overlap { file, tensor, begin, other, other_end } => write!(
                f,
                "{file:?}: tensor {}: expected it to begin at or after data offset {other_end}, \
                 where tensor {} ends, found {begin}: the two overlap, {WRITE_AGAIN}",
                Q(tensor),
                Q(other)
            ),
            E::Overcommitted { file, tensor, begin, end, buffer_len } => write!(
                f,
                "{file:?}: tensor {}: data offset {begin} to {end}: expected tensors of at most \
                 {buffer_len} bytes together, found more with this one: tensors overlap, \
                 {WRITE_AGAIN}",
                Q(tensor)
            ),
            E::Hole { file, tensor, begin, expected } => write!(
                f,
                "{file:?}: tensor {}: expected it to begin at data offset {expected}, found \
                 {begin}: no tensor covers the bytes between, {WRITE_AGAIN}",
                Q(tensor)
            ),
            E::TrailingBytes { file, covered, buffer_len } => write!(
                f,
                "{file:?}: expected {covered} bytes after the header, found {buffer_len}: no \
                 tensor covers the trailing bytes, {WRITE_AGAIN}"
            ),
            _ => return None,
        })
    }

    fn fmt_index(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        use InterchangeError as E;
        Some(match self {
            E::IndexTooLarge { index, found } => write!(
                f,
                "{index:?}: expected an index of at most {INDEX_LEN_MAX} bytes, found {found}: \
                 this is no index of a model"
            ),
            E::IndexNotJson { index, offset, detail } => write!(
                f,
                "{index:?}: offset {offset}: expected a JSON object, found an error: {detail}: \
                 {DOWNLOAD_AGAIN}"
            ),
            E::WeightMapMissing { index } => write!(
                f,
                "{index:?}: expected a weight_map, found none: this is no index of a model"
            ),
            E::DuplicateWeightMap { index } => {
                write!(f, "{index:?}: expected weight_map once, found it twice: {FIX_INDEX}")
            }
            E::WeightMapNotStrings { index, tensor, offset, detail } => {
                write!(f, "{index:?}: offset {offset}: weight_map")
                    .and_then(|()| tensor.iter().try_for_each(|t| write!(f, " at key {}", Q(t))))
                    .and_then(|()| {
                        write!(f, ": expected an object of strings: {detail}: {FIX_INDEX}")
                    })
            }
            E::DuplicateWeight { index, tensor } => write!(
                f,
                "{index:?}: tensor {}: expected every name once, found it twice in weight_map: \
                 {FIX_INDEX}",
                Q(tensor)
            ),
            E::ShardNameNotPlain { index, tensor, shard } => write!(
                f,
                "{index:?}: tensor {}: expected the plain name of a file beside the index, found \
                 {}: {FIX_INDEX}",
                Q(tensor),
                Q(shard)
            ),
            E::TooManyShards { index, tensor, shard } => write!(
                f,
                "{index:?}: tensor {}: expected at most {SHARDS_MAX} shards, found one more, {}: \
                 write the model in fewer shards",
                Q(tensor),
                Q(shard)
            ),
            E::UnlistedTensor { index, shard, tensor } => write!(
                f,
                "{index:?}: expected every tensor of shard {} in weight_map, found tensor {} \
                 that is not: {FIX_INDEX}",
                Q(shard),
                Q(tensor)
            ),
            E::TensorNotInShard { index, shard, tensor, found_in } => write!(
                f,
                "{index:?}: expected tensor {} in shard {}, found it ",
                Q(tensor),
                Q(shard)
            )
            .and_then(|()| match found_in {
                Some(other) => write!(f, "in shard {}", Q(other)),
                None => write!(f, "in no shard"),
            })
            .and_then(|()| write!(f, ": {FIX_INDEX}")),
            E::TensorInTwoShards { index, tensor, first, second } => write!(
                f,
                "{index:?}: tensor {}: expected it in one shard, found it in {} and {}: \
                 {FIX_INDEX}",
                Q(tensor),
                Q(first),
                Q(second)
            ),
            _ => return None,
        })
    }
}
