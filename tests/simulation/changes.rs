//! Everything that a transaction can do, each with what it does to the plain model. A new one is
//! a function and a line in [`CHANGES`]; it calls `is_changed` where it leaves something to commit.

use mgit::error::{LineageError, StoreError};
use mgit::store::Result;
use mgit::store::{Repack, Transaction};
use mgit::{Dtype, How, NewModel, NewTensor, OnChildren, Profile};

use super::choices::Choices;
use super::plain::{PlainModel, PlainStore};
use crate::common::{noise, nudged, shape, tensor, weights};

/// What a change works on.
pub struct Place<'p> {
    /// Where its choices come from.
    pub choices: &'p mut Choices,
    /// The transaction.
    pub transaction: &'p mut Transaction,
    /// The plain model, to be changed alike.
    pub plain: &'p mut PlainStore,
    /// How many elements the tensors of a usual and of a long kind have.
    pub sizes: Sizes,
}

/// Lengths of tensors.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Elements of most.
    pub usual: usize,
    /// Elements of some.
    pub long: usize,
    /// One in this many is long.
    pub long_one_in: usize,
}

impl Sizes {
    /// For stores of a few pages.
    pub const SMALL: Sizes = Sizes { usual: 300, long: 17_000, long_one_in: 48 };
    /// For stores as they are in use: pages, several chunks.
    pub const REAL: Sizes = Sizes { usual: 20_000, long: 270_000, long_one_in: 8 };
}

/// The kind of models whose tensors are of type bf16.
const CAST: &str = "cast";

/// A change: its name, how often it is made among the others, and what it does. A change that
/// cannot be made does another one's work or nothing.
pub struct Change {
    /// For reports.
    pub name: &'static str,
    /// How often.
    pub weight: usize,
    /// What it does.
    pub run: fn(&mut Place<'_>) -> Result<()>,
}

/// Every change.
pub const CHANGES: [Change; 13] = [
    Change { name: "add a root", weight: 2, run: add_root },
    Change { name: "add a child", weight: 4, run: add_child },
    Change { name: "add a version", weight: 2, run: add_version },
    Change { name: "add an equal model", weight: 1, run: add_equal },
    Change { name: "add a cast model", weight: 1, run: add_cast },
    Change { name: "remove a model", weight: 4, run: remove },
    Change { name: "add a parent", weight: 1, run: add_parent },
    Change { name: "recode", weight: 1, run: recode },
    Change { name: "repack", weight: 1, run: repack },
    Change { name: "move", weight: 1, run: move_model },
    Change { name: "tag", weight: 1, run: tag },
    Change { name: "set facts", weight: 1, run: set_facts },
    Change { name: "fold the change records", weight: 2, run: fold },
];

impl Place<'_> {
    /// Makes one change.
    pub fn change(&mut self) -> Result<()> {
        (self.choices.weighted(&CHANGES, |change| change.weight).run)(self)
    }

    fn some_model(&mut self) -> Option<String> {
        let names: Vec<&String> = self.plain.models.keys().collect();
        (!names.is_empty()).then(|| names[self.choices.below(names.len())].clone())
    }

    fn some_parents(&mut self, most: usize) -> Vec<(String, How)> {
        let mut parents: Vec<(String, How)> = Vec::new();
        for _ in 0..self.choices.below(most + 1) {
            let how = How::ALL[self.choices.below(How::ALL.len())];
            let parent = self.some_model();
            parents.extend(
                parent.filter(|p| parents.iter().all(|(known, _)| known != p)).map(|p| (p, how)),
            );
        }
        parents
    }

    /// Tensors like those of a model that is there, equal to them, or new.
    fn some_tensors(&mut self, like: Option<&str>) -> Vec<(String, Vec<u8>)> {
        let like = like.and_then(|like| self.plain.models.get(like));
        let pool: Vec<&Vec<u8>> = match like {
            Some(model) => model.tensors.iter().map(|(_, bytes)| bytes).collect(),
            None => self.plain.models.values().flat_map(|m| &m.tensors).map(|(_, b)| b).collect(),
        };
        let (choices, sizes) = (&mut *self.choices, self.sizes);
        let mut tensors = Vec::new();
        for at in 0..choices.below(4) {
            let bytes = match choices.below(8) {
                0..=3 if !pool.is_empty() => {
                    nudged(pool[choices.below(pool.len())], choices.seed(), 9)
                }
                4 if !pool.is_empty() => pool[choices.below(pool.len())].clone(),
                5 => noise(choices.seed(), choices.below(200)),
                6 if choices.one_in(4) => Vec::new(),
                _ if choices.one_in(sizes.long_one_in) => {
                    weights(choices.seed(), sizes.long + choices.below(3) * 7)
                }
                _ => weights(choices.seed(), 10 + choices.below(sizes.usual)),
            };
            tensors.push((format!("t{at}"), bytes));
        }
        tensors
    }

    fn add(&mut self, name: &str, model: PlainModel) -> Result<()> {
        let mut new = NewModel::new(name).kind(&model.kind);
        for (key, value) in &model.metadata {
            new = new.metadata(key, value.clone());
        }
        new = new.profile(Profile::ALL[self.choices.below(Profile::ALL.len())]);
        let new = model.parents.iter().fold(new, |new, (parent, how)| new.parent(parent, *how));
        let is_cast = model.kind == CAST;
        let new = model.tensors.iter().fold(new, |new, (name, bytes)| match is_cast {
            true => {
                let shape = shape(&[bytes.len() as u64 / 2]);
                new.tensor(NewTensor::from_bytes(name, Dtype::Bf16, shape, bytes))
            }
            false => new.tensor(tensor(name, bytes)),
        });
        self.transaction.add_model(new)?;
        self.plain.add(name, model);
        self.is_changed();
        Ok(())
    }

    /// The commit will be one.
    fn is_changed(&mut self) {
        self.plain.sequence = self.transaction.sequence();
    }

    fn some_name(&mut self) -> String {
        format!("net/{}", self.choices.below(5))
    }
}

fn add_root(place: &mut Place<'_>) -> Result<()> {
    let mut model = PlainModel { tensors: place.some_tensors(None), ..PlainModel::default() };
    if place.choices.one_in(3) {
        model.kind = "encoder".to_owned();
        model.metadata.insert("step".to_owned(), place.choices.below(1000).into());
    }
    let name = place.some_name();
    place.add(&name, model)
}

fn add_child(place: &mut Place<'_>) -> Result<()> {
    let parents = place.some_parents(2);
    let like = parents.first().map(|(parent, _)| parent.clone());
    let tensors = place.some_tensors(like.as_deref());
    let name = place.some_name();
    place.add(&name, PlainModel { tensors, parents, ..PlainModel::default() })
}

fn add_version(place: &mut Place<'_>) -> Result<()> {
    let Some(before) = place.some_model() else { return add_root(place) };
    let tensors = place.some_tensors(Some(&before));
    let name = before.split('@').next().unwrap_or_default().to_owned();
    place.add(&name, PlainModel { tensors, ..PlainModel::default() })
}

fn add_equal(place: &mut Place<'_>) -> Result<()> {
    let Some(like) = place.some_model() else { return add_root(place) };
    let tensors = place.plain.models[&like].tensors.clone();
    let name = place.some_name();
    place.add(&name, PlainModel { tensors, ..PlainModel::default() })
}

/// A child whose tensors are the parent's as bf16: a formula over them.
fn add_cast(place: &mut Place<'_>) -> Result<()> {
    let Some(parent) = place.some_model() else { return add_root(place) };
    let model = &place.plain.models[&parent];
    if model.kind == CAST {
        return add_version(place);
    }
    let floats = model.tensors.iter().filter(|(_, bytes)| bytes.len() % 4 == 0);
    let cast = |bytes: &Vec<u8>| -> Vec<u8> {
        let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        bytes.chunks(4).flat_map(|b| mgit::half::bf16::from_f32(number(b)).to_le_bytes()).collect()
    };
    let tensors = floats.map(|(name, bytes)| (name.clone(), cast(bytes))).collect();
    let parents = vec![(parent, How::Cast)];
    let (kind, name) = (CAST.to_owned(), place.some_name());
    place.add(&name, PlainModel { tensors, parents, kind, ..PlainModel::default() })
}

fn recode(place: &mut Place<'_>) -> Result<()> {
    let Some(model) = place.some_model() else { return add_root(place) };
    let profile = Profile::ALL[place.choices.below(Profile::ALL.len())];
    let model = place.choices.one_in(2).then_some(model);
    let report = match model {
        Some(model) => place.transaction.recode(model, profile, &|_| ())?,
        None => place.transaction.recode_all(profile, &|_| ())?,
    };
    if report.changed > 0 {
        place.is_changed();
    }
    Ok(())
}

fn repack(place: &mut Place<'_>) -> Result<()> {
    let how = Repack::default().depth_max(place.choices.below(5) as u8);
    let how = how.profile(Profile::ALL[place.choices.below(Profile::ALL.len())]);
    let report = place.transaction.repack(&how, &|_| ())?;
    assert!(report.after_bytes <= report.before_bytes, "{report:?}");
    if report.changed > 0 {
        place.is_changed();
    }
    Ok(())
}

fn remove(place: &mut Place<'_>) -> Result<()> {
    let Some(full) = place.some_model() else { return add_root(place) };
    let ways = [OnChildren::Refuse, OnChildren::Reparent, OnChildren::Detach];
    let way = ways[place.choices.below(3)];
    let result = place.transaction.remove_model(&full, way);
    if place.plain.remove(&full, way) {
        place.is_changed();
        return result.map(drop);
    }
    match result {
        Err(StoreError::Lineage(LineageError::HasChildren { .. })) => Ok(()),
        Err(error) => Err(error),
        Ok(report) => panic!("{full} was removed though it has children: {report:?}"),
    }
}

fn add_parent(place: &mut Place<'_>) -> Result<()> {
    let (Some(child), Some(parent)) = (place.some_model(), place.some_model()) else {
        return Ok(());
    };
    let how = How::ALL[place.choices.below(How::ALL.len())];
    let is_known = place.plain.models[&child].parents.iter().any(|(known, _)| *known == parent);
    if is_known || place.plain.descends(&parent, &child) {
        return Ok(());
    }
    place.transaction.add_parent(&child, &parent, how)?;
    place.plain.models.entry(child).and_modify(|model| model.parents.push((parent, how)));
    place.is_changed();
    Ok(())
}

fn move_model(place: &mut Place<'_>) -> Result<()> {
    let Some(full) = place.some_model() else { return add_root(place) };
    let name = place.some_name();
    if full.split('@').next() == Some(&name) || !place.plain.move_to(&full, &name) {
        return Ok(());
    }
    place.transaction.move_model(&full, &name)?;
    place.is_changed();
    Ok(())
}

/// Sets a tag, which another model may have, or removes it.
fn tag(place: &mut Place<'_>) -> Result<()> {
    let Some(full) = place.some_model() else { return add_root(place) };
    let tag = format!("tag{}", place.choices.below(3));
    if place.choices.one_in(4) && place.plain.tags.remove(&tag).is_some() {
        place.transaction.remove_tag(&tag)?;
    } else {
        place.transaction.set_tag(&tag, &full)?;
        place.plain.tags.insert(tag, full);
    }
    place.is_changed();
    Ok(())
}

fn set_facts(place: &mut Place<'_>) -> Result<()> {
    let Some(full) = place.some_model() else { return add_root(place) };
    let step = place.choices.below(1000);
    let metadata: serde_json::Map<_, _> = [("step".to_owned(), step.into())].into_iter().collect();
    place.transaction.set_metadata(&full, metadata.clone())?;
    let is_cast = place.plain.models[&full].kind == CAST;
    let kind = format!("kind{}", step % 3);
    if !is_cast {
        place.transaction.set_kind(&full, &kind)?;
    }
    place.plain.models.entry(full).and_modify(|model| {
        model.metadata = metadata;
        if !is_cast {
            model.kind = kind;
        }
    });
    place.is_changed();
    Ok(())
}

fn fold(place: &mut Place<'_>) -> Result<()> {
    place.transaction.fold_changes();
    place.is_changed();
    Ok(())
}
