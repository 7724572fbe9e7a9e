//! A whole store.

use std::path::Path;

use mgit::catalog::{ReadTables, Table};
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{Dtype, NewModel, NewTensor, Shape, Store};

/// The most bytes of tensors that are looked at: a delta may honestly decode to 255 times its
/// stored bytes.
const VIEWED_MAX: u64 = 64 << 20;

/// The bytes are the file of a store, opened for reading and then for writing.
///
/// Invariants checked:
///
/// - Every step gives an error or a result: opening, listing, viewing every tensor, adding a
///   model, removing every model, committing. None panics, hangs, or allocates out of proportion.
///   (The database below may panic inside; the catalogue turns that into an error, and its
///   message on stderr is no finding.)
/// - Reading does not change the file.
/// - What a checked view gives for a tensor has the length that the model says.
pub fn open_store(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fuzzed.mgit");
    std::fs::write(&path, data).expect("room for the store");
    // An error of any kind is a good answer.
    let _ = look(&path);
    assert!(std::fs::read(&path).expect("the store") == data, "reading has written");
    // A file that claims to be very long is made so, sparsely.
    let _ = change(&path);
}

/// The bytes are a damaged store's file, salvaged.
///
/// Invariants checked:
///
/// - A salvage gives an error or a report. It does not panic, hang, or allocate out of proportion,
///   and does not change the damaged file.
/// - With a report there is a store in which a full check finds nothing, and which has exactly the
///   models that are said to be saved; with an error there is none.
/// - `verify` and `dump` of the same bytes give an error or a result.
pub fn salvage(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, new) = (folder.path().join("broken.mgit"), folder.path().join("new.mgit"));
    std::fs::write(&path, data).expect("room for the store");
    let _ = mgit::upkeep::dump_path(&path);
    let _ = mgit::upkeep::verify_path(&path, VerifyDepth::Full, &|_| ());
    match mgit::upkeep::salvage(&path, &new, &|_| ()) {
        Err(_) => assert!(!new.exists(), "an error has left a store"),
        Ok(report) => {
            let store = Store::open_read_only(&new).expect("a salvaged store opens");
            let snapshot = store.snapshot().expect("a salvaged store can be read");
            let check = verify(&store, &snapshot, VerifyDepth::Full, &|_| ()).expect("a check");
            assert!(check.is_clean(), "{:?}", check.findings);
            let mut said = [report.saved, report.renamed].concat();
            said.sort();
            let mut found: Vec<String> =
                snapshot.nodes().expect("nodes").iter().map(|node| node.full_name()).collect();
            found.sort();
            assert_eq!(said, found);
        }
    }
    assert!(std::fs::read(&path).expect("the store") == data, "a salvage has written");
}

fn look(path: &Path) -> mgit::store::Result<()> {
    let store = Store::open_read_only(path)?;
    let snapshot = store.snapshot()?;
    for table in Table::ALL {
        let _ = snapshot.tables().count(table);
    }
    let mut viewed = 0;
    for node in snapshot.nodes()? {
        let _ = snapshot.graph().metadata(node.id());
        let _ = snapshot.graph().parents(node.id());
        let Ok(model) = snapshot.model_of(node) else { continue };
        for tensor in model.tensors() {
            let _ = tensor.stored_as();
            viewed += tensor.byte_len();
            if viewed > VIEWED_MAX {
                return Ok(());
            }
            let _ = tensor.view_unchecked();
            if let Ok(view) = tensor.view() {
                assert_eq!(view.len() as u64, tensor.byte_len());
            }
            let _ = tensor.rows(0..tensor.shape().rows().min(2));
        }
    }
    Ok(())
}

fn change(path: &Path) -> mgit::store::Result<()> {
    let store = Store::open(path)?;
    let mut transaction = store.begin_write()?;
    let weights = [7u8; 4096];
    let tensor = NewTensor::from_bytes("w", Dtype::U8, Shape::new(&[64, 64]).unwrap(), &weights);
    transaction.add_model(NewModel::new("fuzzed").tensor(tensor))?;
    transaction.commit()?;
    let snapshot = store.snapshot()?;
    let view = snapshot.model("fuzzed")?.tensor("w")?.view()?;
    assert!(view[..] == weights, "what was committed reads differently");
    for node in snapshot.nodes()? {
        let mut transaction = store.begin_write()?;
        let name = format!("{}@{}", node.name(), node.version());
        transaction.remove_model(&name, mgit::OnChildren::Detach)?;
        transaction.commit()?;
    }
    Ok(())
}
