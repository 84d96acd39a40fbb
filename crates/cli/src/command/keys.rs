//! `sealwax keys`: the key store of a bucket.

mod args;
mod inspect;
mod ls;
mod rewrap;
mod shred;
mod verify;

use std::{collections::BTreeMap, pin::Pin};

use aws_sdk_s3::primitives::DateTimeFormat;
use futures_util::{Stream, StreamExt as _, stream};
use sealwax_s3::{
    Error, KMS_PROVIDER, SealedClient, StoredKey, StoredKeys,
    envelope::{EncryptedDataKey, Keyring, LOCAL_PROVIDER},
};

pub(crate) use self::args::KeysCommand;
use crate::{
    args::{KeyId, Prefix, WrapKey},
    failure::{Exit, Failure},
    session::Session,
};

/// Intermediate keys to work on.
type Keys = Pin<Box<dyn Stream<Item = Result<StoredKey, Error>> + Send>>;

/// Works on the key store of a bucket.
pub(super) async fn run(session: &Session, command: KeysCommand) -> Result<(), Failure> {
    let session = &session.with_key_store();
    match command {
        KeysCommand::Ls(args) => ls::run(session, args).await,
        KeysCommand::Inspect(args) => inspect::run(session, args).await,
        KeysCommand::Rewrap(args) => rewrap::run(session, args).await,
        KeysCommand::Verify(args) => verify::run(session, args).await,
        KeysCommand::Shred(args) => shred::run(session, args).await,
    }
}

/// The key store of a bucket.
struct Store {
    client: SealedClient,
    keys: StoredKeys,
}

impl Store {
    fn open(
        session: &Session,
        bucket: &Prefix,
        keyring: impl Keyring + 'static,
    ) -> Result<Self, Failure> {
        let client = session.client_of(&bucket.bucket, keyring);
        let keys = client.stored_keys(&bucket.bucket)?;
        Ok(Self { client, keys })
    }

    /// Returns the address of the key store.
    fn address(&self) -> String {
        format!("s3://{}/{}", self.keys.bucket(), self.keys.prefix())
    }

    /// Lists the intermediate keys with these ids, or all if there are none.
    ///
    /// # Errors
    /// One of them is not there, or the key store can't be listed.
    async fn select(&self, ids: &[KeyId]) -> Result<Keys, Failure> {
        match ids.is_empty() {
            true => Ok(Box::pin(self.keys.list().into_stream())),
            false => Ok(stream::iter(self.find(ids).await?.into_iter().map(Ok)).boxed()),
        }
    }

    /// Finds the intermediate keys with these ids. It lists one folder for each id that has one, and
    /// else the whole key store.
    ///
    /// # Errors
    /// As [`Store::select`].
    async fn find(&self, ids: &[KeyId]) -> Result<Vec<StoredKey>, Failure> {
        let mut found = Vec::new();
        let folders: Option<Vec<_>> = ids.iter().map(KeyId::folder).collect();
        for start in folders.unwrap_or_else(|| vec![""]) {
            let mut listing = self.keys.list_below(start);
            while let Some(key) = listing.next_key().await? {
                if ids.iter().any(|id| id.is_of(&key)) {
                    found.push(key);
                }
            }
        }
        match ids.iter().find(|id| !found.iter().any(|key| id.is_of(key))) {
            None => Ok(found),
            Some(id) => {
                let error = format!("no key object of {id} in {}", self.address());
                let advice = "`sealwax keys ls` lists the intermediate keys; another prefix is \
                              named by --key-store=PREFIX";
                Err(Failure::new(Exit::NotFound, error, advice))
            }
        }
    }
}

/// Returns an intermediate key as the commands show it and take it: the folder of its key objects.
fn name_of(key: &StoredKey) -> String {
    key.folder().trim_end_matches('/').to_owned()
}

/// Returns provider and name of a wrapping key, as key objects have them.
fn provider_and_name(key: &WrapKey) -> (&'static str, &str) {
    match key {
        WrapKey::Kms(arn) => (KMS_PROVIDER, arn.as_str()),
        WrapKey::Local(name) => (LOCAL_PROVIDER, name),
    }
}

/// Returns when the newest key object was stored, as in RFC 3339.
fn newest(key: &StoredKey) -> Option<String> {
    key.newest().and_then(|time| time.fmt(DateTimeFormat::DateTime).ok())
}

/// Binding of an intermediate key, as its key objects claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
struct Binding {
    /// Pairs of the encryption context that it is bound to.
    context: BTreeMap<String, String>,
    /// Prefix of the places that it serves.
    scope: Option<String>,
    /// `true` if no object carries its wrapped forms.
    detached: bool,
}

impl Binding {
    fn of(form: &EncryptedDataKey) -> Self {
        let binding = form.wrap_context();
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            context: binding.context().iter().map(pair).collect(),
            scope: binding.scope().map(|scope| scope.as_str().to_owned()),
            detached: binding.is_detached(),
        }
    }

    /// Returns the bindings that the forms claim, each once: more than one if some are not genuine.
    fn all(forms: &[EncryptedDataKey]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for binding in forms.iter().map(Self::of) {
            if !all.contains(&binding) {
                all.push(binding);
            }
        }
        all
    }

    fn text(&self) -> String {
        let pairs: Vec<_> =
            self.context.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let context = if pairs.is_empty() { "(empty)".to_owned() } else { pairs.join(", ") };
        let scope = self.scope.as_deref().unwrap_or("(any)");
        let detached = if self.detached { "detached" } else { "in objects too" };
        format!("{detached}, context {context}, scope {scope}")
    }
}
