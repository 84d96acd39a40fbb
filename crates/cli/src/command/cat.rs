//! `sealwax cat`.

use std::sync::Arc;

use clap::Args;
use sealwax_s3::{S3Uri, UnencryptedObjects};

use super::get::to_stdout;
use crate::{
    args::{ByteRange, Pair, ReaderArgs, S3ecArgs, encryption_context},
    failure::Failure,
    interrupt::unless_stopped,
    progress::Progress,
    session::Session,
};

const EXAMPLES: &str = "\
Examples:
  sealwax cat s3://bucket/shop.dump | psql shop

The last 1000 bytes, and 1000 bytes from the fifth:
  sealwax cat s3://bucket/events.log --range -1000
  sealwax cat s3://bucket/table.parquet --range 4-1003";

/// Decrypt objects to standard output, one after the other.
///
/// Each piece is written after it has been verified. The output is complete only if the command
/// exits with 0.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CatArgs {
    /// Objects
    #[arg(value_name = "s3://BUCKET/KEY", required = true)]
    pub(crate) uris: Vec<S3Uri>,

    /// Bytes of the plaintext: FIRST-LAST (inclusive, counted from 0), FIRST-, or -LENGTH (the last
    /// bytes)
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) range: Option<ByteRange>,

    /// Require this pair in the encryption context; repeatable
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<Pair>,

    /// Version of the object
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,

    /// Accept an object without client-side encryption, and copy it unchanged
    #[arg(long, conflicts_with = "context")]
    pub(crate) pass_unencrypted: bool,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    /// Write an object of the S3 Encryption Client before it is verified
    ///
    /// Its only authentication tag is at its end. Without this option, up to 64 MiB are held back
    /// until it is verified. With it, don't use the output before the command has exited with 0.
    #[arg(long, help_heading = "S3 Encryption Client")]
    pub(crate) release_unverified: bool,

    #[command(flatten)]
    pub(crate) s3ec: S3ecArgs,
}

/// Writes the plaintext of objects to standard output.
pub(super) async fn run(session: &Session, args: CatArgs) -> Result<(), Failure> {
    let CatArgs {
        uris,
        range,
        context,
        version_id,
        pass_unencrypted,
        reader,
        release_unverified,
        s3ec,
    } = args;
    if version_id.is_some() && uris.len() > 1 {
        return Err(Failure::usage("--version-id requires a single object"));
    }
    let context = encryption_context(context)?;
    let keyring = session.keyrings().reading(reader).await?;
    for uri in uris {
        let mut client = session.client_builder(&uri, Arc::clone(&keyring)).s3ec(s3ec.settings()?);
        if pass_unencrypted {
            client = client.unencrypted(UnencryptedObjects::PassThrough);
        }
        let client = client.build();
        let mut get = client.get().uri(&uri).encryption_context(context.clone());
        if let Some(version_id) = &version_id {
            get = get.version_id(version_id);
        }
        get = match range {
            None => get,
            Some(ByteRange::From(first, None)) => get.range(first..),
            Some(ByteRange::From(first, Some(last))) => get.range(first..=last),
            Some(ByteRange::Last(length)) => get.suffix(length),
        };
        let done =
            unless_stopped(to_stdout(get, &Progress::hidden(), release_unverified, Failure::from))
                .await;
        done.map_err(|signal| {
            Failure::stopped(signal, format!("the output of {uri} is incomplete"))
        })??;
    }
    Ok(())
}
