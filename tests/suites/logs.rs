//! Logs at every level, of Sealwax and its dependencies, hold no key and no plaintext.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealwax_s3::{
    SealedClient,
    envelope::{CachingKeyring, LocalKeyring, Unwrap},
};
use sealwax_tests::{LocalStack, SeaweedFs, east, read, west};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

const KEY: &[u8; 32] = b"MARKER-OF-A-WRAPPING-KEY-32-BYTE";
const PLAINTEXT: &str = "MARKER-OF-A-PLAINTEXT-IN-SOME-LEN";
/// Text that must be logged, or the test proves nothing.
const OWN: &str = "sealed and stored";

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8(bytes).expect("text")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Asserts that the secret is absent as text, in Base64, as a list of numbers and in hexadecimal.
fn assert_absent(log: &str, secret: &[u8]) {
    let piece = &secret[..8];
    let decimal = piece.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
    for spelling in [String::from_utf8_lossy(piece).into_owned(), decimal, hex] {
        let at = log.to_lowercase().find(&spelling.to_lowercase());
        assert!(
            at.is_none(),
            "{spelling} is in {:?}",
            at.map(|at| &log[at.saturating_sub(200)..at + 50])
        );
    }
}

#[test]
fn no_log_level_holds_a_secret() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stack = LocalStack::new(east());
    let (client, sealed) = (stack.client([&stack.home.key]), stack.object("log"));
    // Before logging starts: the key that KMS will send again.
    let data_key = runtime.block_on(async {
        let put = client.put().uri(&sealed).body(PLAINTEXT).send().await.expect("put");
        match client.keyring().unwrap(put.header.keys()).await {
            Unwrap::Unwrapped(data_key) => data_key,
            Unwrap::NotMine | Unwrap::Failed(_) => panic!("the data key cannot be unwrapped"),
        }
    });

    let log = Log::default();
    // All logs: of Sealwax, of the SDK, and of the HTTP client.
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone());
    let subscriber = subscriber.with_env_filter(EnvFilter::new("trace")).finish();
    tracing::subscriber::set_global_default(subscriber).expect("the only one");
    runtime.block_on(async {
        assert_eq!(read(&client, &sealed).await.expect("get"), PLAINTEXT);
        client
            .rewrap()
            .uri(&sealed)
            .add_keys(stack.keyring([&west().key]))
            .send()
            .await
            .expect("rewrap");

        let store = SeaweedFs::new().await;
        let keyring = || LocalKeyring::new("marked", &mut KEY.clone()).expect("a key");
        let client = SealedClient::builder(store.s3(), CachingKeyring::new(keyring())).build();
        let uri = store.object("log");
        client.put().uri(&uri).body(PLAINTEXT).send().await.expect("put");
        assert_eq!(read(&client, &uri).await.expect("get"), PLAINTEXT);
        client.reencrypt().uri(&uri).keyring(keyring()).send().await.expect("reencrypt");
    });
    let log = log.take();
    assert!(log.contains(OWN) && log.contains("TRACE"), "nothing was logged");
    let len = PLAINTEXT.len();
    for field in [&format!("bytes={len}"), "hit=false", "hit=true", "attempt=1", "duration_ms="] {
        assert!(log.contains(field), "no {field}: docs/OBSERVABILITY.md promises it");
    }
    println!("{} bytes of logs", log.len());
    assert_absent(&log, KEY);
    let data_key = data_key.expose_secret();
    assert_absent(&log, data_key);
    assert_absent(&log, STANDARD.encode(data_key).as_bytes());
    assert_absent(&log, PLAINTEXT.as_bytes());
}
