//! The manifest of a model: its files, how their tensors are woven into them, and what it has.

use std::sync::Arc;

use super::tensor_list::TensorListBuilder;
use super::view_list::{ManifestView, ViewList};
use super::{
    ByteReader, ByteWriter, FileFormat, FormatError, ManifestTensor, PackedBytes, TensorList,
};
use crate::tensor::{ContentId, Dtype, Shape};

/// The highest version of the manifest's layout. A manifest is written as version 1 where that has
/// room for all that it says.
pub const MANIFEST_VERSION: u16 = 2;

/// Bit of a manifest of version 2: the model is one file, known by its own path alone.
const SINGLE: u16 = 1;

/// The bytes of a file that belong to no tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skeleton {
    /// A safetensors header, kept here without its length; empty where there was no file. All
    /// tensors come after it. Version 1.
    Header(PackedBytes),
    /// A content of its own, in [`Manifest::skeletons`] at the place of this part. Version 2.
    Woven {
        /// For each tensor, the bytes of the skeleton between it and what is before it.
        gaps: Arc<[u64]>,
    },
}

impl Default for Skeleton {
    fn default() -> Self {
        Skeleton::Header(PackedBytes::default())
    }
}

/// One file of a model, or the whole of one that came without a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestPart {
    /// The file's path in the model's folder, its parts joined by `/`. Version 1: the shard's file
    /// name; empty for a single file.
    pub path: String,
    /// What the file was read as.
    pub format: FileFormat,
    /// Whether its tensors are the model's own, as against those of an optimizer or of another
    /// copy of the weights, whose names begin with the path.
    pub is_weights: bool,
    /// Its other bytes.
    pub skeleton: Skeleton,
    /// How many of the manifest's tensors belong to this part, in order.
    pub tensor_count: u32,
}

/// A safetensors file, as version 1 has them.
impl Default for ManifestPart {
    fn default() -> Self {
        ManifestPart {
            path: String::new(),
            format: FileFormat::Safetensors,
            is_weights: true,
            skeleton: Skeleton::default(),
            tensor_count: 0,
        }
    }
}

/// What a model is made of.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Manifest {
    /// Version 1: file name of a sharded model's index; empty otherwise.
    pub index_name: String,
    /// Version 1: the index file's own bytes; empty otherwise.
    pub index: Vec<u8>,
    /// Version 2: whether the model is one file, known by its own path alone.
    pub is_single: bool,
    /// The files, in order; one for a model that is not sharded.
    pub parts: Vec<ManifestPart>,
    /// All tensors, part by part, each part's in the order of their bytes.
    pub tensors: TensorList,
    /// The skeletons of woven parts, in the order of the parts, each by the path of its part.
    pub skeletons: TensorList,
    /// Other names for tensors and parts of them.
    pub views: ViewList,
}

/// What skeletons are in lists of contents: bytes.
static SKELETON_DTYPE: Dtype = Dtype::U8;

impl Manifest {
    const WHAT: &str = "manifest";

    /// Uses the columns and headers of another manifest where they are the same.
    pub(crate) fn share(&mut self, other: &Manifest) {
        self.tensors.share(&other.tensors);
        self.skeletons.share(&other.skeletons);
        for (part, other) in self.parts.iter_mut().zip(&other.parts) {
            if part.skeleton == other.skeleton {
                part.skeleton = other.skeleton.clone();
            }
        }
    }

    /// The version that it is written as.
    pub fn version(&self) -> u16 {
        let woven = |part: &ManifestPart| matches!(part.skeleton, Skeleton::Woven { .. });
        let as_before = !self.parts.iter().any(woven) && self.views.is_empty() && !self.is_single;
        if as_before { 1 } else { MANIFEST_VERSION }
    }

    /// Whether it is exported as a folder, as against a file.
    pub fn is_folder(&self) -> bool {
        !self.index_name.is_empty() || (self.version() > 1 && !self.is_single)
    }

    /// All contents that the model needs: its tensors, then the skeletons of its files.
    pub fn contents(&self) -> impl ExactSizeIterator<Item = ManifestTensor<'_>> {
        let tensors = self.tensors.len();
        (0..tensors + self.skeletons.len()).map(move |at| {
            let skeleton = || self.skeletons.get(at.checked_sub(tensors)?);
            // One of both has a place below the sum of their lengths.
            self.tensors.get(at).or_else(skeleton).unwrap_or_else(|| unreachable!())
        })
    }

    /// The parts, each with the place of its first tensor.
    pub fn parts_with_places(&self) -> impl Iterator<Item = (&ManifestPart, usize)> {
        self.parts.iter().scan(0usize, |next, part| {
            let first = *next;
            *next = next.saturating_add(part.tensor_count as usize);
            Some((part, first))
        })
    }

    /// How many tensors are the model's own: those of its files of weights, which come first.
    pub fn weights(&self) -> usize {
        let weights = self.parts.iter().take_while(|part| part.is_weights);
        weights.map(|part| part.tensor_count as usize).sum()
    }

    /// The manifest's bytes.
    ///
    /// # Errors
    ///
    /// A name longer than 65,535 bytes or a header of 4 GiB does not fit its field; some parts are
    /// woven and others not.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let parts = self.parts.iter().map(|part| match &part.skeleton {
            Skeleton::Header(header) => 16 + part.path.len() + header.len(),
            Skeleton::Woven { gaps } => 64 + part.path.len() + 8 * gaps.len(),
        });
        let tensors = self.tensors.iter().map(|tensor| {
            64 + tensor.name.len() + 8 * tensor.shape.rank() + tensor.dtype.name().len()
        });
        let room = parts.chain(tensors).fold(64 + self.index.len(), usize::saturating_add);
        let mut out = ByteWriter::with_capacity(room);
        match self.version() {
            1 => self.encode_files_1(&mut out)?,
            _ => self.encode_files_2(&mut out)?,
        }
        for tensor in &self.tensors {
            out.text(Self::WHAT, tensor.name)?;
            encode_type(&mut out, tensor.dtype)?;
            out.u8(tensor.shape.rank() as u8);
            tensor.shape.dims().iter().for_each(|dim| _ = out.u64(*dim));
            out.u64(tensor.byte_len).put(tensor.content_id.as_bytes());
        }
        for view in self.views.iter() {
            out.text(Self::WHAT, &view.name)?.u32(view.tensor).u64(view.offset);
            encode_type(&mut out, &view.dtype)?;
            out.u8(view.shape.rank() as u8);
            view.shape.dims().iter().for_each(|dim| _ = out.u64(*dim));
            view.strides.iter().for_each(|stride| _ = out.u64(*stride));
        }
        Ok(out.into_bytes())
    }

    /// Header and parts as in version 1.
    fn encode_files_1(&self, out: &mut ByteWriter) -> Result<(), FormatError> {
        out.u16(1).u16(0);
        out.u32(self.parts.len() as u32).u32(self.tensors.len() as u32);
        out.text(Self::WHAT, &self.index_name)?.blob(Self::WHAT, &self.index)?;
        for part in &self.parts {
            let Skeleton::Header(header) = &part.skeleton else { continue };
            out.text(Self::WHAT, &part.path)?.blob_len(Self::WHAT, header.len())?;
            header.pieces().for_each(|piece| _ = out.put(&piece));
            out.u32(part.tensor_count);
        }
        Ok(())
    }

    /// Header and parts as in version 2.
    fn encode_files_2(&self, out: &mut ByteWriter) -> Result<(), FormatError> {
        out.u16(2).u16(if self.is_single { SINGLE } else { 0 });
        out.u32(self.parts.len() as u32).u32(self.tensors.len() as u32);
        out.u32(self.views.len() as u32);
        let mut skeletons = self.skeletons.iter();
        for part in &self.parts {
            let (Skeleton::Woven { gaps }, Some(skeleton)) = (&part.skeleton, skeletons.next())
            else {
                let found = "a header in the manifest";
                return Err(FormatError::new("manifest part", 0, "a skeleton of its own", found));
            };
            out.text(Self::WHAT, &part.path)?;
            out.u8(part.format.code()).u8(u8::from(part.is_weights));
            out.u64(skeleton.byte_len).put(skeleton.content_id.as_bytes());
            out.u32(part.tensor_count);
            gaps.iter().for_each(|gap| _ = out.u64(*gap));
        }
        Ok(())
    }

    /// Reads a manifest. Memory is bounded by the length of `bytes`.
    ///
    /// # Errors
    ///
    /// Says which field is wrong; trailing bytes, a length that disagrees with type and shape and
    /// part counts that do not add up are errors.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = ByteReader::new(Self::WHAT, bytes);
        let version = input.u16()?;
        let (mut manifest, tensor_count, view_count) = match version {
            1 => Self::decode_files_1(&mut input)?,
            2 => Self::decode_files_2(&mut input)?,
            _ => {
                let expected = format!("1 to {MANIFEST_VERSION}");
                return Err(FormatError::new("manifest version", 0, expected, version));
            }
        };
        let counted: u64 = manifest.parts.iter().map(|part| u64::from(part.tensor_count)).sum();
        if counted != u64::from(tensor_count) {
            let at = input.position();
            return Err(FormatError::new("manifest parts", at, tensor_count, counted));
        }
        let mut tensors = TensorListBuilder::default();
        for _ in 0..tensor_count {
            Self::decode_tensor(&mut input, &mut tensors)?;
        }
        manifest.tensors = tensors.finish();
        let mut views = Vec::new();
        for _ in 0..view_count {
            views.push(Self::decode_view(&mut input, &manifest.tensors)?);
        }
        manifest.views = views.into_iter().collect();
        input.finish()?;
        Ok(manifest)
    }

    fn decode_files_1(input: &mut ByteReader<'_>) -> Result<(Self, u32, u32), FormatError> {
        input.reserved(2)?;
        let part_count = input.u32()?;
        let tensor_count = input.u32()?;
        let index_name = input.text()?.to_owned();
        let index = input.blob()?.to_vec();
        let mut parts = Vec::new();
        for _ in 0..part_count {
            parts.push(ManifestPart {
                path: input.text()?.to_owned(),
                skeleton: Skeleton::Header(input.blob()?.into()),
                tensor_count: input.u32()?,
                ..ManifestPart::default()
            });
        }
        Ok((Manifest { index_name, index, parts, ..Manifest::default() }, tensor_count, 0))
    }

    fn decode_files_2(input: &mut ByteReader<'_>) -> Result<(Self, u32, u32), FormatError> {
        let flags = input.u16()?;
        if flags & !SINGLE != 0 {
            return Err(FormatError::new("manifest flags", 2, "0 or 1", flags));
        }
        let (part_count, tensor_count, view_count) = (input.u32()?, input.u32()?, input.u32()?);
        let (mut parts, mut skeletons) = (Vec::new(), TensorListBuilder::default());
        let mut aside = false;
        for _ in 0..part_count {
            let at = input.position();
            let part = Self::decode_part_2(input, &mut skeletons)?;
            if part.is_weights && aside {
                let found = "weights behind another file";
                return Err(FormatError::new("manifest part", at, "weights first", found));
            }
            aside |= !part.is_weights;
            parts.push(part);
        }
        let is_single = flags & SINGLE != 0;
        if parts.is_empty() || (is_single && parts.len() != 1) {
            let expected = if is_single { "one part" } else { "a part" };
            return Err(FormatError::new("manifest parts", 4, expected, parts.len()));
        }
        let skeletons = skeletons.finish();
        let manifest = Manifest { is_single, parts, skeletons, ..Manifest::default() };
        Ok((manifest, tensor_count, view_count))
    }

    fn decode_part_2(
        input: &mut ByteReader<'_>,
        skeletons: &mut TensorListBuilder,
    ) -> Result<ManifestPart, FormatError> {
        let at = input.position();
        let wrong =
            |what, expected: &str, found: String| FormatError::new(what, at, expected, found);
        let path = input.text()?.to_owned();
        if !is_inner_path(&path) {
            let expected = "a relative path of a file, without . and ..";
            return Err(wrong("manifest path", expected, format!("{path:?}")));
        }
        let format = FileFormat::from_code(input.u8()?);
        let role = input.u8()?;
        if role > 1 {
            return Err(wrong("manifest role", "0 or 1", role.to_string()));
        }
        let byte_len = input.u64()?;
        let content_id = ContentId::from_bytes(input.array()?);
        let shape = Shape::new(&[byte_len])
            .map_err(|_| wrong("manifest skeleton", "a length below 2^63", byte_len.to_string()))?;
        skeletons.push(ManifestTensor {
            name: &path,
            dtype: &SKELETON_DTYPE,
            shape: &shape,
            byte_len,
            content_id,
        });
        let tensor_count = input.u32()?;
        let mut gaps = Vec::new();
        let mut sum = Some(0u64);
        for _ in 0..tensor_count {
            let gap = input.u64()?;
            sum = sum.and_then(|sum| sum.checked_add(gap));
            gaps.push(gap);
        }
        if sum.is_none_or(|sum| sum > byte_len) {
            let expected = format!("gaps of at most {byte_len} bytes");
            return Err(wrong("manifest gaps", &expected, "more".to_owned()));
        }
        let skeleton = Skeleton::Woven { gaps: gaps.into() };
        Ok(ManifestPart { path, format, is_weights: role == 1, skeleton, tensor_count })
    }

    fn decode_view(
        input: &mut ByteReader<'_>,
        tensors: &TensorList,
    ) -> Result<ManifestView, FormatError> {
        let at = input.position();
        let name = input.text()?.to_owned();
        let (tensor, offset) = (input.u32()?, input.u64()?);
        let dtype = decode_type(input)?;
        let shape = decode_shape(input)?;
        let mut strides = Vec::new();
        for _ in 0..shape.rank() {
            strides.push(input.u64()?);
        }
        let view = ManifestView { name, tensor, offset, dtype, shape, strides };
        let holder = tensors.get(tensor as usize);
        let end = view.span_len().and_then(|len| len.checked_add(offset));
        match (holder, end) {
            (Some(holder), Some(end)) if end <= holder.byte_len => Ok(view),
            _ => {
                let found = format!("{:?} of tensor {tensor}", view.name);
                Err(FormatError::new("manifest view", at, "a view inside a tensor", found))
            }
        }
    }

    fn decode_tensor(
        input: &mut ByteReader<'_>,
        tensors: &mut TensorListBuilder,
    ) -> Result<(), FormatError> {
        let at = input.position();
        let wrong =
            |what, expected: &str, found: String| FormatError::new(what, at, expected, found);
        let name = input.text()?;
        let dtype = decode_type(input)?;
        let shape = decode_shape(input)?;
        let byte_len = input.u64()?;
        let expected = dtype
            .byte_len(&shape)
            .map_err(|error| wrong("manifest shape", "whole bytes", error.to_string()))?;
        if expected.is_some_and(|expected| expected != byte_len) {
            let expected = format!("{expected:?} bytes for {dtype} {shape}");
            return Err(wrong("manifest tensor length", &expected, byte_len.to_string()));
        }
        let content_id = ContentId::from_bytes(input.array()?);
        tensors.push(ManifestTensor { name, dtype: &dtype, shape: &shape, byte_len, content_id });
        Ok(())
    }
}

/// Whether a path is that of a file inside of a folder: parts joined by `/`, none empty, `.` or
/// `..`, without control characters' zero byte. Such a path never leads out of the folder.
pub fn is_inner_path(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

fn encode_type(out: &mut ByteWriter, dtype: &Dtype) -> Result<(), FormatError> {
    out.u8(dtype.code());
    if let Dtype::Unknown(label) = dtype {
        out.text(Manifest::WHAT, label)?;
    }
    Ok(())
}

fn decode_type(input: &mut ByteReader<'_>) -> Result<Dtype, FormatError> {
    let at = input.position();
    match input.u8()? {
        Dtype::UNKNOWN_CODE => Ok(Dtype::Unknown(input.text()?.into())),
        code => Dtype::from_code(code)
            .ok_or_else(|| FormatError::new("manifest dtype", at, "a known code", code)),
    }
}

fn decode_shape(input: &mut ByteReader<'_>) -> Result<Shape, FormatError> {
    let at = input.position();
    let rank = input.u8()?;
    let mut dims = Vec::new();
    for _ in 0..rank {
        dims.push(input.u64()?);
    }
    Shape::new(&dims).map_err(|error| FormatError::new("manifest shape", at, "a shape", error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn part(path: &str, header: &[u8]) -> ManifestPart {
        let skeleton = Skeleton::Header(header.into());
        ManifestPart { path: path.into(), skeleton, tensor_count: 1, ..ManifestPart::default() }
    }

    #[test]
    fn round_trip_and_every_truncation_is_found() {
        let manifest = Manifest {
            index_name: "model.safetensors.index.json".into(),
            index: b"{}".to_vec(),
            parts: vec![part("a", b"{h}"), part("b", b"")],
            tensors: [
                ManifestTensor {
                    name: "w",
                    dtype: &Dtype::F32,
                    shape: &Shape::new(&[2, 3]).unwrap(),
                    byte_len: 24,
                    content_id: ContentId::of(b"w"),
                },
                ManifestTensor {
                    name: "odd",
                    dtype: &Dtype::from_name("F128"),
                    shape: &Shape::new(&[]).unwrap(),
                    byte_len: 16,
                    content_id: ContentId::of(b"odd"),
                },
            ]
            .into_iter()
            .collect(),
            ..Manifest::default()
        };
        assert_eq!((manifest.version(), manifest.is_folder(), manifest.weights()), (1, true, 2));
        let bytes = manifest.encode().unwrap();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        for len in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..len]).is_err(), "length {len}");
        }
    }

    fn woven() -> Manifest {
        let shape = |dims: &[u64]| Shape::new(dims).unwrap();
        let content = |name, dtype, shape, byte_len| ManifestTensor {
            name,
            dtype,
            shape,
            byte_len,
            content_id: ContentId::of(&[byte_len as u8]),
        };
        let (matrix, lens) = (shape(&[2, 3]), [shape(&[40]), shape(&[7]), shape(&[0])]);
        let paths = ["model.pt", "a/optimizer.pt", "a/README.md"];
        let skeletons = paths
            .iter()
            .zip(&lens)
            .map(|(path, len)| content(path, &SKELETON_DTYPE, len, len.elements()));
        let part = |at: usize, format, is_weights, gaps: &[u64]| ManifestPart {
            path: paths[at].to_owned(),
            format,
            is_weights,
            skeleton: Skeleton::Woven { gaps: gaps.into() },
            tensor_count: gaps.len() as u32,
        };
        let view = ManifestView {
            name: "w.T".to_owned(),
            tensor: 0,
            offset: 0,
            dtype: Dtype::F32,
            shape: shape(&[3, 2]),
            strides: vec![1, 3],
        };
        Manifest {
            parts: vec![
                part(0, FileFormat::PyTorch, true, &[30, 0]),
                part(1, FileFormat::PyTorch, false, &[7]),
                part(2, FileFormat::Unknown(99), false, &[]),
            ],
            tensors: ["w", "v", "a/optimizer.pt:m"]
                .map(|name| content(name, &Dtype::F32, &matrix, 24))
                .into_iter()
                .collect(),
            skeletons: skeletons.collect(),
            views: [view].into_iter().collect(),
            ..Manifest::default()
        }
    }

    #[test]
    fn files_with_skeletons_round_trip_and_every_truncation_is_found() {
        let manifest = woven();
        assert_eq!((manifest.version(), manifest.is_folder(), manifest.weights()), (2, true, 2));
        assert_eq!(manifest.contents().count(), 6);
        let bytes = manifest.encode().unwrap();
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest);
        for len in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..len]).is_err(), "length {len}");
        }
    }

    #[test]
    fn what_cannot_be_woven_is_refused() {
        let refused = |change: &dyn Fn(&mut Manifest)| {
            let mut manifest = woven();
            change(&mut manifest);
            Manifest::decode(&manifest.encode().unwrap()).unwrap_err().to_string()
        };
        for path in ["", "/a", "../a", "a/../b", "a//b", "./a", "a/.", "a\0b"] {
            let error = refused(&|manifest| manifest.parts[0].path = path.to_owned());
            assert!(error.starts_with("manifest path"), "{path:?}: {error}");
        }
        let gaps = |gaps: &[u64]| Skeleton::Woven { gaps: gaps.into() };
        let error = refused(&|manifest| manifest.parts[0].skeleton = gaps(&[30, 11]));
        assert!(error.starts_with("manifest gaps"), "{error}");
        let error = refused(&|manifest| manifest.parts[0].skeleton = gaps(&[30, u64::MAX]));
        assert!(error.starts_with("manifest gaps"), "{error}");
        let error = refused(&|manifest| manifest.is_single = true);
        assert!(error.starts_with("manifest parts"), "{error}");
        let error = refused(&|manifest| {
            manifest.parts[0].is_weights = false;
            manifest.parts[1].is_weights = true;
        });
        assert!(error.contains("weights first"), "{error}");
        let view = |offset, strides: &[u64]| {
            let mut view = woven().views.iter().next().unwrap().clone();
            (view.offset, view.strides) = (offset, strides.to_vec());
            [view].into_iter().collect::<ViewList>()
        };
        for (offset, strides) in [(1, [1, 3]), (0, [1, 4]), (u64::MAX, [1, 3]), (0, [u64::MAX, 1])]
        {
            let error = refused(&|manifest| manifest.views = view(offset, &strides));
            assert!(error.starts_with("manifest view"), "{error}");
        }
    }
}
