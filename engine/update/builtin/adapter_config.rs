//! What an adapter says of itself, by the names of PEFT's `adapter_config.json`, and where it does.

use std::path::Path;

use serde_json::{Map, Value};

use super::super::draft_files::header_of;
use super::super::{Inputs, UpdateError};
use crate::interchange::SafetensorsHeader;
use crate::store::{Model, StoreError, StoredFile};

/// A model's metadata of this beginning is its adapter's.
const KEY_PREFIX: &str = "lora.";

/// Where PEFT keeps them, and the most bytes of it that are read.
pub(super) const SIDE_FILE: &str = "adapter_config.json";
const SIDE_FILE_LEN_MAX: u64 = 16 << 20;

/// The metadata of a safetensors file that are settings of an adapter: all other keys are not.
const IN_HEADER: [&str; 2] = ["lora_alpha", "peft_type"];

/// Settings that are looked at in a merge.
pub(super) const KNOWN: [&str; 12] = [
    "lora_alpha",
    "r",
    "use_rslora",
    "use_dora",
    "fan_in_fan_out",
    "alpha_pattern",
    "rank_pattern",
    "modules_to_save",
    "bias",
    "lora_bias",
    "peft_type",
    "init_lora_weights",
];

/// One place that settings come from.
#[derive(Debug)]
struct Layer {
    /// As messages name it.
    name: String,
    /// Whether the user has said it now, in contrast to what the adapter brings.
    is_given: bool,
    settings: Map<String, Value>,
}

/// The settings of an adapter. Of several places that name one, the first counts: the parameters,
/// the parameter `config`, the metadata `lora.*` of the adapter, its `adapter_config.json`, the
/// `__metadata__` of its weights.
#[derive(Debug)]
pub(super) struct AdapterConfig {
    layers: Vec<Layer>,
}

/// Whether a value says something: null, false and empty do not.
pub(super) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

/// The same to PEFT: 8 and 8.0, nothing and null.
fn agree(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b || !is_set(a) && !is_set(b),
    }
}

/// The name of a setting: `alpha` is short for `lora_alpha`, `base_model` for PEFT's longer word.
fn full_name(name: &str) -> &str {
    match name {
        "alpha" => "lora_alpha",
        "base_model" => "base_model_name_or_path",
        name => name,
    }
}

/// The configuration that lies beside an adapter's weights.
fn side_file(model: &Model) -> Result<Option<Map<String, Value>>, UpdateError> {
    let file = match model.file(SIDE_FILE) {
        Ok(file) => file,
        Err(StoreError::NoSuchFile { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let name = model.full_name();
    match serde_json::from_slice(&file.bytes(SIDE_FILE_LEN_MAX)?) {
        Ok(Value::Object(config)) => Ok(Some(config)),
        Ok(_) => Err(UpdateError::failed(format!("{SIDE_FILE} of {name} is no object"))),
        Err(error) => Err(UpdateError::failed(format!("{SIDE_FILE} of {name}: {error}"))),
    }
}

/// The settings that a model brings, by the places where they are.
fn of_model(model: &Model) -> Result<Vec<Layer>, UpdateError> {
    let name = model.full_name();
    let mut settings = Map::new();
    for (key, value) in model.metadata()? {
        if let Some(key) = key.strip_prefix(KEY_PREFIX) {
            settings.insert(full_name(key).to_owned(), value);
        }
    }
    let mut layers = vec![Layer { name: format!("metadata of {name}"), is_given: false, settings }];
    if let Some(settings) = side_file(model)? {
        layers.push(Layer { name: format!("{SIDE_FILE} of {name}"), is_given: false, settings });
    }
    for file in model.files().filter(StoredFile::is_weights) {
        let header = header_of(model, &file)?;
        if header.is_empty() {
            continue;
        }
        let len = file.tensors().map(|(tensor, _)| tensor.byte_len()).sum();
        let header = SafetensorsHeader::parse(Path::new(file.path()), header.to_vec(), len);
        let header = header.map_err(|error| UpdateError::failed(error.to_string()))?;
        let metadata = header.metadata();
        if !IN_HEADER.iter().any(|key| metadata.contains_key(*key)) {
            continue;
        }
        let known = metadata.iter().filter(|(key, _)| KNOWN.contains(&key.as_str()));
        let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| text.into());
        let settings = known.map(|(key, text)| (full_name(key).to_owned(), value(text))).collect();
        layers.push(Layer { name: format!("file of {name}"), is_given: false, settings });
    }
    Ok(layers)
}

impl AdapterConfig {
    /// What the parameters say, and the adapter of itself.
    pub(super) fn read(inputs: &Inputs, model: &Model) -> Result<Self, UpdateError> {
        let config = match inputs.parameters.get("config") {
            None => Map::new(),
            Some(Value::Object(config)) => config.clone(),
            Some(_) => {
                let reason = "not the object of an adapter_config.json";
                return Err(UpdateError::parameter("config", reason));
            }
        };
        let given = inputs.parameters.iter().filter(|(name, _)| *name != "config");
        let given = given.map(|(name, value)| (full_name(name).to_owned(), value.clone()));
        let mut layers = vec![
            Layer { name: "parameters".to_owned(), is_given: true, settings: given.collect() },
            Layer { name: "parameter config".to_owned(), is_given: true, settings: config },
        ];
        layers.extend(of_model(model)?);
        Ok(AdapterConfig { layers })
    }

    /// A setting, where one is.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let mut values = self.layers.iter().filter_map(|layer| layer.settings.get(name));
        values.find(|value| !value.is_null())
    }

    /// A setting that the user has said now.
    pub(super) fn given(&self, name: &str) -> Option<&Value> {
        let given = self.layers.iter().filter(|layer| layer.is_given);
        given.filter_map(|layer| layer.settings.get(name)).find(|value| !value.is_null())
    }

    /// Whether it is a parameter of the function, and not of a configuration.
    pub(super) fn is_parameter(&self, name: &str) -> bool {
        self.layers.first().is_some_and(|layer| layer.settings.contains_key(name))
    }

    /// What is said of a setting beside the value that counts: `config` or the adapter's own.
    pub(super) fn own(&self, name: &str) -> Option<&Value> {
        let own = self.layers.iter().filter(|layer| !layer.is_given);
        own.filter_map(|layer| layer.settings.get(name)).find(|value| !value.is_null())
    }

    /// All settings that count, each once.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.layers.iter().enumerate().flat_map(move |(at, layer)| {
            let before = self.layers.iter().take(at);
            layer.settings.iter().filter(move |(name, value)| {
                let is_taken =
                    |layer: &Layer| layer.settings.get(*name).is_some_and(|value| !value.is_null());
                !value.is_null() && !before.clone().any(is_taken)
            })
        })
    }

    /// What one place says and an earlier one otherwise.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut said = Vec::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let named = layer.settings.iter().filter(|(_, value)| !value.is_null());
            for (name, value) in named {
                let mut before = self.layers.iter().take(at).filter_map(|layer| {
                    Some((&layer.name, layer.settings.get(name).filter(|it| !it.is_null())?))
                });
                if let Some((first, counts)) = before.next().filter(|(_, it)| !agree(it, value)) {
                    let other = &layer.name;
                    said.push(format!(
                        "{name} is {counts} by the {first}, which counts, and {value} by the {other}"
                    ));
                }
            }
        }
        said
    }
}
