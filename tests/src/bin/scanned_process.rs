//! A process that uses keys, drops them, and then searches its own memory for them.
//!
//! It prints the keys that it used, masked so that printing leaves no copy. Then it reads the bytes
//! to search for from standard input, masked too, and prints the number of occurrences of each.
//! `tests/suites/memory` runs it.

use std::{
    env,
    fs::{self, File},
    io::{self, BufRead as _},
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError},
};

use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use sealwax_s3::{
    DiscoveryFilter, KmsKeyring, S3Uri, SealedClient,
    aws_config::SdkConfig,
    aws_sdk_s3::Client,
    envelope::{
        BodySalt, BoxFuture, CacheLimits, CachingKeyring, EncryptedDataKey, EncryptionContext,
        EncryptionMaterials, Keyring, KeyringError, MultiKeyring, PlaintextDataKey, Sealer, Unwrap,
        WrapContext,
        s3ec::{self, Admitted},
    },
    s3ec::{Content, ContentSuite, RawAesKeyring, S3ec, WrapAlgorithm, WrappedKey},
};
use sealwax_tests::{LocalStack, PATIENCE, SeaweedFs, east, local_keyring, plaintext, west};

/// Mask of every byte of a secret.
const MASK: u8 = 0xa5;
/// Memory per read, in bytes.
const WINDOW: usize = 1 << 20;
/// Maximum length of a needle, in bytes.
const MAX_NEEDLE: usize = 64;

type Secrets = Arc<Mutex<Vec<(&'static str, Vec<u8>)>>>;

/// Records the keys that pass through a keyring.
#[derive(Debug)]
struct Noting<K> {
    keyring: K,
    name: &'static str,
    secrets: Secrets,
}

fn note(secrets: &Secrets, name: &'static str, key: &PlaintextDataKey) {
    // Byte by byte, so that no copy of the key exists.
    let masked = key.expose_secret().iter().map(|byte| byte ^ MASK).collect();
    secrets.lock().unwrap_or_else(PoisonError::into_inner).push((name, masked));
}

impl<K: Keyring> Keyring for Noting<K> {
    fn generate<'a>(
        &'a self,
        wrap_context: &'a WrapContext,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        Box::pin(async move {
            let materials = self.keyring.generate(wrap_context, plaintext_len).await?;
            note(&self.secrets, self.name, materials.data_key());
            Ok(materials)
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        self.keyring.wrap(data_key, wrap_context)
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        self.keyring.rewrap(keys, wrap_context)
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        Box::pin(async move {
            let unwrapped = self.keyring.unwrap(keys).await;
            if let Unwrap::Unwrapped(key) = &unwrapped {
                note(&self.secrets, self.name, key);
            }
            unwrapped
        })
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.keyring.accepts(key)
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        self.keyring.expected_keys(wrap_context)
    }
}

impl<K: s3ec::Keyring> s3ec::Keyring for Noting<K> {
    fn accepts(&self, algorithm: WrapAlgorithm) -> bool {
        self.keyring.accepts(algorithm)
    }

    fn binds_context(&self) -> bool {
        self.keyring.binds_context()
    }

    fn generate<'a>(
        &'a self,
        suite: ContentSuite,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<(PlaintextDataKey, WrappedKey), KeyringError>> {
        Box::pin(async move {
            let (key, wrapped) = self.keyring.generate(suite, context).await?;
            note(&self.secrets, self.name, &key);
            Ok((key, wrapped))
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        suite: ContentSuite,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>> {
        self.keyring.wrap(data_key, suite, context)
    }

    fn unwrap<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>> {
        Box::pin(async move {
            let key = self.keyring.unwrap(envelope).await?;
            note(&self.secrets, self.name, &key);
            Ok(key)
        })
    }
}

/// Result of the work in a scenario.
#[derive(Default)]
struct Worked {
    /// Headers of the bodies.
    headers: Vec<Vec<u8>>,
    /// Message ids of objects of the S3 Encryption Client.
    messages: Vec<Vec<u8>>,
    /// Clients, with their connections, which stay open.
    clients: Vec<SealedClient>,
}

/// Puts, gets and rewraps an object of one part and one of several, through a cache that is dropped
/// with its keys.
async fn work<K: Keyring + 'static>(
    worked: &mut Worked,
    s3: Client,
    keyring: K,
    other: impl Keyring + 'static,
    uris: [S3Uri; 2],
    secrets: &Secrets,
) {
    let inner = Noting { keyring, name: "intermediate key", secrets: Arc::clone(secrets) };
    let outer = Noting {
        keyring: CachingKeyring::new(inner),
        name: "data key",
        secrets: Arc::clone(secrets),
    };
    let client = SealedClient::builder(s3, outer).part_len(5 << 20).build();
    let other = Arc::new(other);
    for (uri, len) in uris.into_iter().zip([1000, (5 << 20) + 1]) {
        let put = client.put().uri(&uri).body(plaintext(len)).send().await.expect("put");
        worked.headers.push(put.header.body_header().to_bytes().to_vec());
        client.get().uri(&uri).send().await.expect("get").bytes().await.expect("verified");
        client.rewrap().uri(&uri).add_keys(Arc::clone(&other)).send().await.expect("rewrap");
    }
    client.settle().await;
}

/// Puts, gets and rewraps an object of the S3 Encryption Client.
async fn s3ec_work(
    worked: &mut Worked,
    (s3, uri): (Client, S3Uri),
    keyring: impl s3ec::Keyring + 'static,
    reader: impl s3ec::Keyring + 'static,
    replacement: impl s3ec::Keyring + 'static,
    secrets: &Secrets,
) {
    let client =
        |settings| SealedClient::builder(s3.clone(), local_keyring("none")).s3ec(settings).build();
    let keyring = Noting { keyring, name: "S3EC data key", secrets: Arc::clone(secrets) };
    let (client, reader) =
        (client(S3ec::new().keyring(keyring)), client(S3ec::new().keyring(reader)));
    let put = client.put().uri(&uri).body(plaintext(1000)).s3ec().send().await.expect("put");
    let Content::AesGcmCommitKey { message_id, .. } = put.envelope.content() else {
        panic!("not V3")
    };
    worked.messages.push(message_id.to_vec());
    for client in [&client, &reader] {
        client.get().uri(&uri).send().await.expect("get").bytes().await.expect("verified");
    }
    let rewrap = client.rewrap().uri(&uri).replace_s3ec_key(replacement);
    rewrap.send().await.expect("rewrap");
    worked.clients.extend([client, reader]);
}

/// Calls every operation of KMS.
async fn kms_work(worked: &mut Worked, url: &str, secrets: &Secrets) {
    let mut stack = LocalStack::new(east());
    // The SDK's own HTTP client: the tests' wire keeps requests.
    let mut config = stack.config.into_builder();
    config.set_http_client(None);
    stack.config = config.build();
    let kms = kms_config(&stack.config, url);
    let builder = || KmsKeyring::builder(&kms).timeout(PATIENCE);
    let keyring = |keys: &[&sealwax_s3::KmsKeyArn]| {
        builder().keys(keys.iter().copied()).build().expect("parsed ARNs")
    };
    let object = || stack.object("memory");
    let noting = |name, keyring| Noting { keyring, name, secrets: Arc::clone(secrets) };
    let (home, key_2, away) = (&stack.home.key, &stack.home.key_2, &west().key);

    // GenerateDataKey, and ReEncrypt.
    let uris = [object(), object()];
    work(worked, stack.s3(), keyring(&[home]), keyring(&[key_2]), uris, secrets).await;

    // GenerateDataKey and Encrypt; Decrypt by the second key.
    let (uri, both) = (object(), noting("received key", keyring(&[home, away])));
    let writer = SealedClient::builder(stack.s3(), both).build();
    let put = writer.put().uri(&uri).body(plaintext(1000)).send().await.expect("put");
    worked.headers.push(put.header.body_header().to_bytes().to_vec());
    let reader = SealedClient::builder(stack.s3(), noting("received key", keyring(&[away])));
    let reader = reader.build();
    reader.get().uri(&uri).send().await.expect("get").bytes().await.expect("verified");

    // Decrypt and Encrypt: the new key is in another Region.
    let uri = object();
    let one = SealedClient::builder(stack.s3(), noting("received key", keyring(&[home]))).build();
    let put = one.put().uri(&uri).body(plaintext(1000)).send().await.expect("put");
    worked.headers.push(put.header.body_header().to_bytes().to_vec());
    one.rewrap().uri(&uri).add_keys(Arc::new(keyring(&[away]))).send().await.expect("rewrap");

    // Encrypt alone: the key is never in an answer of KMS.
    let uri = object();
    let others = [Arc::new(keyring(&[home, away])) as Arc<dyn Keyring>];
    let multi = MultiKeyring::new(Arc::new(local_keyring("a")), others);
    let sender = Noting { keyring: multi, name: "sent key", secrets: Arc::clone(secrets) };
    let sender = SealedClient::builder(stack.s3(), sender).build();
    let put = sender.put().uri(&uri).body(plaintext(1000)).send().await.expect("put");
    worked.headers.push(put.header.body_header().to_bytes().to_vec());
    sender.get().uri(&uri).send().await.expect("get").bytes().await.expect("verified");

    // GenerateDataKey, Decrypt with and without the key's name, and Encrypt.
    let discovery = DiscoveryFilter::accounts([home.account()]);
    let finder = builder().discovery(discovery).build().expect("no ARN");
    let (named, replacement) = (keyring(&[home]), keyring(&[key_2]));
    s3ec_work(worked, (stack.s3(), object()), named, finder, replacement, secrets).await;
    worked.clients.extend([writer, reader, one, sender]);
}

/// Returns the configuration of KMS at `url`. Over `https`, it trusts the tests' authority.
fn kms_config(config: &SdkConfig, url: &str) -> SdkConfig {
    let config = config.to_builder().endpoint_url(url);
    if url.starts_with("http://") {
        return config.build();
    }
    let authority = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tls/ca.pem"));
    let trust = TrustStore::empty().with_pem_certificate(authority.as_slice());
    let context = TlsContext::builder().with_trust_store(trust).build().expect("a certificate");
    let provider = Provider::Rustls(CryptoMode::AwsLc);
    let client = Builder::new().tls_provider(provider).tls_context(context).build_https();
    config.http_client(client).build()
}

/// Returns a live cache that has dropped keys: some for too many objects, some for too many
/// contexts.
async fn evict(secrets: &Secrets) -> CachingKeyring {
    let inner =
        Noting { keyring: local_keyring("c"), name: "evicted key", secrets: Arc::clone(secrets) };
    let limits = CacheLimits::new().with_max_objects(2).with_max_entries(1);
    let keyring = CachingKeyring::with_limits(inner, limits);
    let contexts =
        ["a", "b"].map(|n| EncryptionContext::try_from_iter([("n", n)]).expect("a context"));
    for context in [0, 0, 0, 1, 0].map(|n| &contexts[n]) {
        let wrap_context = WrapContext::for_data_key(context.clone(), None, &salt());
        let materials = keyring.generate(&wrap_context, Some(1)).await.expect("generated");
        let unwrapped = keyring.unwrap(materials.encrypted_data_keys()).await;
        assert!(matches!(unwrapped, Unwrap::Unwrapped(_)), "it is not read");
    }
    // The keys that it still holds: the last one for writes and the last one for reads.
    let mut secrets = secrets.lock().unwrap_or_else(PoisonError::into_inner);
    let last = secrets.last().expect("some").1.clone();
    secrets.retain(|(_, secret)| *secret != last);
    assert_eq!(
        secrets.iter().filter(|(name, _)| *name == "evicted key").count(),
        6,
        "made, and read, three"
    );
    keyring
}

fn salt() -> BodySalt {
    BodySalt::generate().expect("random")
}

fn main() {
    let scenario = env::args().nth(1).expect("a scenario");
    let secrets = Secrets::default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut worked = Worked::default();
    runtime.block_on(async {
        if scenario == "kms" {
            let url = env::args().nth(2).expect("the URL of KMS");
            return kms_work(&mut worked, &url, &secrets).await;
        }
        let store = SeaweedFs::new().await;
        let uris = [store.object("memory"), store.object("memory")];
        work(&mut worked, store.s3(), local_keyring("a"), local_keyring("b"), uris, &secrets).await;
        let raw = |byte| RawAesKeyring::new(&mut [byte; 32]).expect("32 bytes");
        let object = (store.s3(), store.object("memory"));
        s3ec_work(&mut worked, object, raw(1), raw(1), raw(2), &secrets).await;
    });
    let cache = runtime.block_on(evict(&secrets));
    // A live key and a live cipher: the search must find both.
    let kept = PlaintextDataKey::generate().expect("random");
    note(&secrets, "kept key", &kept);
    let sealer = Sealer::new(&kept, &EncryptionContext::new().body_context(), salt());
    worked.headers.push(sealer.header().to_bytes().to_vec());
    // Texts of a key too.
    let texts = (base64(kept.expose_secret()), hex(kept.expose_secret()));

    for (name, masked) in secrets.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("{name} {}", hex(masked));
    }
    for header in &worked.headers {
        println!("header {}", hex(header));
    }
    for message in &worked.messages {
        println!("message {}", hex(message));
    }
    println!("end");

    // The runtime's threads are alive, and so are their stacks.
    let needle = |line: String| {
        let (name, needle) = line.rsplit_once(' ').expect("a name and what to look for");
        (name.to_owned(), unhex(needle))
    };
    let (names, needles): (Vec<_>, Vec<_>) =
        io::stdin().lock().lines().map(|line| needle(line.expect("text"))).unzip();
    for (name, count) in names.iter().zip(occurrences(&needles)) {
        println!("{name} {count}");
    }
    drop((kept, texts, sealer, cache, worked, runtime));
}

/// Counts the occurrences of each masked needle in this process's writable memory.
fn occurrences(needles: &[Vec<u8>]) -> Vec<usize> {
    let mut by_first_byte = vec![Vec::new(); 256];
    for (number, needle) in needles.iter().enumerate() {
        assert!(
            (8..=MAX_NEEDLE).contains(&needle.len()),
            "too short to be told from chance, or too long"
        );
        by_first_byte[usize::from(needle[0] ^ MASK)].push(number);
    }
    let memory = File::open("/proc/self/mem").expect("its own memory");
    let maps = fs::read_to_string("/proc/self/maps").expect("its own maps");
    let mut window = vec![0; WINDOW + MAX_NEEDLE];
    let mut counts = vec![0; needles.len()];
    for line in maps
        .lines()
        .filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")))
    {
        let (start, end) =
            line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("hexadecimal");
        let (mut at, end) = (number(start), number(end));
        while at < end {
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(window.len());
            // Some pages can't be read, such as the kernel's.
            let Ok(read) = memory.read_at(&mut window[..len], at) else { break };
            for (at, byte) in window[..read].iter().take(WINDOW).enumerate() {
                for number in &by_first_byte[usize::from(*byte)] {
                    counts[*number] += usize::from(is_at(&window[at..read], &needles[*number]));
                }
            }
            at += WINDOW as u64;
        }
        // The search must not find the bytes in its own buffer.
        window.fill(0);
    }
    counts
}

/// `true` if the bytes begin with the masked needle.
fn is_at(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.len() >= needle.len()
        && bytes.iter().zip(needle).all(|(byte, masked)| byte ^ MASK == *masked)
}

fn base64(bytes: &[u8]) -> String {
    aws_smithy_types::base64::encode(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}
