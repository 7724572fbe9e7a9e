//! An adapter merged into its base.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::super::chosen::Chosen;
use super::super::{Draft, DraftTensor, Inputs, UpdateError};
use super::adapter::{Adapter, Parts};
use super::adapter_config::SIDE_FILE;
use super::arithmetic::{by_formula, by_numbers, is_number};
use super::lora_settings::{Settings, short};
use super::low_rank::{Adapted, COLUMNS_MAX, Lengths, single};
use crate::codec::formula::Formula;
use crate::store::{Model, Tensor};
use crate::tensor::Dtype;

/// The first parent with the second, an adapter, merged in, as the PEFT library does it: products
/// of pairs of matrices times a scale, of linear layers, convolutions and embeddings; biases of the
/// second matrix; whole tensors; rows, and columns of embeddings, brought to the lengths that DoRA
/// has learned. Every tensor of the adapter is used, or the error names it.
pub(super) fn lora_merge(inputs: &Inputs) -> Result<Draft, UpdateError> {
    let [base, adapter] = inputs.parents.as_slice() else {
        return Err(UpdateError::inputs("two parents are needed: a base, then its adapter"));
    };
    let (base, model) = (&base.model, &adapter.model);
    let settings = Settings::read(inputs, model)?;
    let manifest = model.manifest();
    let names = || manifest.tensors.iter().take(manifest.weights()).map(|tensor| tensor.name);
    let adapter = Adapter::of(names(), settings.adapter.as_deref()).map_err(|names| {
        let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
        let reason = format!("say which of several adapters is merged: {}", names.join(", "));
        UpdateError::parameter("adapter", reason)
    })?;
    if adapter.modules.is_empty() {
        let name = model.full_name();
        let reason = format!("{name} is no adapter: no tensors named *.lora_A.* and *.lora_B.*");
        return Err(UpdateError::inputs(reason));
    }
    let merge = Merge { base, model, settings: &settings };
    let mut made = merge.all(&adapter)?;
    let others: Vec<String> = adapter.others.iter().map(|name| format!("{name:?}")).collect();
    let draft = Draft::like_each(&Chosen::all(base), |tensor| {
        let Some(made) = made.remove(tensor.name()) else { return Ok([DraftTensor::keep(tensor)]) };
        Ok(match others.is_empty() {
            true => [made],
            false => [made.noted(format!("adapters not merged: {}", others.join(", ")))],
        })
    })?;
    let draft = settings.notes().into_iter().fold(draft, Draft::said);
    draft.said_of_others(base, &[model], &[SIDE_FILE])
}

/// Tensors that are not used which an error names besides the first.
const NAMED_MAX: usize = 4;

/// Refuses an adapter with tensors that are not used: says why of the first, names the next, counts
/// the rest, and says what to do.
fn refuse_unused(unused: &[(String, String)], remedy: &str) -> Result<(), UpdateError> {
    let Some(((first, why), rest)) = unused.split_first() else { return Ok(()) };
    let named: Vec<String> =
        rest.iter().take(NAMED_MAX).map(|(name, _)| format!("{name:?}")).collect();
    let more = match rest.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let rest = match named.is_empty() {
        true => String::new(),
        false => format!("; nor would be {}{more}", named.join(", ")),
    };
    Err(UpdateError::tensor(first, format!("not merged: {why}{rest}: {remedy}")))
}

fn is_dotted(rest: &str) -> bool {
    rest.starts_with('.')
}

/// What is wrong, without the name of the tensor, which is said anyway.
fn reason(error: UpdateError) -> String {
    match error {
        UpdateError::Tensor { reason, .. } => reason,
        other => other.to_string(),
    }
}

struct Merge<'m> {
    base: &'m Model,
    model: &'m Model,
    settings: &'m Settings,
}

impl Merge<'_> {
    /// Every tensor of the base that the adapter changes, by name.
    fn all(&self, adapter: &Adapter) -> Result<HashMap<String, DraftTensor>, UpdateError> {
        let twice = adapter.twice.iter();
        let twice: Vec<(String, String)> =
            twice.map(|name| (name.clone(), "it stands there twice".to_owned())).collect();
        refuse_unused(&twice, "save the adapter anew")?;
        let mut unused: Vec<(String, String)> = Vec::new();
        let mut made: HashMap<String, DraftTensor> = HashMap::new();
        for (name, whole) in &adapter.whole {
            match self.whole(name, whole) {
                Ok(tensor) => _ = made.insert(name.clone(), tensor),
                Err(error) => unused.push((whole.clone(), reason(error))),
            }
        }
        let transposed = self.are_transposed(&adapter.modules)?;
        for (module, parts) in &adapter.modules {
            match self.module(module, parts, transposed) {
                Ok(tensors) => {
                    for tensor in tensors {
                        if let Some(before) = made.insert(tensor.name().to_owned(), tensor) {
                            let name = before.name();
                            let why = format!("{name} is changed by several of its tensors");
                            unused.extend(parts.names().map(|name| (name.clone(), why.clone())));
                        }
                    }
                }
                Err(error @ UpdateError::Parameter { .. }) => return Err(error),
                Err(error) => {
                    let reason = reason(error);
                    unused.extend(parts.names().map(|name| (name.clone(), reason.clone())));
                }
            }
        }
        refuse_unused(&unused, &self.other_base())?;
        self.refuse_missing(adapter)?;
        Ok(made)
    }

    /// What to do where tensors do not fit the base.
    fn other_base(&self) -> String {
        let metadata = self.model.metadata().unwrap_or_default();
        let said = metadata.get("lora.base_model").filter(|base| base.is_string());
        let said = said.map_or_else(String::new, |base| format!(", {} as it says", short(base)));
        format!("give the base that the adapter was trained on{said}")
    }

    /// Refuses an adapter without tensors that its settings say it has: modules that were trained
    /// as a whole, biases.
    fn refuse_missing(&self, adapter: &Adapter) -> Result<(), UpdateError> {
        let is_in = |tensor: &str, module: &str| {
            let mut places = tensor.match_indices(module);
            places.any(|(at, _)| tensor.get(at + module.len()..).is_some_and(is_dotted))
        };
        let manifest = self.base.manifest();
        let of_base = || manifest.tensors.iter().take(manifest.weights()).map(|tensor| tensor.name);
        let refuse = |reason: String| Err(UpdateError::parameter("config", reason));
        let name = self.model.full_name();
        for module in self.settings.saved.iter().filter(|module| !module.is_empty()) {
            if of_base().any(|tensor| is_in(tensor, module))
                && !adapter.whole.keys().any(|tensor| is_in(tensor, module))
            {
                let reason =
                    format!("modules_to_save names {module:?}, and {name} has no tensor of it");
                return refuse(reason);
            }
        }
        let is_bias = |tensor: &str| tensor == "bias" || tensor.ends_with(".bias");
        let biases = &self.settings.biases;
        if biases != "none"
            && of_base().any(is_bias)
            && !adapter.whole.keys().any(|tensor| is_bias(tensor))
        {
            return refuse(format!("bias is {biases:?}, and {name} has no biases"));
        }
        if self.settings.has_bias && adapter.modules.values().all(|parts| parts.bias.is_none()) {
            return refuse(format!("lora_bias is set, and {name} has no lora_B.bias"));
        }
        Ok(())
    }

    fn of_base(&self, name: &str) -> Result<Tensor, UpdateError> {
        let none = || {
            let reason = format!("{} has no tensor {name:?}", self.base.full_name());
            UpdateError::tensor(name, reason)
        };
        self.base.tensor(name).map_err(|_| none())
    }

    /// A tensor that takes the place of the base's, in its type.
    fn whole(&self, name: &str, whole: &str) -> Result<DraftTensor, UpdateError> {
        let (old, new) = (self.of_base(name)?, self.model.tensor(whole)?);
        if old.shape() == new.shape() && old.dtype() == new.dtype() {
            return Ok(DraftTensor::keep(&new).named(name));
        }
        match Formula::cast(new.dtype(), old.dtype()).filter(|_| old.shape() == new.shape()) {
            Some(cast) => by_formula(&old, old.dtype().clone(), cast, vec![new]),
            None => {
                let (new, old) = (new.described(), old.described());
                let reason = format!("{new} cannot take the place of {name:?}, {old}");
                Err(UpdateError::tensor(whole, reason))
            }
        }
    }

    /// The dimensions of both matrices of a module: rows and rank, rank and columns.
    fn factors(&self, parts: &Parts) -> Result<(Tensor, Tensor, [u64; 3]), UpdateError> {
        let (Some(right), Some(left)) = (&parts.a, &parts.b) else {
            let missing = if parts.a.is_none() { "lora_A" } else { "lora_B" };
            return Err(UpdateError::inputs(format!("its {missing} is missing")));
        };
        let (left, right) = (self.model.tensor(left)?, self.model.tensor(right)?);
        let fits = match (left.shape().dims(), right.shape().dims()) {
            ([rows, same, ones @ ..], [rank, columns @ ..])
                if same == rank && ones.iter().all(|one| *one == 1) && !columns.is_empty() =>
            {
                Some([*rows, *rank, columns.iter().product()])
            }
            _ => None,
        };
        let (a, b) = (left.described(), right.described());
        let numbers = is_number(left.dtype()) && is_number(right.dtype());
        let dims = fits.filter(|dims| numbers && dims.iter().all(|dim| *dim > 0));
        let none = || UpdateError::inputs(format!("{a} times {b} is no product"));
        let dims = dims.ok_or_else(none)?;
        Ok((left, right, dims))
    }

    /// Whether matrices lie transposed where their shapes do not tell: as it was said, else as
    /// those lie whose shapes do tell.
    fn are_transposed(
        &self,
        modules: &BTreeMap<String, Parts>,
    ) -> Result<Option<bool>, UpdateError> {
        if self.settings.transposed.is_some() {
            return Ok(self.settings.transposed);
        }
        let mut turned = false;
        for (module, parts) in modules.iter().filter(|(_, parts)| !parts.is_embedding) {
            let Ok((_, _, [rows, _, columns])) = self.factors(parts) else { continue };
            let Ok(base) = self.of_base(&format!("{module}.weight")) else { continue };
            if rows != columns && base.shape().dims().len() == 2 {
                turned |= base.shape().dims() == [columns, rows];
            }
        }
        Ok(if turned { None } else { Some(false) })
    }

    /// The tensors of the base that the adapter changes in a module.
    fn module(
        &self,
        module: &str,
        parts: &Parts,
        transposed: Option<bool>,
    ) -> Result<Vec<DraftTensor>, UpdateError> {
        let weight = self.of_base(&format!("{module}.weight"))?;
        let (left, right, dims @ [_, rank, _]) = self.factors(parts)?;
        let scale = self.settings.scale(module, rank)?;
        match (self.settings.is_dora, &parts.magnitude) {
            (Some(true), None) => {
                return Err(UpdateError::inputs("use_dora is set, and it has no magnitudes"));
            }
            (Some(false), Some(_)) => {
                return Err(UpdateError::inputs("use_dora is false, and it has magnitudes"));
            }
            _ => {}
        }
        let turned = self.is_turned(&weight, parts, (&left, &right), dims, transposed)?;
        let mut made = Vec::new();
        if let Some(bias) = &parts.bias {
            let (bias, old) = (self.model.tensor(bias)?, self.of_base(&format!("{module}.bias"))?);
            if bias.shape() != old.shape() || !is_number(bias.dtype()) || !is_number(old.dtype()) {
                let (bias, of) = (bias.described(), old.described());
                let reason = format!("a bias {bias} does not fit {:?}, {of}", old.name());
                return Err(UpdateError::inputs(reason));
            }
            let dtype = old.dtype().clone();
            // As PEFT rounds it: the product, then the sum.
            let is_single = [&old, &bias].iter().all(|tensor| *tensor.dtype() != Dtype::F64);
            made.push(by_numbers(&old, dtype, vec![old.clone(), bias], move |row| match row {
                [old, bias] if is_single => old + single(bias * single(scale)),
                [old, bias] => old + bias * scale,
                _ => f64::NAN,
            })?);
        }
        made.push(self.weight(weight, parts, (left, right), dims, (scale, turned))?);
        Ok(made)
    }

    /// Whether the product is added as its transpose.
    fn is_turned(
        &self,
        weight: &Tensor,
        parts: &Parts,
        (left, right): (&Tensor, &Tensor),
        [rows, _, columns]: [u64; 3],
        transposed: Option<bool>,
    ) -> Result<bool, UpdateError> {
        let dims = weight.shape().dims();
        let of_right = right.shape().dims().get(1..).unwrap_or_default();
        let plain = dims.first() == Some(&rows) && dims.get(1..) == Some(of_right);
        let turned = dims == [columns, rows];
        let turned = match (plain, turned) {
            (_, true) if parts.is_embedding => true,
            (true, true) => transposed.ok_or_else(|| {
                let reason = format!(
                    "{:?} is square: say whether it lies transposed, as other matrices of the \
                     adapter's do",
                    weight.name()
                );
                UpdateError::parameter("fan_in_fan_out", reason)
            })?,
            (true, false) if !parts.is_embedding => false,
            (false, true) => true,
            _ => {
                let (left, right) = (left.described(), right.described());
                let of = weight.described();
                let reason = format!("{left} times {right} does not fit {:?}, {of}", weight.name());
                return Err(UpdateError::inputs(reason));
            }
        };
        match is_number(weight.dtype()) {
            true => Ok(turned),
            false => {
                let reason = format!("{:?} is {}, no float here", weight.name(), weight.dtype());
                Err(UpdateError::inputs(reason))
            }
        }
    }

    /// The sum itself: as the formula of the file format where that says it.
    fn weight(
        &self,
        weight: Tensor,
        parts: &Parts,
        (left, right): (Tensor, Tensor),
        [rows, rank, columns]: [u64; 3],
        (scale, turned): (f64, bool),
    ) -> Result<DraftTensor, UpdateError> {
        let dtype = weight.dtype().clone();
        let magnitude = match &parts.magnitude {
            None => None,
            Some(name) => {
                let magnitude = self.model.tensor(name)?;
                let fits = magnitude.shape().elements() == rows && is_number(magnitude.dtype());
                if !fits {
                    let what = if parts.is_embedding { "columns" } else { "rows" };
                    let reason = format!("magnitudes {} for {rows} {what}", magnitude.described());
                    return Err(UpdateError::inputs(reason));
                }
                Some((magnitude, if turned { Lengths::Columns } else { Lengths::Rows }))
            }
        };
        let small_rank = u32::try_from(rank).ok();
        if magnitude.is_none() && !turned && left.dtype() == right.dtype() {
            let formula = small_rank.and_then(|rank| {
                Formula::lora(&dtype, left.dtype(), (columns, rank), scale as f32)
            });
            if let Some(formula) = formula {
                return by_formula(&weight, dtype, formula, vec![weight.clone(), left, right]);
            }
        }
        let columns = if turned { rows } else { columns };
        if columns > COLUMNS_MAX {
            let reason = format!("rows of {columns} elements are longer than {COLUMNS_MAX}");
            return Err(UpdateError::inputs(reason));
        }
        let source = Adapted {
            base: weight.clone(),
            columns: columns as usize,
            left,
            right,
            rank: rank as usize,
            transposed: turned,
            scale,
            magnitude,
            prepared: Mutex::new(None),
        };
        let (name, shape, len) = (weight.name(), weight.shape().clone(), weight.byte_len());
        Ok(DraftTensor::from_source(name, dtype, shape, len, source))
    }
}
