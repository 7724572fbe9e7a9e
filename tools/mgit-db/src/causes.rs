//! An error of the library and all that it holds, one after the other.
//!
//! The source of an error that only passes another one on is that one's source, and not the one
//! itself. So the variants are followed too, and what an error of the system was made of.

use std::io;

use mgit::Error;
use mgit::error::{
    CatalogError, ExportError, HubFault, LineageError, MergeError, StoreError, TestError,
    TransferError, UpdateError, UpkeepError,
};

/// One of them, to be asked for its type.
pub type Cause = dyn std::error::Error + 'static;

/// From the outermost to the innermost.
pub fn causes(error: &Error) -> impl Iterator<Item = &Cause> {
    std::iter::successors(Some(error as &Cause), |cause| held_by(*cause))
}

fn held_by(cause: &Cause) -> Option<&Cause> {
    of_all(cause).or_else(|| of_store(cause)).or_else(|| of_work(cause)).or_else(|| cause.source())
}

fn of_all(cause: &Cause) -> Option<&Cause> {
    Some(match cause.downcast_ref::<Error>()? {
        Error::Store(error) => error,
        Error::Destination(error) => error,
        Error::Interchange(error) => error,
        Error::Export(error) => error,
        Error::Command(error) => error,
        Error::Test(error) => error,
        Error::Upkeep(error) => error,
        Error::Transfer(error) => error,
        Error::Update(error) => error,
        Error::Merge(error) => error,
        Error::Adoption(error) => error,
        Error::Hub(error) => error,
        Error::Io(error) => error,
        _ => return None,
    })
}

fn of_store(cause: &Cause) -> Option<&Cause> {
    if let Some(error) = cause.downcast_ref() {
        return match error {
            StoreError::Destination(error) => Some(error),
            StoreError::Container(error) => Some(error),
            StoreError::Catalog(error) => Some(error),
            StoreError::Lineage(error) => Some(error),
            _ => None,
        };
    }
    if let Some(CatalogError::Container(error)) = cause.downcast_ref() {
        return Some(error);
    }
    if let Some(LineageError::Catalog(error)) = cause.downcast_ref() {
        return Some(error);
    }
    cause.downcast_ref::<io::Error>()?.get_ref().map(|held| held as &Cause)
}

fn of_work(cause: &Cause) -> Option<&Cause> {
    if let Some(boxed) = cause.downcast_ref::<Box<TransferError>>() {
        return Some(&**boxed);
    }
    if let Some(boxed) = cause.downcast_ref::<Box<HubFault>>() {
        return Some(&**boxed);
    }
    if let Some(boxed) = cause.downcast_ref::<Box<UpdateError>>() {
        return Some(&**boxed);
    }
    if let Some(error) = cause.downcast_ref() {
        return match error {
            TransferError::Store(error) => Some(error),
            TransferError::Destination(error) => Some(error),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref() {
        return match error {
            UpkeepError::Store(error) => Some(error),
            UpkeepError::Destination(error) => Some(error),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref() {
        return match error {
            ExportError::Store(error) => Some(error),
            ExportError::Destination(error) => Some(error),
            _ => None,
        };
    }
    if let Some(UpdateError::Store(error)) = cause.downcast_ref() {
        return Some(error);
    }
    if let Some(TestError::Store(error)) = cause.downcast_ref() {
        return Some(error);
    }
    match cause.downcast_ref()? {
        MergeError::Store(error) => Some(error),
        MergeError::Update(error) => Some(error),
        MergeError::Test(error) => Some(error),
        _ => None,
    }
}
