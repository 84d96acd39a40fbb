//! Printed settings and errors hold no key and no plaintext.

use sealwax_s3::{
    ErrorKind, SealedClient,
    envelope::{EncryptionContext, LocalKeyring, MultiKeyring},
};
use sealwax_tests::{LocalStack, Reaction, SeaweedFs, Stored, Wire, east, plaintext, read};

pub(crate) const KEY: &[u8; 32] = b"MARKER-OF-A-WRAPPING-KEY-32-BYTE";
pub(crate) const PLAINTEXT: &str = "MARKER-OF-A-PLAINTEXT-IN-SOME-LEN";

pub(crate) fn keyring() -> LocalKeyring {
    LocalKeyring::new("marked", &mut KEY.clone()).expect("a key")
}

/// Asserts that `bytes` is not in `text`: not verbatim, as a list of numbers, or in hexadecimal.
#[track_caller]
pub(crate) fn assert_absent(text: &str, bytes: &[u8]) {
    let piece = &bytes[..8];
    let decimal = piece.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
    let raw = String::from_utf8_lossy(piece).into_owned();
    // Line breaks and indentation of `{:#?}` must not hide a list.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for spelling in [raw, decimal, hex] {
        assert!(!text.to_lowercase().contains(&spelling.to_lowercase()), "{spelling} is in {text}");
    }
}

#[tokio::test]
async fn debug_output_holds_no_key_and_no_plaintext() {
    let store = SeaweedFs::new().await;
    let (client, uri) = (store.client(keyring()), store.object("secret"));
    let mut texts = vec![
        format!("{client:?} {client:#?}"),
        format!("{:?}", store.client_builder(keyring())),
        format!("{:?}", keyring()),
        format!("{:?}", MultiKeyring::new(std::sync::Arc::new(keyring()), [])),
        format!("{:?}", client.rewrap().uri(&uri).add_keys(keyring())),
    ];
    let put = client.put().uri(&uri).body(PLAINTEXT);
    texts.push(format!("{put:#?}"));
    texts.push(format!("{:#?}", put.send().await.expect("put")));
    let get = client.get().uri(&uri);
    texts.push(format!("{get:#?}"));
    let object = get.send().await.expect("get");
    texts.push(format!("{object:#?} {:#?}", object.info()));
    texts.push(format!("{:#?}", object.into_stream()));
    texts.push(format!("{:#?}", client.head().uri(&uri).send().await.expect("head")));

    let sealed = Stored::fetch(client.s3(), &uri).await;
    for (tampered, kind) in [
        (sealed.with("sealwax-context", r#"{"a":"b"}"#), ErrorKind::Authentication),
        (sealed.with_body(vec![0; 105]), ErrorKind::Authentication),
        (sealed.with_body(""), ErrorKind::Truncated),
    ] {
        tampered.store(client.s3(), &uri).await;
        let error = read(&client, &uri).await.expect_err("tampered");
        assert_eq!(error.kind(), kind);
        texts.push(format!("{error} {error:?} {error:#?}"));
    }
    for text in texts {
        assert_absent(&text, KEY);
        assert_absent(&text, PLAINTEXT.as_bytes());
    }
}

/// KMS responses contain the data key. An error must not quote a response, however broken it is.
#[tokio::test]
async fn a_broken_kms_response_is_not_quoted() {
    let good = LocalStack::new(east());
    let uri = good.object("quoted");
    good.client([&good.home.key]).put().uri(&uri).body("x").send().await.expect("put");
    // Base64 of "MARKER-OF-A-WRAPPING-KEY-32-BYTE", and most of it.
    let plaintext = "TUFSS0VSLU9GLUEtV1JBUFBJTkctS0VZLTMyLUJZVEU=";
    for body in [
        format!(r#"{{"Plaintext":"{plaintext}"}}"#),
        format!(r#"{{"Plaintext":"{plaintext}","KeyId":"arn:another"}}"#),
        format!(r#"{{"Plaintext":"{plaintext}","KeyId":{{}}}}"#),
        format!(r#"{{"Plaintext":"{plaintext}"#),
        format!(r#"{{"Plaintext":"!{plaintext}"}}"#),
        format!(r#"{{"Plaintext":"{}"}}"#, &plaintext[..40]),
    ] {
        for (operation, status) in [("Decrypt", 200), ("GenerateDataKey", 200), ("Decrypt", 400)] {
            let stack = LocalStack::over(Wire::answering(operation, status, body.clone()), east());
            let client = stack.client([&stack.home.key]);
            let error = match operation {
                "Decrypt" => read(&client, &uri).await.map(drop),
                _ => client.put().uri(&uri).body("x").send().await.map(drop),
            };
            let error = error.expect_err("a broken response");
            assert_eq!(error.kind(), ErrorKind::Service, "{operation} {status} {body}");
            let mut text = format!("{error} {error:?}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                text.push_str(&format!(" {error} {error:?}"));
                cause = error.source();
            }
            assert_absent(&text, KEY);
            assert_absent(&text, plaintext.as_bytes());
        }
    }
}

/// An error of the SDK's request building shows neither credentials nor plaintext.
#[tokio::test]
async fn a_request_that_cannot_be_built_is_not_quoted() {
    let store = SeaweedFs::over(Wire::new(|_| Reaction::Refuse)).await;
    let (client, uri) =
        (SealedClient::builder(store.s3(), keyring()).build(), store.object("refused"));
    let context = EncryptionContext::try_from_iter([("a", "b")]).expect("a context");
    for (name, value, kind) in
        [("n", "a\nb", ErrorKind::InvalidInput), ("n", "good", ErrorKind::Unavailable)]
    {
        let put = client
            .put()
            .uri(&uri)
            .body(PLAINTEXT)
            .encryption_context(context.clone())
            .metadata(name, value);
        let error = put.send().await.expect_err("refused");
        assert_eq!(error.kind(), kind, "{value:?}");
        let text = format!("{error:?}");
        assert_absent(&text, KEY);
        assert_absent(&text, PLAINTEXT.as_bytes());
        assert_absent(&text, &plaintext(8));
    }
}
