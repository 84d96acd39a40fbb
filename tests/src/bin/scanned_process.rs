//! A process that uses keys, drops them, and then searches its own memory for them.
//!
//! It prints the keys that it used, masked so that printing leaves no copy. Then it reads the bytes
//! to search for from standard input, masked too, and prints the number of occurrences of each.
//! `tests/suites/memory.rs` runs it.

use std::{
    env,
    fs::{self, File},
    io::{self, BufRead as _},
    os::unix::fs::FileExt as _,
    sync::{Arc, Mutex, PoisonError},
};

use sealwax_s3::{
    S3Uri, SealedClient,
    envelope::{
        BodySalt, BoxFuture, CacheLimits, CachingKeyring, EncryptedDataKey, EncryptionContext,
        EncryptionMaterials, Keyring, KeyringError, PlaintextDataKey, Sealer, Unwrap, WrapContext,
    },
};
use sealwax_tests::{LocalStack, SeaweedFs, east, local_keyring, plaintext};

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

/// Puts, gets and rewraps an object of one part and one of several. Returns the headers of their
/// bodies.
async fn work<K: Keyring + 'static>(
    s3: sealwax_s3::aws_sdk_s3::Client,
    keyring: K,
    other: impl Keyring + 'static,
    uris: [S3Uri; 2],
    secrets: &Secrets,
) -> Vec<Vec<u8>> {
    let inner = Noting { keyring, name: "intermediate key", secrets: Arc::clone(secrets) };
    let outer = Noting {
        keyring: CachingKeyring::new(inner),
        name: "data key",
        secrets: Arc::clone(secrets),
    };
    let client = SealedClient::builder(s3, outer).part_len(5 << 20).build();
    let other = Arc::new(other);
    let mut headers = Vec::new();
    for (uri, len) in uris.into_iter().zip([1000, (5 << 20) + 1]) {
        let put = client.put().uri(&uri).body(plaintext(len)).send().await.expect("put");
        headers.push(put.header.body_header().to_bytes().to_vec());
        client.get().uri(&uri).send().await.expect("get").bytes().await.expect("verified");
        client.rewrap().uri(&uri).add_keys(Arc::clone(&other)).send().await.expect("rewrap");
    }
    client.settle().await;
    headers
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
    let mut headers = runtime.block_on(async {
        match scenario.as_str() {
            "local" => {
                let store = SeaweedFs::new().await;
                let uris = [store.object("memory"), store.object("memory")];
                work(store.s3(), local_keyring("a"), local_keyring("b"), uris, &secrets).await
            }
            _ => {
                let stack = LocalStack::new(east());
                let uris = [stack.object("memory"), stack.object("memory")];
                let (keyring, other) =
                    (stack.keyring([&stack.home.key]), stack.keyring([&stack.home.key_2]));
                work(stack.s3(), keyring, other, uris, &secrets).await
            }
        }
    });
    let cache = runtime.block_on(evict(&secrets));
    // A live key and a live cipher: the search must find both.
    let kept = PlaintextDataKey::generate().expect("random");
    note(&secrets, "kept key", &kept);
    let sealer = Sealer::new(&kept, &EncryptionContext::new().body_context(), salt());
    headers.push(sealer.header().to_bytes().to_vec());

    for (name, masked) in secrets.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("{name} {}", hex(masked));
    }
    for header in headers {
        println!("header {}", hex(&header));
    }
    println!("end");

    // The runtime's threads are alive, and so are their stacks.
    for line in io::stdin().lock().lines() {
        let line = line.expect("text");
        let (name, needle) = line.rsplit_once(' ').expect("a name and what to look for");
        println!("{name} {}", occurrences(&unhex(needle)));
    }
    drop((kept, sealer, cache, runtime));
}

/// Counts the occurrences of the masked `needle` in this process's writable memory.
fn occurrences(needle: &[u8]) -> usize {
    assert!(
        (8..=MAX_NEEDLE).contains(&needle.len()),
        "too short to be told from chance, or too long"
    );
    let memory = File::open("/proc/self/mem").expect("its own memory");
    let maps = fs::read_to_string("/proc/self/maps").expect("its own maps");
    let mut window = vec![0; WINDOW + MAX_NEEDLE];
    let mut count = 0;
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
            count += masked_occurrences(&window[..read], needle);
            at += WINDOW as u64;
        }
        // The search must not find the bytes in its own buffer.
        window.fill(0);
    }
    count
}

/// Counts the occurrences that begin in the first [`WINDOW`] bytes.
fn masked_occurrences(bytes: &[u8], needle: &[u8]) -> usize {
    let first = needle[0] ^ MASK;
    let begins =
        bytes.iter().take(WINDOW).enumerate().filter(|(_, byte)| **byte == first).map(|(at, _)| at);
    let is_there = |at: &usize| {
        let found = bytes.get(*at..*at + needle.len());
        found.is_some_and(|found| {
            found.iter().zip(needle).all(|(byte, masked)| byte ^ MASK == *masked)
        })
    };
    begins.filter(is_there).count()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}
