//! Kinds of layers, and the words by which PyTorch and Hugging Face name them.

use std::fmt;

/// What a layer does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LayerKind {
    /// A table of vectors.
    Embedding,
    /// The query, key and value projections of attention in one.
    AttentionQkv,
    /// The query projection of attention.
    AttentionQuery,
    /// The key projection of attention.
    AttentionKey,
    /// The value projection of attention.
    AttentionValue,
    /// The projection behind attention.
    AttentionOutput,
    /// The first projection of a multi-layer perceptron.
    MlpUp,
    /// The gate beside it.
    MlpGate,
    /// The last projection of a multi-layer perceptron.
    MlpDown,
    /// A normalisation.
    Norm,
    /// A convolution.
    Convolution,
    /// A matrix, alone.
    Linear,
    /// The last layer, which makes the model's answer.
    Head,
    /// Anything else with tensors.
    Other,
    /// An operator of a graph, or a kind that was given, by name.
    Named(String),
}

impl LayerKind {
    const KNOWN: [(LayerKind, &'static str); 14] = [
        (LayerKind::Embedding, "embedding"),
        (LayerKind::AttentionQkv, "attention.qkv"),
        (LayerKind::AttentionQuery, "attention.query"),
        (LayerKind::AttentionKey, "attention.key"),
        (LayerKind::AttentionValue, "attention.value"),
        (LayerKind::AttentionOutput, "attention.output"),
        (LayerKind::MlpUp, "mlp.up"),
        (LayerKind::MlpGate, "mlp.gate"),
        (LayerKind::MlpDown, "mlp.down"),
        (LayerKind::Norm, "norm"),
        (LayerKind::Convolution, "convolution"),
        (LayerKind::Linear, "linear"),
        (LayerKind::Head, "head"),
        (LayerKind::Other, "other"),
    ];

    /// The kind of this name.
    pub fn from_name(name: &str) -> Self {
        let known = Self::KNOWN.into_iter().find(|(_, known)| *known == name);
        known.map_or_else(|| LayerKind::Named(name.to_owned()), |(kind, _)| kind)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            LayerKind::Named(name) => name,
            kind => {
                let known = Self::KNOWN.iter().find(|(known, _)| known == kind);
                known.map_or("", |(_, name)| name)
            }
        }
    }
}

/// As its name.
impl serde::Serialize for LayerKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a module's name is that of attention as a whole.
pub(super) fn is_attention(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["attention", "self_attn", "self_attention", "attn", "mha", "crossattention", "encoder_attn"]
        .contains(&name.as_str())
}

/// Whether a module's name is that of a shortcut around its siblings.
pub(super) fn is_shortcut(name: &str) -> bool {
    ["downsample", "shortcut", "conv_shortcut", "skip", "identity"].contains(&name)
}

/// Whether a module's name is that of a normalisation.
pub(super) fn is_norm(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let numbered = |prefix: &str| {
        let rest = name.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_'))
    };
    name.contains("norm") || numbered("ln") || numbered("bn") || name == "ln_f"
}

/// The kind of the layer of a module, from its path and the dimensions of its largest tensor.
pub(super) fn kind_of(path: &[&str], rank: usize) -> LayerKind {
    let last = path.last().copied().unwrap_or_default().to_ascii_lowercase();
    let in_attention = path.iter().rev().skip(1).any(|name| is_attention(name));
    let is = |words: &[&str]| words.contains(&last.as_str());
    if is_norm(&last) {
        return LayerKind::Norm;
    }
    if last.contains("embed") || is(&["wte", "wpe", "shared"]) {
        return LayerKind::Embedding;
    }
    if is(&["q_proj", "query", "q", "to_q", "q_lin", "wq", "query_proj"]) {
        return LayerKind::AttentionQuery;
    }
    if is(&["k_proj", "key", "k", "to_k", "k_lin", "wk", "key_proj"]) {
        return LayerKind::AttentionKey;
    }
    if is(&["v_proj", "value", "v", "to_v", "v_lin", "wv", "value_proj"]) {
        return LayerKind::AttentionValue;
    }
    if is(&["c_attn", "qkv", "qkv_proj", "query_key_value", "in_proj", "wqkv", "w_pack"]) {
        return LayerKind::AttentionQkv;
    }
    let output = ["o_proj", "out_proj", "out_lin", "to_out", "o", "wo", "proj", "c_proj", "dense"];
    if in_attention && is(&output) || is(&["o_proj", "out_lin"]) {
        return LayerKind::AttentionOutput;
    }
    if is(&["gate_proj", "gate", "w1_gate", "wi_0"]) {
        return LayerKind::MlpGate;
    }
    if is(&["up_proj", "fc1", "c_fc", "lin1", "wi", "wi_1", "dense_h_to_4h", "linear1"]) {
        return LayerKind::MlpUp;
    }
    if is(&["down_proj", "fc2", "lin2", "dense_4h_to_h", "linear2", "c_proj"]) {
        return LayerKind::MlpDown;
    }
    let parent = path.iter().rev().nth(1).copied().unwrap_or_default();
    match (parent, last.as_str()) {
        ("intermediate", "dense") => return LayerKind::MlpUp,
        ("output", "dense") => return LayerKind::MlpDown,
        ("feed_forward" | "mlp" | "ffn", "w1") => return LayerKind::MlpGate,
        ("feed_forward" | "mlp" | "ffn", "w3") => return LayerKind::MlpUp,
        ("feed_forward" | "mlp" | "ffn", "w2") => return LayerKind::MlpDown,
        _ => {}
    }
    let top = path.len() == 1 || path.iter().all(|name| is_head(name));
    if path.first().is_some_and(|name| is_head(name)) || (top && is(&["fc", "output"])) {
        return LayerKind::Head;
    }
    match rank {
        3..=5 => LayerKind::Convolution,
        2 => LayerKind::Linear,
        _ => LayerKind::Other,
    }
}

fn is_head(name: &str) -> bool {
    ["classifier", "lm_head", "score", "head", "qa_outputs", "cls", "heads", "prediction_head"]
        .contains(&name)
}

/// Ranks by names, of what stands before the attention as a whole.
const BEFORE_ATTENTION: [(u32, &[&str]); 3] = [
    (10, &["wte", "wpe", "shared", "stem"]),
    (
        20,
        &[
            "input_layernorm",
            "ln_1",
            "norm1",
            "attention_norm",
            "layernorm_before",
            "ln1",
            "self_attn_layer_norm",
            "input_norm",
        ],
    ),
    (
        25,
        &[
            "query", "key", "value", "q_proj", "k_proj", "v_proj", "to_q", "to_k", "to_v", "q",
            "k", "v", "q_lin", "k_lin", "v_lin", "wq", "wk", "wv",
        ],
    ),
];

/// Ranks by names, of the attention as a whole and what follows it.
const FROM_ATTENTION: [(u32, &[&str]); 12] = [
    (30, &["self", "c_attn", "qkv", "query_key_value"]),
    (35, &["o_proj", "out_proj", "out_lin", "to_out", "wo"]),
    (
        40,
        &[
            "post_attention_layernorm",
            "ln_2",
            "norm2",
            "ffn_norm",
            "layernorm_after",
            "ln2",
            "final_layer_norm",
            "sa_layer_norm",
        ],
    ),
    (50, &["intermediate", "mlp", "feed_forward", "ffn", "moe", "block_sparse_moe"]),
    (51, &["gate_proj", "up_proj", "w1", "w3", "wi_0", "wi_1", "gate"]),
    (52, &["fc1", "c_fc", "lin1", "wi", "dense_h_to_4h", "linear1"]),
    (53, &["down_proj", "fc2", "lin2", "dense_4h_to_h", "linear2", "w2", "c_proj"]),
    (55, &["encoder", "layers", "layer", "h", "blocks", "transformer", "model", "bert"]),
    (60, &["output", "decoder"]),
    (80, &["ln_f", "norm", "final_layernorm", "post_layernorm", "layernorm", "output_layer_norm"]),
    (85, &["pooler"]),
    (90, &["fc"]),
];

/// The rank of what no rule knows.
const UNKNOWN_RANK: u32 = 54;

/// Where a module stands among its siblings: smaller first. Equal ones keep their order; equal
/// ones of the ranks for which [`is_parallel`] holds stand side by side.
pub(super) fn rank_among_siblings(name: &str) -> u32 {
    let lower = name.to_ascii_lowercase();
    let ranked = |ranks: &[(u32, &[&str])]| {
        let found = ranks.iter().find(|(_, words)| words.contains(&lower.as_str()));
        found.map(|(rank, _)| *rank)
    };
    if lower.contains("embed") && !is_norm(&lower) {
        return 10;
    }
    if let Some(rank) = ranked(&BEFORE_ATTENTION) {
        return rank;
    }
    if is_attention(&lower) {
        return 30;
    }
    match ranked(&FROM_ATTENTION) {
        Some(rank) => rank,
        None if is_head(&lower) => 90,
        None => UNKNOWN_RANK,
    }
}

/// Whether siblings of this rank all read the same input.
pub(super) fn is_parallel(rank: u32) -> bool {
    matches!(rank, 10 | 25 | 51)
}
