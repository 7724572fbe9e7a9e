//! The way to the tensors of a pickle, which gives them their names.

use std::collections::HashSet;
use std::fmt::Write;

use super::machine::Pickle;
use super::value::{Id, Tensor, Value};
use super::{FOUND_LEN_MAX, VISITS_MAX};
use crate::interchange::NAME_LEN_MAX;
use crate::interchange::counted::counted;

/// The name of a tensor that is the whole of a pickle.
const ROOT_NAME: &str = "tensor";
/// Attributes of a module of torch that its `state_dict` leaves out of names.
const TRANSPARENT: [&[u8]; 3] = [b"_parameters", b"_buffers", b"_modules"];

/// A tensor with the keys and places that lead to it, dots between them.
#[derive(Debug)]
pub(in super::super) struct FoundTensor {
    pub name: String,
    pub tensor: Tensor,
}

/// All tensors of a pickle.
#[derive(Debug, Default)]
pub(in super::super) struct Found {
    pub tensors: Vec<FoundTensor>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// A value whose parts are being looked at.
struct Frame {
    id: Id,
    /// The next part.
    next: usize,
    /// How long the name was before it.
    name_len: usize,
    /// It holds the attributes of an object.
    attributes: bool,
}

/// A part of a value: what it adds to the name, and the value.
struct Part {
    step: StepName,
    id: Id,
    attributes: bool,
}

enum StepName {
    None,
    Place(usize),
    Key(Id, usize),
}

impl Pickle<'_> {
    /// The tensors, in the order of the pickle. Whatever stands at several places has several names.
    pub(in super::super) fn tensors(&self) -> Found {
        let mut walk = Walk::new(self);
        walk.run();
        walk.found
    }

    /// The part at this place of a value.
    fn part(&self, id: Id, at: usize, attributes: bool) -> Option<Part> {
        let plain = |step, id| Some(Part { step, id, attributes: false });
        match self.value(id) {
            Value::Tuple(items) => plain(StepName::Place(at), *items.get(at)?),
            Value::List(items) => plain(StepName::Place(at), *items.get(at)?),
            Value::Dict(items) => {
                let (key, value) = *items.get(at)?;
                let transparent = attributes
                    && matches!(self.value(key), Value::Text(text)
                        if TRANSPARENT.contains(&self.text(*text)));
                let step = if transparent { StepName::None } else { StepName::Key(key, at) };
                plain(step, value)
            }
            Value::Object(object) => {
                let at = match object.arguments {
                    Some(arguments) if at == 0 => return plain(StepName::None, arguments),
                    Some(_) => at - 1,
                    None => at,
                };
                if let Some((key, value)) = object.items.get(at) {
                    let place = StepName::Place(at);
                    return plain(key.map_or(place, |key| StepName::Key(key, at)), *value);
                }
                let state = *object.states.get(at - object.items.len())?;
                Some(Part { step: StepName::None, id: state, attributes: true })
            }
            _ => None,
        }
    }

    fn write_step(&self, name: &mut String, step: &StepName) {
        if matches!(step, StepName::None) {
            return;
        }
        if !name.is_empty() {
            name.push('.');
        }
        // Writing to a string cannot fail.
        match step {
            StepName::None => {}
            StepName::Place(at) => _ = write!(name, "{at}"),
            StepName::Key(key, at) => match self.value(*key) {
                Value::Text(text) => {
                    let text = self.text(*text);
                    // A longer one makes the name too long, however long it is.
                    let text = text.get(..=NAME_LEN_MAX).unwrap_or(text);
                    name.push_str(&String::from_utf8_lossy(text));
                }
                Value::Int(number) => _ = write!(name, "{number}"),
                Value::Bool(yes) => name.push_str(if *yes { "True" } else { "False" }),
                Value::None => name.push_str("None"),
                _ => _ = write!(name, "<{at}>"),
            },
        }
    }
}

struct Walk<'p, 'b> {
    pickle: &'p Pickle<'b>,
    frames: Vec<Frame>,
    /// The values of the frames: what contains itself is not looked into once more.
    open: HashSet<Id>,
    name: String,
    found: Found,
    found_len: usize,
    visits: usize,
    long_names: u64,
    cycles: u64,
}

impl<'p, 'b> Walk<'p, 'b> {
    fn new(pickle: &'p Pickle<'b>) -> Self {
        Walk {
            pickle,
            frames: Vec::new(),
            open: HashSet::new(),
            name: String::new(),
            found: Found::default(),
            found_len: 0,
            visits: 0,
            long_names: 0,
            cycles: 0,
        }
    }

    fn run(&mut self) {
        self.visit(self.pickle.root(), 0, false);
        while let Some(frame) = self.frames.last_mut() {
            let (id, at, attributes) = (frame.id, frame.next, frame.attributes);
            frame.next += 1;
            let Some(part) = self.pickle.part(id, at, attributes) else {
                let name_len = frame.name_len;
                self.open.remove(&id);
                self.name.truncate(name_len);
                self.frames.pop();
                continue;
            };
            if self.visits >= VISITS_MAX || self.found_len >= FOUND_LEN_MAX {
                let note = "data.pkl has more values, or longer names, than are looked at: \
                            further tensors are seen by the names of their entries";
                self.found.notes.push(note.to_owned());
                break;
            }
            let name_len = self.name.len();
            self.pickle.write_step(&mut self.name, &part.step);
            self.visit(part.id, name_len, part.attributes);
        }
        if self.long_names > 0 {
            let names = counted(self.long_names, "too long name");
            self.found.notes.push(format!("left out: {names} in data.pkl, not what has them"));
        }
        if self.cycles > 0 {
            let values = counted(self.cycles, "value");
            let note = format!("looked into once: {values} in data.pkl that are in themselves");
            self.found.notes.push(note);
        }
    }

    /// Looks at a value whose name is made, and was `name_len` long without its own step.
    fn visit(&mut self, id: Id, name_len: usize, attributes: bool) {
        self.visits += 1;
        match self.pickle.value(id) {
            Value::Tensor(tensor) if self.name.len() <= NAME_LEN_MAX => {
                let name = if self.name.is_empty() { ROOT_NAME } else { &self.name };
                // A shape has at most 64 dimensions, and strides.
                self.found_len += name.len() + 256;
                let (name, tensor) = (name.to_owned(), **tensor);
                self.found.tensors.push(FoundTensor { name, tensor });
            }
            Value::Tuple(_) | Value::List(_) | Value::Dict(_) | Value::Object(_) => {
                if self.name.len() > NAME_LEN_MAX {
                    self.long_names += 1;
                } else if self.open.insert(id) {
                    self.frames.push(Frame { id, next: 0, name_len, attributes });
                    return;
                } else {
                    self.cycles += 1;
                }
            }
            Value::Tensor(_) => self.long_names += 1,
            _ => {}
        }
        self.name.truncate(name_len);
    }
}
