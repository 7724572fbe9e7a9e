//! The file made shorter, in place.

use super::UpkeepError;
use crate::store::{GivenBack, Store};

/// Makes the file as short as it can be without being written anew: moves the records that lie last
/// into free space before them, makes the catalogue as short as its rows, and cuts off what is free
/// at the end. Contents, models and the number of the last commit stay. Bytes that a snapshot may
/// read, in any process, stay where they are: the report then says what waits, and for which commit.
///
/// Call it behind what has written elsewhere first, such as
/// [`Transaction::repack`](crate::Transaction::repack), and drop snapshots before. No other writer is
/// let in meanwhile. A record that is longer than any free range before it stays, and what lies
/// before it: [`vacuum`](super::vacuum) leaves no free space at all.
///
/// Cost: every row of a record; copies at most what it cuts off; a few syncs.
///
/// # Errors
///
/// A lock that is held; those of the catalogue and of the disk. Nothing is lost by them.
pub fn give_back(store: &Store) -> Result<GivenBack, UpkeepError> {
    give_back_to(store, 0)
}

/// As [`give_back`], but moves nothing in a file that need not be longer than `len` bytes, and else
/// only what lies behind them: enough for a file that shall not be longer than it was.
///
/// # Errors
///
/// As there.
pub fn give_back_to(store: &Store, len: u64) -> Result<GivenBack, UpkeepError> {
    Ok(store.give_back(len)?)
}
