//! Writes the seeds anew: one of each kind that the targets should start from. The store's id and
//! times differ from run to run; all else is the same.

use std::collections::BTreeMap;
use std::path::Path;

use mgit::codec::{Encoding, Profile, encode_delta, encode_plain, encode_standalone};
use mgit::format::{
    ChangeRecord, ChunkEntry, Extent, FORMAT_VERSION, FileFormat, Fold, FormulaBase, FormulaBlock,
    Manifest, ManifestPart, ManifestTensor, ManifestView, Operation, ProvenanceEdge, RecordHeader,
    RecordKind, SUPERBLOCK_LEN, Skeleton, StoreState, Superblock,
};
use mgit::interchange::write_header;
use mgit::{ContentId, Dtype, How, NewModel, NewTensor, Shape, Store};

fn put(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(name), bytes).expect("room for a seed");
}

fn shape(dims: &[u64]) -> Shape {
    Shape::new(dims).expect("a shape")
}

/// Numbers as weights are: close together, with noisy low bits.
fn weights(count: u32, step: u32) -> Vec<u8> {
    let number = |at: u32| (0.01 + ((at.wrapping_mul(2_654_435_761) >> 9) as f32) * 1e-9).to_bits();
    (0..count).flat_map(|at| (number(at) + step * (at % 7)).to_le_bytes()).collect()
}

fn main() {
    safetensors_files();
    gguf_files();
    onnx_files();
    files_of_others();
    folders();
    structures();
    chunks();
    formulas();
    store();
    operations();
}

/// Choices of histories, such as a seeded generator makes; with faults and without.
fn operations() {
    for (name, faults, len) in [("short", 0, 60), ("long", 0, 400), ("faults", 1, 400)] {
        let mut random = mgit_fuzz::mutate::Random::new(len + faults);
        let choices = (0..len).map(|_| random.below(256) as u8);
        let seed: Vec<u8> = [faults as u8, 1, 2, 3, 4].into_iter().chain(choices).collect();
        put("operations", name, &seed);
    }
}

fn safetensors_files() {
    let file = |header: &[u8], data: usize| {
        let data = vec![7; data];
        [&(header.len() as u64).to_le_bytes()[..], header, &data].concat()
    };
    let (vector, scalar, none) = (shape(&[2]), shape(&[]), shape(&[0, 3]));
    let tensors = [
        ("a", &Dtype::U8, &vector, 2),
        ("layer.0.weight", &Dtype::F32, &scalar, 4),
        ("empty", &Dtype::Bf16, &none, 0),
    ];
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let header = write_header(tensors.into_iter(), Some(&metadata));
    put("safetensors_header", "three", &file(&header, 6));
    put("safetensors_header", "none", &file(b"{}", 0));
    let unknown = br#"{"x":{"dtype":"Q9","shape":[3],"data_offsets":[0,5]}}"#;
    put("safetensors_header", "unknown-dtype", &file(unknown, 5));
    let bits = br#"{"x":{"dtype":"F4","shape":[2,2],"data_offsets":[0,2]},"__metadata__":null}"#;
    put("safetensors_header", "sub-byte", &file(bits, 2));
}

/// A number of a field in the encoding of protocol buffers.
fn number(field: u64, mut value: u64) -> Vec<u8> {
    let mut bytes = vec![(field << 3) as u8];
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Bytes of a field, at most 127.
fn message(field: u64, parts: &[&[u8]]) -> Vec<u8> {
    let bytes = parts.concat();
    assert!(bytes.len() < 128 && field < 16);
    [&[(field << 3 | 2) as u8, bytes.len() as u8], &bytes[..]].concat()
}

/// Keys of every type of value, and tensors of some types, one unknown.
fn gguf_files() {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let key = |name: &str, kind: u32, value: &[u8]| {
        [&text(name)[..], &kind.to_le_bytes(), value].concat()
    };
    let info = |name: &str, dims: &[u64], kind: u32, offset: u64| {
        let dims: Vec<u8> = dims.iter().flat_map(|dim| dim.to_le_bytes()).collect();
        let rank = (dims.len() as u32 / 8).to_le_bytes();
        [&text(name)[..], &rank, &dims, &kind.to_le_bytes(), &offset.to_le_bytes()].concat()
    };
    let widths = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
    let plain = (0u32..13).filter(|kind| widths[*kind as usize] > 0);
    let mut keys: Vec<Vec<u8>> = plain
        .map(|kind| key(&format!("general.k{kind}"), kind, &vec![1; widths[kind as usize]]))
        .collect();
    let list =
        |kind: u32, values: &[u8]| [&kind.to_le_bytes()[..], &2u64.to_le_bytes(), values].concat();
    keys.push(key("general.name", 8, &text("a model")));
    keys.push(key("tokenizer.ggml.tokens", 9, &list(8, &[text("a"), text("")].concat())));
    keys.push(key("numbers", 9, &list(4, &[0; 8])));
    keys.push(key("general.alignment", 4, &64u32.to_le_bytes()));
    let infos = [
        info("q.weight", &[32, 2], 8, 0),
        info("f.weight", &[2, 3], 0, 128),
        info("k.weight", &[256], 12, 192),
        info("other", &[5], 200, 384),
        info("scalar", &[], 30, 448),
    ];
    for (name, version) in [("v3", 3u32), ("v2", 2)] {
        let counts = [infos.len() as u64, keys.len() as u64].map(u64::to_le_bytes).concat();
        let mut file = [b"GGUF", &version.to_le_bytes()[..], &counts].concat();
        file.extend([keys.concat(), infos.concat()].concat());
        file.resize(file.len().next_multiple_of(64), 0);
        file.extend((0..450u32).map(|at| (at * 37) as u8));
        put("gguf", name, &file);
    }
}

fn onnx_files() {
    let file = |graph: &[&[u8]]| message(7, graph);
    let tensor = |dtype: u64, name: &str, fields: &[&[u8]]| {
        let head = [&number(1, 2)[..], &number(2, dtype), &message(8, &[name.as_bytes()])];
        message(5, &[&head.concat(), &fields.concat()])
    };
    let raw = tensor(1, "w", &[&message(9, &[&[1, 2, 3, 4, 5, 6, 7, 8]])]);
    let halves = tensor(10, "h", &[&number(5, 0x3c00), &number(5, 0xbc00)]);
    let packed = tensor(1, "p", &[&message(4, &[&[0; 8]])]);
    let entry = |key: &str, value: &str| {
        let (key, value) = (message(1, &[key.as_bytes()]), message(2, &[value.as_bytes()]));
        message(13, &[&key, &value])
    };
    let beside = [entry("location", "w/x"), entry("offset", "1"), entry("length", "2")];
    let beside = tensor(2, "x", &[&number(14, 1), &beside.concat()]);
    let node = |name: &str, kind: &str, input: &str, output: &str| {
        let [input, output] = [(1, input), (2, output)].map(|(f, t)| message(f, &[t.as_bytes()]));
        let (name, kind) = (message(3, &[name.as_bytes()]), message(4, &[kind.as_bytes()]));
        message(1, &[&input, &message(1, &[b"w"]), &output, &name, &kind])
    };
    let nodes = [node("a", "Conv", "in", "mid"), node("b", "Relu", "mid", "out")].concat();
    put("onnx", "graph", &file(&[&nodes, &raw]));
    put("onnx", "cycle", &file(&[&nodes, &node("c", "Add", "out", "in")]));
    put("onnx", "numbers", &file(&[&halves, &packed]));
    put("onnx", "beside", &file(&[&raw, &beside]));
    // Branches in branches, a function, sparse tensors and numbers in every field.
    let graphs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/door/graphs.onnx");
    put("onnx", "graphs", &std::fs::read(graphs).expect("the file of the tests"));
}

/// Files that the libraries themselves have written, which the tests read too.
fn files_of_others() {
    let door = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/door");
    let read = |name: &str| std::fs::read(door.join(name)).expect("a file of the tests");
    for (target, names) in [
        (
            "pytorch",
            &["torch-odd.pth", "torch-script.pt", "torch-traced.pt", "torch-tensor.pt"][..],
        ),
        ("numpy", &["numpy.npz", "numpy-compressed.npz", "numpy-fortran.npy", "numpy-record.npy"]),
    ] {
        for name in names {
            put(target, name, &read(name));
        }
    }
    for name in ["torch-sparse.pt", "torch-module.pt", "torch-protocol5.pt", "torch-quantised.pt"] {
        let archive = read(name);
        // The pickle is the first entry; what its header leaves to say follows it.
        let extra = usize::from(u16::from_le_bytes([archive[28], archive[29]]));
        let begin = 30 + usize::from(u16::from_le_bytes([archive[26], archive[27]])) + extra;
        let end = archive.windows(5).position(|bytes| bytes == b".PK\x07\x08").expect("its end");
        put("pickle", name, &archive[begin..=end]);
    }
}

/// Folders whose files speak of each other.
fn folders() {
    let tensors = [("a", shape(&[2])), ("b", shape(&[3]))];
    let safetensors = |chosen: &[usize]| {
        let chosen: Vec<_> = chosen.iter().map(|at| &tensors[*at]).collect();
        let tensors =
            chosen.iter().map(|(name, shape)| (*name, &Dtype::F32, shape, 4 * shape.dims()[0]));
        let header = write_header(tensors, None);
        let count = chosen.iter().map(|(_, shape)| shape.dims()[0] as u32).sum();
        [&(header.len() as u64).to_le_bytes()[..], &header, &weights(count, 1)].concat()
    };
    let (both, first, second) = (safetensors(&[0, 1]), safetensors(&[0]), safetensors(&[1]));
    let config = br#"{"model_type": "bert", "architectures": ["A", "B"], "torch_dtype": "float32", "x": {"y": [1, null]}}"#;
    let card = b"---\nbase_model:\n- org/base # the base\nlicense: 'mit'\ntags: [a, \"b\"]\n---\n# A model\n";
    let adapter = br#"{"base_model_name_or_path": "org/base", "r": 8, "lora_alpha": 16, "target_modules": ["q", "v"], "modules_to_save": null}"#;
    let state = br#"{"log_history": [{"loss": 0.5, "step": 1}], "global_step": 1500}"#;
    let index = br#"{"metadata": {"total_size": 20}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
    let pipeline = br#"{"_class_name": "Pipeline", "unet": ["diffusers", "UNet"]}"#;
    for (name, files) in [
        (
            "plain",
            &[("config.json", &config[..]), ("README.md", card), ("model.safetensors", &both)][..],
        ),
        ("adapter", &[("adapter_config.json", adapter), ("adapter_model.safetensors", &both)]),
        (
            "shards",
            &[
                ("trainer_state.json", state),
                ("model.safetensors.index.json", index),
                ("model-00001-of-00002.safetensors", &first),
                ("model-00002-of-00002.safetensors", &second),
            ],
        ),
        (
            "pipeline",
            &[
                ("model_index.json", pipeline),
                ("unet/diffusion_pytorch_model.safetensors", &first),
                ("model.safetensors", &second),
            ],
        ),
    ] {
        let mut seed = Vec::new();
        for (name, bytes) in files {
            let place = mgit_fuzz::NAMES.iter().position(|known| known == name);
            seed.push(place.expect("a name that is known") as u8);
            seed.extend((bytes.len() as u16).to_le_bytes());
            seed.extend(*bytes);
        }
        put("folder", name, &seed);
    }
}

fn structures() {
    let superblock = Superblock {
        format_version: FORMAT_VERSION,
        state: StoreState::Live,
        store_id: [9; 16],
        generation: 5,
        reader_flags: 0,
        writer_flags: 0,
        catalog_len: 147_456,
        extents: vec![
            Extent { offset: 8192, len: 73_728 },
            Extent { offset: 131_072, len: 73_728 },
        ],
    };
    put("superblock", "two-extents", &superblock.encode().expect("it fits"));
    let header = RecordHeader {
        kind: RecordKind::Tensor,
        dtype_code: Dtype::F32.code(),
        chunk_log2: 20,
        depth: 1,
        payload_offset: 192,
        raw_len: 3_000_000,
        stored_len: 1_000_000,
        content_id: ContentId::of(b"content"),
        base_id: ContentId::of(b"base"),
        sequence: 4,
        store_tag: [1, 2, 3, 4],
        index_crc: 5,
        formula_len: 0,
        formula_crc: 0,
    };
    put("record_header", "delta", &header.encode());
    let entries = [
        ChunkEntry { stored_len: 9, crc: 8, encoding: 3 },
        ChunkEntry { stored_len: 0, crc: 0, encoding: 1 },
    ];
    put("record_header", "index", &ChunkEntry::encode_all(&entries));
    let dims = shape(&[2, 3]);
    let tensor = |name: &'static str| ManifestTensor {
        name,
        dtype: &Dtype::F32,
        shape: &dims,
        byte_len: 24,
        content_id: ContentId::of(name.as_bytes()),
    };
    let part = |name: &str, tensor_count| ManifestPart {
        path: name.to_owned(),
        skeleton: Skeleton::Header(b"{}"[..].into()),
        tensor_count,
        ..ManifestPart::default()
    };
    let single = Manifest {
        parts: vec![part("", 2)],
        tensors: [tensor("a"), tensor("b")].into_iter().collect(),
        ..Manifest::default()
    };
    put("manifest", "single", &single.encode().expect("it fits"));
    let sharded = Manifest {
        index_name: "model.safetensors.index.json".to_owned(),
        index: br#"{"weight_map":{}}"#.to_vec(),
        parts: vec![part("a.safetensors", 1), part("b.safetensors", 0)],
        tensors: [ManifestTensor { dtype: &Dtype::Unknown("Q9".into()), ..tensor("c") }]
            .into_iter()
            .collect(),
        ..Manifest::default()
    };
    put("manifest", "sharded", &sharded.encode().expect("it fits"));
    let lens = [shape(&[30]), shape(&[0])];
    let skeleton = |name: &'static str, len| ManifestTensor {
        name,
        dtype: &Dtype::U8,
        shape: len,
        byte_len: len.elements(),
        content_id: ContentId::of(name.as_bytes()),
    };
    let view = ManifestView {
        name: "t".to_owned(),
        tensor: 0,
        offset: 0,
        dtype: Dtype::F32,
        shape: shape(&[3, 2]),
        strides: vec![1, 3],
    };
    let woven = |path: &str, is_weights, gaps: &[u64]| ManifestPart {
        path: path.to_owned(),
        format: FileFormat::PyTorch,
        is_weights,
        skeleton: Skeleton::Woven { gaps: gaps.into() },
        tensor_count: gaps.len() as u32,
    };
    let files = Manifest {
        parts: vec![woven("model.pt", true, &[10, 0]), woven("a/config.json", false, &[])],
        tensors: [tensor("a"), tensor("b")].into_iter().collect(),
        skeletons: [skeleton("model.pt", &lens[0]), skeleton("a/config.json", &lens[1])]
            .into_iter()
            .collect(),
        views: [view].into_iter().collect(),
        ..Manifest::default()
    };
    put("manifest", "files", &files.encode().expect("it fits"));
    let change = ChangeRecord {
        sequence: 3,
        time_ms: 5,
        previous: String::new(),
        operations: vec![
            Operation::AddNode {
                id: "00".into(),
                name: "base".into(),
                version: 1,
                kind: String::new(),
                created_ms: 5,
                manifest: "11".into(),
                logical_bytes: 9,
                previous: None,
                parents: vec![ProvenanceEdge { parent: "22".into(), how: "cast".into() }],
                metadata: serde_json::Map::from_iter([("k".to_owned(), 1.into())]),
            },
            Operation::SetPrevious { id: "33".into(), previous: Some("44".into()) },
            Operation::RemoveNode { id: "00".into() },
        ],
        fold: Some(Fold {
            created_ms: 4,
            operations: vec![Operation::ReserveVersions { name: "base".into(), version: 1 }],
        }),
    };
    put("change_record", "three-operations", &change.encode().expect("it can be written"));
}

fn chunks() {
    let (base, chunk) = (weights(128, 0), weights(128, 3));
    // Decoded against a base of equal bytes, as the target does.
    let base_of_zeros = vec![0; chunk.len()];
    for choice in 0..10u8 {
        for (name, base) in [("delta", &base), ("whole", &base_of_zeros)] {
            let mut stored = Vec::new();
            encode_delta(Profile::Balanced, mgit_fuzz::lane(choice), &chunk, base, &mut stored);
            let [low, high] = (chunk.len() as u16).to_le_bytes();
            let seed = [&[choice, low, high, 0][..], &stored].concat();
            put("codec_decode", &format!("{name}-{choice}"), &seed);
        }
        let mut stored = Vec::new();
        encode_standalone(Profile::Dense, mgit_fuzz::lane(choice), &chunk, &mut stored);
        let [low, high] = (chunk.len() as u16).to_le_bytes();
        let seed = [&[choice, low, high, 0][..], &stored].concat();
        put("codec_decode", &format!("alone-{choice}"), &seed);
    }
    factors();
    few_changes();
    let text = "tensor.weight ".repeat(30);
    let mut stored = Vec::new();
    encode_plain(text.as_bytes(), &mut stored);
    let [low, high] = (text.len() as u16).to_le_bytes();
    put("codec_decode", "text", &[&[1, low, high, 0][..], &stored].concat());

    let change: Vec<u8> = base.iter().zip(&chunk).map(|(base, chunk)| base ^ chunk).collect();
    put("codec_roundtrip", "weights", &[&[2][..], &base, &change].concat());
    put("codec_roundtrip", "unchanged", &[&[1][..], &base, &vec![0; base.len()]].concat());
    put("codec_roundtrip", "odd", &[&[3][..], &base[..77], &change[..77]].concat());
}

/// One element in forty is one unit of the last place further on, for each float; and with parents
/// of every size, of which the small ones change.
fn few_changes() {
    let mixed = |at: usize| (at as u32).wrapping_mul(2_654_435_761) >> 12;
    for (choice, bytes) in [(1, 2), (2, 4), (4, 2)] {
        let step = |at| u8::from(mixed(at) % 40 == 0);
        let chunk: Vec<u8> =
            (0..4_096).flat_map(|at| [step(at), 0, 0, 0].into_iter().take(bytes)).collect();
        let mut stored = Vec::new();
        let lane = mgit_fuzz::lane(choice);
        let encoding =
            encode_delta(Profile::Balanced, lane, &chunk, &vec![0; chunk.len()], &mut stored);
        assert_eq!(encoding, Encoding::SparseDelta);
        let [low, high] = (chunk.len() as u16).to_le_bytes();
        let seed = [&[choice, low, high, 0][..], &stored].concat();
        put("codec_decode", &format!("few-{choice}"), &seed);

        let exponents = (0..4_096).map(|at| 60 + mixed(at) as u8 % 8);
        let base: Vec<u8> = exponents.flat_map(|high| std::iter::repeat_n(high, bytes)).collect();
        let mut change = vec![0; base.len()];
        for (at, change) in change.chunks_mut(bytes).enumerate() {
            change[0] = u8::from(base[at * bytes] < 63 && at % 11 == 0);
        }
        let seed = [&[choice][..], &base, &change].concat();
        put("codec_roundtrip", &format!("few-{choice}"), &seed);
    }
}

/// A matrix that moved from nothing by one product and a little noise, for each float.
fn factors() {
    let value = |at: usize| {
        let (row, column) = (at / 64, at % 64);
        let noise = at.wrapping_mul(2_654_435_761) >> 8 & 255;
        ((row * 37 % 19) as f32 - 9.0) * ((column * 11 % 23) as f32 - 11.0) + noise as f32 / 64.0
    };
    let values = (0..4_096).map(|at| 0.01 * value(at));
    for (choice, bytes) in [(1, 2), (2, 4), (4, 2)] {
        let chunk: Vec<u8> = match choice {
            1 => values.clone().flat_map(|v| mgit::half::f16::from_f32(v).to_le_bytes()).collect(),
            2 => values.clone().flat_map(|v: f32| v.to_le_bytes()).collect(),
            _ => values.clone().flat_map(|v| mgit::half::bf16::from_f32(v).to_le_bytes()).collect(),
        };
        let (mut stored, base) = (Vec::new(), vec![0; 4_096 * bytes]);
        encode_delta(Profile::Dense, mgit_fuzz::lane(choice), &chunk, &base, &mut stored);
        let [low, high] = (chunk.len() as u16).to_le_bytes();
        put(
            "codec_decode",
            &format!("factors-{choice}"),
            &[&[choice, low, high, 0][..], &stored].concat(),
        );
        put(
            "codec_roundtrip",
            &format!("factors-{choice}"),
            &[&[choice][..], &base, &chunk].concat(),
        );
    }
}

fn formulas() {
    let (f32, i8) = (Dtype::F32, Dtype::I8);
    let le = |columns: u64, rest: &[u8]| [&columns.to_le_bytes()[..], rest].concat();
    type Seed<'d> = (&'static str, u8, &'d Dtype, usize, &'d Dtype, Vec<u8>);
    let formulas: [Seed<'_>; 13] = [
        ("resize", 1, &f32, 1, &f32, vec![]),
        ("cast", 2, &Dtype::Bf16, 1, &f32, vec![]),
        ("absmax", 3, &i8, 1, &f32, le(24, &[1])),
        ("absmax-f8", 12, &Dtype::F8E4M3, 1, &f32, le(24, &[1])),
        ("decay", 14, &f32, 1, &f32, vec![0, 0, 102, 63, 3, 0, 1]),
        ("scaled-f8", 15, &Dtype::F8E4M3, 1, &f32, vec![0, 0, 0, 68, 1]),
        ("cast-f8", 13, &Dtype::F8E5M2, 1, &f32, vec![]),
        ("requantise", 4, &i8, 1, &i8, le(24, &[0, 0, 0, 63, 0, 0, 64, 63])),
        ("scale", 6, &f32, 1, &f32, vec![0, 0, 0, 63]),
        ("prune", 7, &f32, 1, &f32, le(0x3000_0000, &[1])),
        ("mean", 8, &f32, 3, &f32, vec![2]),
        ("task", 9, &f32, 3, &f32, vec![0, 0, 0, 63]),
        ("lora", 10, &f32, 3, &f32, le(12, &[4, 0, 0, 0, 0, 0, 0, 64])),
    ];
    for (name, code, own, count, of, parameters) in formulas {
        let base = |at: usize| FormulaBase {
            content_id: ContentId::of(&[at as u8]),
            dtype_code: of.code(),
        };
        let block = FormulaBlock { code, bases: (0..count).map(base).collect(), parameters };
        put("formula", name, &[&[own.code(), 200, 3][..], &block.encode()].concat());
    }
    for (name, added) in [
        ("increment", &[Dtype::I8][..]),
        ("increment-wide", &[Dtype::I8, Dtype::I8]),
        ("increment-half", &[Dtype::F16]),
    ] {
        let base = |(at, dtype): (usize, &Dtype)| FormulaBase {
            content_id: ContentId::of(&[at as u8]),
            dtype_code: dtype.code(),
        };
        let bases = [&f32].into_iter().chain(added).enumerate().map(base).collect();
        let block = FormulaBlock { code: 11, bases, parameters: vec![0, 0, 0, 63] };
        put("formula", name, &[&[f32.code(), 200, 3][..], &block.encode()].concat());
    }
}

fn store() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("seed.mgit");
    let store = Store::create(&path).expect("a store");
    put("open_store", "empty", &std::fs::read(&path).expect("the store"));
    let mut transaction = store.begin_write().expect("a transaction");
    let versions: Vec<Vec<u8>> = (0..3).map(|step| weights(1024, step)).collect();
    for (at, bytes) in versions.iter().enumerate() {
        let mut model = NewModel::new("model")
            .metadata("step", at as u64)
            .tensor(NewTensor::from_bytes("w", Dtype::F32, shape(&[32, 32]), bytes));
        if at > 0 {
            model = model.parent(format!("model@{at}"), How::FineTune);
        }
        transaction.add_model(model).expect("the model goes in");
    }
    transaction.commit().expect("the commit");
    drop(store);
    let bytes = std::fs::read(&path).expect("the store");
    put("open_store", "three-versions", &bytes);
    put("salvage", "three-versions", &bytes);
    put("salvage", "without-catalogue", &without_catalogue(&bytes));
}

/// The records alone, behind superblocks and a first extent of zeros.
fn without_catalogue(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let slots = bytes.chunks(SUPERBLOCK_LEN).take(2);
    let superblocks: Vec<Superblock> = slots.flat_map(Superblock::decode).collect();
    for extent in superblocks.iter().flat_map(|superblock| &superblock.extents) {
        bytes[extent.offset as usize..extent.end() as usize].fill(0);
    }
    bytes[..2 * SUPERBLOCK_LEN].fill(0);
    bytes
}
