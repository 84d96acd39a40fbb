//! Format of new objects, and what it demands of the other arguments.

use std::sync::Arc;

use sealwax_s3::{
    SealedClient, SealedClientBuilder,
    envelope::Keyring,
    s3ec::{self, S3ec},
};

use super::{args::PutArgs, putter::PutFormat};
use crate::{args::FormatArg, failure::Failure, session::Session};

/// Format of new objects, with the settings that write it.
pub(super) struct Format {
    written: PutFormat,
    settings: S3ec,
}

impl Format {
    /// Returns the format that `args` ask for.
    ///
    /// # Errors
    /// Other arguments contradict it, or the file of a raw key cannot be used.
    pub(super) fn of(session: &Session, args: &PutArgs) -> Result<Self, Failure> {
        let (raw, instruction_file) = (&args.raw, args.instruction_file);
        let format = match args.format {
            FormatArg::Native => None,
            FormatArg::S3ecV3 => Some(s3ec::Format::V3),
            FormatArg::S3ecV2 => Some(s3ec::Format::V2),
        };
        let Some(format) = format else {
            return match instruction_file || !raw.is_empty() {
                true => Err(Failure::usage(
                    "--instruction-file and raw keys require --format s3ec-v3 or s3ec-v2",
                )),
                false => Ok(Self { written: PutFormat::Native, settings: S3ec::new() }),
            };
        };
        if args.resume {
            return Err(Failure::usage("--resume requires --format native"));
        }
        if session.keyrings().local().is_some() {
            return Err(Failure::usage(
                "a local key requires --format native: omit --local-key or --format",
            ));
        }
        if args.keys.len() > 1 && raw.is_empty() {
            let error = "an object of the S3 Encryption Client has exactly one wrapping key";
            return Err(Failure::usage(error).advise("pass --key once"));
        }
        let settings = raw.onto(S3ec::new().commitment_policy(args.format.policy()))?;
        Ok(Self { written: PutFormat::S3ec { format, instruction_file }, settings })
    }

    /// Returns the keyring that wraps the data keys.
    ///
    /// # Errors
    /// No key is named, or KMS does not tell the ARN of one.
    pub(super) async fn keyring(
        &self,
        session: &Session,
        args: &PutArgs,
    ) -> Result<Arc<dyn Keyring>, Failure> {
        // A raw key wraps alone: keys of the settings are those of other objects.
        if !args.raw.is_empty() {
            return Ok(Arc::new(session.keyrings().empty()));
        }
        let keys = session.resolve_kms(&args.keys).await?;
        let keyring = session.keyrings().writing(keys, args.at_least)?;
        match self.written {
            PutFormat::Native => args.cache.onto(&session.key_store(), keyring),
            // It knows no intermediate keys.
            PutFormat::S3ec { .. } => Ok(keyring),
        }
    }

    /// Builds a client that writes the format.
    pub(super) fn client(&self, builder: SealedClientBuilder) -> SealedClient {
        builder.s3ec(self.settings.clone()).build()
    }

    /// Returns the format that is written.
    pub(super) fn written(&self) -> PutFormat {
        self.written
    }
}
