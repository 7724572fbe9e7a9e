//! An error in words, as a person reads it.

use std::error::Error;

use super::shortage::Shortage;

/// What an error says, and what each of its sources says, in one line: `a: b: c`.
///
/// No error of this crate repeats what its source says, so that `to_string` alone may leave out the
/// cause. What others repeat is written once. Where something of the system has run out, such as
/// room on the disk, it also tells what to do about that.
///
/// ```
/// use mgit::{Store, full_message};
///
/// let folder = tempfile::tempdir()?;
/// let error = Store::open(folder.path()).unwrap_err();
/// println!("{}", full_message(&error));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn full_message(error: &(dyn Error + 'static)) -> String {
    let mut message = String::new();
    let mut shortage = None;
    let mut next = Some(error);
    while let Some(error) = next {
        let said = error.to_string();
        if !message.contains(&said) {
            let separator = if message.is_empty() { "" } else { ": " };
            message += &format!("{separator}{said}");
        }
        shortage = shortage.or_else(|| error.downcast_ref().and_then(Shortage::of));
        next = error.source();
    }
    match shortage.map(|shortage| shortage.to_string()) {
        // A text that was made of an error may be in there already.
        Some(advice) if !message.contains(&advice) => format!("{message}; {advice}"),
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {0}")]
    struct Outer(&'static str, #[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("{0}; and so on")]
    struct Repeats(#[source] Outer);

    #[test]
    fn each_part_is_said_once() {
        let outer = || Outer("a", io::Error::other("it is gone"));
        assert_eq!(full_message(&outer()), "cannot read a: it is gone");
        assert_eq!(full_message(&Repeats(outer())), "cannot read a; and so on: it is gone");
    }

    #[test]
    fn what_has_run_out_is_said_last() {
        let full = Outer("a", io::ErrorKind::StorageFull.into());
        let message = full_message(&full);
        assert!(message.starts_with("cannot read a: "), "{message}");
        assert!(message.ends_with("free some room and try again"), "{message}");
    }
}
