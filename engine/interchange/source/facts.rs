//! What the files of a model say about it: read, never run.

use serde_json::{Map, Value};

use super::read_file::ReadFile;
use super::{card, json_facts};
use crate::format::FileFormat;

/// The most bytes of a configuration that are read.
const CONFIG_LEN_MAX: u64 = 16 << 20;
/// The same of a trainer's state, which has a line for each step that was logged.
const STATE_LEN_MAX: u64 = 64 << 20;
/// The most bytes of a text of a GGUF file that becomes metadata.
const SHORT_MAX: usize = 256;
/// The most keys of a GGUF file that become metadata.
const GGUF_KEYS_MAX: usize = 64;

/// Keys of files in the model's own folder, and the keys of metadata that they become.
const CONFIG: [(&str, &str); 3] = [
    ("model_type", "model_type"),
    ("architectures", "architectures"),
    ("torch_dtype", "torch_dtype"),
];
const ADAPTER: [(&str, &str); 8] = [
    ("base_model_name_or_path", "lora.base_model"),
    ("r", "lora.r"),
    ("lora_alpha", "lora.alpha"),
    ("use_rslora", "lora.use_rslora"),
    ("use_dora", "lora.use_dora"),
    ("fan_in_fan_out", "lora.fan_in_fan_out"),
    ("modules_to_save", "lora.modules_to_save"),
    ("target_modules", "lora.target_modules"),
];
const STATE: [(&str, &str); 1] = [("global_step", "global_step")];
const CARD: [(&str, &str); 3] = [
    ("base_model", "base_model"),
    ("base_model_relation", "base_model_relation"),
    ("license", "license"),
];

/// What the files say.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What kind of model it is.
    pub(super) kind: Option<String>,
    pub(super) metadata: Map<String, Value>,
    /// Files that could not be understood: their places, and what is to be said.
    pub(super) notes: Vec<(usize, String)>,
}

/// Collects what the files say, and what their path says.
pub(super) fn collect(files: &[ReadFile], of_path: Map<String, Value>) -> Facts {
    let mut facts = Facts::default();
    let config = |file: &ReadFile, names: &[(&str, &str)], len_max| {
        renamed(names, |keys| json_facts::pick(&file.file, keys, len_max))
    };
    for (at, file) in files.iter().enumerate() {
        let found = match file.path.as_str() {
            "config.json" => config(file, &CONFIG, CONFIG_LEN_MAX),
            "adapter_config.json" => config(file, &ADAPTER, CONFIG_LEN_MAX),
            "trainer_state.json" => config(file, &STATE, STATE_LEN_MAX),
            "README.md" => renamed(&CARD, |keys| card::read(&file.file, keys)),
            _ => continue,
        };
        match found {
            Ok(found) => facts.metadata.extend(found),
            Err(error) => facts.notes.push((at, format!("what it says is not read: {error}"))),
        }
    }
    let kind = facts.metadata.get("model_type").and_then(Value::as_str);
    facts.kind = kind.map(str::to_owned);
    let is_gguf =
        |file: &&ReadFile| file.folder().is_empty() && file.layout.format == FileFormat::Gguf;
    if let Some(file) = files.iter().find(is_gguf) {
        add_gguf(&mut facts, &file.layout.facts);
    }
    facts.metadata.extend(of_path);
    facts
}

/// What is found of these keys, under the keys that they become.
fn renamed(
    names: &[(&str, &str)],
    find: impl FnOnce(&[&str]) -> Result<Map<String, Value>, String>,
) -> Result<Map<String, Value>, String> {
    let keys: Vec<&str> = names.iter().map(|(key, _)| *key).collect();
    let found = find(&keys)?;
    let name = |key: &String| names.iter().find(|(known, _)| known == key).map(|(_, name)| *name);
    let found = found.into_iter();
    Ok(found.filter_map(|(key, value)| Some((name(&key)?.to_owned(), value))).collect())
}

/// The short keys that a GGUF file has about the model as a whole.
fn add_gguf(facts: &mut Facts, keys: &Map<String, Value>) {
    let text = |key: &str| keys.get(key).and_then(Value::as_str).filter(|it| !it.is_empty());
    let base = text("general.base_model.0.repo_url").or(text("general.base_model.0.name"));
    if let Some(base) = base {
        let base = base.strip_prefix("https://huggingface.co/").unwrap_or(base);
        facts.metadata.entry("base_model").or_insert_with(|| base.into());
    }
    if facts.kind.is_none() {
        facts.kind = text("general.architecture").map(str::to_owned);
    }
    let is_short = |value: &Value| match value {
        Value::String(text) => text.len() <= SHORT_MAX,
        value => value.is_number() || value.is_boolean(),
    };
    let general = keys.iter().filter(|(key, value)| {
        key.starts_with("general.") && key.len() <= SHORT_MAX && is_short(value)
    });
    for (key, value) in general.take(GGUF_KEYS_MAX) {
        facts.metadata.insert(format!("gguf.{key}"), value.clone());
    }
}
