//! Many small objects under a unique prefix, and jobs over them.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_jobs::{
    listing::Listing,
    rewrap::{AppliedObject, Apply, JobInput, RewrapSummary},
};
use sealwax_s3::{Error, KeyChanges, Rewrapper, S3Uri, SealedClient, aws_sdk_s3::Client};
use sealwax_tests::{SeaweedFs, Wire, local_keyring, read};

/// Objects sealed under the local key `a`.
pub(crate) struct Objects {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) uris: Vec<S3Uri>,
    pub(crate) client: SealedClient,
}

impl Objects {
    /// Puts `count` objects, each with its key as its plaintext. If `settled`, waits until they are
    /// older than the one-second resolution of S3's timestamps.
    pub(crate) async fn new(name: &str, count: usize, settled: bool) -> Self {
        let store = SeaweedFs::new().await;
        let client = store.client(local_keyring("a"));
        let first = store.object(name);
        let prefix = format!("{}/", first.key());
        let uri = |n: usize| {
            format!("s3://{}/{prefix}{n:04}", first.bucket()).parse().expect("an address")
        };
        let uris: Vec<S3Uri> = (0..count).map(uri).collect();
        let puts = uris.iter().map(|uri| client.put().uri(uri).body(uri.key().to_owned()).send());
        stream::iter(puts).buffer_unordered(16).try_collect::<Vec<_>>().await.expect("put");
        if settled {
            tokio::time::sleep(std::time::Duration::from_millis(3100)).await;
        }
        Self { bucket: first.bucket().to_owned(), prefix, uris, client }
    }

    pub(crate) fn list(&self, s3: &Client) -> Listing {
        Listing::objects(s3, &self.bucket, &self.prefix)
    }

    pub(crate) fn work(&self, s3: &Client) -> JobInput {
        JobInput::listing(self.list(s3), &self.prefix).live()
    }

    /// Asserts that all of them open with the local key `name` and hold their plaintext.
    pub(crate) async fn assert_open(&self, name: &str) {
        let client = SeaweedFs::new().await.client(local_keyring(name));
        for uri in &self.uris {
            assert_eq!(read(&client, uri).await.expect(name), uri.key(), "{uri} by {name}");
        }
    }

    pub(crate) async fn generations(&self) -> Vec<u32> {
        let heads = self.uris.iter().map(|uri| self.client.head().uri(uri).send());
        stream::iter(heads)
            .buffered(16)
            .map_ok(|info| info.generation())
            .try_collect()
            .await
            .expect("heads")
    }
}

/// Returns a rewrapper over `wire` that reads with the local key `a`.
pub(crate) async fn rewrapper(wire: &Wire, edits: KeyChanges) -> Rewrapper {
    let client = SeaweedFs::over(wire.clone()).await.client(local_keyring("a"));
    client.rewrapper(edits).expect("edits")
}

/// Returns the key change that adds the local key `b`.
pub(crate) fn add_b() -> KeyChanges {
    KeyChanges::new().add_keys(local_keyring("b"))
}

/// Runs a job to its end; returns the outcomes of its objects, and its summary.
pub(crate) async fn run(
    apply: Apply<Rewrapper>,
    input: JobInput,
) -> (Vec<AppliedObject>, Result<RewrapSummary, Error>) {
    let (mut outcomes, mut applied) = (apply.run(input), Vec::new());
    loop {
        match outcomes.try_next().await {
            Ok(Some(object)) => applied.push(object),
            Ok(None) => return (applied, Ok(*outcomes.summary())),
            Err(error) => return (applied, Err(error)),
        }
    }
}
