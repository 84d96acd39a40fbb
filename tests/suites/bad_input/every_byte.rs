//! A flipped bit at any position.

use futures_util::future::join_all;
use sealwax_s3::{ErrorKind, envelope::EncryptionContext};
use sealwax_tests::{SeaweedFs, Stored, local_keyring, plaintext, read};

/// Number of objects tampered with in parallel.
const LANES: usize = 8;

/// Seals a small object, stores each tampered copy of it, and reads it back. The others fail with
/// one of these kinds. Returns the names of the readable cases.
async fn readable_after(
    kinds: &[ErrorKind],
    tamper: impl Fn(&Stored) -> Vec<(String, Stored)> + Send + Sync,
) -> Vec<String> {
    let (store, data) = (&SeaweedFs::new().await, &plaintext(100));
    let context = &EncryptionContext::try_from_iter([("tenant", "acme")]).expect("a context");
    let tamper = &tamper;
    let lanes = (0..LANES).map(async |lane| {
        let (client, uri) = (store.client(local_keyring("a")), store.object("bit"));
        client
            .put()
            .uri(&uri)
            .body(data.clone())
            .encryption_context(context.clone())
            .send()
            .await
            .expect("put");
        let sealed = Stored::fetch(client.s3(), &uri).await;
        let mut readable = Vec::new();
        for (case, tampered) in tamper(&sealed).into_iter().skip(lane).step_by(LANES) {
            tampered.store(client.s3(), &uri).await;
            match read(&client, &uri).await {
                Ok(bytes) => {
                    assert!(bytes == data, "{case}: wrong plaintext");
                    readable.push(case);
                }
                Err(error) => assert!(kinds.contains(&error.kind()), "{case}: {error:?}"),
            }
        }
        sealed.store(client.s3(), &uri).await;
        assert!(read(&client, &uri).await.expect("untampered") == data);
        readable
    });
    join_all(lanes).await.concat()
}

#[tokio::test]
async fn a_flipped_bit_in_the_body_fails_the_read() {
    let readable = readable_after(&[ErrorKind::Authentication], |sealed| {
        assert_eq!(sealed.body.len(), 56 + 100 + 16);
        let bits = (0..sealed.body.len()).flat_map(|at| (0..8).map(move |bit| (at, bit)));
        let flip = |(at, bit)| {
            let mut body = sealed.body.to_vec();
            body[at] ^= 1_u8 << bit;
            (format!("byte {at}, bit {bit}"), sealed.with_body(body))
        };
        bits.map(flip).collect()
    });
    assert_eq!(readable.await, [""; 0]);
}

/// Flips all bits except those that give a character that HTTP cannot carry here.
#[tokio::test]
async fn a_flipped_bit_in_the_metadata_fails_the_read_except_in_the_generation() {
    let kinds = [
        ErrorKind::Authentication,
        ErrorKind::Malformed,
        ErrorKind::NoMatchingKey,
        ErrorKind::PlaceMismatch,
        ErrorKind::Truncated,
        ErrorKind::Unsupported,
    ];
    let readable = readable_after(&kinds, |sealed| {
        let ours = sealed.metadata.iter().filter(|(name, _)| name.starts_with("sealwax"));
        let flips = ours.flat_map(|(name, value)| {
            let bits = (0..value.len()).flat_map(|at| (0..7).map(move |bit| (at, bit)));
            bits.filter_map(move |(at, bit)| {
                let mut bytes = value.clone().into_bytes();
                bytes[at] ^= 1_u8 << bit;
                let flipped = String::from_utf8(bytes)
                    .ok()
                    .filter(|text| text.bytes().all(|b| b.is_ascii_graphic()))?;
                Some((format!("{name}: {flipped}"), sealed.with(name, flipped)))
            })
        });
        flips.collect()
    });
    // The generation distinguishes rewraps. It is not authenticated, because a rewrap inside KMS
    // has no key to authenticate it with.
    let others: Vec<_> =
        readable.await.into_iter().filter(|case| !case.starts_with("sealwax-generation")).collect();
    assert_eq!(others, [""; 0]);
}
