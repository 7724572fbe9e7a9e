//! What was found of the models that come, for programs.

use mgit::adoption::{AdoptionPlan, Known, PlannedModel};
use serde_json::{Value, json};

use crate::parentage::{Told, unsure_document};

/// A model of the plan, which has this place there.
pub fn document(plan: &AdoptionPlan, at: usize, model: &PlannedModel) -> Value {
    let mut document = Told { member: &model.label, found: &model.parentage }.document();
    document["file"] = model.path.display().to_string().into();
    document["name"] = model.name.as_str().into();
    document["version"] = model.version.into();
    document["found"] = json!(model.form);
    let known = match &model.known {
        Known::Stored(node) => Some(node.full_name()),
        Known::Arrival(other) => Some(plan.label(*other).to_owned()),
        _ => None,
    };
    document["already_there"] = known.into();
    if model.is_known() {
        let stored = model.stored_parent.as_ref();
        document["parent"] = stored.map(|stored| stored.name.as_str()).into();
        document["how"] = stored.map(|stored| stored.how.to_string()).into();
    }
    document["previous"] = model.previous.map(|previous| plan.label(previous)).into();
    document["same_weights_as_previous"] = model.same_weights.is_some().into();
    let bases = plan.bases.iter().filter(|base| base.member == at);
    let bases = bases.map(|base| json!({ "name": base.name, "verdict": base.verdict }));
    document["bases"] = bases.collect();
    document["notes"] = json!(model.notes);
    document
}

/// The relatives of the plan without a direction that is sure.
pub fn unsure_documents(plan: &AdoptionPlan) -> Vec<Value> {
    let unsure = plan.unsure.iter();
    unsure.map(|it| unsure_document(plan.label(it.parent), plan.label(it.child), it)).collect()
}
