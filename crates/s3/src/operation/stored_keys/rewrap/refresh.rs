//! Refresh of key objects: the same wrapping keys, and a ciphertext from their newest key material.

use sealwax_envelope::{EncryptedDataKey, KeyObject, KeyObjectName};

use super::{KeyObjectPlan, Work};
use crate::{
    error::{Error, ErrorKind},
    operation::{
        rewrap::key_changes::KeyChanges,
        stored_keys::{StoredKeys, proof},
    },
    vault::{
        key_report::{Opening, add_names},
        proofs::KeyProof,
    },
};

impl Work<'_> {
    /// Replaces the ciphertexts of the key objects that stay and that the client's keyring may use, if
    /// they are not from the newest key material.
    pub(super) async fn refresh(
        &mut self,
        plan: &KeyObjectPlan,
        changes: &KeyChanges,
    ) -> Result<(), Error> {
        let StoredKeys { handle, .. } = self.store;
        let named = self.named();
        let others = self.key.names().iter().filter(|name| !named.contains(name)).cloned();
        let names: Vec<_> = named.iter().cloned().chain(others).collect();
        let mut is_mine = false;
        for name in names.iter().filter(|name| !plan.doomed.contains(name)) {
            let key_store = self.store.key_store();
            let Some(stored) = key_store.read(&handle.store, &self.target, name).await? else {
                continue;
            };
            if !handle.vault.keyring().accepts(&stored.form) {
                continue;
            }
            is_mine = true;
            let wrapping_key = stored.form.wrapping_key().to_owned();
            let new = match self.newer(name, &stored.form, changes).await? {
                Newer::Object(new) => new,
                Newer::IsNewest => continue,
                Newer::Disproved => {
                    add_names(&mut self.output.report.disproved, [wrapping_key.clone()]);
                    add_names(&mut self.output.report.kept, [wrapping_key]);
                    continue;
                }
                Newer::Unproven => {
                    add_names(&mut self.output.report.kept, [wrapping_key]);
                    continue;
                }
            };
            key_store.replace(&handle.store, &self.target, &stored, &new).await?;
            add_names(&mut self.output.refreshed, [wrapping_key]);
        }
        if is_mine { Ok(()) } else { Err(self.no_source()) }
    }

    /// Wraps the intermediate key in `form`, of the key object `name`, from the newest key material of its
    /// wrapping key, and proves the result.
    async fn newer(
        &mut self,
        name: &KeyObjectName,
        form: &EncryptedDataKey,
        changes: &KeyChanges,
    ) -> Result<Newer, Error> {
        let keyring = self.store.handle.vault.keyring();
        let new = match keyring.refresh(form).await {
            Ok(Some(new)) => new,
            Ok(None) => return Ok(Newer::IsNewest),
            Err(error) => {
                let error = self.target.keyring_error(vec![error]);
                return match error.kind() {
                    ErrorKind::Authentication => Ok(Newer::Disproved),
                    _ => Err(error),
                };
            }
        };
        // What the key service returns knows no id, and the id is what proves it.
        let new = KeyObject::of_new(*self.key.id(), new).filter(|new| new.name() == *name);
        let new = new.ok_or_else(|| {
            let message = format!("{} was refreshed under another name", form.wrapping_key());
            self.target.error(ErrorKind::Service, message)
        })?;
        match proof(&self.target, keyring, new.form()).await {
            KeyProof::Proven { .. } => {
                self.output.report.opens = Opening::Proven;
                Ok(Newer::Object(new))
            }
            KeyProof::Disproved(_) => Ok(Newer::Disproved),
            KeyProof::Unknown(error) if error.kind() != ErrorKind::AccessDenied => Err(error),
            _ if changes.allows_unproven() => Ok(Newer::Object(new)),
            _ => Ok(Newer::Unproven),
        }
    }
}

/// Result of the attempt to wrap an intermediate key from newer key material.
enum Newer {
    /// The new key object.
    Object(KeyObject),
    /// The old one is from the newest material.
    IsNewest,
    /// The old one does not hold the key.
    Disproved,
    /// The caller may not decrypt the new one.
    Unproven,
}
