//! The manifest of a model: which tensors it has, in order, and the exact headers of its files.

use super::tensor_list::TensorListBuilder;
use super::{ByteReader, ByteWriter, FormatError, ManifestTensor, PackedBytes, TensorList};
use crate::tensor::{ContentId, Dtype, Shape};

/// The version of the manifest's layout.
pub const MANIFEST_VERSION: u16 = 1;

/// One file of a model, or the whole of one that came without a file.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ManifestPart {
    /// The shard's file name; empty for a single file.
    pub name: String,
    /// The file's own safetensors header, without its length; empty when there was no file.
    pub header: PackedBytes,
    /// How many of the manifest's tensors belong to this part, in order.
    pub tensor_count: u32,
}

/// What a model is made of.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Manifest {
    /// File name of a sharded model's index; empty otherwise.
    pub index_name: String,
    /// The index file's own bytes; empty otherwise.
    pub index: Vec<u8>,
    /// The files, in order; one for a model that is not sharded.
    pub parts: Vec<ManifestPart>,
    /// All tensors, part by part, each part's in the order of their bytes.
    pub tensors: TensorList,
}

impl Manifest {
    const WHAT: &str = "manifest";

    /// Uses the columns and headers of another manifest where they are the same.
    pub(crate) fn share(&mut self, other: &Manifest) {
        self.tensors.share(&other.tensors);
        for (part, other) in self.parts.iter_mut().zip(&other.parts) {
            if part.header == other.header {
                part.header = other.header.clone();
            }
        }
    }

    /// The manifest's bytes.
    ///
    /// # Errors
    ///
    /// A name longer than 65,535 bytes or a header of 4 GiB does not fit its field.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let parts = self.parts.iter().map(|part| 16 + part.name.len() + part.header.len());
        let tensors = self.tensors.iter().map(|tensor| {
            64 + tensor.name.len() + 8 * tensor.shape.rank() + tensor.dtype.name().len()
        });
        let room = parts.chain(tensors).fold(64 + self.index.len(), usize::saturating_add);
        let mut out = ByteWriter::with_capacity(room);
        out.u16(MANIFEST_VERSION).u16(0);
        out.u32(self.parts.len() as u32).u32(self.tensors.len() as u32);
        out.text(Self::WHAT, &self.index_name)?.blob(Self::WHAT, &self.index)?;
        for part in &self.parts {
            out.text(Self::WHAT, &part.name)?.blob_len(Self::WHAT, part.header.len())?;
            part.header.pieces().for_each(|piece| _ = out.put(&piece));
            out.u32(part.tensor_count);
        }
        for tensor in &self.tensors {
            out.text(Self::WHAT, tensor.name)?.u8(tensor.dtype.code());
            if let Dtype::Unknown(label) = tensor.dtype {
                out.text(Self::WHAT, label)?;
            }
            out.u8(tensor.shape.rank() as u8);
            for dim in tensor.shape.dims() {
                out.u64(*dim);
            }
            out.u64(tensor.byte_len).put(tensor.content_id.as_bytes());
        }
        Ok(out.into_bytes())
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
        if version != MANIFEST_VERSION {
            return Err(FormatError::new("manifest version", 0, MANIFEST_VERSION, version));
        }
        input.reserved(2)?;
        let part_count = input.u32()?;
        let tensor_count = input.u32()?;
        let index_name = input.text()?.to_owned();
        let index = input.blob()?.to_vec();
        let mut parts = Vec::new();
        let mut counted = 0u64;
        for _ in 0..part_count {
            let part = ManifestPart {
                name: input.text()?.to_owned(),
                header: input.blob()?.into(),
                tensor_count: input.u32()?,
            };
            counted += u64::from(part.tensor_count);
            parts.push(part);
        }
        if counted != u64::from(tensor_count) {
            return Err(FormatError::new(
                "manifest parts",
                input.position(),
                tensor_count,
                counted,
            ));
        }
        let mut tensors = TensorListBuilder::default();
        for _ in 0..tensor_count {
            Self::decode_tensor(&mut input, &mut tensors)?;
        }
        input.finish()?;
        Ok(Manifest { index_name, index, parts, tensors: tensors.finish() })
    }

    fn decode_tensor(
        input: &mut ByteReader<'_>,
        tensors: &mut TensorListBuilder,
    ) -> Result<(), FormatError> {
        let at = input.position();
        let wrong =
            |what, expected: &str, found: String| FormatError::new(what, at, expected, found);
        let name = input.text()?;
        let dtype = match input.u8()? {
            Dtype::UNKNOWN_CODE => Dtype::Unknown(input.text()?.into()),
            code => Dtype::from_code(code)
                .ok_or_else(|| wrong("manifest dtype", "a known code", code.to_string()))?,
        };
        let rank = input.u8()?;
        let mut dims = Vec::new();
        for _ in 0..rank {
            dims.push(input.u64()?);
        }
        let shape = Shape::new(&dims)
            .map_err(|error| wrong("manifest shape", "a shape", error.to_string()))?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn round_trip_and_every_truncation_is_found() {
        let manifest = Manifest {
            index_name: "model.safetensors.index.json".into(),
            index: b"{}".to_vec(),
            parts: vec![
                ManifestPart { name: "a".into(), header: b"{h}"[..].into(), tensor_count: 1 },
                ManifestPart { name: "b".into(), header: b""[..].into(), tensor_count: 1 },
            ],
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
        };
        let bytes = manifest.encode().unwrap();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        for len in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..len]).is_err(), "length {len}");
        }
    }
}
