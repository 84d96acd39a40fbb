//! An object's tags, in the form that a new object takes.

use aws_sdk_s3::{operation::head_object::HeadObjectOutput, types::Tag};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Store;
use crate::error::{Error, ObjectRef, aws_failure::AwsFailure};

impl Store {
    /// Returns the object's tags as URL query parameters, or `None` if it has none.
    pub(crate) async fn tags_to_keep(
        &self,
        target: &ObjectRef,
        head: &HeadObjectOutput,
    ) -> Result<Option<String>, Error> {
        let request = self.s3().get_object_tagging().bucket(&target.bucket).key(&target.key);
        match request.set_version_id(head.version_id.clone()).send().await {
            Ok(output) => Ok(Some(query(output.tag_set())).filter(|query| !query.is_empty())),
            Err(error) => {
                let failure = AwsFailure::new(&error);
                // A store without tags has none to keep.
                if matches!(failure.status, Some(405 | 501)) {
                    return Ok(None);
                }
                Err(target.s3_failure("GetObjectTagging", failure))
            }
        }
    }
}

fn query(tags: &[Tag]) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = tags.iter().map(|tag| format!("{}={}", encoded(tag.key()), encoded(tag.value())));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_encoded() {
        let tag = |key, value| Tag::builder().key(key).value(value).build().expect("complete");
        assert_eq!(query(&[]), "");
        assert_eq!(query(&[tag("a b", "c&d=é"), tag("x", "")]), "a%20b=c%26d%3D%C3%A9&x=");
    }
}
