//! The line of a command, cut into words, with placeholders.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::CommandError;
use crate::tensor::ContentId;

/// The longest line of a command in bytes.
pub const TEMPLATE_LEN_MAX: usize = 16 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// What stands between braces.
    Placeholder(String),
}

/// A command's line: words parted by spaces, in which `{name}` stands for what is filled in.
///
/// `'...'` and `"..."` keep spaces in a word, a backslash takes the next character as it is (not
/// between single quotes), `{{` and `}}` are braces. Nothing else is special: `$`, `*`, `|`, `>`
/// and `;` are characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    words: Vec<Vec<Piece>>,
}

fn bad<T>(reason: impl Into<String>) -> Result<T, CommandError> {
    Err(CommandError::BadTemplate { reason: reason.into() })
}

/// The word that is being read.
#[derive(Default)]
struct Word {
    pieces: Vec<Piece>,
    /// Also an empty pair of quotes is a word.
    has_begun: bool,
}

impl Word {
    fn push(&mut self, character: char) {
        self.has_begun = true;
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(character),
            _ => self.pieces.push(Piece::Text(character.into())),
        }
    }

    fn end(&mut self, words: &mut Vec<Vec<Piece>>) {
        if std::mem::take(&mut self.has_begun) {
            words.push(std::mem::take(&mut self.pieces));
        }
    }
}

impl FromStr for Template {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Self, CommandError> {
        if text.len() > TEMPLATE_LEN_MAX {
            return bad(format!("it is longer than {TEMPLATE_LEN_MAX} bytes"));
        }
        if text.contains('\0') {
            return bad("it holds a zero byte");
        }
        let (mut words, mut word, mut quote) = (Vec::new(), Word::default(), None);
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            match (character, quote) {
                ('\\', None | Some('"')) => match characters.next() {
                    Some(next) => word.push(next),
                    None => return bad("a backslash at its end"),
                },
                ('\'' | '"', None) => (quote, word.has_begun) = (Some(character), true),
                (_, Some(mark)) if character == mark => quote = None,
                ('{', _) if characters.next_if_eq(&'{').is_some() => word.push('{'),
                ('}', _) if characters.next_if_eq(&'}').is_some() => word.push('}'),
                ('{', _) => {
                    let mut name = String::new();
                    loop {
                        match characters.next() {
                            Some('}') => break,
                            Some('{') | None => return bad("a { without its }: write {{ for one"),
                            Some(character) => name.push(character),
                        }
                    }
                    word.has_begun = true;
                    word.pieces.push(Piece::Placeholder(name));
                }
                ('}', _) => return bad("a } without its {: write }} for one"),
                (space, None) if space.is_whitespace() => word.end(&mut words),
                _ => word.push(character),
            }
        }
        if let Some(mark) = quote {
            return bad(format!("a {mark} without its end"));
        }
        word.end(&mut words);
        match words.first().map(Vec::as_slice) {
            None | Some([]) => bad("it has no words"),
            Some([Piece::Text(_)]) => Ok(Template { text: text.to_owned(), words }),
            Some(_) => bad("its first word, the program, has a placeholder"),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Template {
    /// The line as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands between braces, in order; a name that is used twice comes twice.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.words.iter().flatten().filter_map(|piece| match piece {
            Piece::Placeholder(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The words to run, with every placeholder replaced by what `value` gives for it.
    ///
    /// # Errors
    ///
    /// [`CommandError::UnknownPlaceholder`] where it gives nothing.
    pub fn fill(
        &self,
        value: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Vec<OsString>, CommandError> {
        let word =
            |pieces: &Vec<Piece>| {
                let mut word = OsString::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => word.push(text),
                        Piece::Placeholder(name) => word.push(value(name).ok_or_else(|| {
                            CommandError::UnknownPlaceholder { name: name.clone() }
                        })?),
                    }
                }
                Ok(word)
            };
        self.words.iter().map(word).collect()
    }

    /// What a user trusts: the hash of the line.
    pub fn trust_id(&self) -> ContentId {
        ContentId::of(format!("mgit command\0{}", self.text).as_bytes())
    }

    /// The hash of the line and of every file that it names by a word of its own, as they are
    /// now: a result of a command is as old as its program. Scripts that a script reads, and
    /// libraries, are not looked at. Cost: reads these files.
    ///
    /// # Errors
    ///
    /// [`CommandError::Start`] when such a file cannot be read.
    pub fn fingerprint(&self) -> Result<ContentId, CommandError> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.trust_id().as_bytes());
        for (place, pieces) in self.words.iter().enumerate() {
            let [Piece::Text(word)] = pieces.as_slice() else { continue };
            let file = match place {
                0 => program_file(word),
                _ => Some(PathBuf::from(word)),
            };
            let Some(file) = file.filter(|file| file.is_file()) else { continue };
            let failed = |source| CommandError::Start { program: word.clone(), source };
            let mut content = blake3::Hasher::new();
            content.update_reader(File::open(&file).map_err(failed)?).map_err(failed)?;
            hasher.update(&(place as u64).to_le_bytes());
            hasher.update(content.finalize().as_bytes());
        }
        Ok(ContentId::from_bytes(*hasher.finalize().as_bytes()))
    }
}

/// The file that a program's name stands for, as the system looks for it.
fn program_file(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    let folders = std::env::var_os("PATH")?;
    let at = |folder: PathBuf| folder.join(Path::new(OsStr::new(program)));
    std::env::split_paths(&folders).map(at).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn filled(text: &str) -> Vec<String> {
        let value = |name: &str| (name != "no").then(|| OsString::from(format!("<{name}> x")));
        let words = text.parse::<Template>().unwrap().fill(&value).unwrap();
        words.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn lines_are_cut_into_words_before_anything_is_filled_in() {
        assert_eq!(filled("a  b\tc"), ["a", "b", "c"]);
        assert_eq!(filled("a {model} --x={model}"), ["a", "<model> x", "--x=<model> x"]);
        assert_eq!(filled("a '{model} b'"), ["a", "<model> x b"]);
        assert_eq!(
            filled(r#"a 'b "c' "d 'e" f\ g \{h\} '\' "\"" ''"#),
            ["a", "b \"c", "d 'e", "f g", "{h}", "\\", "\"", ""]
        );
        assert_eq!(
            filled("a {{b}} $HOME * | > ; `c`"),
            ["a", "{b}", "$HOME", "*", "|", ">", ";", "`c`"]
        );
        assert_eq!(filled("a {parent:b/c}"), ["a", "<parent:b/c> x"]);
    }

    #[test]
    fn lines_that_are_none_are_refused() {
        for text in ["", "  ", "''", "{model}", "a '", "a \"b", "a \\", "a {", "a }", "a {b{c}"] {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
        assert!("a\0b".parse::<Template>().is_err());
        assert!("a ".repeat(TEMPLATE_LEN_MAX).parse::<Template>().is_err());
        let template: Template = "a {no}".parse().unwrap();
        let error = template.fill(&|_| None).unwrap_err();
        assert_eq!(error.code(), "unknown-placeholder");
    }

    #[test]
    fn a_changed_script_changes_the_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("eval.sh");
        let of = |text: &str| {
            std::fs::write(&script, text).unwrap();
            let line = format!("sh {} {{model}}", script.display());
            line.parse::<Template>().unwrap().fingerprint().unwrap()
        };
        let (first, second) = (of("exit 0"), of("exit 1"));
        assert_ne!(first, second);
        assert_eq!(first, of("exit 0"));
    }
}
