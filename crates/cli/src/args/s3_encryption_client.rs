//! Arguments about objects of the Amazon S3 Encryption Client.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use sealwax_s3::{
    MigrationFormat, WriteFormat,
    s3ec::{CommitmentPolicy, RawAesKeyring, RawRsaKeyring, S3ec},
};
use serde::{Deserialize, Serialize};

use crate::{failure::Failure, key_file};

/// Format of new objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// Sealwax's own: bound to its place, any number of wrapping keys, verified chunk by chunk
    Native,
    /// V3 of the Amazon S3 Encryption Client, with key commitment
    S3ecV3,
    /// V2 of the Amazon S3 Encryption Client, for readers without V3 support
    S3ecV2,
}

impl FormatArg {
    pub(crate) fn to_write(self) -> WriteFormat {
        match self {
            Self::Native => WriteFormat::Sealwax,
            Self::S3ecV3 | Self::S3ecV2 => WriteFormat::S3ec,
        }
    }

    /// Returns the format of a plan.
    pub(crate) fn of_migration(format: MigrationFormat) -> Option<Self> {
        match format {
            MigrationFormat::Sealwax => Some(Self::Native),
            MigrationFormat::S3ecV2 => Some(Self::S3ecV2),
            MigrationFormat::S3ecV3 => Some(Self::S3ecV3),
            _ => None,
        }
    }

    /// Returns the commitment policy that writes this format.
    pub(crate) fn policy(self) -> CommitmentPolicy {
        match self {
            Self::Native | Self::S3ecV3 => CommitmentPolicy::RequireEncryptRequireDecrypt,
            Self::S3ecV2 => CommitmentPolicy::ForbidEncryptAllowDecrypt,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::enum_variant_names, reason = "names of the official clients")]
enum PolicyArg {
    ForbidEncryptAllowDecrypt,
    RequireEncryptAllowDecrypt,
    #[default]
    RequireEncryptRequireDecrypt,
}

/// Raw wrapping keys in files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RawKeyArgs {
    /// Raw AES wrapping key: a file of 16, 24 or 32 bytes that only its owner has access to
    #[arg(long, value_name = "PATH", help_heading = "S3 Encryption Client")]
    pub(crate) aes_key_file: Option<PathBuf>,

    /// Raw RSA wrapping key: a private key in PKCS#8, PEM or DER; a public key is enough to write
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with = "aes_key_file",
        help_heading = "S3 Encryption Client"
    )]
    pub(crate) rsa_key_file: Option<PathBuf>,
}

/// Suffix of instruction files, for commands that use no key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct InstructionFileArgs {
    /// Suffix of instruction files [default: .instruction]
    #[arg(
        long,
        value_name = "SUFFIX",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "S3 Encryption Client"
    )]
    instruction_file_suffix: Option<String>,
}

impl InstructionFileArgs {
    /// Returns the settings of a client that uses no key.
    pub(crate) fn settings(&self) -> S3ec {
        self.onto(S3ec::new())
    }

    fn onto(&self, s3ec: S3ec) -> S3ec {
        match &self.instruction_file_suffix {
            Some(suffix) => s3ec.instruction_file_suffix(suffix),
            None => s3ec,
        }
    }
}

/// Policy on objects of the S3 Encryption Client: which of them are opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct S3ecPolicyArgs {
    /// Commitment policy; V2 and V1 have no key commitment, so only the ...-allow-decrypt policies
    /// read them
    #[arg(
        long,
        value_enum,
        value_name = "POLICY",
        default_value = "require-encrypt-require-decrypt",
        help_heading = "S3 Encryption Client"
    )]
    commitment_policy: PolicyArg,

    /// Read data keys wrapped by legacy algorithms: kms, AES key wrap, RSA-OAEP with SHA-256, and
    /// those of V1
    #[arg(long, help_heading = "S3 Encryption Client")]
    legacy_wrapping_algorithms: bool,

    /// Read AES-CBC, which is not authenticated: anyone who can write to the bucket can change the
    /// plaintext
    #[arg(long, help_heading = "S3 Encryption Client")]
    legacy_unauthenticated_modes: bool,

    /// Read AES-CBC content whose data key is wrapped by AES/GCM or RSA-OAEP-SHA1; it may be
    /// relabelled AES-GCM
    ///
    /// Anyone who can write to the bucket and sees whether reads succeed then has a decryption
    /// oracle, which confirms guesses of plaintext (CVE-2020-8912). No known client writes such
    /// objects.
    #[arg(long, requires = "legacy_unauthenticated_modes", help_heading = "S3 Encryption Client")]
    dangerous_raw_key_cbc: bool,

    /// Refuse objects of the S3 Encryption Client: they are not bound to a place
    #[arg(
        long,
        conflicts_with_all = [
            "legacy_wrapping_algorithms", "legacy_unauthenticated_modes", "dangerous_raw_key_cbc",
        ],
        help_heading = "S3 Encryption Client"
    )]
    no_s3ec: bool,

    #[command(flatten)]
    file: InstructionFileArgs,

    #[command(flatten)]
    raw: RawKeyArgs,
}

impl S3ecPolicyArgs {
    /// Returns the settings of a client that opens such objects, whatever their encryption context.
    ///
    /// # Errors
    /// A key file cannot be read, others have access to it, or it has no valid key.
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
            .dangerous_raw_key_cbc(self.dangerous_raw_key_cbc);
        self.raw.onto(self.file.onto(s3ec))
    }
}

/// Rules for reading objects of the S3 Encryption Client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct S3ecArgs {
    #[command(flatten)]
    policy: S3ecPolicyArgs,

    /// Accept any encryption context; without it, -c must name every pair
    #[arg(long, conflicts_with = "no_s3ec", help_heading = "S3 Encryption Client")]
    any_context: bool,
}

impl S3ecArgs {
    /// Returns the settings of a client that reads such objects.
    ///
    /// # Errors
    /// As [`S3ecPolicyArgs::settings`].
    pub(crate) fn settings(&self) -> Result<S3ec, Failure> {
        Ok(self.policy.settings()?.any_encryption_context(self.any_context))
    }

    /// Returns the settings of a client that writes `format`.
    ///
    /// # Errors
    /// As [`S3ecArgs::settings`].
    pub(crate) fn settings_to_write(&self, format: FormatArg) -> Result<S3ec, Failure> {
        let s3ec = self.settings()?;
        Ok(if format == FormatArg::S3ecV2 { s3ec.commitment_policy(format.policy()) } else { s3ec })
    }

    /// `true` if raw wrapping keys are given.
    pub(crate) fn has_raw_key(&self) -> bool {
        !self.policy.raw.is_empty()
    }
}

impl RawKeyArgs {
    pub(crate) fn is_empty(&self) -> bool {
        self.aes_key_file.is_none() && self.rsa_key_file.is_none()
    }

    /// Adds the raw keys to the settings, if any are given.
    ///
    /// # Errors
    /// A file cannot be read, others have access to it, or it has no valid key.
    pub(crate) fn onto(&self, s3ec: S3ec) -> Result<S3ec, Failure> {
        if let Some(path) = &self.aes_key_file {
            return Ok(s3ec.keyring(aes_keyring(path)?));
        }
        if let Some(path) = &self.rsa_key_file {
            return Ok(s3ec.keyring(rsa_keyring(path)?));
        }
        Ok(s3ec)
    }
}

/// Kind of these files in messages.
const KEY_FILE: &str = "key file";
/// Maximum length of a key file, in bytes: RSA keys of 8,192 bits in PEM have about 6,400.
const MAX_KEY_FILE_LEN: usize = 64 << 10;

fn aes_keyring(path: &Path) -> Result<RawAesKeyring, Failure> {
    let file = key_file::read(KEY_FILE, path, MAX_KEY_FILE_LEN)?;
    let secret = file.secret().map_err(|exposure| key_file::exposed(KEY_FILE, path, exposure))?;
    // The keyring wipes what it takes.
    RawAesKeyring::new(&mut secret.to_vec()).map_err(|error| no_key(path, &error))
}

fn rsa_keyring(path: &Path) -> Result<RawRsaKeyring, Failure> {
    let exposed = |exposure| key_file::exposed(KEY_FILE, path, exposure);
    let file = key_file::read(KEY_FILE, path, MAX_KEY_FILE_LEN)?;
    // A public key is no secret, but only its owner may change it.
    let public = file.public().map_err(exposed)?;
    match RawRsaKeyring::from_private_key(public) {
        Ok(keyring) => file.secret().map(|_| keyring).map_err(exposed),
        Err(_) => RawRsaKeyring::from_public_key(public).map_err(|error| no_key(path, &error)),
    }
}

fn no_key(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::usage(format!("cannot use key file {}: {error}", path.display()))
}
