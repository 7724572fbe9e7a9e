//! Sketches and buckets of models on their way into the catalogue.

use std::ops::ControlFlow;

use crate::catalog::{CatalogWrite, ReadTables, Table, WriteTables, keys};
use crate::format::Manifest;
use crate::lineage::NodeId;
use crate::planning::Sketch;
use crate::store::base::sketches::bands_of;
use crate::store::error::Result;
use crate::tensor::ContentId;

pub(in crate::store) fn put_sketch(
    tables: &mut CatalogWrite,
    id: ContentId,
    sketch: &Sketch,
) -> Result<()> {
    let key = keys::sketch(id.as_bytes(), sketch.dtype().code());
    if !sketch.is_kept() {
        return Ok(());
    }
    Ok(tables.put(Table::Sketches, &key, &sketch.encode())?)
}

pub(in crate::store) fn remove_sketches(tables: &mut CatalogWrite, id: ContentId) -> Result<()> {
    let mut keys = Vec::new();
    tables.scan(Table::Sketches, id.as_bytes(), &mut |key, _| {
        keys.push(key.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    for key in keys {
        tables.delete(Table::Sketches, &key)?;
    }
    Ok(())
}

pub(in crate::store) fn add_bands(
    tables: &mut CatalogWrite,
    node: NodeId,
    manifest: &Manifest,
) -> Result<()> {
    for band in bands_of(tables, manifest)? {
        tables.put(Table::Bands, &keys::band(band, &node.0), &[])?;
    }
    Ok(())
}

pub(in crate::store) fn remove_bands(
    tables: &mut CatalogWrite,
    node: NodeId,
    manifest: &Manifest,
) -> Result<()> {
    for band in bands_of(tables, manifest)? {
        tables.delete(Table::Bands, &keys::band(band, &node.0))?;
    }
    Ok(())
}
