//! Counted measurements: requests and bytes for a short range of a very long object, and KMS calls
//! of many puts.

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::{Builder, Credentials};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_s3::{
    KMS_PROVIDER, KmsKeyring, SealedClient,
    envelope::{
        BodySalt, CachingKeyring, DATA_KEY_LEN, EncryptedDataKey, EncryptionContext, Keyring,
        ObjectHeader, PartBuffer, Place, PlaintextDataKey, Sealer, WrapContext,
        geometry::{self, CHUNK_LEN},
    },
};
use tokio::runtime::Runtime;

use crate::{
    Result,
    contender::{KEPT, KEY_ARN, NULL},
    null_server::kept_file,
    servers::{Counts, Server},
};

/// Plaintext length of the object: 10 GiB.
pub(crate) const LEN: u64 = 10 << 30;
/// Offset of the byte to read, in the middle of a chunk in the middle of the object.
const OFFSET: u64 = LEN / 2 + 12_345;
const KEY: &str = "range";
/// Number of puts with the key cache.
pub(crate) const CACHED_PUTS: usize = 10_000;
/// Number of parallel puts.
const AT_ONCE: usize = 16;

/// Reads one byte of a 10 GiB object with the library; returns the server's counts.
pub(crate) fn one_byte_range(server: &Server, store: &Path) -> Result<Counts> {
    let object = sparse_object(store)?;
    let before = server.counts()?;
    let bytes = Runtime::new()?.block_on(read(server, OFFSET..OFFSET + 1))?;
    let counts = server.counts()?.since(&before);
    std::fs::remove_file(object)?;
    if bytes != [7] {
        return Err("the range is not what was sealed".into());
    }
    Ok(counts)
}

/// Puts many small objects with the library's key cache; returns the server's counts.
pub(crate) fn cached_puts(server: &Server) -> Result<Counts> {
    let before = server.counts()?;
    Runtime::new()?.block_on(async {
        let client = client(server, CachingKeyring::new).await?;
        let puts = stream::iter(0..CACHED_PUTS).map(|n| {
            let put = client.put().bucket(NULL).key(format!("cached/{n}")).body("small");
            async move { put.send().await.map(drop) }
        });
        puts.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        Result::Ok(())
    })?;
    Ok(server.counts()?.since(&before))
}

async fn read(server: &Server, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
    let client = client(server, std::convert::identity).await?;
    Ok(client.get().bucket(KEPT).key(KEY).range(range).send().await?.bytes().await?.to_vec())
}

/// Returns a client of the library, with a keyring made of the KMS keyring.
async fn client<K: Keyring + 'static>(
    server: &Server,
    keyring: impl FnOnce(KmsKeyring) -> K,
) -> Result<SealedClient> {
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .endpoint_url(&server.endpoint)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
        .load()
        .await;
    let s3 = aws_sdk_s3::Client::from_conf(Builder::from(&config).force_path_style(true).build());
    let kms = KmsKeyring::builder(&config).key(KEY_ARN).build()?;
    Ok(SealedClient::builder(s3, keyring(kms)).build())
}

/// Creates a sealed object as a sparse file: only the header and the chunk of that byte are real.
fn sparse_object(store: &Path) -> Result<PathBuf> {
    let data_key = PlaintextDataKey::from_slice_wiping(&mut [0; DATA_KEY_LEN])?;
    let context = EncryptionContext::new();
    let salt = BodySalt::generate()?;
    let place = Place::new(KEPT, KEY)?;
    let wrap_context = WrapContext::for_data_key(context.clone(), Some(place), &salt);
    let mut sealer = Sealer::new(&data_key, &context.body_context(), salt);
    let wrapped = EncryptedDataKey::new(KMS_PROVIDER, KEY_ARN, vec![0; 184], &wrap_context)?;
    let header = ObjectHeader::new(context, vec![wrapped], *sealer.header(), Some(LEN))?;

    let span = geometry::chunk_span(OFFSET..OFFSET + 1, LEN).ok_or("not in the object")?;
    // Reserve chunks that are never sealed.
    drop(sealer.next_part(usize::try_from(span.first_chunk)?)?);
    let mut chunk = PartBuffer::new(None, 1);
    chunk.put_slice(&[7; CHUNK_LEN]);
    let chunk = sealer.next_part(1)?.seal(chunk)?;

    let path = kept_file(store, &format!("{KEPT}/{KEY}"));
    let file = File::create(&path)?;
    file.set_len(geometry::body_len(LEN).ok_or("too long")?)?;
    file.write_all_at(&header.body_header().to_bytes(), 0)?;
    file.write_all_at(&chunk, span.body.start)?;
    let mut headers = File::create(path.with_added_extension("headers"))?;
    for (name, value) in header.to_metadata() {
        write!(headers, "x-amz-meta-{name}: {value}\r\n")?;
    }
    Ok(path)
}
