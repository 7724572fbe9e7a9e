//! The bases that models are said to have: by a card, by the settings of an adapter, by metadata.
//!
//! A declaration is believed as far as the weights agree: it speaks for a direction
//! ([`Evidence`](super::Evidence)), and what the weights say of it is reported.

use serde_json::Value;

use super::member::{BASE_KEYS, Member};

/// The names of the bases that a model says it has, each once.
pub(super) fn bases_of(member: &Member<'_>) -> Vec<String> {
    let mut bases: Vec<String> = Vec::new();
    for value in BASE_KEYS.iter().filter_map(|key| member.metadata().get(*key)) {
        // A list stands as JSON among the texts.
        let list: Vec<Value> =
            if value.starts_with('[') { serde_json::from_str(value).ok() } else { None }
                .unwrap_or_else(|| vec![value.as_str().into()]);
        for name in list.iter().filter_map(Value::as_str).map(str::trim) {
            // `base` and `org/base` are one: the longer says more.
            match bases.iter_mut().find(|base| fits(name, base).is_some()) {
                Some(base) if base.len() < name.len() => name.clone_into(base),
                Some(_) => {}
                None if name.is_empty() => {}
                None => bases.push(name.to_owned()),
            }
        }
    }
    bases
}

/// Whether `member` says that `other` is its base.
pub(super) fn names_as_base(member: &Member<'_>, other: &Member<'_>) -> bool {
    bases_of(member).iter().any(|base| fits(base, other.label()).is_some())
}

/// How well a name that was declared fits one that a model has, which may have a version; nothing
/// where it is another.
pub(super) fn fits(declared: &str, name: &str) -> Option<Fit> {
    let name = legal(name.split('@').next().unwrap_or_default());
    let declared = legal(declared.trim_end_matches('/'));
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    match (declared == name, last(&declared) == last(&name)) {
        _ if last(&declared).is_empty() => None,
        (true, _) => Some(Fit::Whole),
        (false, true) => Some(Fit::LastPart),
        (false, false) => None,
    }
}

/// How well a declared name fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// `base` for `org/base`, or a path for a name.
    LastPart,
    Whole,
}

/// A name as a model could have it.
fn legal(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    name.chars().map(|c| if allowed(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_wholly_or_by_their_last_part() {
        for (declared, name, expected) in [
            ("org/base", "org/base@2", Some(Fit::Whole)),
            ("org/base", "base", Some(Fit::LastPart)),
            ("../models/base/", "base", Some(Fit::LastPart)),
            ("my base", "x/my-base@1", Some(Fit::LastPart)),
            ("org/base", "org/base2", None),
            ("/", "base", None),
        ] {
            assert_eq!(fits(declared, name), expected, "{declared} {name}");
        }
    }
}
