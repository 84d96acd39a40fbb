//! Attributes and tags, between `object_store`'s types and S3's.

use object_store::{Attribute, Attributes, Error, Result, TagSet};
use sealwax_s3::{ObjectInfo, Put, aws_sdk_s3::types::StorageClass};

/// Puts them on an object that is to be stored.
pub(crate) fn onto(mut put: Put, attributes: &Attributes, tags: &TagSet) -> Result<Put> {
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
                    source: format!("the attribute {other:?}").into(),
                });
            }
        };
    }
    Ok(put.attributes(stored))
}

/// Those of a stored object. Sealwax's own metadata is not among them.
pub(crate) fn of(info: &ObjectInfo) -> Attributes {
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
    let own = info
        .metadata
        .iter()
        .map(|(name, value)| (Attribute::Metadata(name.clone().into()), value.clone()));
    headers.chain(class).chain(own).collect()
}
