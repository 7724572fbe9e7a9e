//! How often what was said was right.

use std::collections::BTreeMap;

use mgit::infer::Kinship;

use super::truth::{Known, Relation};

/// What a method said of some families.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Models whose parent is there; of them those next to it in the tree, with it as the more likely
    /// parent, and with that claimed.
    pub children: u64,
    pub next_to: u64,
    pub likelier: u64,
    pub claimed: u64,
    /// Claims that are wrong.
    pub wrong: u64,
    /// Neighbours in the tree that are siblings whose parent is not there, and those told as such; and
    /// parents and children that were told as siblings.
    pub siblings: u64,
    pub told: u64,
    pub told_wrongly: u64,
    /// By tenths of the confidence: how many, the sum of the confidences, how many are right.
    pub tenths: BTreeMap<u32, (u64, f64, u64)>,
}

impl Score {
    pub fn add(&mut self, other: &Score) {
        self.children += other.children;
        self.next_to += other.next_to;
        self.likelier += other.likelier;
        self.claimed += other.claimed;
        self.wrong += other.wrong;
        self.siblings += other.siblings;
        self.told += other.told;
        self.told_wrongly += other.told_wrongly;
        for (tenth, (count, sum, right)) in &other.tenths {
            let own = self.tenths.entry(*tenth).or_default();
            *own = (own.0 + count, own.1 + sum, own.2 + right);
        }
    }

    fn of_family(known: &Known) -> Self {
        let names = known.files.iter().map(|(name, _)| name);
        let children = names.filter(|name| known.has_parent_here(name)).count() as u64;
        Score { children, ..Score::default() }
    }

    /// Of kinships between the models of these names.
    pub fn of(known: &Known, names: &[&str], kinships: &[Kinship]) -> Self {
        let mut score = Score::of_family(known);
        let mut found = BTreeMap::<&str, [bool; 3]>::new();
        for kinship in kinships {
            let (parent, child) = (names[kinship.parent], names[kinship.child]);
            let relation = known.relation(parent, child);
            let is_right = relation == Relation::Parent;
            if is_right || relation == Relation::Child {
                let child = if is_right { child } else { parent };
                let own = found.entry(child).or_default();
                *own = [true, own[1] | is_right, own[2] | (is_right && kinship.is_claimed())];
                score.told_wrongly += u64::from(kinship.are_siblings());
            }
            score.wrong += u64::from(kinship.is_claimed() && !is_right);
            let lack = known.lacks_parent(parent) || known.lacks_parent(child);
            if relation == Relation::Siblings && lack {
                score.siblings += 1;
                score.told += u64::from(kinship.are_siblings());
            }
            let tenth = (kinship.confidence * 10.0).floor().min(9.0) as u32;
            let own = score.tenths.entry(tenth).or_default();
            *own = (own.0 + 1, own.1 + kinship.confidence, own.2 + u64::from(is_right));
        }
        for [next_to, likelier, claimed] in found.values() {
            score.next_to += u64::from(*next_to);
            score.likelier += u64::from(*likelier);
            score.claimed += u64::from(*claimed);
        }
        score
    }

    /// Of a rule that claims all that it finds, and knows no siblings.
    pub fn of_claims(known: &Known, names: &[&str], edges: &[(usize, usize)]) -> Self {
        let mut score = Score::of_family(known);
        let mut next_to = std::collections::BTreeSet::new();
        for (parent, child) in edges {
            let (parent, child) = (names[*parent], names[*child]);
            let relation = known.relation(parent, child);
            match relation {
                Relation::Parent => {
                    next_to.insert(child);
                    score.claimed += 1;
                }
                Relation::Child => {
                    next_to.insert(parent);
                }
                _ => {}
            }
            score.wrong += u64::from(relation != Relation::Parent);
            let lack = known.lacks_parent(parent) || known.lacks_parent(child);
            score.siblings += u64::from(relation == Relation::Siblings && lack);
        }
        score.next_to = next_to.len() as u64;
        score.likelier = score.claimed;
        score
    }

    pub const HEAD: &str = "| what | parents there | next to it | likelier | claimed right | \
         claimed wrong | siblings | told | told wrongly |\n|---|---|---|---|---|---|---|---|---|";

    pub fn row(&self, what: &str) -> String {
        let Score {
            children, next_to, likelier, claimed, wrong, siblings, told, told_wrongly, ..
        } = self;
        format!(
            "| {what} | {children} | {next_to} | {likelier} | {claimed} | {wrong} | {siblings} | \
             {told} | {told_wrongly} |"
        )
    }

    /// The confidences, by tenths, against how often they were right.
    pub fn reliability(&self) -> String {
        let mut text =
            "| confidence | kinships | mean confidence | right |\n|---|---|---|---|\n".to_owned();
        for (tenth, (count, sum, right)) in &self.tenths {
            let (from, of) = (f64::from(*tenth) / 10.0, *count as f64);
            let (mean, right) = (sum / of, *right as f64 / of);
            text +=
                &format!("| {from:.1} to {:.1} | {count} | {mean:.2} | {right:.2} |\n", from + 0.1);
        }
        text
    }
}
