//! Conditions of reads, and of the sources of copies.

use s3s::dto::{ETagCondition, Timestamp};

/// Conditions of a read.
pub(crate) struct Conditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
    pub(crate) if_modified_since: Option<Timestamp>,
    pub(crate) if_unmodified_since: Option<Timestamp>,
}

/// Takes the conditions from an input that has them.
macro_rules! conditions {
    ($input:ident) => {
        $crate::operations::conditions::Conditions {
            if_match: $input.if_match,
            if_none_match: $input.if_none_match,
            if_modified_since: $input.if_modified_since,
            if_unmodified_since: $input.if_unmodified_since,
        }
    };
}
pub(crate) use conditions;

/// Takes the conditions for the source of a copy from an input that has them.
macro_rules! source_conditions {
    ($input:ident) => {
        $crate::operations::conditions::Conditions {
            if_match: $input.copy_source_if_match,
            if_none_match: $input.copy_source_if_none_match,
            if_modified_since: $input.copy_source_if_modified_since,
            if_unmodified_since: $input.copy_source_if_unmodified_since,
        }
    };
}
pub(crate) use source_conditions;

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
