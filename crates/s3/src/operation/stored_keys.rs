//! The keys of a key store: listed, proven, rewrapped and deleted, one intermediate key at a time.

mod rewrap;

use std::{collections::VecDeque, fmt, pin::pin, sync::Arc};

use aws_sdk_s3::primitives::DateTime;
use futures_core::Stream;
use futures_util::{TryStreamExt as _, stream};
use sealwax_envelope::{EncryptedDataKey, IntermediateKeyId, KeyObjectName, Keyring, WrapContext};

pub use self::rewrap::StoredKeyOutput;
use super::Handle;
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    store::{
        deletion::Look,
        list::{ListPages, ListedObject},
    },
    vault::{
        key_store::{KeyStore, MAX_LOOKED_AT},
        proofs::KeyProof,
    },
};

/// The key store of one bucket.
///
/// Each operation works on one intermediate key, with all objects that share it, and touches none of
/// them. The crate `sealwax-jobs` runs them over a whole key store.
///
/// ```no_run
/// # async fn example(
/// #     client: sealwax_s3::SealedClient,
/// #     west: sealwax_s3::KmsKeyring,
/// # ) -> Result<(), sealwax_s3::Error> {
/// use sealwax_s3::KeyChanges;
///
/// let store = client.stored_keys("invoices")?;
/// let changes = KeyChanges::new().add_keys(west);
/// let mut listing = store.list();
/// while let Some(key) = listing.next_key().await? {
///     let output = store.rewrap(&key, &changes).await?;
///     println!("{}: added {:?}", key.id(), output.report.added);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StoredKeys {
    handle: Handle,
    bucket: String,
    prefix: String,
}

/// An intermediate key in a key store, as its listing names it. Nothing of it is authenticated.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredKey {
    names: Vec<KeyObjectName>,
    others: u64,
    newest: Option<DateTime>,
}

impl StoredKey {
    fn new(name: KeyObjectName, stored: Option<DateTime>) -> Self {
        Self { names: vec![name], others: 0, newest: stored }
    }

    /// Returns the id of the intermediate key.
    #[must_use]
    pub fn id(&self) -> &IntermediateKeyId {
        self.names[0].id()
    }

    /// Returns the folder of its key objects, relative to the prefix, with a `/` at its end.
    #[must_use]
    pub fn folder(&self) -> String {
        self.names[0].folder()
    }

    /// Returns the names of its key objects, relative to the prefix: 1 to 64.
    #[must_use]
    pub fn names(&self) -> &[KeyObjectName] {
        &self.names
    }

    /// Returns how many more key objects there are than 64. No reader looks at these.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }

    /// Returns how many key objects there are in all.
    #[must_use]
    pub fn key_objects(&self) -> u64 {
        self.names.len() as u64 + self.others
    }

    /// Returns when the newest of its key objects was stored, by the listing.
    #[must_use]
    pub fn newest(&self) -> Option<DateTime> {
        self.newest
    }

    /// `true` if there is a key object under this wrapping key, by its name: a claim.
    #[must_use]
    pub fn claims(&self, provider: &str, wrapping_key: &str) -> bool {
        self.names.contains(&self.names[0].under(provider, wrapping_key))
    }
}

/// A wrapped form of an intermediate key, and whether it is one.
#[derive(Debug)]
#[non_exhaustive]
pub struct ProvenForm {
    /// The wrapped form: its names are claims.
    pub form: EncryptedDataKey,
    /// Result of the attempt to unwrap it: it is proven if what it holds meets the id.
    pub proof: KeyProof,
}

impl StoredKeys {
    pub(crate) fn new(handle: Handle, bucket: String) -> Result<Self, Error> {
        let target = ObjectRef::of_prefix("key store", handle.store.s3(), &bucket, "")?;
        let Some(prefix) = handle.vault.key_store_policy().prefix() else {
            let message = "this client uses no key store";
            return Err(target.error(ErrorKind::InvalidInput, message));
        };
        let prefix = prefix.to_owned();
        Ok(Self { handle, bucket, prefix })
    }

    /// Returns the same key store, without anything that is known of it: each key object is read again.
    #[must_use]
    pub fn afresh(mut self) -> Self {
        self.handle.vault = self.handle.vault.afresh();
        self
    }

    /// Returns the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Returns the prefix of the key objects' keys, with a `/` at its end.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Lists the intermediate keys of the key store.
    #[must_use]
    pub fn list(&self) -> ListStoredKeys {
        self.list_below("")
    }

    /// Lists the intermediate keys whose key objects' names begin with `start`: the folder of an
    /// encryption context, for example.
    #[must_use]
    pub fn list_below(&self, start: &str) -> ListStoredKeys {
        let prefix = format!("{}{start}", self.prefix);
        ListStoredKeys {
            pages: ListPages::objects(self.handle.store.s3(), &self.bucket, prefix),
            prefix: self.prefix.clone(),
            page: VecDeque::new(),
            current: None,
            strays: 0,
        }
    }

    /// Returns the name of the key object at `key`, an S3 key; `None` if no key object has it.
    #[must_use]
    pub fn name_of(&self, key: &str) -> Option<KeyObjectName> {
        key.strip_prefix(&self.prefix).and_then(KeyObjectName::parse)
    }

    /// Finds an intermediate key by the name of one of its key objects; `None` if it has none.
    ///
    /// # Errors
    /// As [`ListPages::next_page`].
    pub async fn find(&self, name: &KeyObjectName) -> Result<Option<StoredKey>, Error> {
        self.list_below(&name.folder()).next_key().await
    }

    /// Reads the wrapped forms of `key` that are valid, without using a key.
    ///
    /// # Errors
    /// The failure of S3.
    pub async fn inspect(&self, key: &StoredKey) -> Result<Vec<EncryptedDataKey>, Error> {
        let target = self.target("inspect keys", key)?;
        let mut forms = Vec::new();
        for name in key.names() {
            forms.extend(self.key_store().form(&self.handle.store, &target, name).await?);
        }
        Ok(forms)
    }

    /// Unwraps each wrapped form of `key` alone, and compares what it holds with the id.
    ///
    /// Costs one `GetObject` for each key object, and one call to the key service for each that the
    /// client's keyring may use.
    ///
    /// # Errors
    /// The failure of S3.
    pub async fn prove(&self, key: &StoredKey) -> Result<Vec<ProvenForm>, Error> {
        let target = self.target("verify keys", key)?;
        let mut proven = Vec::new();
        for form in self.inspect(key).await? {
            let proof = proof(&target, self.handle.vault.keyring(), &form).await;
            proven.push(ProvenForm { form, proof });
        }
        Ok(proven)
    }

    /// Deletes all versions of all key objects of `key`. Returns how many were deleted.
    ///
    /// Objects under a detached key can then no longer be opened by this bucket's key store. Replicas
    /// of the bucket, copies of the key objects and cached keys stay: each must be dealt with on its
    /// own.
    ///
    /// # Errors
    /// The failure of S3 for the first version that stays, such as one under Object Lock. The others
    /// were tried too.
    pub async fn shred(&self, key: &StoredKey) -> Result<u64, Error> {
        let store = &self.handle.store;
        let target = self.target("shred keys", key)?;
        let folder = format!("{}{}", self.prefix, key.names[0].folder());
        let versions = ListPages::versions(store.s3(), &self.bucket, folder).into_stream();
        let mut versions = pin!(versions);
        let (mut deleted, mut failure) = (0, None);
        while let Some(version) = versions.try_next().await? {
            let at = target.with_key(version.key);
            match store.delete(&at, version.version_id, None, Look::Always).await {
                Ok(_) => deleted += 1,
                Err(error) => failure = failure.or(Some(error.into_error(&at))),
            }
        }
        failure.map_or(Ok(deleted), Err)
    }

    fn key_store(&self) -> &KeyStore {
        self.handle.vault.key_store().expect("`new` refuses a client without one")
    }

    /// Returns the folder of `key`, as the target of `operation`.
    fn target(&self, operation: &'static str, key: &StoredKey) -> Result<ObjectRef, Error> {
        let folder = format!("{}{}", self.prefix, key.names[0].folder());
        let s3 = self.handle.store.s3();
        ObjectRef::new(operation, s3, Some(self.bucket.clone()), Some(folder))
    }
}

impl fmt::Debug for StoredKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix, .. } = self;
        f.debug_struct("StoredKeys").field("bucket", bucket).field("prefix", prefix).finish()
    }
}

/// Unwraps `form` alone, from no cache. Its id proves what it holds.
async fn proof(
    target: &ObjectRef,
    keyring: &Arc<dyn Keyring>,
    form: &EncryptedDataKey,
) -> KeyProof {
    match keyring.unwrap_one(form).await {
        Ok(Some(unwrapped)) => KeyProof::Proven { by: Some(unwrapped.wrapping_key().to_owned()) },
        Ok(None) => KeyProof::NotAsked,
        Err(failures) => match target.keyring_error(failures) {
            error if error.kind() == ErrorKind::Authentication => KeyProof::Disproved(error),
            error => KeyProof::Unknown(error),
        },
    }
}

/// Lists the intermediate keys of a key store, in the order of their key objects' keys.
#[derive(Debug)]
pub struct ListStoredKeys {
    pages: ListPages,
    prefix: String,
    page: VecDeque<ListedObject>,
    current: Option<StoredKey>,
    strays: u64,
}

impl ListStoredKeys {
    /// Returns the next intermediate key, with the names of its key objects; `None` after the last.
    ///
    /// # Errors
    /// As [`ListPages::next_page`].
    pub async fn next_key(&mut self) -> Result<Option<StoredKey>, Error> {
        loop {
            while let Some(object) = self.page.pop_front() {
                let name = object.key.strip_prefix(&self.prefix).and_then(KeyObjectName::parse);
                let Some(name) = name else {
                    self.strays += 1;
                    continue;
                };
                match &mut self.current {
                    Some(key) if key.names[0].folder() == name.folder() => {
                        match key.names.len() < MAX_LOOKED_AT {
                            true => key.names.push(name),
                            false => key.others += 1,
                        }
                        key.newest = key.newest.max(object.last_modified);
                    }
                    current => {
                        let next = StoredKey::new(name, object.last_modified);
                        if let Some(key) = current.replace(next) {
                            return Ok(Some(key));
                        }
                    }
                }
            }
            match self.pages.next_page().await? {
                Some(page) => self.page = page.objects.into(),
                None => return Ok(self.current.take()),
            }
        }
    }

    /// Lists the intermediate keys one by one. The stream ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<StoredKey, Error>> + Send {
        stream::unfold(Some(self), |listing| async move {
            let mut listing = listing?;
            match listing.next_key().await {
                Ok(Some(key)) => Some((Ok(key), Some(listing))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    /// Returns how many objects below the prefix had no name of a key object so far.
    #[must_use]
    pub fn strays(&self) -> u64 {
        self.strays
    }
}

/// Returns the names of the wrapping keys of `keyring`, each with its provider.
fn wrapping_keys(keyring: &dyn Keyring) -> Vec<(String, String)> {
    let expected = keyring.expected_keys(&WrapContext::for_names());
    expected.iter().map(|key| (key.provider().to_owned(), key.wrapping_key().to_owned())).collect()
}
