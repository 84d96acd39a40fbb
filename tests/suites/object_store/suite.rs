//! `object_store::integration`, function by function.
//!
//! Those of its functions that are missing here are of other traits: `multipart` and its like are of `MultipartStore`, whose
//! parts are stored by whoever has the upload's id, in any order and of any length; a sealed part is made by the one process
//! that holds the data key, and its chunks are numbered before it is sent.

use object_store::{ObjectStore, integration as suite};

use super::{localstack, part_of, seaweedfs};

/// Runs functions of the suite on a part of a bucket of their own.
macro_rules! suite_on {
    ($server:ident, $store:expr, $($name:ident $(($($argument:expr),*))?),* $(,)?) => {
        mod $server {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    let store = part_of($store.1);
                    let store: &dyn ObjectStore = store.as_ref();
                    suite::$name(store $($(, $argument)*)?).await;
                }
            )*
        }
    };
}

suite_on! {
    on_localstack, localstack(),
    copy_rename_nonexistent_object,
    get_opts,
    list_uses_directories_correctly,
    list_with_delimiter,
    list_with_offset_exclusivity,
    multipart_out_of_order,
    multipart_race_condition(true),
    put_get_attributes,
    put_get_delete_list,
    put_opts(true),
    rename_and_copy,
    stream_get,
}

suite_on! {
    on_seaweedfs, seaweedfs().await,
    // LocalStack 4.10 passes over `If-None-Match` on a copy.
    copy_if_not_exists,
    copy_rename_nonexistent_object,
    get_opts,
    list_uses_directories_correctly,
    list_with_delimiter,
    list_with_offset_exclusivity,
    multipart_out_of_order,
    multipart_race_condition(true),
    put_get_attributes,
    put_get_delete_list,
    put_opts(true),
    rename_and_copy,
    stream_get,
}

#[tokio::test]
async fn get_nonexistent_object() {
    let (_, store) = localstack();
    let error = suite::get_nonexistent_object(part_of(store).as_ref(), None).await.expect_err("nothing is there");
    assert!(matches!(error, object_store::Error::NotFound { .. }), "{error:?}");
}

/// It wants a bucket of its own.
#[tokio::test]
async fn list_paginated() {
    let (stack, _) = localstack();
    let bucket = sealwax_tests::unique("list-paginated");
    stack.s3().create_bucket().bucket(&bucket).send().await.expect("a bucket");
    let store = sealwax_object_store::SealedStore::new(stack.client([&stack.home.key]), &bucket);
    suite::list_paginated(&store, &store).await;
}
