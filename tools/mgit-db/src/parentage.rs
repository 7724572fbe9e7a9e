//! What was found of where a model comes from, in words and as JSON: the same for one model and for
//! many.

use mgit::adoption::{Candidate, Parentage, Relative, RelativePlace};
use mgit::infer::Kinship;
use serde_json::{Value, json};

use crate::text::{count, shown};

/// Of a model without relatives.
pub const NO_RELATIVE: &str = "no relative among the models: a root";

/// What is told of where a model comes from.
pub struct Told<'p> {
    /// What the model is called.
    pub member: &'p str,
    /// What was found.
    pub found: &'p Parentage,
}

impl Told<'_> {
    /// How it was made of its parent, and how sure that is; nothing where no parent is claimed.
    pub fn claim(&self) -> Option<String> {
        let Relative { name, place, kinship, .. } = self.found.parent()?;
        let (how, sure) = (kinship.how, percent(kinship));
        let place = if matches!(place, RelativePlace::Store(_)) { ", in the store" } else { "" };
        let same = match kinship.same_weights {
            true => format!("; {}", same_weights(kinship.alone).trim_end_matches(',')),
            false => String::new(),
        };
        Some(format!("{how} of {name}{place}, {sure} sure{same}"))
    }

    /// That it has a relative in the store which is not claimed as its parent.
    pub fn doubt(&self) -> Option<String> {
        let nearest = self.found.nearest.as_ref().filter(|_| self.found.parent().is_none())?;
        let (name, kinship) = (&nearest.name, &nearest.kinship);
        if kinship.is_same_content() {
            return Some(same_content(self.member, name));
        }
        Some(match (nearest.is_parent, kinship.is_claimed()) {
            (true, _) => unsure(name, self.member, kinship),
            (false, false) => unsure(self.member, name, kinship),
            (false, true) => format!(
                "{} and {name} are relatives, but {name} is rather the child ({} sure)",
                self.member,
                percent(kinship)
            ),
        })
    }

    /// The evidence, a line for each reason.
    pub fn reasons(&self, indent: &str) -> String {
        let nearest = self.found.nearest.as_ref();
        nearest.map_or_else(String::new, |nearest| reasons(&nearest.kinship, indent))
    }

    /// All in words, with the evidence.
    pub fn describe(&self) -> String {
        let found = self.claim().or_else(|| self.doubt());
        let found = found.unwrap_or_else(|| NO_RELATIVE.to_owned());
        let bits = self.found.nearest.as_ref().map_or_else(String::new, |nearest| {
            format!(", {:.2} bits an element in common", nearest.kinship.bits_per_element)
        });
        format!("  {found}{bits}\n{}", self.reasons("    "))
    }

    /// All for programs.
    pub fn document(&self) -> Value {
        let candidate = |Candidate { model, resemblance, .. }: &Candidate| {
            json!({
                "model": model,
                "correlation": resemblance.correlation,
                "inherited": resemblance.inherited,
                "shared_bits": resemblance.shared_bits,
            })
        };
        let nearest = self.found.nearest.as_ref();
        let kinship = nearest.map(|nearest| &nearest.kinship);
        json!({
            "parent": self.found.parent().map(|parent| &parent.name),
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
            "candidates": self.found.candidates.iter().map(candidate).collect::<Vec<_>>(),
            "looked_at": self.found.looked_at,
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
