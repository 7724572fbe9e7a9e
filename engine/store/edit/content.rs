//! What a model's content would be, before it is added.

use super::add::{manifest_of, tensors_of};
use super::new_model::NewModel;
use super::weave::{check_parts, files_of, settle_parts, skeletons_of, with_skeletons};
use crate::store::error::Result;
use crate::store::slabs::{for_slabs, settle_readers};
use crate::store::source::NewTensor;
use crate::tensor::ContentId;

impl NewModel<'_> {
    /// The id that its content would have when it is added: two models of one id have the same
    /// files, tensors and bytes, and a node's is [`manifest_id`](crate::Node::manifest_id). Name,
    /// kind, metadata and parents do not count.
    ///
    /// Cost: reads all bytes once; those of streams are used up.
    ///
    /// # Errors
    ///
    /// As [`Transaction::add_model`](crate::Transaction::add_model), of the model itself.
    pub fn content_id(mut self) -> Result<ContentId> {
        settle_parts(&mut self);
        check_parts(&self)?;
        let mut parts = std::mem::take(&mut self.parts);
        let mut sources: Vec<&mut NewTensor<'_>> = Vec::new();
        parts.iter_mut().for_each(|part| part.sources_mut(&mut sources));
        settle_readers(&mut sources, &std::env::temp_dir())?;
        let files = files_of(&self, &parts);
        let skeletons: Vec<_> = skeletons_of(&parts);
        let others: Vec<&NewTensor<'_>> = skeletons.iter().map(|(_, bytes)| *bytes).collect();
        let others = hash_all(&others)?;
        let files = with_skeletons(files, &skeletons, &others);
        let ids = hash_all(&tensors_of(&parts).collect::<Vec<_>>())?;
        Ok(ContentId::of(&manifest_of(files, &parts, &ids).encode()?))
    }
}

fn hash_all(tensors: &[&NewTensor<'_>]) -> Result<Vec<ContentId>> {
    let mut arena = Vec::new();
    let mut ids = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let mut hasher = blake3::Hasher::new();
        for_slabs(tensor, &mut arena, &mut |_, slab| {
            hasher.update_rayon(slab);
            Ok(())
        })?;
        ids.push(hasher.finalize().into());
    }
    Ok(ids)
}
