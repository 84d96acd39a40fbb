//! Forecasts of migrations, computed from an object's metadata without using a key.

use std::collections::{BTreeMap, BTreeSet};

use sealwax_envelope::{
    BodySalt, WrapContext, geometry,
    s3ec::{Format, MAX_PLAINTEXT_LEN},
};

use super::{Migrator, OPERATION, WriteFormat, migrator::not_sealed};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    kms::KmsKeyArn,
    object::ObjectInfo,
    operation::{
        Handle,
        forecast::{Forecast, ForecastAction},
        get::{check_context, check_no_context},
        listed::Listed,
        permission::{Permission, Permissions},
        put::{Sealing, writing_keyring},
        skipped::Skipped,
    },
    store::{attributes::Attributes, list::ListedObject, snapshot::Snapshot},
    vault::proofs::no_matching_key,
};

/// Length of the authentication tag of an object of the S3 Encryption Client, in bytes.
const TAG_LEN: u64 = 16;

/// Cost of the re-encryption of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReencryptCost {
    /// Present format: a name of [`ObjectKind`](crate::ObjectKind), such as `s3ec-v2`.
    pub from: &'static str,
    /// Bytes that are downloaded.
    pub downloaded: u64,
    /// Bytes that are uploaded: the length of the new stored body.
    pub uploaded: u64,
    /// Requests that read: `GetObject`, `GetObjectAcl` and `GetObjectTagging`.
    pub gets: u64,
    /// Requests that write: one `PutObject`, or those of a multipart upload.
    pub puts: u64,
    /// Maximum number of KMS calls, by Region.
    pub kms_calls: BTreeMap<String, u64>,
    /// Permissions that the re-encryption needs and the forecast did not use.
    pub permissions: BTreeSet<Permission>,
}

impl Migrator {
    /// Forecasts the migration of an object, without calling KMS.
    ///
    /// The reader's policy applies: what the migration would refuse fails here. It takes one
    /// `HeadObject`, and one `GetObject` if the object may have an instruction file. Like the migration
    /// itself, it reads ACL and tags of an object that is to be stored again.
    pub async fn forecast(&self, object: &ListedObject) -> Forecast<ReencryptCost> {
        let examined = Listed::examine(OPERATION, &self.0.handle, object).await;
        let (listed, snapshot) = match examined {
            Ok(examined) => examined,
            Err(forecast) => return forecast,
        };
        let action = self.action(listed.target(), &snapshot).await;
        let mut forecast = listed.forecast(&snapshot, action).await;
        if matches!(forecast.action, ForecastAction::Skip(Skipped::NotSealed)) {
            forecast.action = ForecastAction::Fail(not_sealed(listed.target()));
        }
        forecast
    }

    async fn action(
        &self,
        target: &ObjectRef,
        snapshot: &Snapshot,
    ) -> Result<ForecastAction<ReencryptCost>, Error> {
        let info = self.info(target, snapshot).await?;
        if self.is_there(&info) {
            return Ok(ForecastAction::Unchanged);
        }
        let attributes = self.0.attributes(target, snapshot).await?;
        self.0.check_is_no_file(target, &info)?;
        let mut calls = Calls::default();
        calls.permissions.on_objects(&["s3:GetObject"], &target.bucket);
        calls.permissions.on_objects(&puts(&attributes), &target.bucket);
        let from = self.read(target, &info, &mut calls)?;
        let uploaded = self.write(target, &info, &mut calls)?;
        let part_len = self.0.handle.store.part_len() as u64;
        let stored = snapshot.head.content_length().and_then(|len| u64::try_from(len).ok());
        let downloaded = stored.unwrap_or_default();
        let parts = info.plaintext_len().div_ceil(part_len).max(1);
        Ok(ForecastAction::Change(ReencryptCost {
            from,
            downloaded,
            uploaded,
            // And those of ACL and tags.
            gets: downloaded.div_ceil(part_len).max(1) + 2,
            // And those that begin and complete the upload.
            puts: if parts == 1 { 1 } else { parts + 2 },
            kms_calls: calls.kms_calls,
            permissions: calls.permissions.into_set(),
        }))
    }

    /// Applies the reader's policy, counts the call that unwraps, and returns the format's name.
    fn read(
        &self,
        target: &ObjectRef,
        info: &ObjectInfo,
        calls: &mut Calls,
    ) -> Result<&'static str, Error> {
        let Handle { vault, .. } = &self.0.handle;
        match info.format() {
            ObjectFormat::Sealwax(header) => {
                check_context(target, header.context(), &self.0.context)?;
                // A sidecar may have other keys.
                if vault.sidecars().suffix().is_none() {
                    let keys =
                        vault.places().acceptable_keys(target, header, &self.0.accepted_places)?;
                    if !keys.iter().any(|key| vault.keyring().accepts(key)) {
                        return Err(no_matching_key(target, &keys));
                    }
                    calls.of(&["kms:Decrypt"], vault.keyring().first_choice(&keys).as_deref());
                }
                Ok("sealwax")
            }
            ObjectFormat::S3ec(envelope) => {
                let algorithm = envelope.key().algorithm();
                vault.admit(target, envelope.clone(), &self.0.context, false)?;
                vault.check_s3ec_keyring(target, algorithm)?;
                let asked = vault.s3ec_keyrings().find(|keyring| keyring.accepts(algorithm));
                calls.in_region(asked.and_then(|keyring| keyring.unwrap_region()));
                if let Some(arn) = asked.and_then(|keyring| keyring.wrapping_key()) {
                    calls.permissions.on_key(&["kms:Decrypt"], &arn);
                }
                Ok(match envelope.format() {
                    Format::V1 => "s3ec-v1",
                    Format::V2 => "s3ec-v2",
                    _ => "s3ec-v3",
                })
            }
            ObjectFormat::Unencrypted => {
                check_no_context(target, &self.0.context).map(|()| "unsealed")
            }
        }
    }

    /// Checks what the new object would be, counts the calls that wrap, and returns its stored length
    /// in bytes.
    fn write(
        &self,
        target: &ObjectRef,
        info: &ObjectInfo,
        calls: &mut Calls,
    ) -> Result<u64, Error> {
        let Handle { vault, .. } = &self.0.handle;
        let (context, len) = (self.0.context_to_write(target, info)?, info.plaintext_len());
        let too_long = || target.error(ErrorKind::InvalidInput, "it is too long for that format");
        if self.0.format_to_write(info) == WriteFormat::S3ec {
            let keyring = writing_keyring(vault, target, self.0.keyring.as_ref(), &context)?;
            if len > MAX_PLAINTEXT_LEN {
                return Err(too_long());
            }
            calls.of(&["kms:GenerateDataKey"], keyring.wrapping_key().as_deref());
            return Ok(len + TAG_LEN);
        }
        let vault = match &self.0.keyring {
            Some(keyring) => &vault.with_keyring(std::sync::Arc::clone(keyring)),
            None => vault,
        };
        let place = vault.places().to_bind(target)?;
        let salt = BodySalt::generate().map_err(|error| target.envelope_error(error))?;
        let wrap_context = WrapContext::for_data_key(context.clone(), place, &salt);
        let sealing = Sealing { context: &context, salt: &salt, wrap_context: &wrap_context };
        let expected = sealing.check_fits(vault, target, None, &info.metadata)?;
        for (at, key) in expected.iter().enumerate() {
            let action = if at == 0 { "kms:GenerateDataKey" } else { "kms:Encrypt" };
            calls.of(&[action], Some(key.wrapping_key()));
        }
        geometry::body_len(len).ok_or_else(too_long)
    }
}

/// Returns the permissions that an object with these attributes is stored by.
fn puts(attributes: &Attributes) -> Vec<&'static str> {
    let mut actions = vec!["s3:PutObject"];
    actions.extend(attributes.permissions());
    actions
}

/// KMS calls for one object, and the permissions for it.
#[derive(Default)]
struct Calls {
    kms_calls: BTreeMap<String, u64>,
    permissions: Permissions,
}

impl Calls {
    /// Counts a call of a wrapping key, if KMS has it.
    fn of(&mut self, actions: &[&'static str], wrapping_key: Option<&str>) {
        if let Some(arn) = wrapping_key.and_then(|name| name.parse::<KmsKeyArn>().ok()) {
            self.permissions.on_key(actions, arn.as_str());
            self.in_region(Some(arn.region().to_owned()));
        }
    }

    fn in_region(&mut self, region: Option<String>) {
        if let Some(region) = region {
            *self.kms_calls.entry(region).or_default() += 1;
        }
    }
}
