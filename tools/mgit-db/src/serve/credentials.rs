//! Who may ask: everybody, or who knows the token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use constant_time_eq::constant_time_eq;

/// Who may ask: everybody, or who knows the token.
#[derive(Clone, Default)]
pub struct Credentials(Option<String>);

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "a token" } else { "nothing" })
    }
}

impl Credentials {
    /// Only who knows this token.
    pub fn token(token: String) -> Self {
        Credentials(Some(token))
    }

    /// Whether there is a token.
    pub fn are_asked(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the header `Authorization` has the token: as a bearer's, as clients send it, or as the
    /// password of any user, as browsers do.
    pub fn accept(&self, header: Option<&str>) -> bool {
        let Some(token) = &self.0 else { return true };
        let Some((scheme, given)) = header.and_then(|header| header.split_once(' ')) else {
            return false;
        };
        let given = given.trim();
        let is_it = |given: &[u8]| constant_time_eq(given, token.as_bytes());
        if scheme.eq_ignore_ascii_case("bearer") {
            return is_it(given.as_bytes());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Ok(pair) = STANDARD.decode(given) else { return false };
        let colon = pair.iter().position(|byte| *byte == b':');
        colon.and_then(|colon| pair.get(colon + 1..)).is_some_and(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_asked_for() {
        let asked = Credentials::token("s3cret".to_owned());
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for header in ["Bearer s3cret", "bearer  s3cret ", &basic("any:s3cret"), &basic(":s3cret")]
        {
            assert!(asked.accept(Some(header)), "{header}");
        }
        for header in
            ["", "Bearer", "Bearer ", "Bearer s3cre", "s3cret", "Basic s3cret", &basic("s3cret:")]
        {
            assert!(!asked.accept(Some(header)), "{header}");
        }
        assert!(!asked.accept(None) && Credentials::default().accept(None));
    }
}
