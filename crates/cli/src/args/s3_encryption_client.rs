//! Options about objects of the Amazon S3 Encryption Client.

use std::{fs, path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use sealwax_s3::{
    KmsKeyring, WriteFormat,
    s3ec::{CommitmentPolicy, RawAesKeyring, RawRsaKeyring, S3ec},
};

use crate::failure::Failure;

/// A format that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// Sealwax's own: bound to its place, any number of wrapping keys, parts verified one by one
    Native,
    /// V3 of the Amazon S3 Encryption Client, which commits to its data key
    S3ecV3,
    /// V2 of the Amazon S3 Encryption Client, for readers that know no V3
    S3ecV2,
}

impl FormatArg {
    pub(crate) fn to_write(self) -> WriteFormat {
        match self {
            Self::Native => WriteFormat::Sealwax,
            Self::S3ecV3 | Self::S3ecV2 => WriteFormat::S3ec,
        }
    }

    /// The policy under which this format is written.
    pub(crate) fn policy(self) -> CommitmentPolicy {
        match self {
            Self::Native | Self::S3ecV3 => CommitmentPolicy::RequireEncryptRequireDecrypt,
            Self::S3ecV2 => CommitmentPolicy::ForbidEncryptAllowDecrypt,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(clippy::enum_variant_names, reason = "they are the official clients' names")]
enum PolicyArg {
    ForbidEncryptAllowDecrypt,
    RequireEncryptAllowDecrypt,
    RequireEncryptRequireDecrypt,
}

/// Keys that the caller holds, in files.
#[derive(Debug, Default, Args)]
pub(crate) struct RawKeyArgs {
    /// Raw AES wrapping key: a file of 16, 24 or 32 bytes
    #[arg(long, value_name = "PATH", help_heading = "S3 Encryption Client")]
    pub(crate) aes_key_file: Option<PathBuf>,

    /// Raw RSA wrapping key: a private key in PKCS#8, PEM or DER; to write, a public key is enough
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with = "aes_key_file",
        help_heading = "S3 Encryption Client"
    )]
    pub(crate) rsa_key_file: Option<PathBuf>,
}

/// Which objects of the S3 Encryption Client are read.
#[derive(Debug, Args)]
pub(crate) struct S3ecArgs {
    /// Whether their content must commit to its key; V2 and V1 do not, and are read where decryption is allowed so
    #[arg(
        long,
        value_enum,
        value_name = "POLICY",
        default_value = "require-encrypt-require-decrypt",
        help_heading = "S3 Encryption Client"
    )]
    commitment_policy: PolicyArg,

    /// Read data keys that older clients wrapped: by kms, AES key wrap, RSA-OAEP with SHA-256, and the algorithms of V1
    #[arg(long, help_heading = "S3 Encryption Client")]
    legacy_wrapping_algorithms: bool,

    /// Read AES-CBC, which is not authenticated: whoever can write to the bucket can change what is read
    #[arg(long, help_heading = "S3 Encryption Client")]
    legacy_unauthenticated_modes: bool,

    /// Read them whatever their encryption context; else -c must give all of it
    #[arg(long, help_heading = "S3 Encryption Client")]
    any_context: bool,

    /// What follows an object's key in that of its instruction file [default: .instruction]
    #[arg(
        long,
        value_name = "SUFFIX",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "S3 Encryption Client"
    )]
    instruction_file_suffix: Option<String>,

    /// Refuse all of them: they are bound to no place
    #[arg(
        long,
        conflicts_with_all = ["legacy_wrapping_algorithms", "legacy_unauthenticated_modes", "any_context"],
        help_heading = "S3 Encryption Client"
    )]
    no_s3ec: bool,

    #[command(flatten)]
    raw: RawKeyArgs,
}

impl S3ecArgs {
    /// How a client with the keyring `own` reads them.
    ///
    /// # Errors
    /// A key file cannot be read, or holds no key.
    pub(crate) fn settings(&self) -> Result<S3ec, Failure> {
        if self.no_s3ec {
            return Ok(S3ec::refused());
        }
        let policy = match self.commitment_policy {
            PolicyArg::ForbidEncryptAllowDecrypt => CommitmentPolicy::ForbidEncryptAllowDecrypt,
            PolicyArg::RequireEncryptAllowDecrypt => CommitmentPolicy::RequireEncryptAllowDecrypt,
            PolicyArg::RequireEncryptRequireDecrypt => {
                CommitmentPolicy::RequireEncryptRequireDecrypt
            }
        };
        let s3ec = S3ec::new()
            .commitment_policy(policy)
            .legacy_wrapping_algorithms(self.legacy_wrapping_algorithms)
            .legacy_unauthenticated_modes(self.legacy_unauthenticated_modes)
            .any_encryption_context(self.any_context);
        let s3ec = match &self.instruction_file_suffix {
            Some(suffix) => s3ec.instruction_file_suffix(suffix),
            None => s3ec,
        };
        self.raw.onto(s3ec)
    }

    /// As [`S3ecArgs::settings`], for what is read with `own` and written anew, in `format`, under `under`.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn settings_to_write(
        &self,
        format: FormatArg,
        under: Option<Arc<KmsKeyring>>,
        own: Arc<KmsKeyring>,
    ) -> Result<S3ec, Failure> {
        let s3ec = self.settings()?;
        let s3ec = if format == FormatArg::S3ecV2 {
            s3ec.commitment_policy(format.policy())
        } else {
            s3ec
        };
        Ok(match under {
            Some(under) if self.raw.is_empty() => s3ec.keyring(under).keyring(own),
            _ => s3ec,
        })
    }
}

impl RawKeyArgs {
    pub(crate) fn is_empty(&self) -> bool {
        self.aes_key_file.is_none() && self.rsa_key_file.is_none()
    }

    /// Adds the keys, if any are given.
    ///
    /// # Errors
    /// A file cannot be read, or holds no key.
    pub(crate) fn onto(&self, s3ec: S3ec) -> Result<S3ec, Failure> {
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|error| {
                Failure::io(&format!("cannot read the key file {}", path.display()), error)
            })
        };
        let no_key = |path: &PathBuf, error: &dyn std::error::Error| {
            Failure::usage(format!("the key file {} cannot be used: {error}", path.display()))
        };
        if let Some(path) = &self.aes_key_file {
            let keyring =
                RawAesKeyring::new(&mut read(path)?).map_err(|error| no_key(path, &error))?;
            return Ok(s3ec.keyring(keyring));
        }
        if let Some(path) = &self.rsa_key_file {
            let key = read(path)?;
            let keyring = RawRsaKeyring::from_private_key(&key)
                .or_else(|_| RawRsaKeyring::from_public_key(&key));
            return Ok(s3ec.keyring(keyring.map_err(|error| no_key(path, &error))?));
        }
        Ok(s3ec)
    }
}
