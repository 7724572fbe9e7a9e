//! What was found of the models that come, in words.

use std::path::PathBuf;

use mgit::adoption::{AdoptionPlan, Known, PlannedLine, PlannedModel};
use mgit::infer::{BaseVerdict, CLAIMED_FROM, DeclaredBase};

use crate::failure::Failure;
use crate::output::{Ink, Output};
use crate::parentage::{NO_RELATIVE, Told, reasons, same_weights, unsure};
use crate::text::{count, shown};

/// Lines of what is left out that are shown; `--json` has all.
const SHOWN_MAX: usize = 20;

/// The plan; `failed` is what cannot be taken.
pub fn describe(
    plan: &AdoptionPlan,
    failed: &[(PathBuf, Failure)],
    why: bool,
    output: &Output,
) -> String {
    let words = Words { plan, why, output };
    words.describe() + &words.sum() + &words.others(failed)
}

struct Words<'p> {
    plan: &'p AdoptionPlan,
    why: bool,
    output: &'p Output,
}

impl Words<'_> {
    fn describe(&self) -> String {
        let mut text = String::new();
        for line in &self.plan.lines {
            text += &self.describe_line(line);
        }
        for kinship in &self.plan.unsure {
            let (parent, child) = (self.plan.label(kinship.parent), self.plan.label(kinship.child));
            text += &format!("{}\n", unsure(parent, child, kinship));
            text += &if self.why { reasons(kinship, "    ") } else { String::new() };
        }
        for told in self.plan.models.iter().map(told_of) {
            let Some(doubt) = told.doubt() else { continue };
            text += &format!("{doubt}\n");
            text += &if self.why { told.reasons("    ") } else { String::new() };
        }
        let bases = self.plan.bases.iter();
        bases.for_each(|base| text += &format!("{}\n", self.describe_base(base)));
        text
    }

    /// The models of a name.
    fn describe_line(&self, line: &PlannedLine) -> String {
        let indent = "  ".repeat(line.depth);
        let first = line.places.first();
        let Some((first, model)) = first.and_then(|at| Some((*at, self.plan.models.get(*at)?)))
        else {
            return String::new();
        };
        let mut text = self.describe_head(first, model, &indent);
        let is_plain = line.places.len() == 1 && model.version <= 1 && !model.is_known();
        if is_plain {
            return text;
        }
        for model in line.places.iter().filter_map(|at| self.plan.models.get(*at)) {
            let path = shown(&model.path.display().to_string());
            text += &format!("{indent}  {path}: {}\n", self.standing(model));
        }
        text
    }

    /// The first model of a name: what it is called, and where it comes from.
    fn describe_head(&self, at: usize, model: &PlannedModel, indent: &str) -> String {
        let (told, output) = (told_of(model), self.output);
        let mut text = format!("{indent}{}", output.paint(Ink::Name, &shown(&model.name)));
        if model.is_known() {
            let stored = model.stored_parent.as_ref();
            let claim = stored.map(|stored| format!("  {} of {}", stored.how, stored.name));
            text += &output.paint(Ink::Faint, &claim.unwrap_or_default());
            text.push('\n');
            text += &self.disagreement(at, model, indent);
            return text;
        }
        match told.claim() {
            Some(claim) => {
                text += &output.paint(Ink::Faint, &format!("  {claim}"));
                text.push('\n');
                let indent = format!("{indent}    ");
                text += &if self.why { told.reasons(&indent) } else { String::new() };
            }
            None if self.plan.is_alone(at) => text += &format!("  {NO_RELATIVE}\n"),
            None => text.push('\n'),
        }
        text
    }

    /// Whether a model is there already, and what it becomes otherwise.
    fn standing(&self, model: &PlannedModel) -> String {
        let mut told = match &model.known {
            Known::Stored(node) => return format!("already there: {}", node.full_name()),
            Known::Arrival(other) => return format!("already there: {}", self.plan.label(*other)),
            _ if model.version > 1 => format!("the next version, {}", model.label),
            _ => "the first version".to_owned(),
        };
        if let Some(more) = model.same_weights {
            told += &format!("; {} as the version before", same_weights(more));
        }
        told
    }

    /// That another parent of a model is found than it has in the store.
    fn disagreement(&self, at: usize, model: &PlannedModel, indent: &str) -> String {
        let claim = told_of(model).claim().filter(|_| self.plan.disagrees(at));
        let Some(claim) = claim else { return String::new() };
        let stored = model.stored_parent.as_ref();
        let there = stored.map_or("no parent", |stored| &stored.name);
        format!(
            "{indent}  found: {claim}; in the store it has {there}, and that stays: \
             `mgit-db parent set` changes it\n"
        )
    }

    fn describe_base(&self, base: &DeclaredBase) -> String {
        let (member, name) = (self.plan.label(base.member), shown(&base.name));
        let model = self.plan.models.get(base.member);
        let found = model.and_then(|model| model.parentage.parent());
        match base.verdict {
            BaseVerdict::Agrees => {
                format!("{member} names {name} as its base: the weights agree")
            }
            BaseVerdict::NotThere => format!(
                "{member} names {name} as its base, which is neither among these models nor in the \
                 store"
            ),
            BaseVerdict::Contradicts => format!(
                "{member} names {name} as its base, but the weights contradict that: they are not \
                 related"
            ),
            _ => match found {
                Some(found) => format!(
                    "{member} names {name} as its base; the weights are related, but nearer to {}",
                    found.name
                ),
                None => format!(
                    "{member} names {name} as its base; the weights are related, but do not say \
                     that it comes from there"
                ),
            },
        }
    }

    fn sum(&self) -> String {
        let models = self.plan.models.len();
        let known = models - self.plan.new_count();
        let known = if known > 0 { format!(" ({known} already there)") } else { String::new() };
        format!(
            "{}{known}, {}; directions are claimed from {:.0} % on\n",
            count(models as u64, "model"),
            count(self.plan.root_count() as u64, "root"),
            CLAIMED_FROM * 100.0
        )
    }

    /// What is not taken, and what is to be said of files.
    fn others(&self, failed: &[(PathBuf, Failure)]) -> String {
        let left_out = self.plan.left_out.iter();
        let left_out = left_out.map(|left| format!("left out {}: {}", left.path, left.reason));
        let notes = self.plan.models.iter().flat_map(|model| {
            let (path, is_folder) = (model.path.display(), model.path.is_dir());
            model.notes.iter().map(move |it| match is_folder {
                true => format!("{path}/{}: {}", it.file, it.note),
                false => format!("{path}: {}", it.note),
            })
        });
        let failed =
            failed.iter().map(|(path, it)| format!("cannot take {}: {it}", path.display()));
        let lines: Vec<String> = left_out.collect();
        first_lines(&lines) + &first_lines(&notes.collect::<Vec<_>>()) + &all_lines(failed)
    }
}

fn told_of(model: &PlannedModel) -> Told<'_> {
    Told { member: &model.label, found: &model.parentage }
}

fn first_lines(lines: &[String]) -> String {
    let text = all_lines(lines.iter().take(SHOWN_MAX).cloned());
    match lines.len().saturating_sub(SHOWN_MAX) {
        0 => text,
        more => format!("{text}and {more} more, which --json lists\n"),
    }
}

fn all_lines(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| format!("{}\n", shown(&line))).collect()
}
