//! Promise: the layers of a model are those its names tell of, in the order they work, with the
//! ways around attention and perceptron; layers that were given are kept; a graph of operators
//! keeps its edges; what breaks the rules is refused.

use crate::common::{add, new_store};
use mgit::architecture::{
    Architecture, ArchitectureError, Layer, LayerKind, LayerSource, Operator, TensorInfo,
};
use mgit::{Dtype, NewModel, NewTensor, Shape};
use serde_json::json;

fn infer(tensors: &[(&str, &[u64])]) -> Architecture {
    let shapes: Vec<Shape> = tensors.iter().map(|(_, dims)| Shape::new(dims).unwrap()).collect();
    let infos: Vec<TensorInfo<'_>> = tensors
        .iter()
        .zip(&shapes)
        .map(|((name, _), shape)| TensorInfo { name, dtype: &Dtype::F32, shape })
        .collect();
    Architecture::infer(&infos)
}

/// `layer <- what it reads`, in order.
fn lines(architecture: &Architecture) -> Vec<String> {
    let name = |at: &usize| architecture.layers()[*at].name.clone();
    let layers = architecture.layers().iter().zip(architecture.all_inputs());
    layers
        .map(|(layer, inputs)| {
            let inputs: Vec<String> = inputs.iter().map(name).collect();
            format!("{} <- {}", layer.name, inputs.join(" ")).trim_end().to_owned()
        })
        .collect()
}

fn kinds(architecture: &Architecture) -> Vec<&str> {
    architecture.layers().iter().map(|layer| layer.kind.name()).collect()
}

#[test]
fn a_bert_sums_before_it_normalises() {
    // In the order of a file, which is the alphabet's.
    let architecture = infer(&[
        ("classifier.weight", &[2, 8]),
        ("embeddings.LayerNorm.weight", &[8]),
        ("embeddings.position_embeddings.weight", &[4, 8]),
        ("embeddings.word_embeddings.weight", &[9, 8]),
        ("encoder.layer.0.attention.output.LayerNorm.weight", &[8]),
        ("encoder.layer.0.attention.output.dense.weight", &[8, 8]),
        ("encoder.layer.0.attention.self.key.weight", &[8, 8]),
        ("encoder.layer.0.attention.self.query.weight", &[8, 8]),
        ("encoder.layer.0.attention.self.value.weight", &[8, 8]),
        ("encoder.layer.0.intermediate.dense.weight", &[32, 8]),
        ("encoder.layer.0.output.LayerNorm.weight", &[8]),
        ("encoder.layer.0.output.dense.weight", &[8, 32]),
    ]);
    let block = "encoder.layer.0";
    let expected = [
        "embeddings.position_embeddings <-".to_owned(),
        "embeddings.word_embeddings <-".to_owned(),
        "embeddings.LayerNorm <- embeddings.position_embeddings embeddings.word_embeddings".into(),
        format!("{block}.attention.self.key <- embeddings.LayerNorm"),
        format!("{block}.attention.self.query <- embeddings.LayerNorm"),
        format!("{block}.attention.self.value <- embeddings.LayerNorm"),
        format!(
            "{block}.attention.output.dense <- {block}.attention.self.key \
             {block}.attention.self.query {block}.attention.self.value"
        ),
        format!(
            "{block}.attention.output.LayerNorm <- embeddings.LayerNorm \
             {block}.attention.output.dense"
        ),
        format!("{block}.intermediate.dense <- {block}.attention.output.LayerNorm"),
        format!("{block}.output.dense <- {block}.intermediate.dense"),
        format!(
            "{block}.output.LayerNorm <- {block}.attention.output.LayerNorm {block}.output.dense"
        ),
        format!("classifier <- {block}.output.LayerNorm"),
    ];
    assert_eq!(lines(&architecture), expected);
    let expected = [
        "embedding",
        "embedding",
        "norm",
        "attention.key",
        "attention.query",
        "attention.value",
        "attention.output",
        "norm",
        "mlp.up",
        "mlp.down",
        "norm",
        "head",
    ];
    assert_eq!(kinds(&architecture), expected);
    assert_eq!(architecture.source(), LayerSource::Inferred);
}

#[test]
fn a_llama_normalises_first_and_goes_around() {
    let mut names = vec!["lm_head.weight".to_owned(), "model.embed_tokens.weight".to_owned()];
    for block in ["10", "9"] {
        for part in [
            "input_layernorm",
            "mlp.down_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "post_attention_layernorm",
            "self_attn.k_proj",
            "self_attn.o_proj",
            "self_attn.q_proj",
            "self_attn.v_proj",
        ] {
            names.push(format!("model.layers.{block}.{part}.weight"));
        }
    }
    names.push("model.norm.weight".to_owned());
    let tensors: Vec<(&str, &[u64])> =
        names.iter().map(|name| (name.as_str(), &[8u64, 8][..])).collect();
    let lines = lines(&infer(&tensors));
    let has = |line: &str| assert!(lines.iter().any(|found| found == line), "{line}: {lines:#?}");
    has("model.layers.9.input_layernorm <- model.embed_tokens");
    has("model.layers.9.self_attn.o_proj <- model.layers.9.self_attn.k_proj \
         model.layers.9.self_attn.q_proj model.layers.9.self_attn.v_proj");
    has("model.layers.9.post_attention_layernorm <- model.embed_tokens \
         model.layers.9.self_attn.o_proj");
    has("model.layers.9.mlp.down_proj <- model.layers.9.mlp.gate_proj model.layers.9.mlp.up_proj");
    // The next block reads what this one adds, and what went around.
    has("model.layers.10.input_layernorm <- model.layers.9.self_attn.o_proj \
         model.layers.9.mlp.down_proj");
    has("lm_head <- model.norm");
}

#[test]
fn a_resnet_block_has_its_shortcut() {
    let architecture = infer(&[
        ("conv1.weight", &[64, 3, 7, 7]),
        ("bn1.weight", &[64]),
        ("layer1.0.conv1.weight", &[64, 64, 3, 3]),
        ("layer1.0.bn1.weight", &[64]),
        ("layer1.0.conv2.weight", &[64, 64, 3, 3]),
        ("layer1.0.downsample.0.weight", &[64, 64, 1, 1]),
        ("fc.weight", &[1000, 64]),
    ]);
    let lines = lines(&architecture);
    assert!(lines.contains(&"layer1.0.downsample.0 <- bn1".to_owned()), "{lines:#?}");
    assert!(lines.contains(&"layer1.0.conv1 <- bn1".to_owned()), "{lines:#?}");
    let fc = "fc <- layer1.0.conv2 layer1.0.downsample.0".to_owned();
    assert!(lines.contains(&fc), "{lines:#?}");
    assert!(kinds(&architecture).contains(&"convolution"));
}

#[test]
fn parts_built_alike_stand_side_by_side() {
    let names: Vec<String> =
        ["C", "H"].iter().flat_map(|e| (0..2).map(move |n| format!("{e}.{n}.weight"))).collect();
    let tensors: Vec<(&str, &[u64])> =
        names.iter().map(|name| (name.as_str(), &[4u64, 4][..])).collect();
    assert_eq!(lines(&infer(&tensors)), ["C.0 <-", "C.1 <- C.0", "H.0 <-", "H.1 <- H.0"]);
}

#[test]
fn names_that_spell_too_much_are_survived() {
    // Deep paths, empty parts, thousands that are alike: no stack is lost, no edge list explodes.
    let deep = vec!["a"; 5000].join(".");
    let mut names = vec![deep, "..".to_owned(), "a..b".to_owned(), "x".to_owned()];
    names.extend((0..3000).map(|at| format!("embeddings{at}.q.weight")));
    names.extend((0..3000).map(|at| format!("attention.query.{at}")));
    let tensors: Vec<(&str, &[u64])> =
        names.iter().map(|name| (name.as_str(), &[1u64][..])).collect();
    let architecture = infer(&tensors);
    let owned: usize = architecture.layers().iter().map(|layer| layer.tensors.len()).sum();
    assert_eq!(owned, names.len());
    assert!(architecture.edges().len() < 1 << 20);
    assert!(infer(&[]).layers().is_empty());
}

#[test]
fn what_breaks_the_rules_is_refused() {
    let layer = |name: &str| json!({ "name": name, "kind": "linear" });
    let read = |layers: serde_json::Value, edges: serde_json::Value| {
        Architecture::from_json(&json!({ "layers": layers, "edges": edges }))
    };
    let cycle = read(json!([layer("a"), layer("b")]), json!([["a", "b"], ["b", "a"]]));
    assert!(matches!(cycle, Err(ArchitectureError::Cycle { .. })), "{cycle:?}");
    let twice = read(json!([layer("a"), layer("a")]), json!([]));
    assert!(matches!(twice, Err(ArchitectureError::DuplicateLayer { .. })), "{twice:?}");
    let missing = read(json!([layer("a")]), json!([["a", "x"]]));
    assert!(matches!(missing, Err(ArchitectureError::NoSuchLayer { .. })), "{missing:?}");
    let shared = json!({ "name": "b", "kind": "linear", "tensors": ["w"] });
    let other = json!({ "name": "a", "kind": "linear", "tensors": ["w"] });
    let shared = read(json!([other, shared]), json!([]));
    assert!(matches!(shared, Err(ArchitectureError::SharedTensor { .. })), "{shared:?}");
    assert!(matches!(
        Architecture::from_json(&json!({ "layers": 3 })),
        Err(ArchitectureError::Malformed { .. })
    ));
    let layers = vec![Layer {
        name: "a".into(),
        kind: LayerKind::Linear,
        attributes: Default::default(),
        tensors: vec![],
    }];
    assert!(Architecture::new(LayerSource::Given, layers, [(0, 7)]).is_err());
}

#[test]
fn given_layers_are_kept_and_completed() {
    let (_home, _, store) = new_store();
    let given = json!({
        "layers": [
            { "name": "second", "kind": "linear", "tensors": ["b"] },
            {
                "name": "first",
                "kind": "my kind",
                "attributes": { "heads": "4" },
                "tensors": ["a"],
            },
        ],
        "edges": [["first", "second"]],
    });
    let given = Architecture::from_json(&given).unwrap();
    assert_eq!(given.layers()[0].name, "first");
    let shape = Shape::new(&[4]).unwrap();
    let mut model = NewModel::new("m").layers(&given);
    for name in ["a", "b", "c"] {
        model = model.tensor(NewTensor::from_bytes(name, Dtype::U8, shape.clone(), &[1, 2, 3, 4]));
    }
    add(&store, model).unwrap();
    let snapshot = store.snapshot().unwrap();
    let kept = snapshot.model("m").unwrap().architecture().unwrap();
    assert_eq!(kept.source(), LayerSource::Given);
    assert_eq!(lines(&kept), ["first <-", "second <- first", "c <-"]);
    assert_eq!(kept.layers()[0].kind, LayerKind::Named("my kind".into()));
    assert_eq!(kept.layers()[0].attributes["heads"], "4");
}

#[test]
fn operators_keep_their_edges() {
    let operator = |name: &str, inputs: &[&str], outputs: &[&str]| Operator {
        name: name.into(),
        kind: "Op".into(),
        inputs: inputs.iter().map(|text| (*text).to_owned()).collect(),
        outputs: outputs.iter().map(|text| (*text).to_owned()).collect(),
        ..Operator::default()
    };
    let operators = [
        operator("", &["x", "w"], &["a"]),
        operator("", &["a", "w"], &["b"]),
        operator("sum", &["a", "b"], &["c"]),
    ];
    let graph = Architecture::from_operators(&operators, &|name| name == "w").unwrap();
    assert_eq!(lines(&graph), ["Op#0 <-", "Op#1 <- Op#0", "sum <- Op#0 Op#1"]);
    assert_eq!(graph.layers()[0].tensors, ["w"]);
    let circle = [operator("a", &["y"], &["x"]), operator("b", &["x"], &["y"])];
    assert!(Architecture::from_operators(&circle, &|_| false).is_err());
}
