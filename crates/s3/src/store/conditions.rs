//! Conditional headers of requests. (RFC 9110 §13.1.)

use aws_sdk_s3::primitives::DateTime;

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
