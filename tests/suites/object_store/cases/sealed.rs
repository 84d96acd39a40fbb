//! Properties of a sealed store beyond the suite of `object_store`.

use super::super::SealedStore;
use super::super::object_store::{
    Error, Extensions, GetOptions, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, WriteMultipart, path::Path,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all};
use sealwax_s3::{ErrorKind, S3Uri, envelope::EncryptionContext};
use sealwax_tests::{
    PART, Stored, assert_hidden, plaintext, unfinished_uploads, unique, wait_until,
};

use super::{localstack, path};

fn context(tenant: &str) -> EncryptionContext {
    EncryptionContext::try_from_iter([("tenant", tenant)]).expect("a context")
}

fn kind_of(error: &Error) -> Option<ErrorKind> {
    let source = std::error::Error::source(error)?;
    source.downcast_ref::<sealwax_s3::Error>().map(sealwax_s3::Error::kind)
}

#[tokio::test]
async fn objects_are_sealed_and_report_the_length_of_their_plaintext() {
    let (stack, store) = localstack();
    for len in [0, 1, 16_384, 100_000] {
        let (uri, data) = (stack.object("folder/sealed"), plaintext(len));
        let folder = Path::parse(uri.key().rsplit_once('/').map_or("", |(folder, _)| folder))
            .expect("a path");
        store.put(&path(&uri), data.clone().into()).await.expect("put");
        let stored = Stored::fetch(&stack.s3(), &uri).await;
        assert_hidden(&data, &stored.body);
        assert!(stored.body.len() > len);

        let listed: Vec<_> = store.list(Some(&folder)).try_collect().await.expect("list");
        let listed = listed.iter().find(|meta| meta.location == path(&uri)).expect("it is listed");
        let head = store.head(&path(&uri)).await.expect("head");
        assert_eq!((listed.size, head.size), (len as u64, len as u64));
        assert_eq!((&listed.e_tag, listed.last_modified), (&head.e_tag, head.last_modified));
        assert_eq!(store.get(&path(&uri)).await.expect("get").bytes().await.expect("bytes"), data);
    }
}

#[tokio::test]
async fn a_list_continues_across_pages() {
    let (_, store) = localstack();
    let folder = Path::from(unique("pages"));
    let names: Vec<_> = (0..1_005).map(|n| folder.clone().join(format!("{n:04}"))).collect();
    // Only S3's pages matter, so these objects are not sealed.
    let put = |name: &Path| {
        store
            .client()
            .s3()
            .put_object()
            .bucket(store.bucket())
            .key(name.as_ref())
            .body(Bytes::from("x").into())
            .send()
    };
    let stored = futures_util::stream::iter(&names).map(put).buffer_unordered(16);
    stored.try_for_each(|_| async { Ok(()) }).await.expect("put");
    let listed: Vec<_> =
        store.list(Some(&folder)).map_ok(|meta| meta.location).try_collect().await.expect("list");
    assert_eq!(listed, names);
    assert_eq!(
        store.list_with_delimiter(Some(&folder)).await.expect("list").objects.len(),
        names.len()
    );
    let after: Vec<_> =
        store.list_with_offset(Some(&folder), &names[1_001]).try_collect().await.expect("list");
    assert_eq!(
        after.iter().map(|meta| &meta.location).collect::<Vec<_>>(),
        names[1_002..].iter().collect::<Vec<_>>()
    );

    let deleted =
        store.delete_stream(futures_util::stream::iter(names.clone().into_iter().map(Ok)).boxed());
    assert_eq!(deleted.try_collect::<Vec<_>>().await.expect("delete"), names);
    assert_eq!(store.list(Some(&folder)).count().await, 0);
}

#[tokio::test]
async fn an_unsealed_object_is_listed_but_not_read() {
    let (stack, store) = localstack();
    let uri: S3Uri = format!("{}/object", stack.object("plain")).parse().expect("a name");
    let put = stack
        .s3()
        .put_object()
        .bucket(uri.bucket())
        .key(uri.key())
        .body(Bytes::from(vec![0; 71]).into());
    put.send().await.expect("put");
    // Lists only its own folder, because other tests store keys that are not valid paths.
    let parts: Vec<_> = path(&uri).parts().map(|part| part.as_ref().to_owned()).collect();
    let folder: Path = parts[..parts.len() - 1].iter().map(String::as_str).collect();
    let listed: Vec<_> = store.list(Some(&folder)).try_collect().await.expect("list");
    assert_eq!(
        listed.iter().map(|meta| (&meta.location, meta.size)).collect::<Vec<_>>(),
        [(&path(&uri), 71)]
    );
    for error in [
        store.get(&path(&uri)).await.expect_err("get"),
        store.head(&path(&uri)).await.expect_err("head"),
        store.copy(&path(&uri), &path(&stack.object("to"))).await.expect_err("copy"),
    ] {
        assert_eq!(kind_of(&error), Some(ErrorKind::NotSealed), "{error:?}");
    }
}

#[tokio::test]
async fn a_calls_encryption_context_overrides_the_stores() {
    let (stack, store) = localstack();
    let store = store.encryption_context(context("acme"));
    let (ours, theirs) = (stack.object("ours"), stack.object("theirs"));
    store.put(&path(&ours), "x".into()).await.expect("put");
    let mut extensions = Extensions::new();
    extensions.insert(context("other"));
    let options = PutOptions { extensions: extensions.clone(), ..PutOptions::default() };
    store.put_opts(&path(&theirs), "x".into(), options).await.expect("put");
    for (uri, tenant) in [(&ours, "acme"), (&theirs, "other")] {
        let info = store.client().head().uri(uri).send().await.expect("head");
        assert_eq!(info.encryption_context(), &context(tenant));
    }

    let strict = store.clone().require_context(context("acme"));
    strict.get(&path(&ours)).await.expect("has it");
    let error = strict.get(&path(&theirs)).await.expect_err("has another");
    assert_eq!(kind_of(&error), Some(ErrorKind::ContextMismatch), "{error:?}");
    let error = strict.get_ranges(&path(&theirs), &[0..1, 0..1]).await.expect_err("has another");
    assert_eq!(kind_of(&error), Some(ErrorKind::ContextMismatch), "{error:?}");
    let options = GetOptions { extensions, ..GetOptions::default() };
    strict.get_opts(&path(&theirs), options).await.expect("this call requires that context");
}

#[tokio::test]
async fn a_copy_is_bound_to_its_place_and_costs_no_body() {
    let (stack, store) = localstack();
    let (from, to) = (stack.object("from"), stack.object("to"));
    store.put(&path(&from), plaintext(50_000).into()).await.expect("put");
    stack.wire.forget();
    store.copy(&path(&from), &path(&to)).await.expect("copy");
    assert_eq!(stack.wire.kms(), [("ReEncrypt".to_owned(), "us-east-1".to_owned())]);
    // The client asks once if the bucket has ACLs, and looks once if the store replaces metadata.
    // Except on Amazon S3, it looks whether both are names of one object.
    assert_eq!(
        stack.wire.operations("s3"),
        ["HeadObject", "HeadObject", "GetBucketOwnershipControls", "CopyObject", "HeadObject"]
    );
    assert_eq!(
        store.get(&path(&to)).await.expect("get").bytes().await.expect("bytes"),
        plaintext(50_000)
    );

    store.rename(&path(&to), &path(&stack.object("again"))).await.expect("rename");
    assert!(matches!(store.head(&path(&to)).await, Err(Error::NotFound { .. })));
    assert!(
        matches!(store.copy(&path(&from), &path(&from)).await, Err(Error::Generic { .. })),
        "onto itself"
    );
}

#[tokio::test]
async fn a_rename_deletes_only_what_it_copied() {
    let (stack, store) = localstack();
    let (from, to) = (stack.object("from"), stack.object("to"));
    let put = store.put(&path(&from), "x".into()).await.expect("put");
    store.rename(&path(&from), &path(&to)).await.expect("rename");
    let calls = stack.wire.calls();
    let delete =
        calls.iter().find(|call| call.operation == "DeleteObject").expect("it was deleted");
    assert_eq!(delete.headers.get("if-match"), put.e_tag.as_ref());
}

#[tokio::test]
async fn parts_of_any_length_are_recut() {
    let (stack, store) = localstack();
    let (uri, data) = (stack.object("parts"), plaintext(2 * 8_388_608 + 17));
    let mut upload = store.put_multipart(&path(&uri)).await.expect("begin");
    let mut rest = data.clone();
    for len in [PART + 1, 1, 0, 16_384 * 3 - 5, PART, usize::MAX] {
        let piece = rest.split_to(len.min(rest.len()));
        let (a, b) = piece.split_at(piece.len() / 2);
        let payload: PutPayload =
            [Bytes::copy_from_slice(a), Bytes::copy_from_slice(b)].into_iter().collect();
        upload.put_part(payload).await.expect("a part");
    }
    upload.complete().await.expect("complete");
    let again = upload.complete().await.expect_err("completed already");
    assert!(matches!(again, Error::Generic { .. }), "{again:?}");
    assert!(again.to_string().contains(uri.key()), "the object is not named: {again}");
    assert!(store.get(&path(&uri)).await.expect("get").bytes().await.expect("bytes") == data);
}

#[tokio::test]
async fn an_abandoned_upload_leaves_nothing() {
    let (stack, store) = localstack();
    for aborts in [true, false] {
        let uri = stack.object("given-up");
        let mut upload = store.put_multipart(&path(&uri)).await.expect("begin");
        for _ in 0..3 {
            upload.put_part(plaintext(PART).into()).await.expect("a part");
        }
        if aborts {
            upload.abort().await.expect("abort");
            let late = upload.put_part("x".into()).await.expect_err("aborted");
            assert!(matches!(late, Error::Generic { .. }), "{late:?}");
            assert!(late.to_string().contains(uri.key()), "the object is not named: {late}");
        }
        drop(upload);
        // A dropped upload is aborted in the background.
        wait_until("the upload is gone", || async {
            unfinished_uploads(&stack.s3(), &uri).await == 0
        })
        .await;
        assert!(matches!(store.head(&path(&uri)).await, Err(Error::NotFound { .. })));
    }
}

/// There are more uploads than parts in the client's memory budget, and all start before any
/// completes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_uploads_do_not_block_others() {
    let (stack, _) = localstack();
    let client =
        stack.client_builder([&stack.home.key]).part_len(PART).memory_budget(2 * PART).build();
    let store = SealedStore::new(client, &stack.home.bucket);
    let uris: Vec<_> = (0..6).map(|_| stack.object("many")).collect();
    let begun = uris.iter().map(|uri| async {
        let mut upload = store.put_multipart(&path(uri)).await.expect("begin");
        upload.put_part(plaintext(PART - 100).into()).await.expect("the first part");
        upload
    });
    let uploads = join_all(begun).await;
    // The first completes only after the last got its second part.
    let mut all = Vec::new();
    for mut upload in uploads {
        upload.put_part(plaintext(200).into()).await.expect("the second part");
        all.push(upload);
    }
    for (mut upload, uri) in all.into_iter().zip(&uris) {
        upload.complete().await.expect("complete");
        assert_eq!(store.head(&path(uri)).await.expect("head").size, PART as u64 + 100);
    }
}

#[tokio::test]
async fn a_failed_upload_reports_its_error() {
    let (stack, store) = localstack();
    let denied = store.clone().encryption_context(
        EncryptionContext::try_from_iter([("long", "x".repeat(3_000))]).expect("a context"),
    );
    let mut upload = denied.put_multipart(&path(&stack.object("fails"))).await.expect("begin");
    let error = upload.complete().await.expect_err("metadata is too large");
    assert_eq!(kind_of(&error), Some(ErrorKind::MetadataTooLarge), "{error:?}");
    let again = upload.complete().await.expect_err("it stays failed");
    assert!(matches!(again, Error::Generic { .. }), "{again:?}");
    let cause = std::error::Error::source(&error).expect("the client's error").to_string();
    assert!(again.to_string().contains(&cause), "{cause:?} is not in {again}");

    let mut write = WriteMultipart::new(
        denied.put_multipart(&path(&stack.object("fails"))).await.expect("begin"),
    );
    write.write(&plaintext(2 * PART));
    let error = write.finish().await.expect_err("metadata is too large");
    assert_eq!(kind_of(&error), Some(ErrorKind::MetadataTooLarge), "{error:?}");
}

#[tokio::test]
async fn an_update_requires_an_entity_tag() {
    let (stack, store) = localstack();
    let version =
        super::super::object_store::UpdateVersion { e_tag: None, version: Some("1".into()) };
    let options = PutMode::Update(version).into();
    let error = store
        .put_opts(&path(&stack.object("update")), "x".into(), options)
        .await
        .expect_err("no entity tag");
    assert!(error.to_string().contains("entity tag"), "{error}");
}
