//! Any request line and headers: without a signature the gate admits none, and with one it admits what
//! the client may do, on the bucket and key that the router sees.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwax_gateway::fuzzing::Head;

/// `true` if the client of the fuzz targets may use the key.
fn is_allowed(bucket: &str, key: &str) -> bool {
    let is_hidden = key.starts_with(".sealwax/");
    !is_hidden && (bucket == "bucket-1" || (bucket == "bucket-2" && key.starts_with("allowed/")))
}

fuzz_target!(|text: &str| {
    let Some(head) = Head::parse(text) else { return };
    // No input guesses an HMAC.
    assert_eq!(head.clone().admit(), None);
    let Some(admitted) = head.signed().and_then(Head::admit) else { return };
    assert_eq!(admitted.routed, (admitted.bucket.clone(), admitted.key.clone()));
    match (&admitted.bucket, &admitted.key) {
        (Some(bucket), Some(key)) => assert!(is_allowed(bucket, key), "{admitted:?}"),
        (Some(bucket), None) => assert!(["bucket-1", "bucket-2"].contains(&&**bucket)),
        (None, key) => {
            assert_eq!(*key, None);
            assert_eq!(admitted.operation, "ListBuckets");
        }
    }
    if let Some((bucket, key)) = &admitted.copy_source {
        assert!(is_allowed(bucket, key), "{admitted:?}");
        assert!(["CopyObject", "UploadPartCopy"].contains(&admitted.operation));
    }
});
