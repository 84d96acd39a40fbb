//! The store behind the gateway.

use sealwax_tests::SeaweedFs;

use crate::worker::Soak;

/// Checks that at most `unrecorded` multipart uploads are open in the store, and that they have no part.
///
/// A process that is killed between the store's answer to `CreateMultipartUpload` and its record leaves
/// an upload that it can't know of. No part is sent before the record is there.
pub(crate) async fn check_uploads(store: &SeaweedFs, soak: &Soak, unrecorded: usize) {
    let s3 = store.s3();
    let list = s3.list_multipart_uploads().bucket(&soak.bucket).prefix(&soak.prefix);
    let listed = list.send().await.expect("listed");
    let mut without_parts = 0;
    for upload in listed.uploads() {
        let (key, id) = (upload.key().expect("a key"), upload.upload_id().expect("an id"));
        let parts = s3.list_parts().bucket(&soak.bucket).key(key).upload_id(id);
        let parts = parts.send().await.expect("listed").parts().len();
        if parts > 0 {
            soak.counts.violation(format!("an upload to {key} is left, with {parts} parts"));
        } else {
            without_parts += 1;
        }
    }
    soak.counts.add("uploads left without a record or a part", without_parts as u64);
    if without_parts > unrecorded {
        soak.counts.violation(format!("{without_parts} uploads are left"));
    }
}

/// Checks that every stored object is sealed.
pub(crate) async fn check_sealed(store: &SeaweedFs, soak: &Soak) {
    let s3 = store.s3();
    let list = s3.list_objects_v2().bucket(&soak.bucket).prefix(format!("{}/", soak.prefix));
    let mut pages = list.into_paginator().send();
    while let Some(page) = pages.next().await {
        for object in page.expect("listed").contents() {
            let key = object.key().expect("a key");
            let head = s3.head_object().bucket(&soak.bucket).key(key).send().await.expect("there");
            let metadata = head.metadata.unwrap_or_default();
            if !metadata.contains_key("sealwax-header") {
                soak.counts.violation(format!("{key} is not sealed: {metadata:?}"));
            }
            let get = s3.get_object().bucket(&soak.bucket).key(key).range("bytes=0-8191");
            let stored = match get.send().await {
                Ok(output) => output.body.collect().await.expect("all of it").to_vec(),
                // An object without a byte has no range.
                Err(_) => Vec::new(),
            };
            if soak.pool.is_in(&stored) {
                soak.counts.violation(format!("plaintext of {key} is stored"));
            }
            soak.counts.add("stored objects that are sealed", 1);
        }
    }
}
