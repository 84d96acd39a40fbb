//! What must hold of an object for it to be read.

use aws_sdk_s3::primitives::DateTime;

/// The conditional headers of `GetObject` and `HeadObject`. (RFC 9110 §13.1.)
#[derive(Debug, Clone, Default)]
pub(super) struct ReadConditions {
    pub(super) if_match: Option<String>,
    pub(super) if_none_match: Option<String>,
    pub(super) if_modified_since: Option<DateTime>,
    pub(super) if_unmodified_since: Option<DateTime>,
}

/// Adds their setters to a fluent builder.
macro_rules! condition_setters {
    () => {
        /// Reads only the object with this entity tag; [`crate::ErrorKind::Conflict`] for another.
        pub fn if_match(mut self, e_tag: impl Into<String>) -> Self {
            self.conditions.if_match = Some(e_tag.into());
            self
        }

        /// Reads only an object with another entity tag than this; [`crate::ErrorKind::NotModified`] for this one.
        pub fn if_none_match(mut self, e_tag: impl Into<String>) -> Self {
            self.conditions.if_none_match = Some(e_tag.into());
            self
        }

        /// Reads only an object that was modified since, in whole seconds; else [`crate::ErrorKind::NotModified`].
        pub fn if_modified_since(mut self, time: aws_sdk_s3::primitives::DateTime) -> Self {
            self.conditions.if_modified_since = Some(time);
            self
        }

        /// Reads only an object that was not modified since, in whole seconds; else [`crate::ErrorKind::Conflict`].
        pub fn if_unmodified_since(mut self, time: aws_sdk_s3::primitives::DateTime) -> Self {
            self.conditions.if_unmodified_since = Some(time);
            self
        }
    };
}
pub(super) use condition_setters;

/// Puts them on an SDK request.
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
pub(super) use on_request;
