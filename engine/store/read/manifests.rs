//! Manifests that somebody has open: models of a family share what is the same in them.
//!
//! A content is the same in whatever store it is, so that there is one list for the whole program.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use crate::format::Manifest;
use crate::tensor::ContentId;

/// Manifests that a new one is compared with: those that were opened last.
const COMPARED_MAX: usize = 8;

/// What is open. It keeps nothing open itself.
#[derive(Default)]
struct Open {
    by_id: HashMap<ContentId, Weak<Manifest>>,
    last: VecDeque<Weak<Manifest>>,
    /// How many there may be before those that are closed are looked for.
    sweep_at: usize,
}

static OPEN: LazyLock<Mutex<Open>> = LazyLock::new(Mutex::default);

fn open() -> MutexGuard<'static, Open> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The manifest of this id, if somebody has it open.
pub(in crate::store) fn get(id: ContentId) -> Option<Arc<Manifest>> {
    open().by_id.get(&id)?.upgrade()
}

/// Opens a manifest: what is the same in others that are open is kept once.
pub(in crate::store) fn put(id: ContentId, mut manifest: Manifest) -> Arc<Manifest> {
    like_others(&mut manifest);
    let manifest = Arc::new(manifest);
    let mut open = open();
    if open.by_id.len() >= open.sweep_at {
        open.by_id.retain(|_, manifest| manifest.strong_count() > 0);
        open.sweep_at = 64 + 2 * open.by_id.len();
    }
    open.by_id.insert(id, Arc::downgrade(&manifest));
    open.last.retain(|manifest| manifest.strong_count() > 0);
    open.last.truncate(COMPARED_MAX - 1);
    open.last.push_front(Arc::downgrade(&manifest));
    manifest
}

/// Lets a manifest use the columns of those that were opened last, where they are the same.
pub(in crate::store) fn like_others(manifest: &mut Manifest) {
    let others: Vec<_> = open().last.iter().filter_map(Weak::upgrade).collect();
    others.iter().for_each(|other| manifest.share(other));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::format::{ManifestPart, ManifestTensor, Skeleton};
    use crate::tensor::{Dtype, Shape};

    fn manifest(names: [&str; 2], content: &[u8]) -> Manifest {
        let shape = Shape::new(&[2]).unwrap();
        let tensor = |name| ManifestTensor {
            name,
            dtype: &Dtype::F32,
            shape: &shape,
            byte_len: 8,
            content_id: ContentId::of(content),
        };
        let header = b"a header"[..].into();
        let skeleton = Skeleton::Header(header);
        let part = ManifestPart { skeleton, tensor_count: 2, ..ManifestPart::default() };
        let tensors = names.map(tensor).into_iter().collect();
        Manifest { parts: vec![part], tensors, ..Manifest::default() }
    }

    #[test]
    fn open_manifests_share_what_is_the_same_and_are_forgotten() {
        let id = |manifest: &Manifest| ContentId::of(&manifest.encode().unwrap());
        let texts = |manifest: &Manifest| {
            let names = manifest.tensors.get(0).unwrap().name.as_ptr();
            (names, std::ptr::from_ref(manifest.tensors.get(0).unwrap().shape))
        };
        let [a, b] = [b"a", b"b"].map(|content| manifest(["v", "w"], content));
        let (id_a, id_b) = (id(&a), id(&b));
        let a = put(id_a, a);
        let b = put(id_b, b);
        assert_eq!(texts(&a), texts(&b));
        assert_ne!(a, b);
        assert_eq!(id(&b), id_b);
        assert!(Arc::ptr_eq(&get(id_a).unwrap(), &a));

        // Other names; the same types and shapes.
        let c = manifest(["v", "x"], b"c");
        let id_c = id(&c);
        let c = put(id_c, c);
        assert_eq!(c.tensors.get(1).unwrap().name, "x");
        assert_eq!(c.tensors.place_of("x"), Some(1));
        assert_eq!((c.tensors.place_of("w"), a.tensors.place_of("w")), (None, Some(1)));
        assert_ne!(texts(&a).0, texts(&c).0);
        assert_eq!(texts(&a).1, texts(&c).1);
        drop((a, b));
        assert!(get(id_a).is_none() && get(id_c).is_some());
    }
}
