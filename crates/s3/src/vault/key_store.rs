//! The key store: wrapped forms of intermediate keys, each in an object of its own beside the sealed
//! objects. (docs/FORMAT.md, "Key store".)

use std::{collections::BTreeSet, fmt, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_envelope::{
    EncryptedDataKey, KEY_OBJECT_LIMIT, KeyObject, KeyObjectName, Keyring, SharedKeySlot,
};
use tokio::time::Instant;

use crate::{
    error::{Error, ErrorKind, ObjectRef},
    single_flight::SingleFlightCache,
    store::{
        Store,
        companion::{Companion, Found, Replaces},
        deletion::Look,
        list::ListPages,
    },
};

/// Default prefix of the keys of key objects.
const DEFAULT_PREFIX: &str = ".sealwax/keys/";
/// Folder of the default prefix, in which nothing else is.
const FOLDER: &str = ".sealwax/";
/// `Content-Type` of a key object.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.sealwax.key+json";
/// Number of key objects of one intermediate key that a reader looks at. (FORMAT.md, "Limits".)
pub(crate) const MAX_LOOKED_AT: usize = 64;
/// Number of times that a key object is written, or read, while the answers do not fit.
const ATTEMPTS: u32 = 3;
/// Number of key objects that are read at once.
const CONCURRENCY: usize = 8;
/// Times for which an answer of the store is used without another look.
#[derive(Debug, Clone, Copy)]
struct Ages {
    /// A key object that was read.
    known: Duration,
    /// A key object that is missing, and a list.
    missing: Duration,
}

const AGES: Ages = Ages { known: Duration::from_secs(300), missing: Duration::from_secs(15) };

/// Policy on key stores: whether a client keeps the wrapped forms of intermediate keys in the bucket,
/// and reads those that are there if an object's own keys don't open it.
///
/// A key store adds keys to objects without touching them. An attacker who can write to the bucket
/// can write key objects, and gains nothing by it: only the true intermediate key meets its id, and
/// only the true data key the object's commitment.
///
/// ```
/// use sealwax_s3::KeyStorePolicy;
///
/// assert_eq!(KeyStorePolicy::off().prefix(), None);
/// assert_eq!(KeyStorePolicy::on().prefix(), Some(".sealwax/keys/"));
/// assert_eq!(KeyStorePolicy::with_prefix("keys/writers").prefix(), Some("keys/writers/"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyStorePolicy {
    prefix: Option<String>,
}

impl KeyStorePolicy {
    /// Uses no key store.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Uses the key store below `.sealwax/keys/` of each bucket.
    #[must_use]
    pub fn on() -> Self {
        Self::with_prefix(DEFAULT_PREFIX)
    }

    /// Uses the key store below `prefix`, to which a `/` is added if it does not end in one. An empty
    /// prefix turns the key store off.
    #[must_use]
    pub fn with_prefix(prefix: impl Into<String>) -> Self {
        let mut prefix = prefix.into();
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        Self { prefix: Some(prefix).filter(|prefix| !prefix.is_empty()) }
    }

    /// Returns the prefix of the keys of key objects, with a `/` at its end, if the client uses a key
    /// store.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// Returns the prefix that belongs to key objects, also if the client uses no key store.
    #[must_use]
    pub fn reserved_prefix(&self) -> &str {
        self.prefix().unwrap_or(DEFAULT_PREFIX)
    }

    /// `true` if the key belongs to key objects: it is below the prefix, or below the default one,
    /// where other clients may have theirs.
    #[must_use]
    pub fn owns(&self, key: &str) -> bool {
        self.reserved().any(|prefix| key.starts_with(prefix))
    }

    /// `true` if work on all keys that begin with `named` leaves `key` alone: the policy
    /// [owns](Self::owns) it, and `named` does not lead there by itself. The folder of the default
    /// prefix is left alone too, as one level of a listing shows it.
    ///
    /// ```
    /// use sealwax_s3::KeyStorePolicy;
    ///
    /// let key_store = KeyStorePolicy::with_prefix("a/keys");
    /// assert!(key_store.leaves_alone("", "a/keys/1") && key_store.leaves_alone("a/", "a/keys/1"));
    /// assert!(!key_store.leaves_alone("a/keys", "a/keys/1") && !key_store.leaves_alone("", "a/b"));
    /// assert!(key_store.leaves_alone("", ".sealwax/keys/1"));
    /// assert!(!key_store.leaves_alone(".sealwax/", ".sealwax/keys/1"));
    /// ```
    #[must_use]
    pub fn leaves_alone(&self, named: &str, key: &str) -> bool {
        self.reserved().any(|prefix| {
            let folder = folder_of(prefix);
            (key.starts_with(prefix) || key == folder) && !leads_to(named, prefix)
        })
    }

    /// `true` if the prefix `named` leads to key objects by itself: no work on it
    /// [leaves them alone](Self::leaves_alone).
    #[must_use]
    pub fn reaches(&self, named: &str) -> bool {
        self.reserved().any(|prefix| leads_to(named, prefix))
    }

    fn reserved(&self) -> impl Iterator<Item = &str> {
        self.prefix().into_iter().chain([DEFAULT_PREFIX])
    }
}

fn folder_of(prefix: &str) -> &str {
    if prefix == DEFAULT_PREFIX { FOLDER } else { prefix }
}

fn leads_to(named: &str, prefix: &str) -> bool {
    let folder = folder_of(prefix).trim_end_matches('/');
    named.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The key store of a client, with what is known of it.
pub(crate) struct KeyStore {
    prefix: String,
    ages: Ages,
    written: SingleFlightCache<(String, KeyObject), ()>,
    read: SingleFlightCache<(String, KeyObjectName), Known<Option<EncryptedDataKey>>>,
    listed: SingleFlightCache<(String, String), Known<Vec<KeyObjectName>>>,
}

/// What was found, and when.
struct Known<T> {
    found: T,
    since: Instant,
}

/// Key objects of one intermediate key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those that the keyring can name, because it knows its wrapping keys: one GET each.
    Named,
    /// All others, by a list.
    Others,
}

/// A key object that was just read.
#[derive(Debug)]
pub(crate) struct StoredForm {
    pub(crate) form: EncryptedDataKey,
    e_tag: Option<String>,
}

/// Result of the attempt to store a key object.
#[derive(Debug)]
pub(crate) enum WrittenKey {
    Stored,
    /// A key object of that name is there already. It stays unchanged.
    Present,
}

impl KeyStore {
    /// Returns the key store of a client with this policy.
    pub(crate) fn of(policy: &KeyStorePolicy) -> Option<Self> {
        policy.prefix().map(|prefix| Self {
            prefix: prefix.to_owned(),
            ages: AGES,
            written: SingleFlightCache::default(),
            read: SingleFlightCache::default(),
            listed: SingleFlightCache::default(),
        })
    }

    /// Returns the address of the key object `name`, in the bucket of `target`.
    pub(crate) fn object(&self, target: &ObjectRef, name: &KeyObjectName) -> Companion {
        Companion::at(target.with_key(format!("{}{name}", self.prefix)))
    }

    /// Stores the wrapped forms of the intermediate keys in `keys`, each once. They must be of
    /// intermediate keys that this process made, which no other process can have stored.
    ///
    /// # Errors
    /// The failure of S3; [`ErrorKind::Conflict`] if another object is there.
    pub(crate) async fn publish(
        &self,
        store: &Store,
        target: &ObjectRef,
        keys: &[EncryptedDataKey],
    ) -> Result<(), Error> {
        for form in keys.iter().filter_map(KeyObject::of) {
            let write = || async {
                match self.write(store, target, &form).await? {
                    WrittenKey::Stored => Ok(()),
                    WrittenKey::Present => Err(self.is_taken(target, &form, "a new")),
                }
            };
            self.once(target, &form, write).await?;
        }
        Ok(())
    }

    /// Stores the wrapped forms of the intermediate keys in `keys`, which another key store has, each
    /// once. What this one has in their places must be the same, or hold the same key.
    ///
    /// # Errors
    /// The failure of S3; [`ErrorKind::Conflict`] if another object is there, or one that `keyring`
    /// can't show to hold the key.
    pub(crate) async fn publish_again(
        &self,
        (store, keyring): (&Store, &dyn Keyring),
        target: &ObjectRef,
        keys: &[EncryptedDataKey],
    ) -> Result<(), Error> {
        for form in keys.iter().filter_map(KeyObject::of) {
            let write = || async {
                if let WrittenKey::Stored = self.write(store, target, &form).await? {
                    return Ok(());
                }
                self.forget(target, &form.name());
                let taken = || self.is_taken(target, &form, "the copy's");
                match &self.form(store, target, &form.name()).await? {
                    None => Err(taken()),
                    Some(present) if present == form.form() => Ok(()),
                    // Objects need it for this binding.
                    Some(present) if present.wrap_context() != form.form().wrap_context() => {
                        Err(taken())
                    }
                    Some(present) => match keyring.unwrap_one(present).await {
                        Ok(Some(_)) => Ok(()),
                        Ok(None) => Err(taken()),
                        Err(failures) => Err(target.keyring_error(failures)),
                    },
                }
            };
            self.once(target, &form, write).await?;
        }
        Ok(())
    }

    /// Stores a key object by `write`, unless this process did already.
    async fn once<F: Future<Output = Result<(), Error>>>(
        &self,
        target: &ObjectRef,
        form: &KeyObject,
        write: impl FnOnce() -> F,
    ) -> Result<(), Error> {
        let slot = self.written.slot(&(target.bucket.clone(), form.clone()));
        let written = slot.get_or_try_init(write).await;
        written.copied().map_err(|error: Error| {
            error.with_prefix("nothing is stored, because a key object could not be stored")
        })
    }

    fn is_taken(&self, target: &ObjectRef, form: &KeyObject, whose: &str) -> Error {
        let message =
            format!("another object is where the key object of {whose} intermediate key belongs");
        self.object(target, &form.name()).object().error(ErrorKind::Conflict, message)
    }

    /// Stores a key object, unless one of its name is there.
    pub(crate) async fn write(
        &self,
        store: &Store,
        target: &ObjectRef,
        form: &KeyObject,
    ) -> Result<WrittenKey, Error> {
        let at = self.object(target, &form.name());
        let request = || store.s3().put_object().content_type(CONTENT_TYPE);
        // A store may ignore the condition: then the same key is stored again.
        let mut attempts = 1;
        loop {
            let conflict = match at.write(store, request, form.to_json(), Replaces::Nothing).await {
                Ok(_) => {
                    self.forget(target, &form.name());
                    return Ok(WrittenKey::Stored);
                }
                Err(error) if error.kind() == ErrorKind::Conflict => error,
                Err(error) => return Err(error),
            };
            // Another write of the name may have been in progress, and have come to nothing.
            match at.read(store, KEY_OBJECT_LIMIT).await? {
                Found::Object { .. } => return Ok(WrittenKey::Present),
                Found::Nothing | Found::Denied(_) if attempts < ATTEMPTS => attempts += 1,
                Found::Nothing | Found::Denied(_) => return Err(conflict),
            }
        }
    }

    /// Replaces the key object that was read as `stored` by `new`, if it is unchanged. A store without
    /// conditional writes replaces whatever is there, and brings back what was deleted since.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if it was changed or deleted; the failure of S3.
    pub(crate) async fn replace(
        &self,
        store: &Store,
        target: &ObjectRef,
        stored: &StoredForm,
        new: &KeyObject,
    ) -> Result<(), Error> {
        let at = self.object(target, &new.name());
        let e_tag = stored.e_tag.clone().ok_or_else(|| {
            at.object().error(ErrorKind::Service, "GetObject returned no entity tag")
        })?;
        let request = || store.s3().put_object().content_type(CONTENT_TYPE);
        let written = at.write(store, request, new.to_json(), Replaces::ETag(e_tag)).await;
        self.forget(target, &new.name());
        match written {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(at.object().error(ErrorKind::Conflict, "it was deleted meanwhile"))
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes the key object `name`.
    pub(crate) async fn delete(
        &self,
        store: &Store,
        target: &ObjectRef,
        name: &KeyObjectName,
    ) -> Result<(), Error> {
        self.forget(target, name);
        self.object(target, name).delete(store, Look::Once(None)).await
    }

    /// Forgets what is known of a key object.
    fn forget(&self, target: &ObjectRef, name: &KeyObjectName) {
        self.read.fresh_slot(&(target.bucket.clone(), name.clone()), |_| false);
    }

    /// Returns the data key in `slot` with each wrapped form that the store has and that `keyring`
    /// may use.
    pub(crate) async fn keys(
        &self,
        (store, keyring): (&Store, &dyn Keyring),
        target: &ObjectRef,
        slot: &SharedKeySlot,
        which: Which,
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let expected = keyring.expected_keys(slot.wrap_context());
        let named: BTreeSet<_> = expected
            .iter()
            .map(|key| slot.key_object_name(key.provider(), key.wrapping_key()))
            .collect();
        if which == Which::Named {
            return self.usable((store, keyring), target, slot, named.into_iter()).await;
        }
        let listed = self.names(store, target, slot).await?;
        let others = listed.into_iter().filter(|name| !named.contains(name));
        self.usable((store, keyring), target, slot, others).await
    }

    /// Returns the data key in `slot` with each wrapped form that the store has.
    pub(crate) async fn all_keys(
        &self,
        store: &Store,
        target: &ObjectRef,
        slot: &SharedKeySlot,
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let names = self.names(store, target, slot).await?;
        self.with_forms(store, target, slot, names.into_iter()).await
    }

    async fn usable(
        &self,
        (store, keyring): (&Store, &dyn Keyring),
        target: &ObjectRef,
        slot: &SharedKeySlot,
        names: impl Iterator<Item = KeyObjectName>,
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let keys = self.with_forms(store, target, slot, names).await?;
        Ok(keys.into_iter().filter(|key| keyring.accepts(key)).collect())
    }

    async fn with_forms(
        &self,
        store: &Store,
        target: &ObjectRef,
        slot: &SharedKeySlot,
        names: impl Iterator<Item = KeyObjectName>,
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let reads = names.map(|name| async move { self.form(store, target, &name).await });
        // Boxed, because the futures of reads nest deeply.
        let reads = stream::iter(reads.collect::<Vec<_>>()).buffered(CONCURRENCY).boxed();
        let forms: Vec<_> = reads.try_collect().await?;
        Ok(forms.iter().flatten().filter_map(|form| slot.with_form(form)).collect())
    }

    /// Returns the wrapped form in the key object `name`; `None` if it is missing or not valid.
    pub(crate) async fn form(
        &self,
        store: &Store,
        target: &ObjectRef,
        name: &KeyObjectName,
    ) -> Result<Option<EncryptedDataKey>, Error> {
        let id = (target.bucket.clone(), name.clone());
        let is_fresh = |known: &Known<Option<EncryptedDataKey>>| {
            let Ages { known: of_known, missing } = self.ages;
            known.since.elapsed() < if known.found.is_some() { of_known } else { missing }
        };
        let slot = self.read.fresh_slot(&id, is_fresh);
        let read = || async {
            let since = Instant::now();
            let found = self.read(store, target, name).await?.map(|stored| stored.form);
            Ok::<_, Error>(Known { found, since })
        };
        slot.get_or_try_init(read).await.map(|known| known.found.clone())
    }

    /// Reads the key object `name`, whatever is known of it; `None` if it is missing or not valid.
    pub(crate) async fn read(
        &self,
        store: &Store,
        target: &ObjectRef,
        name: &KeyObjectName,
    ) -> Result<Option<StoredForm>, Error> {
        let at = self.object(target, name);
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let (bytes, e_tag) = match at.read(store, KEY_OBJECT_LIMIT).await? {
                Found::Object { bytes, e_tag } => (bytes, e_tag),
                Found::Nothing => return Ok(None),
                // Without the permission to list the bucket, S3 denies what does not exist.
                Found::Denied(error) => {
                    tracing::debug!(%error, "a key object is taken as missing");
                    return Ok(None);
                }
            };
            let why = match KeyObject::parse_named(name, &bytes) {
                Ok(stored) => return Ok(Some(StoredForm { form: stored.form().clone(), e_tag })),
                Err(error) => error,
            };
            // A damaged answer differs from the next one. What is stored does not.
            if last.as_ref() == Some(&bytes) {
                tracing::warn!(at = %at.object().key, %why, "a key object is ignored");
                return Ok(None);
            }
            last = Some(bytes);
        }
        let message = "each answer about this key object was another one, and none is valid";
        Err(at.object().error(ErrorKind::Unavailable, message))
    }

    /// Returns the names of the key objects of the intermediate key in `slot`, 64 at most.
    async fn names(
        &self,
        store: &Store,
        target: &ObjectRef,
        slot: &SharedKeySlot,
    ) -> Result<Vec<KeyObjectName>, Error> {
        let folder = slot.key_object_name("", "").folder();
        let id = (target.bucket.clone(), folder.clone());
        let slot = self.listed.fresh_slot(&id, |known| known.since.elapsed() < self.ages.missing);
        let list = || async {
            let since = Instant::now();
            let prefix = format!("{}{folder}", self.prefix);
            let most = i32::try_from(MAX_LOOKED_AT).expect("a small number");
            let mut pages = ListPages::objects(store.s3(), &target.bucket, prefix).max_keys(most);
            let page = match pages.next_page().await {
                Ok(page) => page.unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::AccessDenied => {
                    tracing::debug!(%error, "the key store can't be listed");
                    Default::default()
                }
                Err(error) => return Err(error.in_operation(target.operation)),
            };
            let name = |key: &str| KeyObjectName::parse(key.strip_prefix(&self.prefix)?);
            let found = page.objects.iter().filter_map(|object| name(&object.key)).collect();
            Ok::<_, Error>(Known { found, since })
        };
        slot.get_or_try_init(list).await.map(|known| known.found.clone())
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sealwax_envelope::{CachingKeyring, LocalKeyring, ObjectHeader, Unwrap, WrappedForms};

    use super::*;
    use crate::{
        error::ErrorKind,
        store::answers::{Answer, Requests, answering},
        vault::{
            Vault,
            samples::{Sample, local, vault_with},
        },
    };

    /// An object under a detached key that `a` wraps, and the key object.
    struct Detached {
        sample: Sample,
        header: ObjectHeader,
        key_object: KeyObject,
    }

    impl Detached {
        async fn new() -> Self {
            let sample = Sample::new("here");
            let keyring =
                CachingKeyring::new(local("a")).with_wrapped_forms(WrappedForms::Detached);
            let keys = sample.wrapped(&keyring).await;
            let key_object = KeyObject::of(&keys[0]).expect("an intermediate key");
            let header = sample.header(keys);
            assert_eq!(header.keys(), []);
            Self { sample, header, key_object }
        }

        async fn open(&self, store: &Store, vault: &Vault) -> Result<(), ErrorKind> {
            let opener = vault.opener(store, &self.sample.target, &self.header, &[]).await;
            opener.map(drop).map_err(|error| error.kind())
        }

        /// Returns the request for its key object.
        fn get(&self) -> String {
            let name = self.key_object.name();
            format!("GET /.sealwax/keys/{name} range:bytes=0-{KEY_OBJECT_LIMIT}")
        }

        /// Returns a store that has the key object, and answers 404 before that with `missing`.
        fn store(&self, missing: u16) -> (Store, Requests) {
            let content = self.key_object.to_json();
            let name = self.key_object.name().to_string();
            answering(move |request| match request.contains(&name) && missing == 0 {
                true => Answer::new(200, content.clone()).with("etag", "\"e\""),
                false if request.contains("list-type") => Answer::new(
                    200,
                    "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
                ),
                false => Answer::new(if missing == 0 { 404 } else { missing }, ""),
            })
        }
    }

    fn reading(keyring: LocalKeyring, known: Duration, missing: Duration) -> Vault {
        let vault = vault_with(keyring, |settings| settings.key_store = KeyStorePolicy::on());
        let mut key_store = KeyStore::of(&KeyStorePolicy::on()).expect("a key store");
        key_store.ages = Ages { known, missing };
        vault.with_key_store(key_store)
    }

    const LONG: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn a_key_object_is_read_once_while_it_is_known() {
        let object = Detached::new().await;
        let (store, requests) = object.store(0);
        for (age, expected) in [(LONG, 1), (Duration::ZERO, 3)] {
            let vault = reading(local("a"), age, LONG);
            for _ in 0..3 {
                assert_eq!(object.open(&store, &vault).await, Ok(()));
            }
            assert_eq!(requests.take(), vec![object.get(); expected]);
        }
    }

    /// A missing one may come at any time.
    #[tokio::test]
    async fn a_missing_key_object_is_looked_for_again_after_a_while() {
        let object = Detached::new().await;
        for (missing, age, looks) in
            [(404, LONG, 1), (403, LONG, 1), (404, Duration::ZERO, 3), (403, Duration::ZERO, 3)]
        {
            let (store, requests) = object.store(missing);
            let vault = reading(local("a"), LONG, age);
            for _ in 0..3 {
                let failed = Err(ErrorKind::KeyObjectMissing);
                assert_eq!(object.open(&store, &vault).await, failed, "{missing}");
            }
            let asked = requests.take();
            assert_eq!(asked.len(), 2 * looks, "the named one, and a list: {asked:?}");
            assert_eq!(asked[0], object.get());
        }
        let (store, _) = object.store(500);
        let failed = object.open(&store, &reading(local("a"), LONG, LONG)).await;
        assert_eq!(failed, Err(ErrorKind::Unavailable), "it is not known to be missing");
    }

    /// A sidecar can add a group, whose keys are found in the same way.
    #[tokio::test]
    async fn the_groups_of_a_sidecar_are_looked_up_too() {
        let object = Detached::new().await;
        let own = object.sample.wrapped(&local("b")).await;
        let header = object.sample.header(own.clone());
        let keyring = CachingKeyring::new(local("c"));
        let shared = object.sample.wrapped(&keyring).await;
        let slot = shared[0].slot().expect("an intermediate key");
        let forms = [shared[0].intermediate().expect("a form")];
        let binding = forms[0].wrap_context().clone();
        let Unwrap::Unwrapped(intermediate) = local("c").unwrap(&forms).await else {
            panic!("its own key")
        };
        let by_a = local("a").wrap(&intermediate, &binding).await.expect("wrapped");
        let id = *slot.intermediate_id();
        let key_object = KeyObject::of_new(id, by_a[0].clone()).expect("a form");
        let sidecar = header.rewrapped([own, shared].concat()).expect("a header").to_sidecar();
        let (sidecar, content) = (sidecar.expect("short"), key_object.to_json());
        let name = key_object.name().to_string();
        let (store, requests) = answering(move |request| match request {
            _ if request.starts_with("GET /here.sealwax ") => Answer::new(200, sidecar.clone()),
            _ if request.contains(&name) => Answer::new(200, content.clone()),
            _ => Answer::new(404, ""),
        });
        let vault = vault_with(local("a"), |settings| {
            settings.key_store = KeyStorePolicy::on();
            settings.sidecars = crate::SidecarPolicy::read();
        });
        let opener = vault.opener(&store, &object.sample.target, &header, &[]).await;
        assert!(opener.is_ok(), "{:?}", opener.err());
        assert_eq!(requests.take().len(), 2, "the sidecar, and the key object");
    }

    #[tokio::test]
    async fn without_the_policy_nothing_is_asked() {
        let object = Detached::new().await;
        let (store, requests) = object.store(0);
        let vault = vault_with(local("a"), |_| {});
        assert_eq!(object.open(&store, &vault).await, Err(ErrorKind::PolicyRefused));
        assert_eq!(requests.take().len(), 0);
    }
}
