//! The operations of S3 that the gateway has.

pub(crate) mod buckets;
pub(crate) mod conditions;
pub(crate) mod copying;
pub(crate) mod deleting;
pub(crate) mod listing;
pub(crate) mod reading;
pub(crate) mod tagging;
pub(crate) mod uploads;
pub(crate) mod writing;
