//! Who descends from whom: the graph, what changes it, and the ways through it.

mod changes;
mod graph;
mod refused;
mod walks;
