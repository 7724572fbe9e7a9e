//! What was found of where a model comes from: the same for one model and for many.

use serde::Serialize;
use serde_json::{Value, json};

use crate::infer::{Kinship, Member, Origin, Placement, Resemblance, place};
use crate::lineage::{How, NodeId};
use crate::store::{Model, NewModel, Snapshot, StoreError};

/// The key of a model's metadata under which its kin without a direction are kept.
pub const KIN_KEY: &str = "kin";

/// Where a model comes from, as far as the weights say.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Parentage {
    /// The model that is nearest, and what was decided of the two.
    pub nearest: Option<Relative>,
    /// The models of the store that are its relatives by their sketches, the likeliest first.
    pub candidates: Vec<Candidate>,
    /// How many models' sketches were looked at.
    pub looked_at: usize,
}

/// A relative of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Relative {
    /// What it is called: with its version, where it is in the store or has one.
    pub name: String,
    /// Where it is.
    pub place: RelativePlace,
    /// Whether the model descends from this one, rather than this one from the model. It is sure
    /// only where the kinship [is claimed](Kinship::is_claimed).
    pub is_parent: bool,
    /// What was decided, and why. Of a relative in the store member 0 is the relative, and member 1
    /// the model; else they are places of arrivals.
    pub kinship: Kinship,
}

/// Where a relative is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RelativePlace {
    /// Among the models that come, at this place.
    Arrival(usize),
    /// In the store.
    Store(NodeId),
}

/// A model of the store that may be a relative.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Candidate {
    /// Its name and version.
    pub model: String,
    /// What the sketches say.
    pub resemblance: Resemblance,
}

/// A relative without a direction, as it is kept with a model under [`KIN_KEY`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Kin {
    /// Its name and version, when this was written.
    pub name: String,
    /// Its id.
    pub id: NodeId,
}

impl From<&Kin> for Value {
    fn from(kin: &Kin) -> Self {
        json!({ "name": kin.name, "id": kin.id.to_string() })
    }
}

/// What is written of where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Descent {
    /// The parent, and how the model was made of it.
    pub parent: Option<(NodeId, How)>,
    /// Relatives without a direction.
    pub kin: Vec<Kin>,
}

impl Descent {
    /// Gives a model this parent, and notes its kin in its metadata.
    pub fn add_to<'a>(&self, mut model: NewModel<'a>) -> NewModel<'a> {
        if let Some((parent, how)) = self.parent {
            model = model.parent(parent, how);
        }
        match self.kin.as_slice() {
            [] => model,
            kin => model.metadata(KIN_KEY, kin.iter().map(Value::from).collect::<Vec<_>>()),
        }
    }
}

/// Finds where a model comes from that comes alone: its parent among the models of a store.
///
/// Cost: that of [`place`].
///
/// # Errors
///
/// Those of the catalogue and of reading.
///
/// ```
/// use mgit::adoption::{ModelInput, find_parent};
/// use mgit::interchange::SourceOptions;
/// # use mgit::{NewModel, NewTensor, Store, interchange::export_to_path};
/// # fn main() -> mgit::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("tuned.safetensors");
/// # let store = Store::create(folder.path().join("family.mgit"))?;
/// # let weight = |at: u32| (at * 7919 % 4093) as f32 / 4093.0 - 0.5;
/// # let base: Vec<f32> = (0..4096).map(weight).collect();
/// # let mut transaction = store.begin_write()?;
/// # let tensor = NewTensor::from_vec("w", [64, 64], base);
/// # transaction.add_model(NewModel::new("base").tensor(tensor))?;
/// # transaction.commit()?;
/// # export_to_path(&store.snapshot()?.model("base")?, &file, &|_| ())?;
/// let input = ModelInput::open(&file, &SourceOptions::new())?;
/// let found = find_parent(&store.snapshot()?, &input.member("tuned")?)?;
/// let nearest = found.nearest.as_ref().expect("a relative");
/// // The same weights: which came first, nobody can say.
/// assert!(nearest.kinship.same_weights && found.parent().is_none());
///
/// let mut transaction = store.begin_write()?;
/// transaction.add_model(found.descent().add_to(input.model("tuned")))?;
/// transaction.commit()?;
/// # Ok(())
/// # }
/// ```
pub fn find_parent(snapshot: &Snapshot, member: &Member<'_>) -> Result<Parentage, StoreError> {
    place(snapshot, member).map(|placement| Parentage::in_store(&placement))
}

impl Parentage {
    /// Of a model that comes with others, which are called so.
    pub(super) fn of(origin: &Origin, labels: &[String]) -> Self {
        match origin {
            Origin::Store(placement) => Self::in_store(placement),
            // It follows the version before it: nothing was looked for.
            Origin::Version { .. } => Parentage::default(),
            Origin::Member(kinship) => {
                let nearest = Relative {
                    name: labels.get(kinship.parent).cloned().unwrap_or_default(),
                    place: RelativePlace::Arrival(kinship.parent),
                    is_parent: true,
                    kinship: kinship.clone(),
                };
                Parentage { nearest: Some(nearest), ..Parentage::default() }
            }
        }
    }

    fn in_store(placement: &Placement) -> Self {
        let nearest = placement.nearest.as_ref().zip(placement.kinship.as_ref());
        let nearest = nearest.map(|(model, kinship)| Relative {
            name: model.full_name(),
            place: RelativePlace::Store(model.node().id()),
            is_parent: kinship.child == 1,
            kinship: kinship.clone(),
        });
        let candidate = |(model, resemblance): &(Model, Resemblance)| Candidate {
            model: model.full_name(),
            resemblance: *resemblance,
        };
        Parentage {
            nearest,
            candidates: placement.candidates.iter().map(candidate).collect(),
            looked_at: placement.looked_at,
        }
    }

    /// The parent, where it is sure enough to be claimed.
    pub fn parent(&self) -> Option<&Relative> {
        let is_claimed = |nearest: &&Relative| nearest.is_parent && nearest.kinship.is_claimed();
        self.nearest.as_ref().filter(is_claimed)
    }

    /// The relative in the store that the model may be a sibling of.
    pub fn kin(&self) -> Option<Kin> {
        let nearest = self.nearest.as_ref().filter(|nearest| nearest.kinship.are_siblings())?;
        match nearest.place {
            RelativePlace::Store(id) => Some(Kin { name: nearest.name.clone(), id }),
            RelativePlace::Arrival(_) => None,
        }
    }

    /// What is written of it with the model: the parent in the store that is claimed, or the kin
    /// there without a direction.
    pub fn descent(&self) -> Descent {
        let parent = self.parent().and_then(|parent| match parent.place {
            RelativePlace::Store(id) => Some((id, parent.kinship.how)),
            RelativePlace::Arrival(_) => None,
        });
        Descent { parent, kin: self.kin().into_iter().collect() }
    }
}
