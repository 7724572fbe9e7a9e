//! The literal of a header: a dictionary of texts, truth values and tuples of numbers.

use crate::tensor::RANK_MAX;

/// A value of the dictionary.
pub(super) enum Literal<'a> {
    Text(&'a str),
    Bool(bool),
    Tuple(Vec<u64>),
    /// A list, whatever is in it.
    List,
}

/// The keys and values of a dictionary; `None` where it is none, or has what a header never has.
pub(super) fn parse(text: &[u8]) -> Option<Vec<(&str, Literal<'_>)>> {
    let mut rest = Rest(std::str::from_utf8(text).ok()?);
    let mut items = Vec::new();
    rest.expect("{")?;
    while rest.expect("}").is_none() {
        let key = rest.text()?;
        rest.expect(":")?;
        items.push((key, rest.value()?));
        if rest.expect(",").is_none() {
            rest.expect("}")?;
            break;
        }
        // There are three.
        if items.len() > 3 {
            return None;
        }
    }
    rest.0.trim_ascii().is_empty().then_some(items)
}

struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// Takes `token`, after white space; `None` if something else stands there.
    fn expect(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_ascii_start().strip_prefix(token)?;
        Some(())
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<&'a str> {
        let text = self.0.trim_ascii_start();
        let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'))?;
        let (inner, rest) = text.get(1..)?.split_once(quote)?;
        self.0 = rest;
        (!inner.contains('\\')).then_some(inner)
    }

    fn value(&mut self) -> Option<Literal<'a>> {
        if self.expect("True").is_some() {
            return Some(Literal::Bool(true));
        }
        if self.expect("False").is_some() {
            return Some(Literal::Bool(false));
        }
        match self.0.trim_ascii_start().bytes().next()? {
            b'\'' | b'"' => self.text().map(Literal::Text),
            b'(' => self.tuple().map(Literal::Tuple),
            b'[' => self.list().map(|()| Literal::List),
            _ => None,
        }
    }

    fn tuple(&mut self) -> Option<Vec<u64>> {
        let mut numbers = Vec::new();
        self.expect("(")?;
        while self.expect(")").is_none() {
            numbers.push(self.number()?);
            if self.expect(",").is_none() {
                // One in parentheses is no tuple.
                self.expect(")")?;
                return (numbers.len() > 1).then_some(numbers);
            }
            if numbers.len() > RANK_MAX {
                return None;
            }
        }
        Some(numbers)
    }

    fn number(&mut self) -> Option<u64> {
        let text = self.0.trim_ascii_start();
        let len = text.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = text.split_at_checked(len)?;
        // Python 2 wrote long numbers with an L.
        self.0 = rest.strip_prefix('L').unwrap_or(rest);
        digits.parse().ok()
    }

    /// Passes a list with all that is in it.
    fn list(&mut self) -> Option<()> {
        let (mut depth, mut quote) = (0u32, None);
        for (at, byte) in self.0.bytes().enumerate() {
            match (quote, byte) {
                (Some(open), _) if open == byte => quote = None,
                (Some(_), b'\\') => return None,
                (Some(_), _) => {}
                (None, b'\'' | b'"') => quote = Some(byte),
                (None, b'[' | b'(') => depth += 1,
                (None, b']' | b')') => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        self.0 = self.0.get(at + 1..)?;
                        return Some(());
                    }
                }
                _ => {}
            }
        }
        None
    }
}
