//! The JSON of a header, read as a stream: no tree of it is ever built.
//!
//! Invariants: an entry is checked and taken before the next one is read; names are compared
//! after their escapes are resolved; what the reference implementation takes for an entry is
//! taken here, save for the rules that are ours: see [`super`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::entry::TensorEntry;
use super::json::{Refusal, Skipped, explain, is_wrong_type};
use super::layout::Layout;
use super::limits::{DTYPE_NAME_LEN_MAX, LENGTH_PREFIX_BYTES, METADATA_KEY, NAME_LEN_MAX};
use super::{InterchangeError, error::shown};
use crate::tensor::{Dtype, RANK_MAX, Shape, ShapeError};

type Metadata = BTreeMap<String, String>;

/// Reads `text`, the header of `file`: the entries into `layout`, the metadata as the result.
pub(super) fn read(
    file: &Path,
    text: &str,
    layout: &mut Layout<'_>,
) -> Result<Metadata, InterchangeError> {
    let context = Context { file, refusal: Refusal::default(), part: RefCell::default() };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = json
        .deserialize_map(HeaderVisitor { context: &context, layout })
        .and_then(|metadata| json.end().map(|()| metadata));
    let error = match read {
        Ok(metadata) => return Ok(metadata),
        Err(error) => error,
    };
    let Context { refusal, part, .. } = context;
    if let Some(refusal) = refusal.into_inner() {
        return Err(refusal);
    }
    let (offset, detail) = explain(text, &error);
    let (file, offset) = (file.to_path_buf(), offset + LENGTH_PREFIX_BYTES);
    Err(match part.into_inner() {
        Part::Tensor(tensor) if is_wrong_type(&error) => {
            InterchangeError::MalformedEntry { file, tensor, offset, detail }
        }
        Part::Metadata(key) if is_wrong_type(&error) => {
            InterchangeError::MetadataNotStrings { file, key, offset, detail }
        }
        _ => InterchangeError::HeaderNotJson { file, offset, detail },
    })
}

/// The part of the header that an error is in.
#[derive(Default)]
enum Part {
    #[default]
    Whole,
    Tensor(String),
    Metadata(Option<String>),
}

struct Context<'a> {
    file: &'a Path,
    refusal: Refusal,
    part: RefCell<Part>,
}

impl Context<'_> {
    /// Notes that `error` is in `part`, unless a part within it has been noted already.
    fn blame<E>(&self, part: impl FnOnce() -> Part) -> impl FnOnce(E) -> E {
        move |error| {
            let mut noted = self.part.borrow_mut();
            if matches!(*noted, Part::Whole) {
                *noted = part();
            }
            error
        }
    }
}

struct HeaderVisitor<'a, 'f> {
    context: &'a Context<'a>,
    layout: &'a mut Layout<'f>,
}

impl<'de> Visitor<'de> for HeaderVisitor<'_, '_> {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
        let context = self.context;
        let mut metadata: Option<Option<Metadata>> = None;
        let mut entry = 0u64;
        while let Some(name) = map.next_key_seed(NameSeed { context, entry })? {
            entry += 1;
            if name != METADATA_KEY {
                let seed = EntrySeed { context, tensor: &name };
                let blame = context.blame(|| Part::Tensor(name.clone()));
                let (dtype, shape, (begin, end)) = map.next_value_seed(seed).map_err(blame)?;
                let entry = TensorEntry { name, dtype, shape, begin, end };
                self.layout.push(entry).map_err(|error| context.refusal.stop(error))?;
                continue;
            }
            if metadata.is_some() {
                let file = context.file.to_path_buf();
                return Err(context.refusal.stop(InterchangeError::DuplicateMetadata { file }));
            }
            let blame = context.blame(|| Part::Metadata(None));
            metadata = Some(map.next_value_seed(MetadataSeed { context }).map_err(blame)?);
        }
        Ok(metadata.flatten().unwrap_or_default())
    }
}

/// A tensor's name, or the key of the metadata.
struct NameSeed<'a> {
    context: &'a Context<'a>,
    entry: u64,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor's name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<String, E> {
        let file = || self.context.file.to_path_buf();
        match name.len() {
            0 => {
                let refusal = InterchangeError::EmptyName { file: file(), entry: self.entry };
                Err(self.context.refusal.stop(refusal))
            }
            1..=NAME_LEN_MAX => Ok(name.to_string()),
            found => {
                let starts_with = shown(name).to_string();
                let refusal = InterchangeError::NameTooLong { file: file(), starts_with, found };
                Err(self.context.refusal.stop(refusal))
            }
        }
    }
}

/// An object of strings, or null, which stands for none.
struct MetadataSeed<'a> {
    context: &'a Context<'a>,
}

impl<'de> DeserializeSeed<'de> for MetadataSeed<'_> {
    type Value = Option<Metadata>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MetadataSeed<'_> {
    type Value = Option<Metadata>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut metadata = Metadata::new();
        while let Some(key) = map.next_key::<String>()? {
            let blame = self.context.blame(|| Part::Metadata(Some(key.clone())));
            let value = map.next_value::<String>().map_err(blame)?;
            metadata.insert(key, value);
        }
        Ok(Some(metadata))
    }
}

type EntryFields = (Dtype, Shape, (u64, u64));

/// The value of one entry. Copied into the seeds of its fields, which name it when they refuse.
#[derive(Clone, Copy)]
struct EntrySeed<'a> {
    context: &'a Context<'a>,
    tensor: &'a str,
}

impl EntrySeed<'_> {
    fn stop<E: de::Error>(
        self,
        refusal: impl FnOnce(std::path::PathBuf, String) -> InterchangeError,
    ) -> E {
        let file = self.context.file.to_path_buf();
        self.context.refusal.stop(refusal(file, self.tensor.to_string()))
    }

    /// Puts the fields together, once all have been read.
    fn finish<E: de::Error>(
        self,
        dtype: Option<Dtype>,
        dims: Option<Dims>,
        offsets: Option<(u64, u64)>,
    ) -> Result<EntryFields, E> {
        let dtype = dtype.ok_or_else(|| E::missing_field("dtype"))?;
        let Dims(dims, found) = dims.ok_or_else(|| E::missing_field("shape"))?;
        let offsets = offsets.ok_or_else(|| E::missing_field("data_offsets"))?;
        if found > RANK_MAX {
            return Err(self.stop(|file, tensor| InterchangeError::TooManyDimensions {
                file,
                tensor,
                found,
            }));
        }
        match Shape::new(&dims) {
            Ok(shape) => Ok((dtype, shape, offsets)),
            Err(ShapeError::TooManyDimensions { found }) => Err(self
                .stop(|file, tensor| InterchangeError::TooManyDimensions { file, tensor, found })),
            Err(ShapeError::TooLarge | ShapeError::Negative | ShapeError::PartialByte { .. }) => {
                Err(self.stop(|file, tensor| InterchangeError::ShapeOverflow {
                    file,
                    tensor,
                    dtype,
                    dims,
                }))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for EntrySeed<'_> {
    type Value = EntryFields;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<EntryFields, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EntrySeed<'_> {
    type Value = EntryFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with dtype, shape and data_offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<EntryFields, A::Error> {
        let (mut dtype, mut dims, mut offsets) = (None, None, None);
        while let Some(key) = map.next_key::<Field>()? {
            match key {
                Field::Dtype if dtype.is_some() => return Err(A::Error::duplicate_field("dtype")),
                Field::Dtype => dtype = Some(map.next_value_seed(DtypeSeed(self))?),
                Field::Shape if dims.is_some() => return Err(A::Error::duplicate_field("shape")),
                Field::Shape => dims = Some(map.next_value_seed(DimsSeed(self))?),
                Field::DataOffsets if offsets.is_some() => {
                    return Err(A::Error::duplicate_field("data_offsets"));
                }
                Field::DataOffsets => offsets = Some(map.next_value_seed(OffsetsSeed(self))?),
                Field::Other => {
                    map.next_value::<Skipped>()?;
                }
            }
        }
        self.finish(dtype, dims, offsets)
    }

    /// The reference implementation takes the three fields in an array as well.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<EntryFields, A::Error> {
        let dtype = seq.next_element_seed(DtypeSeed(self))?;
        let dims = seq.next_element_seed(DimsSeed(self))?;
        let offsets = seq.next_element_seed(OffsetsSeed(self))?;
        if seq.next_element::<Skipped>()?.is_some() {
            return Err(A::Error::invalid_length(4, &self));
        }
        self.finish(dtype, dims, offsets)
    }
}

/// A field's name in an entry. Those that a later version may add are passed over.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Dtype,
    Shape,
    DataOffsets,
    #[serde(other)]
    Other,
}

struct DtypeSeed<'a>(EntrySeed<'a>);

impl<'de> DeserializeSeed<'de> for DtypeSeed<'_> {
    type Value = Dtype;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dtype, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DtypeSeed<'_> {
    type Value = Dtype;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an element type")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Dtype, E> {
        match name.len() {
            1..=DTYPE_NAME_LEN_MAX => Ok(Dtype::from_name(name)),
            found => Err(self.0.stop(|file, tensor| InterchangeError::DtypeNameLength {
                file,
                tensor,
                found,
            })),
        }
    }

    /// The reference implementation takes `{"F32": null}` for `"F32"`.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Dtype, A::Error> {
        let expected = "the name of a known element type";
        let (name, ()) = map
            .next_entry::<String, ()>()?
            .ok_or_else(|| A::Error::invalid_length(0, &expected))?;
        if map.next_entry::<Skipped, Skipped>()?.is_some() {
            return Err(A::Error::invalid_length(2, &expected));
        }
        match Dtype::from_name(&name) {
            Dtype::Unknown(_) => {
                Err(A::Error::invalid_value(de::Unexpected::Str(shown(&name)), &expected))
            }
            known => Ok(known),
        }
    }
}

/// The first dimensions of a shape, as many as allowed, and how many there are.
struct Dims(Vec<u64>, usize);

struct DimsSeed<'a>(EntrySeed<'a>);

impl<'de> DeserializeSeed<'de> for DimsSeed<'_> {
    type Value = Dims;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dims, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for DimsSeed<'_> {
    type Value = Dims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Dims, A::Error> {
        let mut dims = Dims(Vec::new(), 0);
        let number = NumberSeed { entry: self.0, field: "shape" };
        while let Some(dim) = seq.next_element_seed(number)? {
            dims.1 += 1;
            if dims.1 <= RANK_MAX {
                dims.0.push(dim);
            }
        }
        Ok(dims)
    }
}

struct OffsetsSeed<'a>(EntrySeed<'a>);

impl<'de> DeserializeSeed<'de> for OffsetsSeed<'_> {
    type Value = (u64, u64);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(u64, u64), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OffsetsSeed<'_> {
    type Value = (u64, u64);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of begin and end")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(u64, u64), A::Error> {
        let number = NumberSeed { entry: self.0, field: "data_offsets" };
        let begin = seq.next_element_seed(number)?;
        let begin = begin.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let end = seq.next_element_seed(number)?;
        let end = end.ok_or_else(|| A::Error::invalid_length(1, &self))?;
        match seq.next_element::<Skipped>()? {
            None => Ok((begin, end)),
            Some(_) => Err(A::Error::invalid_length(3, &self)),
        }
    }
}

/// A whole number from 0, written as one: `4.0` and `4e0` are refused as the reference does.
#[derive(Clone, Copy)]
struct NumberSeed<'a> {
    entry: EntrySeed<'a>,
    field: &'static str,
}

impl<'de> DeserializeSeed<'de> for NumberSeed<'_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_u64(self)
    }
}

impl Visitor<'_> for NumberSeed<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from 0")
    }

    fn visit_u64<E>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: de::Error>(self, found: i64) -> Result<u64, E> {
        let field = self.field;
        Err(self.entry.stop(|file, tensor| InterchangeError::NegativeNumber {
            file,
            tensor,
            field,
            found,
        }))
    }

    fn visit_f64<E: de::Error>(self, found: f64) -> Result<u64, E> {
        let field = self.field;
        Err(self.entry.stop(|file, tensor| InterchangeError::NotWholeNumber {
            file,
            tensor,
            field,
            found,
        }))
    }
}
