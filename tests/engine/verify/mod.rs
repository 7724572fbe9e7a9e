//! What `verify` finds in records and in rows of the catalogue.

mod damage;
mod rows;
