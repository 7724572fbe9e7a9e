//! How strongly an adapter is merged: the settings that PEFT keeps in `adapter_config.json`.

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::super::{Inputs, UpdateError};

/// The parameters that the function takes.
const KNOWN: [&str; 10] = [
    "scale",
    "alpha",
    "lora_alpha",
    "r",
    "use_rslora",
    "fan_in_fan_out",
    "alpha_pattern",
    "rank_pattern",
    "adapter",
    "config",
];

/// Settings whose adapters are something else than is merged here, where they are not null, false
/// or empty.
const OTHER_KINDS: [&str; 10] = [
    "layer_replication",
    "use_qalora",
    "use_bdlora",
    "kasa_config",
    "velora_config",
    "monteclora_config",
    "arrow_config",
    "alora_invocation_tokens",
    "target_parameters",
    "trainable_token_indices",
];

/// Ways to begin an adapter that also change the base, whose weights are then not those that the
/// adapter was trained on.
const CHANGES_BASE: [&str; 5] = ["pissa", "corda", "olora", "loftq", "lora_ga"];

/// What the product of an adapter's matrices is multiplied by, and how they lie.
#[derive(Debug)]
pub(super) struct Settings {
    scale: Option<f64>,
    alpha: f64,
    alphas: Vec<(Regex, f64)>,
    rank: Option<f64>,
    ranks: Vec<(Regex, f64)>,
    by_root: bool,
    /// Whether matrices of linear layers lie transposed; none where nobody has said.
    pub(super) transposed: Option<bool>,
    /// Which of several adapters.
    pub(super) adapter: Option<String>,
    /// Whether the configuration says that rows are rescaled.
    pub(super) is_dora: bool,
}

fn bad(name: &str, reason: impl Into<String>) -> UpdateError {
    UpdateError::parameter(name, reason)
}

fn number(name: &str, value: &Value) -> Result<f64, UpdateError> {
    value.as_f64().filter(|it| it.is_finite()).ok_or_else(|| bad(name, "not a number"))
}

fn flag(name: &str, value: Option<&Value>) -> Result<Option<bool>, UpdateError> {
    let Some(value) = value else { return Ok(None) };
    value.as_bool().map(Some).ok_or_else(|| bad(name, "neither true nor false"))
}

/// Patterns of module names, as PEFT takes them: of the end of the name, from a dot on.
fn patterns(name: &str, value: Option<&Value>) -> Result<Vec<(Regex, f64)>, UpdateError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let object = value.as_object().ok_or_else(|| bad(name, "not an object"))?;
    let pattern = |(key, value): (&String, &Value)| {
        let regex = Regex::new(&format!("^(?:.*\\.)?(?:{key})$"));
        let regex = regex.map_err(|error| bad(name, format!("{key:?}: {error}")))?;
        Ok((regex, number(name, value)?))
    };
    object.iter().map(pattern).collect()
}

/// The value of the patterns that fit; none where none does.
fn fitting(
    name: &str,
    patterns: &[(Regex, f64)],
    module: &str,
) -> Result<Option<f64>, UpdateError> {
    let mut found = patterns.iter().filter(|(regex, _)| regex.is_match(module));
    let Some((_, first)) = found.next() else { return Ok(None) };
    if found.any(|(_, other)| other != first) {
        let reason = format!("several patterns fit {module:?}, with different values: say one");
        return Err(bad(name, reason));
    }
    Ok(Some(*first))
}

impl Settings {
    /// Of the function's parameters; `config` is the object of `adapter_config.json`, over which
    /// the others go.
    pub(super) fn read(inputs: &Inputs) -> Result<Self, UpdateError> {
        inputs.only_parameters(&KNOWN)?;
        let none = Map::new();
        let config = match inputs.parameters.get("config") {
            None => &none,
            Some(Value::Object(config)) => config,
            Some(_) => return Err(bad("config", "not the object of an adapter_config.json")),
        };
        check_kind(config)?;
        let get = |name: &str| {
            let value = inputs.parameters.get(name).or_else(|| config.get(name));
            value.filter(|value| !value.is_null())
        };
        let scale = inputs.number("scale")?;
        let alpha = get("alpha").or_else(|| get("lora_alpha"));
        let alpha = alpha.map(|value| number("alpha", value)).transpose()?;
        if scale.is_some() == alpha.is_some() {
            let reason = "say one of scale; alpha, which is divided by the rank; and config, the \
                          adapter_config.json";
            return Err(bad("scale", reason));
        }
        let rank = get("r").map(|value| number("r", value)).transpose()?;
        let adapter = get("adapter").map(|value| {
            value.as_str().map(str::to_owned).ok_or_else(|| bad("adapter", "not a name"))
        });
        Ok(Settings {
            scale,
            alpha: alpha.unwrap_or_default(),
            alphas: patterns("alpha_pattern", get("alpha_pattern"))?,
            rank,
            ranks: patterns("rank_pattern", get("rank_pattern"))?,
            by_root: flag("use_rslora", get("use_rslora"))?.unwrap_or(false),
            transposed: flag("fan_in_fan_out", get("fan_in_fan_out"))?,
            adapter: adapter.transpose()?,
            is_dora: flag("use_dora", get("use_dora"))?.unwrap_or(false),
        })
    }

    /// What the product for a module of this rank is multiplied by.
    pub(super) fn scale(&self, module: &str, rank: u64) -> Result<f64, UpdateError> {
        let said = fitting("rank_pattern", &self.ranks, module)?.or(self.rank);
        if let Some(said) = said.filter(|said| *said != rank as f64) {
            let reason = format!("{said} was said, and the matrices of {module:?} have {rank}");
            return Err(bad("r", reason));
        }
        if let Some(scale) = self.scale {
            return Ok(scale);
        }
        let alpha = fitting("alpha_pattern", &self.alphas, module)?.unwrap_or(self.alpha);
        let rank = rank as f64;
        Ok(alpha / if self.by_root { rank.sqrt() } else { rank })
    }
}

/// Refuses adapters that are something else.
fn check_kind(config: &Map<String, Value>) -> Result<(), UpdateError> {
    let kind = config.get("peft_type").and_then(Value::as_str).unwrap_or("LORA");
    if kind != "LORA" {
        return Err(bad("config", format!("an adapter of type {kind}, and not LORA")));
    }
    let is_set = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        _ => true,
    };
    if let Some(name) = OTHER_KINDS.into_iter().find(|name| config.get(*name).is_some_and(is_set)) {
        let reason = format!("{name} is set: such an adapter is not merged here");
        return Err(bad("config", reason));
    }
    let init = config.get("init_lora_weights").and_then(Value::as_str).unwrap_or_default();
    if CHANGES_BASE.into_iter().any(|begin| init.to_lowercase().starts_with(begin)) {
        let reason = format!(
            "init_lora_weights is {init:?}, which changes the base too: convert the adapter to \
             plain LoRA with PEFT first (path_initial_model_for_weight_conversion)"
        );
        return Err(bad("config", reason));
    }
    Ok(())
}
