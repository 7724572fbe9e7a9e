//! How strongly an adapter is merged: the settings that PEFT keeps in `adapter_config.json`.

use std::cell::RefCell;
use std::collections::BTreeSet;

use regex_lite::Regex;
use serde_json::Value;

use super::super::{Inputs, UpdateError};
use super::adapter_config::{AdapterConfig, KNOWN, is_set};
use crate::store::Model;

/// The parameters that the function takes.
const PARAMETERS: [&str; 12] = [
    "scale",
    "alpha",
    "lora_alpha",
    "r",
    "use_rslora",
    "use_dora",
    "fan_in_fan_out",
    "alpha_pattern",
    "rank_pattern",
    "adapter",
    "config",
    "ignore",
];

/// Settings that say nothing of a merge: of how the adapter was trained, where, and on what. What
/// they did to the tensors is in the tensors.
const WITHOUT_EFFECT: [&str; 19] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
];

/// Ways to begin an adapter that also change the base, whose weights are then not those that the
/// adapter was trained on.
const CHANGES_BASE: [&str; 5] = ["pissa", "corda", "olora", "loftq", "lora_ga"];

/// What the product of an adapter's matrices is multiplied by, and how they lie.
#[derive(Debug)]
pub(super) struct Settings {
    scale: Option<f64>,
    alpha: Option<f64>,
    alphas: Vec<(Regex, f64)>,
    rank: Option<f64>,
    ranks: Vec<(Regex, f64)>,
    by_root: bool,
    /// Whether matrices of linear layers lie transposed; none where nobody has said.
    pub(super) transposed: Option<bool>,
    /// Which of several adapters.
    pub(super) adapter: Option<String>,
    /// Whether rows are rescaled; none where nobody has said.
    pub(super) is_dora: Option<bool>,
    /// Modules of the base that the adapter should have as a whole.
    pub(super) saved: Vec<String>,
    /// Which biases the adapter should have as a whole: `none`, `all` or `lora_only`.
    pub(super) biases: String,
    /// Whether second matrices should have biases.
    pub(super) has_bias: bool,
    /// What is to be said.
    said: RefCell<BTreeSet<String>>,
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

fn text(name: &str, value: &Value) -> Result<String, UpdateError> {
    value.as_str().map(str::to_owned).ok_or_else(|| bad(name, "not a text"))
}

fn texts(name: &str, value: Option<&Value>) -> Result<Vec<String>, UpdateError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let list = value.as_array().ok_or_else(|| bad(name, "not a list of texts"))?;
    list.iter().map(|value| text(name, value)).collect()
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
    /// Of the function's parameters and of what the adapter says of itself.
    pub(super) fn read(inputs: &Inputs, model: &Model) -> Result<Self, UpdateError> {
        inputs.only_parameters(&PARAMETERS)?;
        if ["alpha", "lora_alpha"].into_iter().all(|name| inputs.parameters.contains_key(name)) {
            return Err(bad("alpha", "lora_alpha is the same: say one of them"));
        }
        let config = AdapterConfig::read(inputs, model)?;
        let mut said: BTreeSet<String> = config.contradictions().into_iter().collect();
        said.extend(check_kind(&config)?);
        let get = |name: &str| config.get(name);
        let scale = inputs.number("scale")?;
        let alpha = get("lora_alpha").map(|value| number("alpha", value)).transpose()?;
        let is_twice = scale.is_some() && config.given("lora_alpha").is_some();
        if is_twice || scale.is_none() && alpha.is_none() {
            let reason = "say one of scale; alpha, which is divided by the rank; and config, the \
                          adapter_config.json";
            let reason = match is_twice {
                true => reason.to_owned(),
                false => format!("{} does not say how strongly: {reason}", model.full_name()),
            };
            return Err(bad("scale", reason));
        }
        let pattern_alone = config.given("alpha_pattern").is_none();
        if let (Some(_), Some(own)) = (config.given("lora_alpha"), config.own("alpha_pattern"))
            && pattern_alone
            && is_set(own)
        {
            let text = "alpha was given; its own alpha_pattern still counts where it fits";
            said.insert(text.to_owned());
        }
        let rank = get("r").map(|value| number("r", value)).transpose()?;
        let adapter = config.given("adapter").map(|value| text("adapter", value)).transpose()?;
        Ok(Settings {
            scale,
            alpha,
            alphas: patterns("alpha_pattern", get("alpha_pattern"))?,
            rank,
            ranks: patterns("rank_pattern", get("rank_pattern"))?,
            by_root: flag("use_rslora", get("use_rslora"))?.unwrap_or(false),
            transposed: flag("fan_in_fan_out", get("fan_in_fan_out"))?,
            adapter,
            is_dora: flag("use_dora", get("use_dora"))?,
            saved: texts("modules_to_save", get("modules_to_save"))?,
            biases: get("bias").map_or(Ok("none".to_owned()), |value| text("bias", value))?,
            has_bias: flag("lora_bias", get("lora_bias"))?.unwrap_or(false),
            said: RefCell::new(said),
        })
    }

    /// What the product for a module of this rank is multiplied by.
    pub(super) fn scale(&self, module: &str, rank: u64) -> Result<f64, UpdateError> {
        let said = fitting("rank_pattern", &self.ranks, module)?.or(self.rank);
        if let Some(said) = said.filter(|said| *said != rank as f64) {
            let reason = format!("{said} was said, and the matrices of {module:?} have {rank}");
            return Err(bad("r", reason));
        }
        let alpha = fitting("alpha_pattern", &self.alphas, module)?.or(self.alpha);
        let by = if self.by_root { (rank as f64).sqrt() } else { rank as f64 };
        let own = alpha.map(|alpha| alpha / by);
        match (self.scale, own) {
            (Some(scale), own) => {
                if let Some(own) = own.filter(|own| *own != scale) {
                    let text = format!(
                        "scale is {scale} by the parameters, which counts, and {own} by \
                                 the alpha that the adapter says"
                    );
                    self.said.borrow_mut().insert(text);
                }
                Ok(scale)
            }
            (None, own) => own.ok_or_else(|| bad("alpha", format!("none is said for {module:?}"))),
        }
    }

    /// What is to be said of the settings; all of it once scales were asked for.
    pub(super) fn notes(&self) -> Vec<String> {
        self.said.borrow().iter().cloned().collect()
    }
}

/// Refuses adapters that are something else than is merged here. Of settings that the user wants
/// ignored, that they were.
fn check_kind(config: &AdapterConfig) -> Result<Vec<String>, UpdateError> {
    let kind = config.get("peft_type").map(|value| text("peft_type", value)).transpose()?;
    if let Some(kind) = kind.filter(|kind| kind != "LORA") {
        return Err(bad("config", format!("an adapter of type {kind}, and not LORA")));
    }
    let ignored = match config.given("ignore") {
        Some(Value::String(name)) => vec![name.clone()],
        other => texts("ignore", other)?,
    };
    let mut said = Vec::new();
    for (name, value) in config.all().filter(|(_, value)| is_set(value)) {
        let name = name.as_str();
        let taken = KNOWN.contains(&name)
            || WITHOUT_EFFECT.contains(&name)
            || PARAMETERS.contains(&name) && config.is_parameter(name);
        let begin = value.as_str().filter(|_| name == "init_lora_weights").unwrap_or_default();
        let begin = begin.to_lowercase();
        let changes_base = CHANGES_BASE.into_iter().any(|known| begin.starts_with(known));
        if taken && !changes_base {
            continue;
        }
        if ignored.iter().any(|ignored| ignored == name) {
            said.push(format!("{name} is {value}, and was ignored, as was asked for"));
            continue;
        }
        let what = match changes_base {
            true => format!(
                "init_lora_weights is {value}, which changes the base too: convert the adapter to \
                 plain LoRA with PEFT first (path_initial_model_for_weight_conversion)"
            ),
            false => {
                format!("{name} is set ({}): such an adapter is not merged here", short(value))
            }
        };
        return Err(bad("config", format!("{what}; or merge without it: ignore={name}")));
    }
    Ok(said)
}

/// A value as a message shows it.
pub(super) fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}
