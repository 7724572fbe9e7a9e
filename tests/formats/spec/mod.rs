//! `format-spec.md` is read, and held against the code and against files.

mod catalogue;
mod example;
mod formula;
mod layouts;
mod page;
mod pages;
mod transfer;
