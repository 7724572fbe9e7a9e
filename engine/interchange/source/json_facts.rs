//! Some keys of a JSON file, of which nothing else is kept.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, BufReader, Read};

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::interchange::OpenFile;

/// The most characters of a text, and items of a list, that a fact has.
const FACT_MAX: (usize, usize) = (4096, 256);

/// The values of `keys` in the object that a file holds: texts, numbers, truth values and lists of
/// them; anything else counts as not there. Stops when all are found. Memory is bounded by the
/// longest text of the file, which is read up to `len_max` bytes.
///
/// # Errors
///
/// Says why the file is no such object.
pub(super) fn pick(
    file: &OpenFile,
    keys: &[&str],
    len_max: u64,
) -> Result<Map<String, Value>, String> {
    let found = RefCell::new(Map::new());
    let reader = BufReader::new(Pieces { file, offset: 0 }.take(len_max));
    let mut json = serde_json::Deserializer::from_reader(reader);
    let read = json.deserialize_map(Object { keys, found: &found });
    let mut found = found.into_inner();
    let is_all = keys.iter().all(|key| found.contains_key(*key));
    found.retain(|_, value| !value.is_null());
    match read {
        Err(_) if is_all => Ok(found),
        Err(error) if file.len() > len_max => Err(format!("longer than {len_max} bytes: {error}")),
        Err(error) => Err(error.to_string()),
        Ok(()) => Ok(found),
    }
}

/// A file from its beginning.
struct Pieces<'f> {
    file: &'f OpenFile,
    offset: u64,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.file.len().saturating_sub(self.offset);
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let out = out.get_mut(..take).unwrap_or_default();
        self.file.read_exact_at(self.offset, out)?;
        self.offset += take as u64;
        Ok(take)
    }
}

struct Object<'k> {
    keys: &'k [&'k str],
    found: &'k RefCell<Map<String, Value>>,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if !self.keys.contains(&key.as_str()) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = map.next_value_seed(Fact { in_list: false })?;
            let mut found = self.found.borrow_mut();
            found.insert(key, value.unwrap_or(Value::Null));
            if self.keys.iter().all(|key| found.contains_key(*key)) {
                return Err(de::Error::custom("all is found"));
            }
        }
        Ok(())
    }
}

/// A value that is small enough to be kept.
#[derive(Clone, Copy)]
struct Fact {
    in_list: bool,
}

impl<'de> DeserializeSeed<'de> for Fact {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fact {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Some(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok((value.len() <= FACT_MAX.0).then(|| value.into()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        if self.in_list {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(None);
        }
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(Fact { in_list: true })? {
            if list.len() < FACT_MAX.1 {
                list.extend(value);
            }
        }
        Ok(Some(list.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
