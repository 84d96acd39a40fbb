//! `sealwax reencrypt`.

use std::sync::Arc;

use clap::{ArgGroup, Args};
use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    Summary as _,
    listing::Listing,
    migrate::{Migrate, MigrateSummary},
};
use sealwax_s3::{
    ReencryptOutput, S3Uri, SealedClient, UnencryptedObjects, envelope::Keyring, error_chain,
};

use crate::{
    args::{
        AclArgs, FormatArg, Pair, Prefix, ReaderArgs, S3ecArgs, WrapKey, encryption_context, place,
    },
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    progress::Cleared,
    session::Session,
    terminal_text::Counted,
};

const EXAMPLES: &str = "\
Examples:
  sealwax reencrypt s3://bucket/2026/report.pdf --key \"$KEY\" -c tenant=acme
  sealwax reencrypt s3://bucket/2026/report.pdf --under \"$EAST_KEY\" --under \"$WEST_KEY\"
  sealwax reencrypt s3://bucket/written/by/java --to native --under \"$KEY\"
  sealwax reencrypt s3://bucket/written/ --recursive --to native --under \"$KEY\"";

/// Re-encrypt objects under new data keys or in another format.
///
/// Downloads, verifies and uploads the object again under the same key. In a versioned bucket,
/// older versions keep their bodies and data keys until they are deleted.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("under_or_raw").args(["under", "aes_key_file", "rsa_key_file"]).multiple(true),
)]
pub(crate) struct ReencryptArgs {
    /// Object; with --recursive, prefix of the keys
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub(crate) prefix: Prefix,

    /// Re-encrypt all objects under the prefix that are not in the target format yet
    ///
    /// Objects already in the target format are skipped, so rerun the same command to resume an
    /// interrupted job. An object that fails stays unchanged and does not end the job.
    #[arg(
        short,
        long,
        requires = "under_or_raw",
        conflicts_with = "accept_place",
        help_heading = "Many objects"
    )]
    pub(crate) recursive: bool,

    /// Number of objects in parallel
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Many objects"
    )]
    pub(crate) concurrency: u16,

    /// KMS key or local key to wrap the new data key under; repeatable [default: the keys named by
    /// --key and --local-key]
    #[arg(long, value_name = "ARN|local:NAME")]
    pub(crate) under: Vec<WrapKey>,

    /// Require this pair in the encryption context, as a reader would; repeatable. The new object
    /// is genuine whatever the old one was
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<Pair>,

    /// Accept wrapped keys bound to this place, from which the object was moved deliberately;
    /// repeatable
    #[arg(long, value_name = "BUCKET/KEY", value_parser = place)]
    pub(crate) accept_place: Vec<String>,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    /// Target format: migrates objects to and from the S3 Encryption Client [default: the object's
    /// own, if it is native]
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        required_if_eq("recursive", "true"),
        help_heading = "S3 Encryption Client"
    )]
    pub(crate) to: Option<FormatArg>,

    /// Also seal objects without client-side encryption
    #[arg(long)]
    pub(crate) seal_unencrypted: bool,

    #[command(flatten)]
    pub(crate) s3ec: S3ecArgs,

    #[command(flatten)]
    pub(crate) acl: AclArgs,
}

/// Re-encrypts one object, or all under a prefix.
pub(super) async fn run(session: &Session, args: ReencryptArgs) -> Result<(), Failure> {
    let ReencryptArgs {
        prefix,
        recursive,
        concurrency,
        under,
        context,
        accept_place,
        mut reader,
        to,
        seal_unencrypted,
        s3ec,
        acl,
    } = args;
    let session = &session.with_acls(acl.acl);
    reader.besides_local = under.iter().any(WrapKey::is_local);
    let context = encryption_context(context)?;
    let keeps_format = to.is_none();
    let to = to.unwrap_or(FormatArg::Native);
    let kms = Arc::new(session.keyrings().kms(reader, &[], None).await?);
    let keyring = session.keyrings().with_local(Arc::clone(&kms));
    let of_kms = under.iter().filter_map(|key| match key {
        WrapKey::Kms(arn) => Some(arn.clone()),
        WrapKey::Local(_) => None,
    });
    let of_kms: Vec<_> = of_kms.collect();
    if to != FormatArg::Native && of_kms.len() < under.len() {
        return Err(Failure::usage("a local key requires --to native"));
    }
    let uri = match recursive {
        true => None,
        false => Some(prefix.to_string().parse::<S3Uri>().map_err(Failure::usage)?),
    };
    let new_keys: Option<Arc<dyn Keyring>> = match to {
        // Names in the object's metadata are no reason to wrap a new data key for anyone.
        FormatArg::Native if under.is_empty() => Some(session.keyrings().named(&kms)?),
        _ if under.is_empty() => None,
        _ => Some(session.keyrings().of(&under, kms.sibling())?),
    };

    let of_kms = (!of_kms.is_empty())
        .then(|| kms.sibling().keys(of_kms).build().map(Arc::new).map_err(Failure::usage))
        .transpose()?;
    let s3ec_settings = s3ec.settings_to_write(to, of_kms, kms)?;
    let mut client = session.client_builder_of(&prefix.bucket, keyring).s3ec(s3ec_settings);
    if seal_unencrypted {
        client = client.unencrypted(UnencryptedObjects::PassThrough);
    }
    let client = client.build();
    let Some(uri) = uri else {
        let mut migrate = Migrate::new(client.clone())
            .to(to.to_write())
            .encryption_context(context)
            .concurrency(concurrency.into());
        if let Some(keys) = new_keys {
            migrate = migrate.keyring(keys);
        }
        return migrate_all(session, &client, migrate, &prefix).await;
    };

    if keeps_format {
        let info = client.head().uri(&uri).send().await?;
        if info.envelope().is_some() {
            let error = format!("{uri} is an object of the S3 Encryption Client");
            let advice = "pass --to native to migrate it, or the format that it should have";
            return Err(Failure::new(Exit::Usage, error, advice));
        }
    }
    let progress = session.progress(None);
    let mut reencrypt = client
        .reencrypt()
        .uri(&uri)
        .to(to.to_write())
        .encryption_context(context)
        .on_progress(progress.counter());
    if let Some(keys) = new_keys {
        reencrypt = reencrypt.keyring(keys);
    }
    let reencrypt =
        accept_place.into_iter().fold(reencrypt, |reencrypt, place| reencrypt.accept_place(place));
    let stopped = |signal| {
        Failure::stopped(signal, format!("{uri} is either unchanged or completely re-encrypted"))
    };
    let done = unless_stopped(reencrypt.send()).await;
    drop(progress);
    unless_stopped(client.settle()).await.map_err(stopped)?;
    session.report_unclaimed(&client);
    session.say(summary(&uri, &done.map_err(stopped)??));
    Ok(())
}

/// Migrates all objects under `prefix`.
async fn migrate_all(
    session: &Session,
    client: &SealedClient,
    migrate: Migrate,
    prefix: &Prefix,
) -> Result<(), Failure> {
    let mut summary = MigrateSummary::default();
    let work = async {
        let mut outcomes = migrate.run(Listing::objects(client.s3(), &prefix.bucket, &prefix.key));
        let progress = Cleared(session.job_progress(None));
        while let Some(outcome) = outcomes.try_next().await? {
            summary.record(&outcome);
            if let Err(error) = &outcome.result {
                progress.0.suspend(|| session.say(error_chain(error)));
            }
            progress.0.one_more(summary.failed());
        }
        Ok::<_, Failure>(())
    };
    let done = unless_stopped(work).await;
    let stopped = |signal| {
        Failure::stopped(
            signal,
            "each object is either unchanged or re-encrypted; rerun the command to continue",
        )
    };
    unless_stopped(client.settle()).await.map_err(stopped)?;
    session.report_unclaimed(client);
    if summary.objects() > 0 {
        session.say(format!(
            "{} re-encrypted, {} skipped (already in the target format), {} failed",
            Counted(summary.migrated, "object"),
            summary.already_there,
            summary.failed(),
        ));
    }
    done.map_err(stopped)??;
    if summary.objects() == 0 {
        let advice = "check the bucket and the prefix";
        return Err(Failure::new(Exit::NotFound, format!("no objects in {prefix}"), advice));
    }
    let failed = format!("{} of {} failed", summary.failed(), Counted(summary.objects(), "object"));
    Failure::of_many(summary.failed(), summary.objects(), failed)
}

fn summary(uri: &S3Uri, output: &ReencryptOutput) -> String {
    let bytes = Counted(output.plaintext_len, "byte");
    match output.header() {
        Some(header) => {
            format!("re-encrypted {uri} ({bytes}, {})", Counted(header.keys().len() as u64, "key"))
        }
        None => format!("re-encrypted {uri} ({bytes}) in a format of the S3 Encryption Client"),
    }
}
