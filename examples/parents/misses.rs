//! What was said that is not so, one by one.

use mgit::infer::Kinship;

use super::truth::{Known, Relation};

/// Prints what is wrong in a family: models that are not next to their parent, and neighbours whose
/// relation is another than the likeliest.
pub fn print(known: &Known, names: &[&str], kinships: &[Kinship]) {
    let family = format!("{:04} {}", known.seed.unwrap_or_default(), known.kind);
    for child in names.iter().filter(|name| known.has_parent_here(name)) {
        let ends = kinships.iter().map(|kinship| (names[kinship.parent], names[kinship.child]));
        let others = ends.filter_map(|(a, b)| match *child {
            child if child == a => Some(b),
            child if child == b => Some(a),
            _ => None,
        });
        let others: Vec<&str> = others.collect();
        if !others.iter().any(|other| known.relation(other, child) == Relation::Parent) {
            println!("{family}: {child} ({}) is next to {others:?} alone", known.how(child));
        }
    }
    for kinship in kinships {
        let (parent, child) = (names[kinship.parent], names[kinship.child]);
        let relation = known.relation(parent, child);
        let neither = matches!(relation, Relation::Siblings | Relation::Ancestor);
        let is_right = match kinship.are_siblings() {
            true => neither,
            false => relation == Relation::Parent,
        };
        let is_hopeless = kinship.bits_per_element <= 0.0;
        if is_right || is_hopeless {
            continue;
        }
        let said = match (kinship.is_claimed(), kinship.are_siblings()) {
            (true, _) => "claimed",
            (_, true) => "told as siblings",
            _ => "likelier",
        };
        println!(
            "{family}: {parent} -> {child} {said}, {:.2} and neither {:.2}, is {relation:?}",
            kinship.confidence, kinship.neither
        );
        let reasons = kinship.reasons.iter();
        reasons.for_each(|reason| println!("    {:+.1} {}", reason.weight, reason.text));
    }
}
