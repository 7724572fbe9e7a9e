//! Keys and values of every table, to bytes and back.

use crate::format::{ByteReader, ByteWriter, Extent, FORMULA_BASES_MAX, FormatError};
use crate::tensor::ContentId;

/// Keys of the tables.
pub mod keys {
    use super::EdgeKind;

    /// `versions`: the name, a zero byte, the version (big-endian).
    pub fn version(name: &str, version: u32) -> Vec<u8> {
        [name.as_bytes(), &[0], &version.to_be_bytes()].concat()
    }

    /// `versions`: what every version of a name begins with.
    pub fn versions_of(name: &str) -> Vec<u8> {
        [name.as_bytes(), &[0]].concat()
    }

    /// `parents`: child, kind of edge, place among the child's edges of that kind (big-endian).
    pub fn parent(child: &[u8; 16], kind: EdgeKind, place: u16) -> Vec<u8> {
        [&child[..], &[kind as u8], &place.to_be_bytes()].concat()
    }

    /// `children`: parent, kind of edge, child.
    pub fn child(parent: &[u8; 16], kind: EdgeKind, child: &[u8; 16]) -> Vec<u8> {
        [&parent[..], &[kind as u8], child].concat()
    }

    /// `parents` and `children`: what every edge of one kind of a node begins with.
    pub fn edges(node: &[u8; 16], kind: EdgeKind) -> Vec<u8> {
        [&node[..], &[kind as u8]].concat()
    }

    /// `tags-of`: node and tag.
    pub fn tag_of(node: &[u8; 16], tag: &str) -> Vec<u8> {
        [node, tag.as_bytes()].concat()
    }

    /// `edge-metadata`: what every row of one edge begins with.
    pub fn edge(child: &[u8; 16], kind: EdgeKind, parent: &[u8; 16]) -> Vec<u8> {
        [&child[..], &[kind as u8], parent].concat()
    }

    /// `edge-metadata`: child, kind of edge, parent, and key.
    pub fn edge_metadata(
        child: &[u8; 16],
        kind: EdgeKind,
        parent: &[u8; 16],
        key: &str,
    ) -> Vec<u8> {
        [&child[..], &[kind as u8], parent, key.as_bytes()].concat()
    }

    /// `sketches`: content id, code of the element type.
    pub fn sketch(id: &[u8; 32], dtype: u8) -> Vec<u8> {
        [&id[..], &[dtype]].concat()
    }

    /// `bands`: the bucket (big-endian), node.
    pub fn band(band: u64, node: &[u8; 16]) -> Vec<u8> {
        [&band.to_be_bytes()[..], node].concat()
    }

    /// `test-results`: hash of what was run, hash of what it was run on.
    pub fn test_result(run: &[u8; 32], on: &[u8; 32]) -> Vec<u8> {
        [&run[..], on].concat()
    }

    /// `metadata`: node and key.
    pub fn metadata(node: &[u8; 16], key: &str) -> Vec<u8> {
        [node, key.as_bytes()].concat()
    }
}

/// The two kinds of edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EdgeKind {
    /// The child was derived from the parent.
    Provenance = 0,
    /// The child is the next version of the parent.
    Version = 1,
}

impl EdgeKind {
    /// Both kinds, in the order of their codes.
    pub const ALL: [EdgeKind; 2] = [EdgeKind::Provenance, EdgeKind::Version];

    /// The kind of this code in keys.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == code)
    }

    /// The word in change records.
    pub fn name(self) -> &'static str {
        match self {
            EdgeKind::Provenance => "provenance",
            EdgeKind::Version => "version",
        }
    }
}

pub(super) fn decode_u64(what: &'static str, bytes: &[u8]) -> Result<u64, FormatError> {
    let mut input = ByteReader::new(what, bytes);
    let value = input.u64()?;
    input.finish()?;
    Ok(value)
}

const MORE_BASES_MAX: usize = FORMULA_BASES_MAX - 1;

/// Where a record lies and who needs it: the value of `tensors`, `manifests` and `changes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    /// Offset of the record in the file.
    pub offset: u64,
    /// Bytes of the record, from its start to the end of its payload.
    pub len: u64,
    /// Decoded length of the content.
    pub raw_len: u64,
    /// Payload length.
    pub stored_len: u64,
    /// Content id of the base, or [`ContentId::NONE`].
    pub base_id: ContentId,
    /// Depth of the delta chain.
    pub depth: u8,
    /// Code of the record's formula; 0 without one.
    pub formula: u8,
    /// Bit `n` is set when a chunk has the encoding of code `n`.
    pub encodings: u32,
    /// How often models name the content.
    pub holders: u32,
    /// How many records have it as a base.
    pub dependents: u32,
    /// Content ids of the further bases of its formula, in order.
    pub more_bases: Vec<ContentId>,
}

impl RecordRow {
    /// Length of the value in bytes, without further bases.
    pub const LEN: usize = 80;

    /// The value's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = ByteWriter::with_capacity(Self::LEN);
        out.u64(self.offset).u64(self.len).u64(self.raw_len).u64(self.stored_len);
        out.put(self.base_id.as_bytes()).u8(self.depth).u8(self.formula).u16(0).u32(self.encodings);
        out.u32(self.holders).u32(self.dependents);
        self.more_bases.iter().for_each(|id| _ = out.put(id.as_bytes()));
        out.into_bytes()
    }

    /// The content ids of all bases, in the formula's order.
    pub fn bases(&self) -> impl Iterator<Item = ContentId> + '_ {
        let first = Some(self.base_id).filter(|id| !id.is_none());
        first.into_iter().chain(self.more_bases.iter().copied())
    }

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// Says which field is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = ByteReader::new("record row", bytes);
        let (offset, len) = (input.u64()?, input.u64()?);
        let (raw_len, stored_len) = (input.u64()?, input.u64()?);
        let base_id = ContentId::from_bytes(input.array()?);
        let (depth, formula) = (input.u8()?, input.u8()?);
        input.reserved(2)?;
        let encodings = input.u32()?;
        let (holders, dependents) = (input.u32()?, input.u32()?);
        let mut more_bases = Vec::new();
        while bytes.len() > Self::LEN + 32 * more_bases.len() && more_bases.len() < MORE_BASES_MAX {
            more_bases.push(ContentId::from_bytes(input.array()?));
        }
        input.finish()?;
        Ok(RecordRow {
            offset,
            len,
            raw_len,
            stored_len,
            base_id,
            depth,
            formula,
            encodings,
            holders,
            dependents,
            more_bases,
        })
    }

    /// The range of the file that the record covers.
    pub fn extent(&self) -> Extent {
        Extent { offset: self.offset, len: self.len }
    }

    /// Whether anything still needs the record.
    pub fn is_needed(&self) -> bool {
        self.holders > 0 || self.dependents > 0
    }
}

/// A node: the value of `nodes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Name, without the version.
    pub name: String,
    /// Version of that name.
    pub version: u32,
    /// Model kind; empty when none was given.
    pub kind: String,
    /// Creation time, milliseconds since 1970.
    pub created_ms: u64,
    /// Content id of the manifest.
    pub manifest: ContentId,
    /// Sum of the imported files' lengths.
    pub logical_bytes: u64,
    /// Number of tensors.
    pub tensor_count: u32,
    /// Commit that last changed the node, its edges or its metadata.
    pub revision: u64,
}

impl NodeRow {
    /// The value's bytes.
    ///
    /// # Errors
    ///
    /// A name or kind longer than 65,535 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let mut out = ByteWriter::with_capacity(80 + self.name.len() + self.kind.len());
        out.u32(self.version).u32(self.tensor_count).u64(self.created_ms);
        out.u64(self.logical_bytes).u64(self.revision).u64(0);
        out.put(self.manifest.as_bytes());
        out.text("node name", &self.name)?.text("node kind", &self.kind)?;
        Ok(out.into_bytes())
    }

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// Says which field is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = ByteReader::new("node row", bytes);
        let (version, tensor_count) = (input.u32()?, input.u32()?);
        let (created_ms, logical_bytes, revision) = (input.u64()?, input.u64()?, input.u64()?);
        input.reserved(8)?;
        let manifest = ContentId::from_bytes(input.array()?);
        let (name, kind) = (input.text()?.to_owned(), input.text()?.to_owned());
        input.finish()?;
        Ok(NodeRow {
            name,
            version,
            kind,
            created_ms,
            manifest,
            logical_bytes,
            tensor_count,
            revision,
        })
    }
}

/// An edge towards a parent: the value of `parents`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentRow {
    /// Node id of the parent or older version.
    pub parent: [u8; 16],
    /// How the child was derived; empty for a version edge.
    pub how: String,
}

impl ParentRow {
    /// The value's bytes.
    ///
    /// # Errors
    ///
    /// A text longer than 65,535 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let mut out = ByteWriter::with_capacity(18 + self.how.len());
        out.put(&self.parent).text("edge", &self.how)?;
        Ok(out.into_bytes())
    }

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// Says which field is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = ByteReader::new("edge row", bytes);
        let row = ParentRow { parent: input.array()?, how: input.text()?.to_owned() };
        input.finish()?;
        Ok(row)
    }
}

/// Missing content: a tensor that a manifest names and the store does not have. The value of the
/// table `promised`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRow {
    /// Length of the content.
    pub raw_len: u64,
    /// How often manifests name it.
    pub holders: u32,
    /// Where it is: a path, or the address of an object store.
    pub promisor: String,
}

impl MissingRow {
    /// The row's bytes.
    ///
    /// # Errors
    ///
    /// A promisor that is too long.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let mut out = ByteWriter::with_capacity(18 + self.promisor.len());
        out.u64(self.raw_len).u32(self.holders).u32(0).text("promisor", &self.promisor)?;
        Ok(out.into_bytes())
    }

    /// Reads a row.
    ///
    /// # Errors
    ///
    /// Another length, reserved bytes that are not zero, text that is not UTF-8.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = ByteReader::new("missing row", bytes);
        let (raw_len, holders) = (input.u64()?, input.u32()?);
        input.reserved(4)?;
        let promisor = input.text()?.to_owned();
        input.finish()?;
        Ok(MissingRow { raw_len, holders, promisor })
    }
}

/// What is known of the change records without reading them: a value of `meta`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldsRow {
    /// Number of the last commit whose record holds a fold; 0 without one.
    pub last: u64,
    /// That of the one before it, which begins the records that are kept; 0 without one.
    pub before: u64,
    /// Bytes that the records behind the last fold take.
    pub behind: u64,
    /// How many that must be before the next fold is thought of.
    pub due: u64,
}

impl FoldsRow {
    /// The row's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = ByteWriter::with_capacity(32);
        out.u64(self.last).u64(self.before).u64(self.behind).u64(self.due);
        out.into_bytes()
    }

    /// Reads a row.
    ///
    /// # Errors
    ///
    /// Another length.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = ByteReader::new("folds row", bytes);
        let (last, before) = (input.u64()?, input.u64()?);
        let row = FoldsRow { last, before, behind: input.u64()?, due: input.u64()? };
        input.finish()?;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn rows_round_trip() {
        let record = RecordRow {
            offset: 1,
            len: 2,
            raw_len: 3,
            stored_len: 4,
            base_id: ContentId::of(b"base"),
            depth: 5,
            formula: 2,
            encodings: 6,
            holders: 7,
            dependents: 8,
            more_bases: Vec::new(),
        };
        assert_eq!(record.encode().len(), RecordRow::LEN);
        assert_eq!(RecordRow::decode(&record.encode()), Ok(record.clone()));
        assert!(RecordRow::decode(&record.encode()[1..]).is_err());
        let bases = vec![ContentId::of(b"second"), ContentId::of(b"third")];
        let formula = RecordRow { more_bases: bases, ..record };
        assert_eq!(RecordRow::decode(&formula.encode()), Ok(formula.clone()));
        assert!(RecordRow::decode(&formula.encode()[..100]).is_err());
        assert_eq!(formula.bases().count(), 3);
        let node = NodeRow {
            name: "base".into(),
            version: 2,
            kind: "bert".into(),
            created_ms: 3,
            manifest: ContentId::of(b"m"),
            logical_bytes: 4,
            tensor_count: 5,
            revision: 6,
        };
        assert_eq!(NodeRow::decode(&node.encode().unwrap()), Ok(node));
        let parent = ParentRow { parent: [9; 16], how: "prune".into() };
        assert_eq!(ParentRow::decode(&parent.encode().unwrap()), Ok(parent));
        let missing = MissingRow { raw_len: 1, holders: 2, promisor: "s3://b/f".into() };
        let bytes = missing.encode().unwrap();
        assert_eq!(MissingRow::decode(&bytes), Ok(missing));
        assert!((0..bytes.len()).all(|len| MissingRow::decode(&bytes[..len]).is_err()));
    }

    #[test]
    fn versions_sort_by_number() {
        assert!(keys::version("a", 2) < keys::version("a", 256));
        assert!(keys::version("a", 256).starts_with(&keys::versions_of("a")));
        assert!(!keys::version("ab", 1).starts_with(&keys::versions_of("a")));
    }
}
