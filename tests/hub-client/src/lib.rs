//! The tests are in `tests/`: this package has nothing of its own.
