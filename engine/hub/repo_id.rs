//! Names of models as the clients of the Hub let a user write them.

/// The longest id that the clients take.
const ID_LEN_MAX: usize = 96;

/// The id by which a client asks for the model of this name: the name itself where it has at most
/// one slash, else with its second and later slashes written as dots. `None` where the clients
/// refuse that too (more than 96 characters, `--`, `..`, a part that begins or ends with `-` or `.`,
/// an end in `.git`): such a model is asked for by the id of its node.
///
/// ```
/// use mgit::hub::repo_id;
///
/// assert_eq!(repo_id("bert").as_deref(), Some("bert"));
/// assert_eq!(repo_id("bert/sst2").as_deref(), Some("bert/sst2"));
/// assert_eq!(repo_id("bert/sst2/seed-1").as_deref(), Some("bert/sst2.seed-1"));
/// assert_eq!(repo_id("a--b"), None);
/// ```
pub fn repo_id(name: &str) -> Option<String> {
    let id = alias(name);
    let edge = |letter: char| matches!(letter, '-' | '.');
    let whole = |part: &str| !part.is_empty() && !part.starts_with(edge) && !part.ends_with(edge);
    let taken = id.len() <= ID_LEN_MAX
        && !id.contains("--")
        && !id.contains("..")
        && !id.ends_with(".git")
        && id.split('/').all(whole);
    taken.then_some(id)
}

/// The name with its second and later slashes as dots.
pub(super) fn alias(name: &str) -> String {
    match name.split_once('/') {
        Some((first, rest)) => format!("{first}/{}", rest.replace('/', ".")),
        None => name.to_owned(),
    }
}
