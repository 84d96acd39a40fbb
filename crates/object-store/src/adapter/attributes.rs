//! Conversion of attributes and tags between `object_store` and S3.

use super::super::object_store::{Attribute, Attributes, Error, Result, TagSet};
use sealwax_s3::{ObjectInfo, Put, aws_sdk_s3::types::StorageClass};

/// Sets attributes and tags on a put.
pub(crate) fn set_on(mut put: Put, attributes: &Attributes, tags: &TagSet) -> Result<Put> {
    let mut stored = sealwax_s3::Attributes::default();
    if !tags.encoded().is_empty() {
        stored = stored.tagging(tags.encoded());
    }
    for (attribute, value) in attributes {
        let value = value.as_ref();
        stored = match attribute {
            Attribute::CacheControl => stored.cache_control(value),
            Attribute::ContentDisposition => stored.content_disposition(value),
            Attribute::ContentEncoding => stored.content_encoding(value),
            Attribute::ContentLanguage => stored.content_language(value),
            Attribute::ContentType => stored.content_type(value),
            Attribute::StorageClass => stored.storage_class(StorageClass::from(value)),
            Attribute::Metadata(name) => {
                put = put.metadata(name.as_ref(), value);
                stored
            }
            other => {
                return Err(Error::NotSupported {
                    source: format!("cannot store the attribute {other:?} in S3").into(),
                });
            }
        };
    }
    Ok(put.attributes(stored))
}

/// Returns the attributes of a stored object, without Sealwax's metadata.
pub(crate) fn of_object(info: &ObjectInfo) -> Attributes {
    let headers = [
        (Attribute::CacheControl, &info.cache_control),
        (Attribute::ContentDisposition, &info.content_disposition),
        (Attribute::ContentEncoding, &info.content_encoding),
        (Attribute::ContentLanguage, &info.content_language),
        (Attribute::ContentType, &info.content_type),
    ];
    let headers =
        headers.into_iter().filter_map(|(attribute, value)| Some((attribute, value.clone()?)));
    let class =
        info.storage_class.iter().map(|class| (Attribute::StorageClass, class.as_str().to_owned()));
    let user_defined = info
        .metadata
        .iter()
        .map(|(name, value)| (Attribute::Metadata(name.clone().into()), value.clone()));
    headers.chain(class).chain(user_defined).collect()
}
