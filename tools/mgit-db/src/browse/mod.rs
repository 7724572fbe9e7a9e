//! A view of a store in the terminal: models, their tensors, and a tensor's values.
//!
//! What is seen is a state that keys change and that draws itself onto any backend, so that tests
//! drive it without a terminal. A tensor that cannot be read becomes a line of text, not an end.

mod draw;
mod histogram;
mod tree;

use mgit::full_message;
use mgit::lineage::NodeId;
use mgit::{Model, Snapshot};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::failure::Failure;
use crate::family::Family;
use histogram::Histogram;
use tree::{TreeRow, tree};

/// What a key asks of whoever holds the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Draw again.
    GoOn,
    /// End.
    Quit,
}

/// Where the user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Models,
    Tensors,
    Tensor,
}

/// What became of a tensor of the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Equal,
    Changed,
    Added,
    /// There is no parent.
    Root,
}

/// A tensor in the list.
#[derive(Clone, Debug)]
struct TensorRow {
    /// Its place in the model.
    place: usize,
    name: String,
    form: String,
    bytes: u64,
    /// Stored bytes and how; `None` when its row cannot be read.
    stored: Option<(u64, String)>,
    change: Change,
}

/// A list and which of it is chosen.
#[derive(Debug, Default)]
struct Choice {
    /// Places of what fits the search.
    shown: Vec<usize>,
    at: usize,
}

impl Choice {
    fn place(&self) -> Option<usize> {
        self.shown.get(self.at).copied()
    }

    fn step(&mut self, by: isize) {
        let last = self.shown.len().saturating_sub(1);
        self.at = self.at.saturating_add_signed(by).min(last);
    }
}

/// The values of a tensor, and of its difference from the parent's.
#[derive(Debug)]
struct Values {
    values: Result<Histogram, String>,
    /// Of which model's tensor it is the difference; nothing when there is none to compare with.
    delta: Option<(String, Result<Histogram, String>)>,
}

/// The view.
#[derive(Debug)]
pub struct Browse<'s> {
    snapshot: &'s Snapshot,
    family: Family<'s>,
    title: String,
    rows: Vec<TreeRow>,
    page: Page,
    models: Choice,
    model: Option<Model>,
    parent: Option<Model>,
    tensors: Vec<TensorRow>,
    tensor: Choice,
    values: Option<Values>,
    /// What is searched for; `Some` while it is being written too.
    search: String,
    writing: bool,
    /// Counts are shown by their logarithm.
    logarithmic: bool,
    message: String,
    /// Rows of the list at the last drawing, for a page up or down.
    page_rows: usize,
}

impl<'s> Browse<'s> {
    /// The models of a snapshot.
    ///
    /// # Errors
    ///
    /// Those of the catalogue.
    pub fn new(snapshot: &'s Snapshot, title: String) -> Result<Self, Failure> {
        let family = Family::read(snapshot)?;
        let rows = tree(&family)?;
        let mut browse = Browse {
            snapshot,
            family,
            title,
            rows,
            page: Page::Models,
            models: Choice::default(),
            model: None,
            parent: None,
            tensors: Vec::new(),
            tensor: Choice::default(),
            values: None,
            search: String::new(),
            writing: false,
            logarithmic: false,
            message: String::new(),
            page_rows: 10,
        };
        browse.search_again();
        Ok(browse)
    }

    fn list(&mut self) -> &mut Choice {
        match self.page {
            Page::Models => &mut self.models,
            _ => &mut self.tensor,
        }
    }

    /// Shows what fits the search.
    fn search_again(&mut self) {
        let wanted = self.search.to_lowercase();
        let fits = |text: &str| text.to_lowercase().contains(&wanted);
        let nodes = self.family.nodes();
        match self.page {
            Page::Models => {
                let fits = |row: &TreeRow| {
                    let node = &nodes[row.place];
                    let tags = self.family.tags(node.id());
                    fits(&node.full_name()) || fits(node.kind()) || tags.iter().any(|t| fits(t))
                };
                self.models.shown =
                    (0..self.rows.len()).filter(|at| fits(&self.rows[*at])).collect();
            }
            _ => {
                let tensors = &self.tensors;
                self.tensor.shown =
                    (0..tensors.len()).filter(|at| fits(&tensors[*at].name)).collect();
            }
        }
        self.list().step(0);
    }

    /// Does what a key says.
    pub fn key(&mut self, key: KeyEvent) -> Step {
        self.message.clear();
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Step::Quit } else { Step::GoOn };
        }
        if self.writing {
            self.write(key.code);
            return Step::GoOn;
        }
        let page = self.page_rows.max(2) as isize - 1;
        match key.code {
            KeyCode::Char('q') => return Step::Quit,
            KeyCode::Up | KeyCode::Char('k') => self.list().step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.list().step(1),
            KeyCode::PageUp => self.list().step(-page),
            KeyCode::PageDown => self.list().step(page),
            KeyCode::Home | KeyCode::Char('g') => self.list().step(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.list().step(isize::MAX),
            KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => self.open(),
            KeyCode::Esc if !self.search.is_empty() => self.set_search(String::new()),
            KeyCode::Esc if self.page == Page::Models => return Step::Quit,
            KeyCode::Esc | KeyCode::Left | KeyCode::Backspace | KeyCode::Char('h') => self.back(),
            KeyCode::Char('/') if self.page != Page::Tensor => self.writing = true,
            KeyCode::Char('s') => self.logarithmic = !self.logarithmic,
            _ => {}
        }
        if self.page == Page::Tensor && self.values.is_none() {
            self.read_values();
        }
        Step::GoOn
    }

    fn set_search(&mut self, text: String) {
        self.search = text;
        self.search_again();
    }

    fn write(&mut self, code: KeyCode) {
        let mut text = std::mem::take(&mut self.search);
        match code {
            KeyCode::Enter => self.writing = false,
            KeyCode::Esc => {
                text.clear();
                self.writing = false;
            }
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(character) => text.push(character),
            _ => {}
        }
        self.set_search(text);
    }

    fn open(&mut self) {
        match self.page {
            Page::Models => self.open_model(),
            Page::Tensors if self.tensor.place().is_some() => {
                self.page = Page::Tensor;
                self.values = None;
            }
            _ => {}
        }
    }

    fn back(&mut self) {
        match self.page {
            Page::Models => {}
            Page::Tensors => {
                self.page = Page::Models;
                self.set_search(String::new());
            }
            Page::Tensor => self.page = Page::Tensors,
        }
    }

    /// The first parent, or the version before: what a model is compared with.
    fn compared_with(&self, id: NodeId) -> Option<NodeId> {
        let origin = self.family.origin(id).ok()?;
        origin.parents.first().map(|edge| edge.parent).or(origin.previous)
    }

    fn open_model(&mut self) {
        let Some(place) = self.models.place().map(|at| self.rows[at].place) else { return };
        let node = self.family.nodes()[place].clone();
        let parent = self.compared_with(node.id());
        let parent = parent.and_then(|id| self.snapshot.graph().node(id).ok().flatten());
        let parent = parent.and_then(|node| self.snapshot.model_of(node).ok());
        let model = match self.snapshot.model_of(node) {
            Ok(model) => model,
            Err(error) => {
                self.message = full_message(&error);
                return;
            }
        };
        self.tensors = tensor_rows(&model, parent.as_ref());
        (self.model, self.parent) = (Some(model), parent);
        self.page = Page::Tensors;
        self.tensor = Choice::default();
        self.set_search(String::new());
    }

    fn read_values(&mut self) {
        let Some(row) = self.tensor.place().and_then(|at| self.tensors.get(at)) else { return };
        let Some(model) = &self.model else { return };
        let Some(tensor) = model.tensors().nth(row.place) else { return };
        let other = self.parent.as_ref().and_then(|parent| {
            let tensor = parent.tensor(&row.name).ok()?;
            Some((parent.full_name(), tensor))
        });
        self.values = Some(Values {
            values: Histogram::of(&tensor),
            delta: other.map(|(name, other)| (name, Histogram::of_delta(&tensor, &other))),
        });
    }
}

fn tensor_rows(model: &Model, parent: Option<&Model>) -> Vec<TensorRow> {
    let old: std::collections::HashMap<_, _> = parent
        .map(|parent| &parent.manifest().tensors)
        .into_iter()
        .flatten()
        .map(|tensor| (tensor.name, tensor))
        .collect();
    let row = |(place, tensor): (usize, mgit::Tensor)| {
        let change = match (parent, old.get(tensor.name())) {
            (None, _) => Change::Root,
            (_, None) => Change::Added,
            (_, Some(old)) if old.content_id != tensor.content_id() => Change::Changed,
            (_, Some(old)) if old.shape != tensor.shape() || old.dtype != tensor.dtype() => {
                Change::Changed
            }
            _ => Change::Equal,
        };
        TensorRow {
            place,
            name: tensor.name().to_owned(),
            form: format!("{} {}", tensor.dtype(), tensor.shape()),
            bytes: tensor.byte_len(),
            stored: tensor.stored_as().ok().map(|s| (s.stored_len, s.encoding_names())),
            change,
        }
    };
    model.tensors().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests;
