//! Truncated bodies.

use bytes::Bytes;
use sealwax_s3::{
    ErrorKind::*,
    PlaintextSource,
    envelope::geometry::{HEADER_LEN, SEALED_CHUNK_LEN, TAG_LEN},
};
use sealwax_tests::{SeaweedFs, Stored, assert_unreadable, local_keyring, plaintext};

const CHUNK: usize = 16_400;

#[tokio::test]
async fn every_truncation_of_a_small_body_is_refused() {
    assert_all_truncations_fail(plaintext(100), |len| (0..len).collect()).await;
}

#[tokio::test]
async fn every_truncation_of_an_empty_body_is_refused() {
    assert_all_truncations_fail(Bytes::new(), |len| (0..len).collect()).await;
}

#[tokio::test]
async fn truncations_around_every_chunk_edge_are_refused() {
    for data in [plaintext(2 * 16_384 + 100), plaintext(2 * 16_384)] {
        assert_all_truncations_fail(data, |len| {
            let edges = [0, 56, 56 + CHUNK, 56 + 2 * CHUNK, len];
            let around = |edge: usize| {
                [-16, -15, -1, 0, 1, 15, 16, 17].map(|by| edge.checked_add_signed(by))
            };
            edges.into_iter().flat_map(around).flatten().filter(|cut| *cut < len).collect()
        })
        .await;
    }
}

/// Tries each cut with and without the length in the metadata. Without it, only the body itself
/// marks its end.
async fn assert_all_truncations_fail(data: Bytes, cuts: impl Fn(usize) -> Vec<usize>) {
    let store = SeaweedFs::new().await;
    let (client, uri) = (store.client(local_keyring("a")), store.object("truncated"));
    let reader = PlaintextSource::reader(std::io::Cursor::new(data.clone()));
    for (source, has_length) in [(data.clone().into(), true), (reader, false)] {
        client.put().uri(&uri).body(source).send().await.expect("put");
        let sealed = Stored::fetch(client.s3(), &uri).await;
        for cut in cuts(sealed.body.len()) {
            sealed.with_body(sealed.body.slice(..cut)).store(client.s3(), &uri).await;
            // Where the length is unknown, a last chunk without its end fails authentication.
            let ends_in_a_chunk =
                cut >= HEADER_LEN && (cut - HEADER_LEN) % SEALED_CHUNK_LEN >= TAG_LEN;
            let kind = if has_length || !ends_in_a_chunk { Truncated } else { Authentication };
            assert_unreadable(&client, &uri, &[kind], &data, &format!("cut at {cut}")).await;
        }
    }
}
