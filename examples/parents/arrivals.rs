//! How often a model that comes alone into a store finds its parent there: `--parent auto`.

use mgit::infer::{Member, place};
use mgit::interchange::ModelSource;
use mgit::{NewModel, Store};

use super::truth::{Known, Relation};

/// What was said of models that came one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrivals {
    /// Models whose parent had come before.
    pub children: u64,
    /// Of them those whose nearest relative in the store is their parent; those of which that is
    /// claimed; and those of which nothing is.
    pub nearest: u64,
    pub right: u64,
    pub unclaimed: u64,
    /// Models whose parent had not come, and those of which nothing was claimed.
    pub others: u64,
    pub left_alone: u64,
    /// Claims of another parent than the true one.
    pub wrong: u64,
}

impl Arrivals {
    /// Of the models of a family, in this order, into a store of their own.
    pub fn of(known: &Known, names: &[&str], files: &[ModelSource]) -> super::Result<Self> {
        let home = tempfile::tempdir()?;
        let store = Store::create(home.path().join("s.mgit"))?;
        let mut found = Arrivals::default();
        for (at, file) in files.iter().enumerate() {
            let placement = place(&store.snapshot()?, &Member::source("arrival", file)?)?;
            let is_parent = |label: String| {
                let name = label.split('@').next().and_then(|label| label.strip_prefix('m'));
                let place = name.and_then(|place| place.parse::<usize>().ok());
                place.is_some_and(|of| known.relation(names[of], names[at]) == Relation::Parent)
            };
            let claimed = placement.parent().map(|(model, _)| is_parent(model.full_name()));
            let nearest = placement.nearest.as_ref().map(|model| is_parent(model.full_name()));
            let before = names[..at].iter();
            let mut before = before.map(|name| known.relation(name, names[at]));
            if before.any(|relation| relation == Relation::Parent) {
                found.children += 1;
                found.nearest += u64::from(nearest == Some(true));
                found.unclaimed += u64::from(claimed.is_none());
            } else {
                found.others += 1;
                found.left_alone += u64::from(claimed.is_none());
            }
            found.right += u64::from(claimed == Some(true));
            found.wrong += u64::from(claimed == Some(false));
            let mut transaction = store.begin_write()?;
            transaction.add_model(NewModel::new(format!("m{at}")).source(file))?;
            transaction.commit()?;
        }
        Ok(found)
    }

    pub fn add(&mut self, other: &Arrivals) {
        self.children += other.children;
        self.nearest += other.nearest;
        self.right += other.right;
        self.unclaimed += other.unclaimed;
        self.others += other.others;
        self.left_alone += other.left_alone;
        self.wrong += other.wrong;
    }

    pub const HEAD: &str = "| order | parent came before | nearest is the parent | claimed right | \
         nothing claimed | parent not there | nothing claimed | claimed wrong |\n\
         |---|---|---|---|---|---|---|---|";

    pub fn row(&self, order: &str) -> String {
        let Arrivals { children, nearest, right, unclaimed, others, left_alone, wrong } = self;
        format!(
            "| {order} | {children} | {nearest} | {right} | {unclaimed} | {others} | \
             {left_alone} | {wrong} |"
        )
    }
}
