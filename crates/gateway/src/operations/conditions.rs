//! Conditions of reads, and of the sources of copies.

use s3s::dto::{ETagCondition, Timestamp};

/// Conditions of a read.
pub(crate) struct Conditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

/// Sets the conditions and the version of a fluent builder that reads an object.
macro_rules! on_read {
    ($read:expr, $conditions:expr, $version_id:expr) => {{
        let $crate::operations::conditions::Conditions {
            if_match,
            if_none_match,
            if_modified_since,
            if_unmodified_since,
        } = $conditions;
        let mut read = $read;
        if let Some(condition) = &if_match {
            read = read.if_match($crate::entity_tag::stored(condition));
        }
        if let Some(condition) = &if_none_match {
            read = read.if_none_match($crate::entity_tag::stored(condition));
        }
        if let Some(time) = if_modified_since {
            read = read.if_modified_since($crate::upstream::date_time(time));
        }
        if let Some(time) = if_unmodified_since {
            read = read.if_unmodified_since($crate::upstream::date_time(time));
        }
        if let Some(version_id) = $version_id {
            read = read.version_id(version_id);
        }
        read
    }};
}
pub(crate) use on_read;
