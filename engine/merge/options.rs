//! How conflicts are to be settled.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::lineage::ModelRef;
use crate::update::{BlendSettings, Strategy, UpdateError};

/// Whose tensor is taken, or how both are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resolution {
    /// The first model's.
    Ours,
    /// The second model's.
    Theirs,
    /// Both, mixed.
    Blend(Strategy),
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Resolution::Ours => "ours",
            Resolution::Theirs => "theirs",
            Resolution::Blend(Strategy::Linear) => "average",
            Resolution::Blend(strategy) => strategy.name(),
        })
    }
}

/// As its text.
impl serde::Serialize for Resolution {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Resolution {
    type Err = UpdateError;

    fn from_str(text: &str) -> Result<Self, UpdateError> {
        match text {
            "ours" => Ok(Resolution::Ours),
            "theirs" => Ok(Resolution::Theirs),
            "average" => Ok(Resolution::Blend(Strategy::Linear)),
            other => other.parse().map(Resolution::Blend).map_err(|_| {
                let known = "ours, theirs, average, slerp, task-arithmetic, ties, dare";
                bad("on_conflict", format!("{other:?} is none of {known}"))
            }),
        }
    }
}

/// A resolution for the layers and tensors of these names, whoever has changed them. Written
/// `GLOB=RESOLUTION`; `metadata:KEY=SIDE` settles a key of the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// `*` for any characters, `?` for one.
    pub glob: String,
    /// What is done with them.
    pub resolution: Resolution,
}

impl FromStr for Take {
    type Err = UpdateError;

    fn from_str(text: &str) -> Result<Self, UpdateError> {
        let (glob, resolution) = text
            .rsplit_once('=')
            .filter(|(glob, _)| !glob.is_empty())
            .ok_or_else(|| bad("take", "not GLOB=SIDE, such as 'encoder.layer.3.*=ours'"))?;
        Ok(Take { glob: glob.to_owned(), resolution: resolution.parse()? })
    }
}

impl fmt::Display for Take {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.glob, self.resolution)
    }
}

/// How conflicts are to be settled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MergeOptions {
    /// The model that both sides are compared with; none for the nearest common ancestor.
    pub base: Option<ModelRef>,
    /// What is done with layers that both sides have changed differently.
    pub on_conflict: Option<Resolution>,
    /// What is done with some layers and tensors; the first that fits counts.
    pub takes: Vec<Take>,
    /// What strategies are given, as [`BlendSettings::with`] takes it: of two models, ours first.
    pub blend: Map<String, Value>,
    /// For what is random.
    pub seed: u64,
}

/// The parameter names that are not the strategies'.
const BASE: &str = "base";
const ON_CONFLICT: &str = "on_conflict";
const TAKE: &str = "take";

pub(super) fn bad(name: &str, reason: impl Into<String>) -> UpdateError {
    UpdateError::Parameter { name: name.to_owned(), reason: reason.into() }
}

impl MergeOptions {
    /// As the parameters of a recipe.
    pub fn to_parameters(&self) -> Map<String, Value> {
        let mut parameters = self.blend.clone();
        if let Some(base) = &self.base {
            parameters.insert(BASE.to_owned(), base.to_string().into());
        }
        if let Some(resolution) = self.on_conflict {
            parameters.insert(ON_CONFLICT.to_owned(), resolution.to_string().into());
        }
        if !self.takes.is_empty() {
            let takes: Vec<Value> = self.takes.iter().map(|take| take.to_string().into()).collect();
            parameters.insert(TAKE.to_owned(), takes.into());
        }
        parameters
    }

    /// Of such parameters, and a seed.
    ///
    /// # Errors
    ///
    /// [`UpdateError::Parameter`].
    pub fn from_parameters(
        parameters: &Map<String, Value>,
        seed: u64,
    ) -> Result<Self, UpdateError> {
        let mut blend = parameters.clone();
        let mut text = |name: &str| match blend.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(bad(name, "not a text")),
        };
        let (base, on_conflict) = (text(BASE)?, text(ON_CONFLICT)?);
        let takes = blend.remove(TAKE).unwrap_or_else(|| Value::Array(Vec::new()));
        let takes = takes.as_array().ok_or_else(|| bad(TAKE, "not a list"))?;
        let take = |value: &Value| value.as_str().unwrap_or_default().parse();
        let options = MergeOptions {
            base: base.map(ModelRef::from),
            on_conflict: on_conflict.map(|text| text.parse()).transpose()?,
            takes: takes.iter().map(take).collect::<Result<_, _>>()?,
            blend,
            seed,
        };
        options.check()?;
        Ok(options)
    }

    /// Refuses settings that no strategy in use takes.
    ///
    /// # Errors
    ///
    /// [`UpdateError::Parameter`].
    pub fn check(&self) -> Result<(), UpdateError> {
        let strategies: Vec<Strategy> = self
            .takes
            .iter()
            .map(|take| take.resolution)
            .chain(self.on_conflict)
            .filter_map(|resolution| match resolution {
                Resolution::Blend(strategy) => Some(strategy),
                _ => None,
            })
            .collect();
        for (name, value) in &self.blend {
            let one = Map::from_iter([(name.clone(), value.clone())]);
            let mut last = Err(bad(name, "no strategy is in use that takes it"));
            for strategy in &strategies {
                last = BlendSettings::new(*strategy, 2, 0).with(*strategy, &one).map(drop);
                if last.is_ok() {
                    break;
                }
            }
            last?;
        }
        Ok(())
    }

    /// What a strategy is given, of what it takes.
    pub(super) fn settings(&self, strategy: Strategy) -> Result<BlendSettings, UpdateError> {
        let mut settings = BlendSettings::new(strategy, 2, self.seed);
        for (name, value) in &self.blend {
            let one = Map::from_iter([(name.clone(), value.clone())]);
            match settings.clone().with(strategy, &one) {
                Ok(with) => settings = with,
                // Taken by another strategy in use: looked at by `check`.
                Err(_) => continue,
            }
        }
        Ok(settings)
    }
}
