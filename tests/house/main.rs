//! The project's own files: rooms import from lower floors, documents name what is there.

mod documents;
mod rooms;
