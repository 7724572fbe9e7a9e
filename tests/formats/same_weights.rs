//! Promise: the same weights are kept once, whatever form their files have, and so is what the
//! folders of many models have in common.

use std::fs;

use mgit::interchange::{ModelSource, export_to_path};
use mgit::store::ImportReport;
use mgit::{How, NewModel, Store};
use tempfile::tempdir;

use crate::common::forms::{Form, Weights};
use crate::common::{add, noise, weights};

fn import(store: &Store, name: &str, path: &std::path::Path, parent: Option<&str>) -> ImportReport {
    let source = ModelSource::open(path).unwrap();
    let model = NewModel::new(name).source(&source);
    add(store, parent.into_iter().fold(model, |it, parent| it.parent(parent, How::FineTune)))
        .unwrap()
}

#[test]
fn the_second_form_of_the_same_weights_costs_its_other_bytes_alone() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    let mut tensors = vec![("embeddings".to_owned(), vec![3000, 128])];
    for layer in 0..6 {
        tensors.push((format!("layer.{layer}.weight"), vec![128, 512]));
        // Of a length that is no whole number of any format's alignment.
        tensors.push((format!("layer.{layer}.bias"), vec![2001]));
    }
    let bytes: Vec<Vec<u8>> = (0..)
        .zip(&tensors)
        .map(|(at, (_, dims))| weights(at, dims.iter().product::<u64>() as usize))
        .collect();
    let count = tensors.len() as u64;
    let fill = |at: usize, start: u64, out: &mut [u8]| {
        out.copy_from_slice(&bytes[at][start as usize..][..out.len()]);
    };
    let all = Weights { tensors, fill: &fill };
    for first in Form::ALL {
        let store_at = root.join(format!("{first:?}.mgit"));
        let store = Store::create(&store_at).unwrap();
        let mut forms = Form::ALL.to_vec();
        forms.sort_by_key(|form| *form != first);
        let mut whole = 0;
        for form in forms {
            all.write(form, root).unwrap();
            let path = root.join(form.file());
            let name = format!("{form:?}");
            let report = import(&store, &name, &path, None);
            if form == first {
                whole = report.added_bytes;
            } else {
                let part = report.added_bytes * 100;
                assert!(part <= whole, "{form:?} after {first:?}: {report:?} of {whole}");
                assert!(report.deduplicated >= count, "{form:?} after {first:?}: {report:?}");
            }
            let model = store.snapshot().unwrap().model(&*name).unwrap();
            assert_eq!(model.tensors().len() as u64, count, "{form:?}");
            let out = root.join("out");
            export_to_path(&model, &out, &|_| ()).unwrap();
            let came = if model.is_folder() { out.join(form.file()) } else { out.clone() };
            assert!(fs::read(came).unwrap() == fs::read(&path).unwrap(), "{form:?}");
            if model.is_folder() {
                let data = "data/weights.bin";
                let same = fs::read(out.join(data)).unwrap() == fs::read(root.join(data)).unwrap();
                assert!(same, "{form:?}");
                fs::remove_dir_all(&out).unwrap();
            } else {
                fs::remove_file(&out).unwrap();
            }
        }
    }
}

#[test]
fn twenty_fine_tunes_of_a_folder_keep_one_tokenizer() {
    const TOKENIZER: usize = 300_000;
    let folder = tempdir().unwrap();
    let (_home, _, store) = crate::common::new_store();
    fs::write(folder.path().join("tokenizer.json"), noise(1, TOKENIZER)).unwrap();
    fs::write(folder.path().join("vocab.txt"), "a token\n".repeat(9000)).unwrap();
    let mut added = Vec::new();
    for version in 0..=20u64 {
        // Of each fine-tune one layer is another one, and the configuration.
        let fill = |at: usize, start: u64, out: &mut [u8]| {
            let seed = if at == 1 { 100 + version } else { 7 };
            out.copy_from_slice(&noise(seed, 1 << 18)[start as usize..][..out.len()]);
        };
        let tensors = vec![("base".to_owned(), vec![1 << 16]), ("head".to_owned(), vec![256])];
        Weights { tensors, fill: &fill }.write(Form::Safetensors, folder.path()).unwrap();
        let config = format!("{{\"model_type\": \"toy\", \"run\": {version}}}");
        fs::write(folder.path().join("config.json"), config).unwrap();
        let parent = (version > 0).then_some("m-0");
        added.push(import(&store, &format!("m-{version}"), folder.path(), parent).added_bytes);
    }
    assert!(added[0] > (1 << 18) + TOKENIZER as u64, "{added:?}");
    // Each costs its head of 1 KiB, its skeletons, and a list of its files.
    assert!(added[1..].iter().all(|added| *added < 8 << 10), "{added:?}");
    let snapshot = store.snapshot().unwrap();
    for version in 0..=20 {
        let file =
            snapshot.model(&*format!("m-{version}")).unwrap().file("tokenizer.json").unwrap();
        assert!(crate::common::file_bytes(&file).unwrap() == noise(1, TOKENIZER));
    }
}
