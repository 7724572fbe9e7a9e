//! Globs over names.

/// Whether `text` fits `glob`: `*` stands for any characters, `/` too, and `?` for one. Cost: the
/// product of both lengths at worst.
pub fn glob_matches(glob: &str, text: &str) -> bool {
    let (glob, text): (Vec<char>, Vec<char>) = (glob.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where to go on should what follows the last `*` not fit.
    let mut retry: Option<(usize, usize)> = None;
    while seen < text.len() {
        match glob.get(at) {
            Some('*') => {
                retry = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || Some(wanted) == text.get(seen) => {
                at += 1;
                seen += 1;
            }
            _ => match retry {
                None => return false,
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    at = star + 1;
                    seen = from + 1;
                }
            },
        }
    }
    glob.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_fit_as_shells_have_it() {
        for (glob, text) in
            [("*", ""), ("a*", "a/b"), ("*b*", "abc"), ("a?c", "abc"), ("a*b*c", "aXbYbZc")]
        {
            assert!(glob_matches(glob, text), "{glob} {text}");
        }
        for (glob, text) in [("", "a"), ("a", "ab"), ("?", ""), ("a*b", "ac"), ("*a", "ab")] {
            assert!(!glob_matches(glob, text), "{glob} {text}");
        }
        // Would take for ever if every star were tried against every rest.
        assert!(!glob_matches(&"a*".repeat(40), &"a".repeat(39)));
    }
}
