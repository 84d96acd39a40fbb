//! Any text as `s3://bucket/key`: a parsed URI prints as the same text, and names a bucket and a
//! key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwax_s3::S3Uri;

fuzz_target!(|text: &str| {
    let Ok(uri) = text.parse::<S3Uri>() else { return };
    assert_eq!(uri.to_string(), text);
    assert_eq!(text, format!("s3://{}/{}", uri.bucket(), uri.key()));
    assert!((1..=1024).contains(&uri.key().len()));
    // Only an access point's ARN has a slash in the bucket, and it has one.
    let slashes = uri.bucket().matches('/').count();
    assert_eq!(slashes, usize::from(uri.bucket().starts_with("arn:")));
    assert!(!uri.bucket().is_empty() && !uri.bucket().starts_with('/'));
});
