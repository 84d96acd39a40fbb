//! Conditional headers of requests. (RFC 9110 §13.1.)

use std::sync::{Arc, OnceLock};

use aws_sdk_s3::primitives::DateTime;

use crate::error::{Error, ErrorKind};

/// Conditional headers of `GetObject` and `HeadObject`.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadConditions {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) if_modified_since: Option<DateTime>,
    pub(crate) if_unmodified_since: Option<DateTime>,
}

/// Conditional headers of requests that store an object.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteConditions {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) enforcement: Enforcement,
}

impl WriteConditions {
    /// Says which condition did not hold, if the write may store only where nothing is.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Conflict if self.if_none_match.is_some() => {
                error.with_message("an object exists there already")
            }
            _ => error,
        }
    }
}

/// Conditions of a put that are known only when its plaintext has ended, such as those that complete a
/// multipart upload. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct LateConditions(Arc<OnceLock<WriteConditions>>);

impl LateConditions {
    /// Sets the conditions, once: the entity tag that the object must have, and `*` if there must be
    /// none. They count if they are set before the plaintext ends.
    pub fn set(&self, if_match: Option<String>, if_none_match: Option<String>) {
        let conditions = WriteConditions { if_match, if_none_match, ..WriteConditions::default() };
        // The first ones stand.
        let _ = self.0.set(conditions);
    }

    pub(crate) fn get(&self) -> Option<&WriteConditions> {
        self.0.get()
    }
}

/// What makes up for a store that ignores conditions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Enforcement {
    /// A caller relies on the condition: the client's policy decides.
    #[default]
    ByPolicy,
    /// The target is checked once more, right before the call.
    Looked,
    /// The condition is one guard of several.
    Guarded,
}

/// Call that writes or deletes an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum WriteCall {
    Put,
    Complete,
    Copy,
    Delete,
}

impl WriteCall {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Put => "PutObject",
            Self::Complete => "CompleteMultipartUpload",
            Self::Copy => "CopyObject",
            Self::Delete => "DeleteObject",
        }
    }
}

/// Entity tag that no object has.
const NO_E_TAG: &str = "\"00000000000000000000000000000000\"";

/// Header that makes a write conditional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ConditionHeader {
    IfMatch,
    IfNoneMatch,
}

impl ConditionHeader {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::IfMatch => "If-Match",
            Self::IfNoneMatch => "If-None-Match",
        }
    }

    /// Returns the values of `If-Match` and `If-None-Match` for a condition that an object fails.
    pub(super) fn failing(self) -> (Option<String>, Option<String>) {
        match self {
            Self::IfMatch => (Some(NO_E_TAG.to_owned()), None),
            Self::IfNoneMatch => (None, Some("*".to_owned())),
        }
    }
}

/// A conditional call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProvenCondition(pub(super) WriteCall, pub(super) ConditionHeader);

/// What a store does with a condition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It refuses the call: because of the condition, or because it knows no conditions.
    Refuses,
    /// It carries out the call.
    Ignores,
}

/// Adds the setters of [`ReadConditions`] to a fluent builder.
macro_rules! read_condition_setters {
    () => {
        /// Reads only the object with this entity tag, or fails with
        /// [`crate::ErrorKind::Conflict`].
        pub fn if_match(mut self, e_tag: impl Into<String>) -> Self {
            self.conditions.if_match = Some(e_tag.into());
            self
        }

        /// Reads only an object with another entity tag, or fails with
        /// [`crate::ErrorKind::NotModified`].
        pub fn if_none_match(mut self, e_tag: impl Into<String>) -> Self {
            self.conditions.if_none_match = Some(e_tag.into());
            self
        }

        /// Reads only an object that was modified after `time`, in whole seconds, or fails with
        /// [`crate::ErrorKind::NotModified`].
        pub fn if_modified_since(mut self, time: aws_sdk_s3::primitives::DateTime) -> Self {
            self.conditions.if_modified_since = Some(time);
            self
        }

        /// Reads only an object that was not modified after `time`, in whole seconds, or fails with
        /// [`crate::ErrorKind::Conflict`].
        pub fn if_unmodified_since(mut self, time: aws_sdk_s3::primitives::DateTime) -> Self {
            self.conditions.if_unmodified_since = Some(time);
            self
        }
    };
}
pub(crate) use read_condition_setters;

/// Adds the setters of [`WriteConditions`] to a fluent builder.
macro_rules! write_condition_setters {
    () => {
        /// Stores only over the object with this entity tag, or fails with
        /// [`crate::ErrorKind::Conflict`].
        pub fn if_match(mut self, e_tag: impl Into<String>) -> Self {
            self.conditions.if_match = Some(e_tag.into());
            self
        }

        /// With `*`, stores only if no object exists, or fails with
        /// [`crate::ErrorKind::Conflict`].
        pub fn if_none_match(mut self, e_tag: impl Into<String>) -> Self {
            self.conditions.if_none_match = Some(e_tag.into());
            self
        }
    };
}
pub(crate) use write_condition_setters;

/// Puts [`ReadConditions`] on an SDK request.
macro_rules! on_request {
    ($conditions:expr, $request:expr) => {{
        let conditions = $conditions;
        $request
            .set_if_match(conditions.if_match.clone())
            .set_if_none_match(conditions.if_none_match.clone())
            .set_if_modified_since(conditions.if_modified_since)
            .set_if_unmodified_since(conditions.if_unmodified_since)
    }};
}
pub(crate) use on_request;
