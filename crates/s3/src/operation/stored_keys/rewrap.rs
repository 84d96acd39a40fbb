//! Rewrap of an intermediate key in a key store: for all objects under it, without touching them.

mod key_object_plan;
mod refresh;

use std::sync::Arc;

use sealwax_envelope::{
    EncryptedDataKey, KeyObject, KeyObjectName, Keyring, KeyringErrorKind, PlaintextDataKey,
    Unwrap, WrapContext,
};

use self::key_object_plan::KeyObjectPlan;
use super::{StoredKey, StoredKeys, proof, wrapping_keys};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    operation::rewrap::key_changes::KeyChanges,
    vault::{
        key_report::{KeyReport, Opening, add_names},
        key_store::WrittenKey,
        proofs::KeyProof,
    },
};

/// Result of [`StoredKeys::rewrap`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredKeyOutput {
    /// Result for each wrapping key. A key is proven if it was unwrapped and met the id of the
    /// intermediate key; no object was opened.
    pub report: KeyReport,
    /// Wrapping keys whose key objects were deleted. A key object that can't be read is named by its
    /// own name.
    pub removed: Vec<String>,
    /// Wrapping keys whose key objects have a new ciphertext, from the newest key material.
    pub refreshed: Vec<String>,
}

impl StoredKeyOutput {
    /// `true` if nothing was written and nothing deleted.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.report.added.is_empty() && self.removed.is_empty() && self.refreshed.is_empty()
    }
}

impl StoredKeys {
    /// Makes `changes` to the wrapped forms of `key`: adds, replaces, removes and refreshes key objects.
    ///
    /// For a wrapping key to add, it costs one `GetObject`, one call to the key service (`ReEncrypt`
    /// if possible) and one `PutObject`. One that has a key object already counts as claimed, at no
    /// cost, unless [`KeyChanges::prove_present`] is set. A key object is deleted only after one that
    /// stays, or a new one, was unwrapped and met the id; where the caller can't decrypt, it is kept.
    /// The last one is never deleted.
    ///
    /// A refresh replaces the ciphertext of each key object under the client's own wrapping keys that is
    /// not under the newest key material. It costs one `GetObject` and one `ReEncrypt` for each of them,
    /// and for an older one `Decrypt` and a conditional `PutObject`. The new ciphertext is stored only
    /// after it was unwrapped and met the id; where the caller can't decrypt, the old one is kept.
    ///
    /// A refusal comes before anything is written.
    ///
    /// # Errors
    /// * [`ErrorKind::InvalidInput`] if no key object would be left, or a keyring can't tell its wrapping
    ///   keys;
    /// * [`ErrorKind::KeyObjectMissing`] if the keyring can use none of the key objects;
    /// * [`ErrorKind::Unsupported`] for the key of an object of the S3 Encryption Client, and for a removal
    ///   if there are more than 64 key objects and the one to remove may be among the others;
    /// * [`ErrorKind::Conflict`] if a key object to refresh was changed or deleted meanwhile;
    /// * the failure of S3 or of the key service. Key objects that were there before are still there.
    #[tracing::instrument(
        name = "rewrap_stored_key",
        skip_all,
        fields(bucket = self.bucket, id = %key.id()),
        err(level = "debug")
    )]
    pub async fn rewrap(
        &self,
        key: &StoredKey,
        changes: &KeyChanges,
    ) -> Result<StoredKeyOutput, Error> {
        let target = self.target("rewrap keys", key)?;
        let plan = KeyObjectPlan::new(key, changes).map_err(|refusal| refusal.error(&target))?;
        let mut work = Work {
            store: self,
            target,
            key,
            sources: None,
            unwrapped: None,
            output: StoredKeyOutput::default(),
        };
        let mut present = key.names().to_vec();
        for keyring in changes.keyrings() {
            work.add(keyring, changes, &plan, &mut present).await?;
        }
        if changes.refreshes() {
            work.refresh(&plan, changes).await?;
        }
        work.remove(&plan, changes).await?;
        Ok(work.output)
    }
}

/// The rewrap of one intermediate key.
struct Work<'a> {
    store: &'a StoredKeys,
    target: ObjectRef,
    key: &'a StoredKey,
    /// Wrapped forms that the client's keyring may use.
    sources: Option<Vec<EncryptedDataKey>>,
    /// The intermediate key itself, proven by its id, and the binding that it was unwrapped with.
    unwrapped: Option<(PlaintextDataKey, WrapContext)>,
    output: StoredKeyOutput,
}

impl Work<'_> {
    /// Adds the key objects under the wrapping keys of `keyring` that stay by the plan. Those in `present`
    /// are there already.
    async fn add(
        &mut self,
        keyring: &Arc<dyn Keyring>,
        changes: &KeyChanges,
        plan: &KeyObjectPlan,
        present: &mut Vec<KeyObjectName>,
    ) -> Result<(), Error> {
        let (mut absent, mut disproved) = (Vec::new(), Vec::new());
        for (provider, wrapping_key) in wrapping_keys(&**keyring) {
            let name = self.key.names()[0].under(&provider, &wrapping_key);
            if !plan.stays.contains(&name) {
                continue;
            }
            if !present.contains(&name) {
                absent.push(name);
                continue;
            }
            if changes.proves_present() && !self.is_proven(keyring, &name, &wrapping_key).await? {
                // Another one must open before this one goes.
                self.unwrapped().await?;
                disproved.push(name.clone());
                absent.push(name);
            } else if !changes.proves_present() {
                add_names(&mut self.output.report.claimed, [wrapping_key]);
            }
        }
        if absent.is_empty() {
            return Ok(());
        }
        for form in self.made(keyring).await? {
            if !absent.contains(&form.name()) {
                continue;
            }
            let StoredKeys { handle, .. } = self.store;
            let name = form.form().wrapping_key().to_owned();
            if disproved.contains(&form.name()) {
                self.delete(&form.name()).await?;
            }
            let written = self.store.key_store().write(&handle.store, &self.target, &form).await?;
            match written {
                WrittenKey::Stored => add_names(&mut self.output.report.added, [name]),
                // Another writer was faster.
                WrittenKey::Present => add_names(&mut self.output.report.claimed, [name]),
            }
            present.push(form.name());
        }
        Ok(())
    }

    /// Wraps the intermediate key under the wrapping keys of `keyring`.
    async fn made(&mut self, keyring: &Arc<dyn Keyring>) -> Result<Vec<KeyObject>, Error> {
        let sources = self.sources().await?.to_vec();
        let mut made = None;
        // Where key objects claim different bindings, only a proof tells which one is the key's.
        if self.unwrapped.is_none() && by_binding(&sources).len() == 1 {
            match keyring.rewrap(&sources, sources[0].wrap_context()).await {
                Ok(wrapped) => made = wrapped,
                Err(error) if error.kind() == KeyringErrorKind::Throttled => {
                    return Err(self.target.keyring_error(vec![error]));
                }
                Err(error) => {
                    tracing::debug!(%error, "not re-encrypted inside the key service: unwrapping");
                }
            }
        }
        let made = match made {
            Some(made) => made,
            None => {
                self.unwrapped().await?;
                let (key, binding) = self.unwrapped.as_ref().expect("just unwrapped");
                let wrapped = keyring.wrap(key, binding).await;
                wrapped.map_err(|error| self.target.keyring_error(vec![error]))?
            }
        };
        let id = *self.key.id();
        let made: Vec<_> =
            made.into_iter().filter_map(|form| KeyObject::of_new(id, form)).collect();
        if made.is_empty() {
            let message = "the keyring has no key to wrap under";
            return Err(self.target.error(ErrorKind::InvalidInput, message));
        }
        Ok(made)
    }

    /// Deletes the key objects that go by the plan, once one that stays is proven.
    async fn remove(&mut self, plan: &KeyObjectPlan, changes: &KeyChanges) -> Result<(), Error> {
        let KeyObjectPlan { stays, doomed } = plan;
        if doomed.is_empty() {
            return Ok(());
        }
        let StoredKeys { handle, .. } = self.store;
        let mut forms = Vec::new();
        for name in doomed {
            forms.push(self.store.key_store().form(&handle.store, &self.target, name).await?);
        }
        let proven = match changes.allows_unproven() {
            true => None,
            false => self.proven_binding(stays, changes).await?,
        };
        for (name, form) in doomed.iter().zip(forms) {
            let may_go = match (&proven, &form) {
                _ if changes.allows_unproven() => true,
                (None, _) => false,
                // One with another binding may be the one that the objects need.
                (Some(binding), Some(form)) if form.wrap_context() != binding => {
                    self.is_disproved(form, changes).await
                }
                (Some(_), _) => true,
            };
            let named = form.map_or_else(|| name.to_string(), |it| it.wrapping_key().to_owned());
            if may_go {
                self.delete(name).await?;
                add_names(&mut self.output.removed, [named]);
            } else {
                add_names(&mut self.output.report.kept, [named]);
            }
        }
        Ok(())
    }

    /// Returns the client's keyring and those of the changes.
    fn keyrings(&self, changes: &KeyChanges) -> Vec<Arc<dyn Keyring>> {
        let own = self.store.handle.vault.keyring();
        std::iter::once(own).chain(changes.keyrings()).cloned().collect()
    }

    /// `true` if a keyring may be asked about `form`, and it does not hold the key.
    async fn is_disproved(&self, form: &EncryptedDataKey, changes: &KeyChanges) -> bool {
        for keyring in self.keyrings(changes) {
            match proof(&self.target, &keyring, form).await {
                KeyProof::NotAsked => {}
                KeyProof::Disproved(_) => return true,
                _ => return false,
            }
        }
        false
    }

    /// Returns the binding of a key object among `present` that was unwrapped and met the id, by the
    /// client's keyring or one of the changes'; `None` if none of these may be asked.
    async fn proven_binding(
        &mut self,
        present: &[KeyObjectName],
        changes: &KeyChanges,
    ) -> Result<Option<WrapContext>, Error> {
        let StoredKeys { handle, .. } = self.store;
        let (mut failure, keyrings) = (None, self.keyrings(changes));
        for name in present {
            let key_store = self.store.key_store();
            let Some(form) = key_store.form(&handle.store, &self.target, name).await? else {
                continue;
            };
            for keyring in &keyrings {
                match proof(&self.target, keyring, &form).await {
                    KeyProof::Proven { .. } => {
                        self.output.report.opens = Opening::Proven;
                        return Ok(Some(form.wrap_context().clone()));
                    }
                    KeyProof::Unknown(error) if error.kind() == ErrorKind::AccessDenied => {}
                    KeyProof::Unknown(error) => failure = failure.or(Some(error)),
                    _ => {}
                }
            }
        }
        match failure {
            Some(error) => Err(error
                .with_prefix("no key object is deleted, because none of the others could be used")),
            None => Ok(None),
        }
    }

    /// `true` if the key object `name` holds the intermediate key, `false` if it is disproved.
    async fn is_proven(
        &mut self,
        keyring: &Arc<dyn Keyring>,
        name: &KeyObjectName,
        wrapping_key: &str,
    ) -> Result<bool, Error> {
        let StoredKeys { handle, .. } = self.store;
        let form = self.store.key_store().form(&handle.store, &self.target, name).await?;
        let proof = match &form {
            Some(form) => Some(proof(&self.target, keyring, form).await),
            None => None,
        };
        match proof {
            Some(KeyProof::Proven { .. }) => {
                add_names(&mut self.output.report.proven, [wrapping_key.to_owned()]);
                self.output.report.opens = Opening::Proven;
                Ok(true)
            }
            Some(KeyProof::Unknown(error)) => Err(error),
            Some(KeyProof::NotAsked | KeyProof::Unwrapped { .. }) => {
                let message = format!("the keyring may not unwrap under {wrapping_key}");
                Err(self.target.error(ErrorKind::NoMatchingKey, message))
            }
            Some(KeyProof::Disproved(_)) | None => {
                add_names(&mut self.output.report.disproved, [wrapping_key.to_owned()]);
                Ok(false)
            }
        }
    }

    /// Returns the names of the key objects that the client's keyring names. If the listing left out
    /// some, these may be among them.
    fn named(&self) -> Vec<KeyObjectName> {
        let first = &self.key.names()[0];
        wrapping_keys(&**self.store.handle.vault.keyring())
            .iter()
            .map(|(provider, wrapping_key)| first.under(provider, wrapping_key))
            .filter(|name| self.key.others() > 0 || self.key.names().contains(name))
            .collect()
    }

    /// Returns the wrapped forms that the client's keyring may use, at least one: of the key objects
    /// that it names, or else of any.
    async fn sources(&mut self) -> Result<&[EncryptedDataKey], Error> {
        if self.sources.is_none() {
            let StoredKeys { handle, .. } = self.store;
            let named = self.named();
            let others = self.key.names().iter().filter(|name| !named.contains(name));
            let mut sources = Vec::new();
            for names in [named.clone(), others.cloned().collect()] {
                for name in names {
                    let key_store = self.store.key_store();
                    let form = key_store.form(&handle.store, &self.target, &name).await?;
                    sources.extend(form.filter(|form| handle.vault.keyring().accepts(form)));
                }
                if !sources.is_empty() {
                    break;
                }
            }
            if sources.is_empty() {
                return Err(self.no_source());
            }
            self.sources = Some(sources);
        }
        Ok(self.sources.as_deref().unwrap_or_default())
    }

    /// Unwraps the intermediate key, which its id proves.
    async fn unwrapped(&mut self) -> Result<(), Error> {
        if self.unwrapped.is_some() {
            return Ok(());
        }
        let sources = self.sources().await?.to_vec();
        let mut failures = Vec::new();
        for group in by_binding(&sources) {
            match self.store.handle.vault.keyring().unwrap(&group).await {
                Unwrap::Unwrapped(key) => {
                    self.output.report.opens = Opening::Proven;
                    self.unwrapped = Some((key, group[0].wrap_context().clone()));
                    return Ok(());
                }
                Unwrap::Failed(more) => failures.extend(more),
                Unwrap::NotMine => {}
            }
        }
        match failures.is_empty() {
            true => Err(self.no_source()),
            false => Err(self.target.keyring_error(failures)),
        }
    }

    fn no_source(&self) -> Error {
        let message = "the keyring can use none of its key objects";
        self.target.error(ErrorKind::KeyObjectMissing, message)
    }

    async fn delete(&self, name: &KeyObjectName) -> Result<(), Error> {
        let StoredKeys { handle, .. } = self.store;
        self.store.key_store().delete(&handle.store, &self.target, name).await
    }
}

/// Returns the wrapped forms that claim each binding.
fn by_binding(forms: &[EncryptedDataKey]) -> Vec<Vec<EncryptedDataKey>> {
    let mut groups: Vec<Vec<EncryptedDataKey>> = Vec::new();
    for form in forms {
        match groups.iter_mut().find(|group| group[0].wrap_context() == form.wrap_context()) {
            Some(group) => group.push(form.clone()),
            None => groups.push(vec![form.clone()]),
        }
    }
    groups
}
