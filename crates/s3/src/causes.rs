//! The causes of an error.

use std::{error::Error, iter};

/// Returns an error and its causes, the nearest one first.
pub(crate) fn with_causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| (*error).source())
}

/// Returns the first error of a type among an error and its causes.
pub(crate) fn find_cause<'a, T: Error + 'static>(
    error: &'a (dyn Error + 'static),
) -> Option<&'a T> {
    with_causes(error).find_map(|error| error.downcast_ref())
}
