//! Entity tags as clients see them.
//!
//! Many clients take an entity tag without a dash for the MD5 digest of what they sent, and the stored
//! bytes have another one. With a dash it means nothing to them, as for a multipart upload. The store's
//! tag is always recovered from the shown one: conditions reach the store in its own terms.

use s3s::dto::{ETag, ETagCondition};

/// End of a shown tag that is appended.
const MARK: &str = "-1";

/// Returns the entity tag that clients see for `stored`, which may be in quotation marks.
pub(crate) fn shown(stored: &str) -> ETag {
    let stored = stored.trim_matches('"');
    match stored.contains('-') && !stored.ends_with(MARK) {
        true => ETag::Strong(stored.to_owned()),
        false => ETag::Strong(format!("{stored}{MARK}")),
    }
}

/// Returns the store's entity tag for one that a client has seen, in quotation marks, or `*`.
pub(crate) fn stored(condition: &ETagCondition) -> String {
    match condition {
        ETagCondition::Any => "*".to_owned(),
        ETagCondition::ETag(ETag::Strong(seen) | ETag::Weak(seen)) => {
            format!("\"{}\"", seen.strip_suffix(MARK).unwrap_or(seen))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_tags_have_a_dash_and_name_one_stored_tag() {
        for (of_store, expected) in [
            ("\"abc\"", "abc-1"),
            ("abc", "abc-1"),
            ("\"abc-7\"", "abc-7"),
            ("\"abc-1\"", "abc-1-1"),
            ("\"abc-11\"", "abc-11"),
        ] {
            let tag = shown(of_store);
            assert_eq!(tag, ETag::Strong(expected.to_owned()));
            let back = stored(&ETagCondition::ETag(tag));
            assert_eq!(back.trim_matches('"'), of_store.trim_matches('"'));
        }
        assert_eq!(stored(&ETagCondition::Any), "*");
    }
}
