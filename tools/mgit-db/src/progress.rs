//! A bar on standard error, where a person looks; nothing elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar of bytes. Gone when dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar up to `bytes`, headed by `what`.
    pub fn new(what: impl Into<String>, bytes: u64) -> Self {
        let template = "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {eta}";
        Self::with(what.into(), Some(bytes), template)
    }

    /// A count of bytes whose end is not known, headed by `what`.
    pub fn unbounded(what: impl Into<String>) -> Self {
        Self::with(what.into(), None, "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}")
    }

    fn with(what: String, bytes: Option<u64>, template: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Progress(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(crate::text::shown(&what));
        Progress(bar)
    }

    /// Reports that this number of bytes more is done.
    pub fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// Reports that this number of bytes is done, of all.
    pub fn set(&self, bytes: u64) {
        self.0.set_position(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
