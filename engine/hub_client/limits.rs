//! What is believed of a hub at most.

/// The most bytes of a list of files.
pub(super) const LISTING_LEN_MAX: u64 = 32 << 20;
/// The most files of a list, those that are left out among them.
pub(super) const LISTED_MAX: usize = 100_000;
/// How often an answer may lead to another address.
pub(super) const REDIRECTS_MAX: u32 = 10;
