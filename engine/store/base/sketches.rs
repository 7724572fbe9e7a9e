//! Sketches of tensors and the buckets of models, beside the rows they are about.
//!
//! They can be made again from the tensors: a writer that does not know them leaves gaps, which
//! are filled when they are asked for, and stale rows, which name nodes that are not there. Of short
//! tensors none is kept: these are read.

use std::ops::ControlFlow;

use crate::catalog::{ReadTables, Table, keys};
use crate::format::{Manifest, RecordKind};
use crate::lineage::NodeId;
use crate::planning::{Sketch, Sketcher, model_bands};
use crate::store::error::Result;
use crate::store::read::chain::{Chain, Verify};
use crate::store::read::model::Model;
use crate::store::read::record::record_row;
use crate::store::read::snapshot::Snapshot;
use crate::store::shared::Shared;
use crate::tensor::{ContentId, Dtype};

pub(in crate::store) fn kept_sketch(
    tables: &dyn ReadTables,
    id: ContentId,
    dtype: &Dtype,
) -> Result<Option<Sketch>> {
    let key = keys::sketch(id.as_bytes(), dtype.code());
    let Some(value) = tables.get(Table::Sketches, &key)? else { return Ok(None) };
    // A row that cannot be read is as good as none.
    Ok(Sketch::decode(&value).ok().flatten())
}

/// The sketch of a stored content seen as `dtype`: from the catalogue, or made of the content where
/// that is so short that none is kept. `None` where there is neither, or the content is damaged:
/// whoever asks compares, and it is not this that was asked for.
pub(in crate::store) fn sketch_of_stored(
    shared: &Shared,
    tables: &dyn ReadTables,
    id: ContentId,
    dtype: &Dtype,
) -> Result<Option<Sketch>> {
    if let Some(kept) = kept_sketch(tables, id, dtype)? {
        return Ok(Some(kept));
    }
    let Some(row) = record_row(tables, Table::Tensors, id.as_bytes())? else { return Ok(None) };
    if !Sketcher::new(dtype, row.raw_len).makes_unkept() {
        return Ok(None);
    }
    let made = Chain::open(shared, tables, RecordKind::Tensor, id, row);
    match made.and_then(|chain| unkept_sketch(&chain, dtype)) {
        Err(error) if error.is_damage() => Ok(None),
        made => made,
    }
}

/// The sketch of a content that is so short that none is kept. Cost: decodes it.
pub(in crate::store) fn unkept_sketch(chain: &Chain<'_>, dtype: &Dtype) -> Result<Option<Sketch>> {
    let mut sketcher = Sketcher::new(dtype, chain.raw_len());
    if !sketcher.makes_unkept() {
        return Ok(None);
    }
    let mut bytes = vec![0; chain.believed_len()?];
    chain.read(0, &mut bytes, Verify::Checksums)?;
    sketcher.feed(0, &bytes);
    Ok(Some(sketcher.finish()))
}

/// Nodes that have `band` among their bands, at most `limit`, and whether there are more.
pub(in crate::store) fn band_members(
    tables: &dyn ReadTables,
    band: u64,
    limit: usize,
) -> Result<(Vec<NodeId>, bool)> {
    let (mut members, mut more) = (Vec::new(), false);
    let prefix = band.to_be_bytes();
    tables.scan(Table::Bands, &prefix, &mut |key, _| {
        more = members.len() == limit;
        if more {
            return Ok(ControlFlow::Break(()));
        }
        let id = key.get(prefix.len()..).and_then(|id| <[u8; 16]>::try_from(id).ok());
        members.extend(id.map(NodeId));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((members, more))
}

pub(in crate::store) fn bands_of(tables: &dyn ReadTables, manifest: &Manifest) -> Result<Vec<u64>> {
    // One sketch at a time: there can be a million.
    let mut failed = None;
    let sketches = manifest.tensors.iter().map_while(|tensor| {
        match kept_sketch(tables, tensor.content_id, tensor.dtype) {
            Ok(sketch) => Some((tensor.content_id, sketch)),
            Err(error) => {
                failed = Some(error);
                None
            }
        }
    });
    let bands = model_bands(sketches.filter_map(|(id, sketch)| Some((id, sketch?))));
    failed.map_or(Ok(bands), Err)
}

impl Snapshot {
    format_tools! {
        /// The sketch of a stored content seen as `dtype`, if the catalogue has it. Cost: one row.
        ///
        /// # Errors
        ///
        /// Those of the catalogue.
        fn sketch(&self, id: ContentId, dtype: &Dtype) -> Result<Option<Sketch>> {
            kept_sketch(self.tables(), id, dtype)
        }
    }
}

impl Model {
    format_tools! {
        /// The sketch of every tensor, in order. Cost: a row a tensor; a short tensor is read, and one
        /// that an older program stored.
        ///
        /// # Errors
        ///
        /// Those of the catalogue; a damaged record.
        fn sketches(&self) -> Result<Vec<Sketch>> {
            let sketch = |tensor: crate::store::read::tensor::Tensor| {
                let empty = Sketcher::new(tensor.dtype(), tensor.byte_len()).finish();
                if empty.elements() == 0 {
                    return Ok(empty);
                }
                match self.snapshot().sketch(tensor.content_id(), tensor.dtype())? {
                    Some(sketch) => Ok(sketch),
                    None => Ok(Sketch::of(tensor.dtype(), &tensor.view()?)),
                }
            };
            self.tensors().map(sketch).collect()
        }
    }
}
