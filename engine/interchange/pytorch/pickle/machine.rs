//! The machine of a pickle: a stack, marks in it, and a memo.

use std::collections::{BTreeSet, HashMap};

use super::globals::{Global, Rebuild};
use super::opcode as op;
use super::value::{Id, Object, Storage, Tensor, Text, Value};
use super::{PUSHES_MAX, UNKNOWN_GLOBALS_MAX, VALUES_MAX};

/// Why a pickle is not followed, and where.
#[derive(Debug)]
pub(in super::super) struct Fault {
    pub offset: usize,
    pub why: String,
}

/// What a pickle has made.
#[derive(Debug)]
pub(in super::super) struct Pickle<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    root: Id,
    /// Globals that say what is not known here, by their names, of which some may be left out.
    pub unknown: BTreeSet<String>,
    /// Persistent ids that are no storage.
    pub strange_ids: u64,
    /// Sparse tensors.
    pub sparse: u64,
}

impl<'a> Pickle<'a> {
    /// Follows a pickle to its end.
    ///
    /// # Errors
    ///
    /// [`Fault`] where an operation is not known, lacks what it needs, or is one too many.
    pub(in super::super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut machine = Machine::new(bytes);
        match machine.run() {
            Ok(root) => Ok(Pickle { root, ..machine.pickle }),
            Err(why) => Err(Fault { offset: machine.at, why }),
        }
    }

    /// The value of the whole.
    pub(in super::super) fn root(&self) -> Id {
        self.root
    }

    /// A value.
    pub(in super::super) fn value(&self, id: Id) -> &Value {
        self.values.get(id.0 as usize).unwrap_or(&Value::None)
    }

    /// A text's bytes.
    pub(in super::super) fn text(&self, text: Text) -> &'a [u8] {
        self.bytes.get(text.range()).unwrap_or_default()
    }
}

type Step<T> = Result<T, String>;

const NOTHING_THERE: &str = "an operation needs more values than there are";

struct Machine<'a> {
    pickle: Pickle<'a>,
    at: usize,
    stack: Vec<Id>,
    /// How long the stack was at each mark.
    marks: Vec<u32>,
    memo: HashMap<u32, Id>,
    pushes: u32,
}

/// How many times a global may call another.
const CALLS_MAX: usize = 4;
/// The longest name of a global that is kept.
const GLOBAL_LEN_MAX: usize = 200;

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let pickle = Pickle {
            bytes,
            values: Vec::new(),
            root: Id(0),
            unknown: BTreeSet::new(),
            strange_ids: 0,
            sparse: 0,
        };
        let (stack, marks, memo) = (Vec::new(), Vec::new(), HashMap::new());
        Machine { pickle, at: 0, stack, marks, memo, pushes: 0 }
    }

    fn run(&mut self) -> Step<Id> {
        loop {
            let at = self.at;
            let [code] = self.array().map_err(|_| "the pickle has no end".to_owned())?;
            if code == op::STOP {
                return self.pop();
            }
            let step = self.step(code);
            // The fault is where its operation begins.
            step.inspect_err(|_| self.at = at)?;
        }
    }

    fn step(&mut self, code: u8) -> Step<()> {
        match code {
            op::PROTO => {
                let [version] = self.array()?;
                return if version <= 5 { Ok(()) } else { Err(format!("protocol {version}")) };
            }
            op::FRAME => return self.take(8).map(|_| ()),
            op::MARK => {
                self.count_push()?;
                self.marks.push(u32::try_from(self.stack.len()).unwrap_or(u32::MAX));
                return Ok(());
            }
            op::POP => return self.pop_any(),
            op::POP_MARK => return self.above_mark().map(|_| ()),
            op::DUP => {
                let top = self.top()?;
                return self.push_id(top);
            }
            op::APPEND | op::APPENDS | op::ADDITEMS => return self.append(code),
            op::SETITEM | op::SETITEMS => return self.set_items(code),
            op::BUILD => return self.build(),
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => return self.put(code),
            op::BINGET | op::LONG_BINGET => return self.get(code),
            op::REDUCE | op::NEWOBJ => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                return self.call(callee, arguments);
            }
            op::NEWOBJ_EX => {
                let (named, arguments, _class) = (self.pop()?, self.pop()?, self.pop()?);
                let (arguments, states) = (Some(arguments), vec![named]);
                let object = Object { arguments, states, items: Vec::new() };
                return self.push(Value::Object(Box::new(object)));
            }
            _ => {}
        }
        let value = self.simple(code)?;
        self.push(value)
    }

    /// The value of an operation that makes one of what it reads and of the stack.
    fn simple(&mut self, code: u8) -> Step<Value> {
        Ok(match code {
            op::NONE => Value::None,
            op::NEWTRUE => Value::Bool(true),
            op::NEWFALSE => Value::Bool(false),
            op::BININT => Value::Int(i32::from_le_bytes(self.array()?).into()),
            op::BININT1 => Value::Int(u8::from_le_bytes(self.array()?).into()),
            op::BININT2 => Value::Int(u16::from_le_bytes(self.array()?).into()),
            op::LONG1 | op::LONG4 => {
                let len = self.length(if code == op::LONG1 { 1 } else { 4 })?;
                let text = self.take(len)?;
                long(self.pickle.text(text))
            }
            op::INT | op::LONG => line_number(self.line()?),
            op::FLOAT => {
                self.line()?;
                Value::Other
            }
            op::BINFLOAT => {
                self.take(8)?;
                Value::Other
            }
            op::BINUNICODE | op::BINSTRING => self.text(4)?,
            op::SHORT_BINUNICODE | op::SHORT_BINSTRING => self.text(1)?,
            op::BINUNICODE8 => self.text(8)?,
            op::BINBYTES => self.skipped(4)?,
            op::SHORT_BINBYTES => self.skipped(1)?,
            op::BINBYTES8 | op::BYTEARRAY8 => self.skipped(8)?,
            op::EMPTY_TUPLE => Value::Tuple([].into()),
            op::TUPLE | op::FROZENSET => Value::Tuple(self.above_mark()?.into()),
            op::TUPLE1 => Value::Tuple([self.pop()?].into()),
            op::TUPLE2 => {
                let (b, a) = (self.pop()?, self.pop()?);
                Value::Tuple([a, b].into())
            }
            op::TUPLE3 => {
                let (c, b, a) = (self.pop()?, self.pop()?, self.pop()?);
                Value::Tuple([a, b, c].into())
            }
            op::EMPTY_LIST | op::EMPTY_SET => Value::List(Vec::new()),
            op::LIST => Value::List(self.above_mark()?),
            op::EMPTY_DICT => Value::Dict(Vec::new()),
            op::DICT => Value::Dict(pairs(&self.above_mark()?)?),
            op::GLOBAL => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)
            }
            op::STACK_GLOBAL => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) =
                    (self.pickle.value(module), self.pickle.value(name))
                else {
                    return Err("a global whose name is no text".to_owned());
                };
                let texts = (self.pickle.text(*module), self.pickle.text(*name));
                self.global(texts.0, texts.1)
            }
            op::BINPERSID => {
                let id = self.pop()?;
                self.persistent(id)
            }
            _ => return Err(format!("operation {code:#04x} is not known")),
        })
    }

    // ---- the bytes

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let rest = self.pickle.bytes.get(self.at..).unwrap_or_default();
        let array = rest.first_chunk().copied().ok_or("the pickle is cut")?;
        self.at += N;
        Ok(array)
    }

    /// A length of so many bytes.
    fn length(&mut self, width: usize) -> Step<usize> {
        let text = self.take(width)?;
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(self.pickle.text(text)) {
            *to = *from;
        }
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| "the pickle is cut".to_owned())
    }

    fn take(&mut self, len: usize) -> Step<Text> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.pickle.bytes.len());
        let end = end.ok_or_else(|| format!("{len} bytes are named, the pickle is cut"))?;
        let text = Text::new(self.at..end).ok_or("the pickle is too long")?;
        self.at = end;
        Ok(text)
    }

    fn text(&mut self, width: usize) -> Step<Value> {
        let len = self.length(width)?;
        self.take(len).map(Value::Text)
    }

    fn skipped(&mut self, width: usize) -> Step<Value> {
        let len = self.length(width)?;
        self.take(len).map(|_| Value::Other)
    }

    fn line(&mut self) -> Step<&'a [u8]> {
        let rest = self.pickle.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|byte| *byte == b'\n').ok_or("a line without an end")?;
        self.at += len + 1;
        Ok(rest.get(..len).unwrap_or_default())
    }

    // ---- the stack

    fn count_push(&mut self) -> Step<()> {
        self.pushes += 1;
        let most = format!("it puts more than {PUSHES_MAX} values on its stack");
        if self.pushes <= PUSHES_MAX { Ok(()) } else { Err(most) }
    }

    fn push_id(&mut self, id: Id) -> Step<()> {
        self.count_push()?;
        self.stack.push(id);
        Ok(())
    }

    fn push(&mut self, value: Value) -> Step<()> {
        if self.pickle.values.len() >= VALUES_MAX {
            return Err(format!("it makes more than {VALUES_MAX} values"));
        }
        let id = Id(u32::try_from(self.pickle.values.len()).unwrap_or(u32::MAX));
        self.pickle.values.push(value);
        self.push_id(id)
    }

    /// Where the stack of the last mark begins.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |mark| *mark as usize)
    }

    fn pop(&mut self) -> Step<Id> {
        let id = self.top()?;
        self.stack.pop();
        Ok(id)
    }

    fn pop_any(&mut self) -> Step<()> {
        if self.stack.len() > self.floor() {
            return self.pop().map(|_| ());
        }
        self.marks.pop().map(|_| ()).ok_or_else(|| NOTHING_THERE.to_owned())
    }

    fn top(&self) -> Step<Id> {
        let above = self.stack.get(self.floor()..).unwrap_or_default();
        above.last().copied().ok_or_else(|| NOTHING_THERE.to_owned())
    }

    fn above_mark(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().ok_or("an operation needs a mark, there is none")?;
        Ok(self.stack.split_off((mark as usize).min(self.stack.len())))
    }

    fn put(&mut self, code: u8) -> Step<()> {
        let at = match code {
            op::BINPUT => u8::from_le_bytes(self.array()?).into(),
            op::LONG_BINPUT => u32::from_le_bytes(self.array()?),
            _ => u32::try_from(self.memo.len()).unwrap_or(u32::MAX),
        };
        let top = self.top()?;
        // A memo has no more places than there are values, in a pickle that anybody writes.
        if self.memo.len() >= VALUES_MAX {
            return Err(format!("it keeps more than {VALUES_MAX} values in its memo"));
        }
        self.memo.insert(at, top);
        Ok(())
    }

    fn get(&mut self, code: u8) -> Step<()> {
        let at = match code {
            op::BINGET => u8::from_le_bytes(self.array()?).into(),
            _ => u32::from_le_bytes(self.array()?),
        };
        let id = self.memo.get(&at).copied();
        self.push_id(id.ok_or_else(|| format!("place {at} of its memo is empty"))?)
    }

    // ---- what changes a value

    fn value_mut(&mut self, id: Id) -> Option<&mut Value> {
        self.pickle.values.get_mut(id.0 as usize)
    }

    fn append(&mut self, code: u8) -> Step<()> {
        let items = if code == op::APPEND { vec![self.pop()?] } else { self.above_mark()? };
        let target = self.top()?;
        match self.value_mut(target) {
            Some(Value::List(list)) => list.extend(items),
            Some(Value::Object(object)) => {
                object.items.extend(items.into_iter().map(|item| (None, item)));
            }
            _ => return Err("something is appended to what is no list".to_owned()),
        }
        Ok(())
    }

    fn set_items(&mut self, code: u8) -> Step<()> {
        let items = if code == op::SETITEM {
            let (value, key) = (self.pop()?, self.pop()?);
            vec![(key, value)]
        } else {
            pairs(&self.above_mark()?)?
        };
        let target = self.top()?;
        match self.value_mut(target) {
            Some(Value::Dict(dict)) => dict.extend(items),
            Some(Value::Object(object)) => {
                object.items.extend(items.into_iter().map(|(key, item)| (Some(key), item)));
            }
            _ => return Err("an item is set in what is no dictionary".to_owned()),
        }
        Ok(())
    }

    /// Attributes matter only of objects: those of a tensor or a dictionary name no weights.
    fn build(&mut self) -> Step<()> {
        let state = self.pop()?;
        let target = self.top()?;
        if let Some(Value::Object(object)) = self.value_mut(target) {
            object.states.push(state);
        }
        Ok(())
    }

    // ---- globals

    fn global(&mut self, module: &[u8], name: &[u8]) -> Value {
        let (module, name) = (String::from_utf8_lossy(module), String::from_utf8_lossy(name));
        let global = Global::of(&module, &name);
        if global == Global::Unknown && self.pickle.unknown.len() < UNKNOWN_GLOBALS_MAX {
            let known = format!("{module}.{name}").chars().take(GLOBAL_LEN_MAX).collect();
            self.pickle.unknown.insert(known);
        }
        Value::Global(global)
    }

    fn items(&self, id: Id) -> &[Id] {
        match self.pickle.value(id) {
            Value::Tuple(items) => items,
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Puts what `callee` makes of these arguments on the stack.
    fn call(&mut self, mut callee: Id, mut arguments: Id) -> Step<()> {
        let object = |arguments| {
            Value::Object(Box::new(Object { arguments: Some(arguments), ..Object::default() }))
        };
        for _ in 0..CALLS_MAX {
            let Value::Global(global) = *self.pickle.value(callee) else { break };
            let made = match (global, self.items(arguments)) {
                (Global::FromType, [function, _, inner, ..]) => {
                    (callee, arguments) = (*function, *inner);
                    continue;
                }
                (Global::First, [first, ..]) => {
                    let first = *first;
                    return self.push_id(first);
                }
                (Global::Rebuild(how), items) => {
                    tensor(how, items).map(|tensor| Value::Tensor(Box::new(tensor)))
                }
                (Global::Sparse, [_, parts, ..]) => {
                    let parts = object(*parts);
                    self.pickle.sparse += 1;
                    Some(parts)
                }
                (Global::Dict, _) => Some(Value::Dict(Vec::new())),
                _ => None,
            };
            return self.push(made.unwrap_or_else(|| object(arguments)));
        }
        self.push(object(arguments))
    }

    fn persistent(&mut self, id: Id) -> Value {
        let storage = || {
            let [kind, of, key, _, count, ..] = self.items(id) else { return None };
            let Value::Text(kind) = self.pickle.value(*kind) else { return None };
            let Value::Global(Global::Storage(element)) = self.pickle.value(*of) else {
                return None;
            };
            let Value::Text(key) = self.pickle.value(*key) else { return None };
            let Value::Int(count) = self.pickle.value(*count) else { return None };
            let count = u64::try_from(*count).ok()?;
            let is_storage = self.pickle.text(*kind) == b"storage";
            is_storage.then_some(Storage { key: *key, element: *element, count })
        };
        match storage() {
            Some(storage) => Value::Storage(Box::new(storage)),
            None => {
                self.pickle.strange_ids += 1;
                Value::Object(Box::default())
            }
        }
    }
}

fn tensor(how: Rebuild, arguments: &[Id]) -> Option<Tensor> {
    let [storage, offset, size, stride, rest @ ..] = arguments else { return None };
    let (storage, offset, size, stride) = (*storage, *offset, *size, *stride);
    let element = match how {
        Rebuild::Typed => Some(*rest.get(2)?),
        Rebuild::Plain | Rebuild::Quantised => None,
    };
    Some(Tensor { storage, element, offset, size, stride, quantised: how == Rebuild::Quantised })
}

fn pairs(items: &[Id]) -> Step<Vec<(Id, Id)>> {
    let (pairs, rest) = items.as_chunks();
    if !rest.is_empty() {
        return Err("a key without a value".to_owned());
    }
    Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
}

/// A number in two's complement, little-endian.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Other;
    }
    let sign = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut number = [if sign { 0xff } else { 0 }; 8];
    for (to, from) in number.iter_mut().zip(bytes) {
        *to = *from;
    }
    Value::Int(i64::from_le_bytes(number))
}

/// A number in decimal digits; `00` and `01` are no and yes.
fn line_number(line: &[u8]) -> Value {
    let digits = line.strip_suffix(b"L").unwrap_or(line);
    match digits {
        b"00" => Value::Bool(false),
        b"01" => Value::Bool(true),
        _ => {
            let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            number.map_or(Value::Other, Value::Int)
        }
    }
}
