//! Files that lie: they are refused, with the reason, and leave nothing behind.

mod files;
mod import;
mod shards;
