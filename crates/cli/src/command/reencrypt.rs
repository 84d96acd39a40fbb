//! `sealwax reencrypt`.

mod bulk_reencrypt;
mod sealing;

use clap::{ArgGroup, Args};
use sealwax_s3::{ReencryptOutput, S3Uri, envelope::ObjectHeader};
use serde::Serialize;

use self::sealing::Sealing;
use crate::{
    args::{
        AclArgs, FormatArg, JobArgs, KeyCacheArgs, Pair, Prefix, ReaderArgs, S3ecArgs, TypedKey,
        encryption_context, place,
    },
    console::print_json,
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    object_report,
    session::Session,
    terminal_text::Counted,
};

const EXAMPLES: &str = "\
Examples:
  sealwax reencrypt s3://bucket/2026/report.pdf --key \"$KEY\" -c tenant=acme
  sealwax reencrypt s3://bucket/2026/report.pdf --under \"$EAST_KEY\" \\
      --under \"$WEST_KEY\"
  sealwax reencrypt s3://bucket/written/by/java --to native --under \"$KEY\"

Many objects; without --apply, this prints what would be done:
  sealwax reencrypt s3://bucket/written/ -r --to native --under \"$KEY\"
  sealwax reencrypt s3://bucket/written/ -r --to native --under \"$KEY\" --apply
  sealwax reencrypt s3://bucket/written/ -r --to native --under \"$KEY\" \\
      --save-plan migrate.plan
  sealwax reencrypt --plan migrate.plan --apply --kms-calls-per-second 2000";

/// Re-encrypt objects under new data keys or in another format.
///
/// Downloads, verifies and uploads the object again under the same key. In a versioned bucket,
/// older versions keep their bodies and data keys until they are deleted.
///
/// A single object is re-encrypted immediately. For many objects, the command prints what would be
/// done until --apply is given. Objects already in the target format stay as they are.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("under_or_raw").args(["under", "aes_key_file", "rsa_key_file"]).multiple(true),
    group = ArgGroup::new("listed").args(["recursive", "inventory", "stdin"]).multiple(true).requires_all(["to", "under_or_raw"]),
    group = ArgGroup::new("bulk").args(["recursive", "inventory", "stdin", "plan"]).multiple(true),
)]
pub(crate) struct ReencryptArgs {
    /// Object; with an option for many objects, prefix of the keys
    #[arg(value_name = "s3://BUCKET/KEY|/PREFIX", required_unless_present = "plan")]
    pub(crate) prefix: Option<Prefix>,

    /// KMS key or local key to wrap the new data key under; repeatable [default: the keys named by
    /// --key and --local-key]
    #[arg(long, value_name = "KEY|local:NAME", conflicts_with = "plan")]
    pub(crate) under: Vec<TypedKey>,

    /// Require this pair in the encryption context, as a reader would; repeatable. The new object
    /// is genuine whatever the old one was
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE", conflicts_with = "plan")]
    pub(crate) context: Vec<Pair>,

    /// Accept wrapped keys bound to this place, from which the object was moved deliberately;
    /// repeatable
    #[arg(long, value_name = "BUCKET/KEY", value_parser = place, conflicts_with_all = ["bulk", "dry_run"])]
    pub(crate) accept_place: Vec<String>,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    /// Target format: migrates objects to and from the S3 Encryption Client [default: the object's
    /// own, if it is native]
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        conflicts_with = "plan",
        help_heading = "S3 Encryption Client"
    )]
    pub(crate) to: Option<FormatArg>,

    /// Also seal objects without client-side encryption
    #[arg(long, conflicts_with = "plan")]
    pub(crate) seal_unencrypted: bool,

    #[command(flatten)]
    pub(crate) cache: KeyCacheArgs,

    #[command(flatten)]
    pub(crate) bulk: JobArgs,

    #[command(flatten)]
    pub(crate) s3ec: S3ecArgs,

    #[command(flatten)]
    pub(crate) acl: AclArgs,
}

/// Re-encrypts one object or many.
pub(super) async fn run(session: &Session, args: ReencryptArgs) -> Result<(), Failure> {
    if let Some(prefix) = &args.prefix {
        session.check_bucket_named(&prefix.bucket)?;
    }
    let session = &session.with_acls(args.acl.acl);
    let under = session.resolve(&args.under).await?;
    if args.bulk.is_meant() {
        return bulk_reencrypt::run(session, args, under).await;
    }
    let json = args.bulk.json;
    let ReencryptArgs { prefix, context, accept_place, reader, to, s3ec, cache, .. } = args;
    let prefix = prefix.expect("required without a plan");
    let uri = prefix.to_string().parse::<S3Uri>().map_err(|error| {
        Failure::usage(error)
            .advise("name one object, or pass --recursive for all objects under the prefix")
    })?;
    let context = encryption_context(context)?;
    let format = to.unwrap_or(FormatArg::Native);
    let sealing = Sealing { to: format, under, seal_unencrypted: args.seal_unencrypted };
    let (client, new_keys) = sealing.client(session, &prefix.bucket, reader, &s3ec, None).await?;
    let new_keys = new_keys.map(|keys| sealing.cached(session, &cache, keys)).transpose()?;
    if to.is_none() {
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
        .to(format.to_write())
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
    let output = done.map_err(stopped)??;
    if json {
        print_json(&Reencrypted::new(&uri, &output));
    }
    session.say(summary(&uri, &output));
    Ok(())
}

/// A re-encrypted object. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Reencrypted {
    object: String,
    version_id: Option<String>,
    e_tag: Option<String>,
    bytes: u64,
    format: String,
    /// Wrapping keys of the object; empty for formats that do not name them.
    keys: Vec<String>,
}

impl Reencrypted {
    fn new(uri: &S3Uri, output: &ReencryptOutput) -> Self {
        let keys = output.header().map(ObjectHeader::keys).unwrap_or_default();
        Self {
            object: uri.to_string(),
            version_id: output.version_id.clone(),
            e_tag: output.e_tag.clone(),
            bytes: output.plaintext_len,
            format: object_report::format_name(&output.format),
            keys: keys.iter().map(|key| key.wrapping_key().to_owned()).collect(),
        }
    }
}

fn summary(uri: &S3Uri, output: &ReencryptOutput) -> String {
    let bytes = Counted(output.plaintext_len, "byte");
    match output.header() {
        Some(header) => {
            format!(
                "re-encrypted {uri} ({bytes}, {})",
                object_report::number_of_keys(header.keys().len(), header.detached().len())
            )
        }
        None => format!("re-encrypted {uri} ({bytes}) in a format of the S3 Encryption Client"),
    }
}
