//! An answer, before a server writes it to a socket.

use std::sync::Arc;

use serde_json::Value;

use super::reading::FileReader;

/// An answer: a status, headers and a body. The length of the body is not among the headers:
/// [`len`](Self::len) tells it, of the answer to HEAD too, which is sent without its body.
#[derive(Debug)]
pub struct Answer {
    /// The status, such as 206.
    pub status: u16,
    /// The headers, by names in lower case. Every value is visible ASCII.
    pub headers: Vec<(&'static str, String)>,
    /// What follows them.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// Bytes that are there.
    Bytes(Vec<u8>),
    /// Bytes that other answers have too: what a server adds to the protocol.
    Shared(Arc<[u8]>),
    /// A range of a file, read piece by piece.
    File(Box<FileReader>),
}

impl Answer {
    pub(super) fn new(status: u16, body: Body) -> Self {
        Answer { status, headers: Vec::new(), body }
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        let mut answer = Answer::new(status, Body::Bytes(value.to_string().into_bytes()));
        answer.header("content-type", "application/json");
        answer
    }

    /// Adds a header. What is no visible ASCII in the value becomes `?`.
    pub(super) fn header(&mut self, name: &'static str, value: &str) {
        let plain = |letter: char| if matches!(letter, ' '..='~') { letter } else { '?' };
        self.headers.push((name, value.chars().map(plain).collect()));
    }

    /// The length of the body in bytes.
    pub fn len(&self) -> u64 {
        match &self.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Shared(bytes) => bytes.len() as u64,
            Body::File(file) => file.left(),
        }
    }

    /// Whether the body is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
