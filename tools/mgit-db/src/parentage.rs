//! What was found of where a model comes from, in words and as JSON: the same for one model and for
//! many.

use mgit::Model;
use mgit::infer::{Kinship, Origin, Parent, Placement, Resemblance};
use serde_json::{Value, json};

use crate::text::{count, shown};

/// Of a model without relatives.
pub const NO_RELATIVE: &str = "no relative among the models: a root";

/// Where a model comes from, with the names of all that are spoken of.
pub struct Parentage<'o> {
    /// The model itself.
    member: String,
    nearest: Option<Nearest<'o>>,
    candidates: &'o [(Model, Resemblance)],
    looked_at: usize,
}

/// The model that is nearest, and what was decided of the two.
struct Nearest<'o> {
    name: String,
    /// Not another of those that come.
    is_stored: bool,
    /// The model descends from this one, rather than this one from the model.
    is_parent: bool,
    kinship: &'o Kinship,
}

impl Nearest<'_> {
    fn is_claimed_parent(&self) -> bool {
        self.is_parent && self.kinship.is_claimed()
    }
}

impl<'o> Parentage<'o> {
    /// Of a model that comes with others, whose names are these.
    pub fn of(member: &str, origin: &'o Origin, names: &[String]) -> Self {
        match origin {
            Origin::Store(placement) => Self::in_store(member, placement),
            // It follows the version before it: nothing was looked for.
            Origin::Version { .. } => Parentage {
                member: member.to_owned(),
                nearest: None,
                candidates: &[],
                looked_at: 0,
            },
            Origin::Member(kinship) => Parentage {
                member: member.to_owned(),
                nearest: Some(Nearest {
                    name: names.get(kinship.parent).cloned().unwrap_or_default(),
                    is_stored: false,
                    is_parent: true,
                    kinship,
                }),
                candidates: &[],
                looked_at: 0,
            },
        }
    }

    /// Of a model that comes alone.
    pub fn in_store(member: &str, placement: &'o Placement) -> Self {
        let nearest = placement.nearest.as_ref().zip(placement.kinship.as_ref());
        let nearest = nearest.map(|(model, kinship)| Nearest {
            name: model.full_name(),
            is_stored: true,
            is_parent: kinship.child == 1,
            kinship,
        });
        Parentage {
            member: member.to_owned(),
            nearest,
            candidates: &placement.candidates,
            looked_at: placement.looked_at,
        }
    }

    /// How it was made of its parent, and how sure that is; nothing where no parent is claimed.
    pub fn claim(&self) -> Option<String> {
        let nearest = self.nearest.as_ref().filter(|nearest| nearest.is_claimed_parent())?;
        let (how, sure) = (nearest.kinship.how, percent(nearest.kinship));
        let place = if nearest.is_stored { ", in the store" } else { "" };
        let same = match nearest.kinship.same_weights {
            true => format!("; {}", same_weights(nearest.kinship.alone).trim_end_matches(',')),
            false => String::new(),
        };
        Some(format!("{how} of {}{place}, {sure} sure{same}", nearest.name))
    }

    /// The parent that is claimed.
    pub fn parent(&self) -> Option<&str> {
        let nearest = self.nearest.as_ref().filter(|nearest| nearest.is_claimed_parent())?;
        Some(&nearest.name)
    }

    /// That it has a relative in the store which is not claimed as its parent.
    pub fn doubt(&self) -> Option<String> {
        let nearest = self.nearest.as_ref().filter(|nearest| !nearest.is_claimed_parent())?;
        let (name, kinship) = (&nearest.name, nearest.kinship);
        if kinship.is_same_content() {
            return Some(same_content(&self.member, name));
        }
        Some(match (nearest.is_parent, kinship.is_claimed()) {
            (true, _) => unsure(name, &self.member, kinship),
            (false, false) => unsure(&self.member, name, kinship),
            (false, true) => format!(
                "{} and {name} are relatives, but {name} is rather the child ({} sure)",
                self.member,
                percent(kinship)
            ),
        })
    }

    /// Whether a relative was found that it may come from.
    pub fn has_nearest(&self) -> bool {
        self.nearest.is_some()
    }

    /// The evidence, a line for each reason.
    pub fn reasons(&self, indent: &str) -> String {
        let nearest = self.nearest.as_ref();
        nearest.map_or_else(String::new, |nearest| reasons(nearest.kinship, indent))
    }

    /// All in words, with the evidence.
    pub fn describe(&self) -> String {
        let found = self.claim().or_else(|| self.doubt());
        let found = found.unwrap_or_else(|| NO_RELATIVE.to_owned());
        let bits = self.nearest.as_ref().map_or_else(String::new, |nearest| {
            format!(", {:.2} bits an element in common", nearest.kinship.bits_per_element)
        });
        format!("  {found}{bits}\n{}", self.reasons("    "))
    }

    /// All for programs.
    pub fn document(&self) -> Value {
        let candidate = |(model, resemblance): &(Model, Resemblance)| {
            json!({
                "model": model.full_name(),
                "correlation": resemblance.correlation,
                "inherited": resemblance.inherited,
                "shared_bits": resemblance.shared_bits,
            })
        };
        let nearest = self.nearest.as_ref();
        let parent = nearest.filter(|nearest| nearest.is_claimed_parent());
        let kinship = nearest.map(|nearest| nearest.kinship);
        json!({
            "parent": parent.map(|parent| &parent.name),
            "nearest": nearest.map(|nearest| &nearest.name),
            "is_child": nearest.map(|nearest| nearest.is_parent),
            "how": kinship.map(|kinship| kinship.how.to_string()),
            "confidence": kinship.map(|kinship| kinship.confidence),
            "neither": kinship.map(|kinship| kinship.neither),
            "siblings": kinship.is_some_and(Kinship::are_siblings),
            "bits_per_element": kinship.map(|kinship| kinship.bits_per_element),
            "same_content": kinship.is_some_and(Kinship::is_same_content),
            "same_weights": kinship.is_some_and(|kinship| kinship.same_weights),
            "reasons": kinship.map(reason_documents),
            "candidates": self.candidates.iter().map(candidate).collect::<Vec<_>>(),
            "looked_at": self.looked_at,
        })
    }
}

/// That all tensors are equal which two have, of which these are in one alone: in the first, and in
/// the second.
pub fn same_weights((first, second): (usize, usize)) -> String {
    let tensors = |tensors: usize| count(tensors as u64, "tensor");
    match (first, second) {
        (0, 0) => "the same weights".to_owned(),
        (0, more) => format!("the same weights, with {} more,", tensors(more)),
        (less, 0) => format!("the same weights, without {},", tensors(less)),
        (less, more) => {
            format!("the same weights, without {} and with {} more,", tensors(less), tensors(more))
        }
    }
}

fn same_content(member: &str, other: &str) -> String {
    format!("{member} has the same content as {other}: every tensor is equal")
}

/// That two models are relatives, of which `parent` is more likely the older; or the same.
pub fn unsure(parent: &str, child: &str, kinship: &Kinship) -> String {
    if kinship.is_same_content() {
        return same_content(child, parent);
    }
    let sure = percent(kinship);
    if kinship.are_siblings() {
        let neither = kinship.neither * 100.0;
        return format!(
            "{parent} and {child} are kin without a direction: their parent may not be among the \
             models ({neither:.0} % that neither comes from the other, {sure} that {parent} came first)"
        );
    }
    if kinship.same_weights {
        let same = same_weights(kinship.alone);
        return format!(
            "{child} has {same} as {parent}; which came first is not sure ({sure}: {parent})"
        );
    }
    format!("{parent} and {child} are relatives; which came first is not sure ({sure}: {parent})")
}

/// The same for programs.
pub fn unsure_document(parent: &str, child: &str, kinship: &Kinship) -> Value {
    json!({
        "parent": parent,
        "child": child,
        "how": kinship.how.to_string(),
        "confidence": kinship.confidence,
        "neither": kinship.neither,
        "siblings": kinship.are_siblings(),
        "bits_per_element": kinship.bits_per_element,
        "same_content": kinship.is_same_content(),
        "same_weights": kinship.same_weights,
        "reasons": reason_documents(kinship),
    })
}

/// The evidence for a direction, a line for each reason.
pub fn reasons(kinship: &Kinship, indent: &str) -> String {
    let reasons = kinship.reasons.iter();
    reasons.map(|it| format!("{indent}{:+.1}  {}\n", it.weight, shown(&it.text))).collect()
}

fn reason_documents(kinship: &Kinship) -> Vec<Value> {
    let reasons = kinship.reasons.iter();
    reasons.map(|reason| json!({ "text": reason.text, "weight": reason.weight })).collect()
}

fn percent(kinship: &Kinship) -> String {
    format!("{:.0} %", kinship.confidence * 100.0)
}

/// The key of a model's metadata under which its kin without a direction are kept.
pub const KIN_KEY: &str = "kin";

/// A relative without a direction, as it is kept with a model.
pub fn kin_document(name: &str, id: &str) -> Value {
    json!({ "name": name, "id": id })
}

/// The relative in the store that a model may be a sibling of.
pub fn sibling_in(placement: &Placement) -> Option<Value> {
    let kinship = placement.kinship.as_ref().filter(|kinship| kinship.are_siblings());
    let model = placement.nearest.as_ref().filter(|_| kinship.is_some())?;
    Some(kin_document(&model.full_name(), &model.node().id().to_string()))
}

/// The place of the parent among those that come, where it is claimed and is one of them.
pub fn parent_place(origin: &Origin) -> Option<usize> {
    match origin.parent()? {
        (Parent::Member(place), _) => Some(place),
        (Parent::Stored(_), _) => None,
    }
}
