//! Downloads of one version of an object: fetched in parts, opened, and returned in order.

pub(crate) mod fetch;
pub(crate) mod file;
pub(crate) mod parts;
pub(crate) mod requested_range;
pub(crate) mod stream;
pub(crate) mod whole_message;

/// Number of parts that are fetched at a time, in order, including the one being consumed.
const READ_AHEAD: usize = 4;
