//! Checks of wrapping keys: their state, and the calls that policies allow the caller.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_s3::{config::http::HttpResponse, error::SdkError, operation::RequestId};
use sealwax_s3::{
    Error, ErrorKind, KmsKeyArn, KmsKeyName,
    aws_sdk_kms::{
        Client,
        error::ProvideErrorMetadata,
        primitives::Blob,
        types::{DataKeySpec, DryRunModifierType, KeyMetadata, KeySpec, KeyState, KeyUsageType},
    },
    envelope::{BodySalt, EncryptionContext, Place, WrapContext},
    error_chain,
};

use super::check::{Check, Checks};
use crate::{
    failure::{Exit, Failure},
    session::Session,
};

/// Returns the ARNs of the named keys, as commands that write resolve them.
pub(super) async fn resolve(
    session: &Session,
    names: &[KmsKeyName],
    checks: &mut Checks,
) -> Result<Vec<KmsKeyArn>, Failure> {
    let mut arns = Vec::with_capacity(names.len());
    for name in names {
        let resolved = session.keyrings().kms_builder().resolve(name).await;
        match resolved {
            Ok(arn) if name.arn().is_some() => arns.push(arn),
            Ok(arn) => {
                checks.add(Check::ok("key name", format!("{name} is {arn}")))?;
                arns.push(arn);
            }
            Err(error) => {
                let hint = match error.kind() {
                    ErrorKind::AccessDenied => "allow kms:DescribeKey on the key, or pass its ARN",
                    ErrorKind::KeyNotFound => {
                        "check the name: an alias or a key id is searched in the Region of --region and in the caller's account"
                    }
                    _ => "check the endpoint and the network, or pass the key's ARN",
                };
                checks.add(Check::failed("key name", error_chain(&error), hint))?;
            }
        }
    }
    Ok(arns)
}

/// Checks a key.
pub(super) async fn check(
    session: &Session,
    key: &KmsKeyArn,
    context: &EncryptionContext,
    place: Option<&Place>,
    checks: &mut Checks,
) -> Result<(), Failure> {
    let there = session.in_region(key.region());
    let kms = Client::new(there.kms_config());
    let is_usable = describe(&kms, key, checks).await?;
    if !is_usable {
        return Ok(());
    }
    let salt = BodySalt::generate().map_err(|error| {
        Failure::new(Exit::Failed, error.to_string(), "check the operating system's random numbers")
    })?;
    let wrap_context = WrapContext::for_data_key(context.clone(), place.cloned(), &salt);
    let caller = Caller { kms, key, pairs: wrap_context.pairs().into_iter().collect() };
    let (check, ciphertext) = caller.generate().await;
    checks.add(check)?;
    checks.add(caller.encrypt().await)?;
    checks.add(caller.decrypt(ciphertext.clone()).await)?;
    checks.add(caller.re_encrypt(ciphertext).await)
}

/// Checks whether one Region's loss makes all keys unavailable.
pub(super) fn check_regions(
    session: &Session,
    keys: &[KmsKeyArn],
    checks: &mut Checks,
) -> Result<(), Failure> {
    let regions: BTreeSet<_> = keys.iter().map(KmsKeyArn::region).collect();
    let names = regions.iter().copied().collect::<Vec<_>>().join(", ");
    checks.add(match (regions.len(), session.keyrings().local()) {
        (0, Some(_)) => {
            Check::ok("Regions", "only a local key: no Region is needed to open objects")
        }
        (0, None) => Check::skipped("Regions", "no key was named", "name the keys with --key"),
        (1, None) => Check::warning(
            "Regions",
            format!("all keys are in {names}: while it is down, no object opens"),
            "also seal under a key in another Region, or rewrap replicas there",
        ),
        (1, Some(_)) => Check::ok("Regions", format!("keys in {names}, and a local one")),
        _ => Check::ok("Regions", format!("keys in {names}")),
    })
}

async fn describe(kms: &Client, key: &KmsKeyArn, checks: &mut Checks) -> Result<bool, Failure> {
    let answer = kms.describe_key().key_id(key.as_str()).send().await;
    let (check, is_usable) = match answer.map(|answer| answer.key_metadata) {
        Ok(Some(metadata)) => state(key, &metadata),
        Ok(None) => (
            Check::unknown(
                "key",
                format!("KMS returned no metadata of {}", key.as_str()),
                "try again",
            ),
            true,
        ),
        Err(error) => {
            let text = error_chain(&Error::from_sdk(
                "describe",
                key.as_str(),
                "KMS DescribeKey",
                Some(key.region()),
                &error,
            ));
            match error.code() {
                Some("NotFoundException") => {
                    let hint = "check the ARN's Region, account and key ID";
                    (Check::failed("key", text, hint), false)
                }
                Some("AccessDeniedException") => {
                    let hint =
                        "allow kms:DescribeKey to check the key's state; sealing does not need it";
                    (Check::unknown("key", text, hint), true)
                }
                _ => {
                    let hint =
                        "check the endpoint and the network: KMS in this Region does not respond";
                    (Check::failed("key", text, hint), false)
                }
            }
        }
    };
    checks.add(check)?;
    Ok(is_usable)
}

/// Returns the check of a key's metadata, and `true` if the key is usable.
fn state(key: &KmsKeyArn, metadata: &KeyMetadata) -> (Check, bool) {
    let failed = |message: String, hint: &str| (Check::failed("key", message, hint), false);
    let name = key.as_str();
    match metadata.key_state() {
        Some(KeyState::Enabled) | None => {}
        Some(KeyState::Disabled) => {
            return failed(format!("{name} is disabled"), "run aws kms enable-key");
        }
        Some(KeyState::PendingDeletion) => {
            let hint = "run aws kms cancel-key-deletion, then enable-key: objects that only this key wraps are lost with it";
            return failed(format!("{name} is pending deletion"), hint);
        }
        Some(other) => {
            return failed(
                format!("{name} is in the state {}", other.as_str()),
                "check the key in the KMS console",
            );
        }
    }
    if metadata.key_usage().is_some_and(|usage| *usage != KeyUsageType::EncryptDecrypt)
        || metadata.key_spec().is_some_and(|spec| *spec != KeySpec::SymmetricDefault)
    {
        return failed(
            format!("{name} is not a symmetric encryption key"),
            "create one with aws kms create-key",
        );
    }
    let kind = if metadata.multi_region() == Some(true) { "multi-Region" } else { "single-Region" };
    (Check::ok("key", format!("{name} is enabled, {kind}")), true)
}

/// Tests which calls the key's and the caller's policies allow, as dry runs.
struct Caller<'a> {
    kms: Client,
    key: &'a KmsKeyArn,
    /// Encryption context as for a sealed object, because policies can require it.
    pairs: HashMap<String, String>,
}

impl Caller<'_> {
    /// Also returns the ciphertext, if the service ignored `DryRun` and made one.
    async fn generate(&self) -> (Check, Option<Blob>) {
        let call = self
            .kms
            .generate_data_key()
            .key_id(self.key.as_str())
            .key_spec(DataKeySpec::Aes256)
            .dry_run(true);
        match call.set_encryption_context(Some(self.pairs.clone())).send().await {
            // This data key is never used.
            Ok(answer) => (self.ignored("GenerateDataKey"), answer.ciphertext_blob),
            Err(error) => (self.judged("GenerateDataKey", &error), None),
        }
    }

    async fn encrypt(&self) -> Check {
        let call = self
            .kms
            .encrypt()
            .key_id(self.key.as_str())
            .plaintext(Blob::new([0; 32]))
            .dry_run(true);
        match call.set_encryption_context(Some(self.pairs.clone())).send().await {
            Ok(_) => self.ignored("Encrypt"),
            Err(error) => self.judged("Encrypt", &error),
        }
    }

    async fn decrypt(&self, ciphertext: Option<Blob>) -> Check {
        let call = self.kms.decrypt().key_id(self.key.as_str()).dry_run(true);
        let call = match ciphertext {
            Some(ciphertext) => call.ciphertext_blob(ciphertext),
            None => call.dry_run_modifiers(DryRunModifierType::IgnoreCiphertext),
        };
        match call.set_encryption_context(Some(self.pairs.clone())).send().await {
            Ok(_) => self.ignored("Decrypt"),
            Err(error) => self.judged("Decrypt", &error),
        }
    }

    /// Re-encrypts under the same key, as a refresh does. Only rewraps need this permission.
    async fn re_encrypt(&self, ciphertext: Option<Blob>) -> Check {
        let (key, pairs) = (self.key.as_str(), Some(self.pairs.clone()));
        let call = self.kms.re_encrypt().source_key_id(key).destination_key_id(key).dry_run(true);
        let call = call
            .set_source_encryption_context(pairs.clone())
            .set_destination_encryption_context(pairs);
        let call = match ciphertext {
            Some(ciphertext) => call.ciphertext_blob(ciphertext),
            None => call.dry_run_modifiers(DryRunModifierType::IgnoreCiphertext),
        };
        match call.send().await {
            Ok(_) => self.ignored("ReEncrypt"),
            Err(error) if error.code() == Some("AccessDeniedException") => Check::warning(
                "key policy",
                format!("kms:ReEncrypt is denied in {}: {}", self.region(), reason(&error)),
                "for rewraps, allow kms:ReEncryptFrom and kms:ReEncryptTo, as `sealwax doctor --print key-policy` does; nothing else needs them",
            ),
            Err(error) => self.judged("ReEncrypt", &error),
        }
    }

    /// A service without `DryRun` carried out the call.
    fn ignored(&self, call: &str) -> Check {
        Check::ok(
            "key policy",
            format!(
                "kms:{call} works in {} (real call: this service ignores DryRun)",
                self.region()
            ),
        )
    }

    fn judged<E>(&self, call: &str, error: &SdkError<E, HttpResponse>) -> Check
    where
        E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
    {
        match error.code() {
            Some("DryRunOperationException") => {
                Check::ok("key policy", format!("kms:{call} is allowed in {}", self.region()))
            }
            Some("AccessDeniedException") => Check::failed(
                "key policy",
                format!("kms:{call} is denied in {}: {}", self.region(), reason(error)),
                format!(
                    "allow kms:{call} in the key's and the caller's policies, as `sealwax doctor --print key-policy` does"
                ),
            ),
            _ => {
                let call = format!("KMS {call}");
                let error =
                    Error::from_sdk("use", self.key.as_str(), &call, Some(self.region()), error);
                Check::unknown(
                    "key policy",
                    error_chain(&error),
                    "seal and open an object to test the key",
                )
            }
        }
    }

    fn region(&self) -> &str {
        self.key.region()
    }
}

/// Returns the reason that KMS gives for a denial.
fn reason<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> &str {
    error.message().unwrap_or("no reason given")
}
