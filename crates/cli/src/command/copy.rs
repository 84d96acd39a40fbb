//! `sealwax cp` and `sealwax mv`.

mod args;

use std::sync::Arc;

use sealwax_jobs::Engine;
use sealwax_s3::{CopyObjectOutput, ErrorKind, S3Uri, SealedClient, WrapPolicy, envelope::Keyring};
use serde::Serialize;

use self::args::CopyArgs;
pub(crate) use self::args::{CpArgs, MvArgs};
use crate::{
    args::{Pair, Prefix, name_of},
    bulk::{Outcome, Skip, Summary, engine},
    console::print_json,
    failure::{Exit, Failure, Unfinished, of_one},
    folder_listing::{self, Listed},
    interrupt::unless_stopped,
    session::Session,
    terminal_text::{Counted, this_command_line},
};

/// Treatment of the source after its copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Kept; copied in this version, if one is named.
    Kept { version_id: Option<String> },
    /// Deleted if the copy has all of its keys and one was proven; or, if `unproven`, in any case.
    Deleted { unproven: bool },
}

/// Copies or moves objects.
pub(super) async fn run(session: &Session, args: CopyArgs, source: Source) -> Result<(), Failure> {
    session.check_bucket_named(&args.to.bucket)?;
    let session = &session.with_acls(args.stored.acls());
    let reading = session.keyrings().reading(args.reader.clone()).await?;
    let client = session.client_of(&args.from.bucket, reading);
    let under = match args.under.is_empty() {
        true => None,
        false => {
            let keys = session.resolve_kms(&args.under).await?;
            Some(args.cache.onto(&session.key_store(), session.keyrings().writing(keys, None)?)?)
        }
    };
    let engine = engine(args.concurrency);
    let copier = Copier { client, under, args, source, engine };
    let done = match copier.args.recursive {
        true => copier.folder(session).await,
        false => copier.one(session).await,
    };
    session.report_unclaimed(&copier.client);
    done
}

/// Copies objects with one client.
struct Copier {
    client: SealedClient,
    /// The keyring of `--under`.
    under: Option<Arc<dyn Keyring>>,
    args: CopyArgs,
    source: Source,
    engine: Engine,
}

/// One copied object. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Copied {
    source: String,
    destination: String,
    version_id: Option<String>,
    e_tag: Option<String>,
    bytes: u64,
    /// Wrapping keys of the copy.
    keys: Vec<String>,
    /// Wrapping keys of the source that were dropped: none of their wrapped keys opens it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    disproved: Vec<String>,
    /// Wrapping keys of the source that could not be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
    /// `true` if one of the keys was shown to open the copy.
    proven: bool,
    source_deleted: bool,
    #[serde(skip)]
    losses: Option<String>,
}

/// A copy that was made, or would be.
struct Done {
    text: String,
    bytes: u64,
    /// `true` if the copy lacks some of the source's keys.
    is_loss: bool,
}

impl Copied {
    fn new(from: &S3Uri, to: &S3Uri, output: &CopyObjectOutput) -> Self {
        let keys = output.header.keys().iter().map(|key| key.wrapping_key().to_owned());
        Self {
            source: from.to_string(),
            destination: to.to_string(),
            version_id: output.version_id.clone(),
            e_tag: output.e_tag.clone(),
            bytes: output.source.plaintext_len(),
            keys: keys.collect(),
            disproved: output.report.disproved.clone(),
            missing: output.report.missing.clone(),
            proven: output.report.opens.is_proven(),
            source_deleted: false,
            losses: output.lost_keys(),
        }
    }
}

impl Copier {
    async fn one(&self, session: &Session) -> Result<(), Failure> {
        let CopyArgs { from, to, .. } = &self.args;
        if from.is_folder() {
            let failure = Failure::usage(format!("{from} is a folder: --recursive is required"));
            return Err(failure.advise("pass --recursive for its objects, or name one object"));
        }
        let from: S3Uri = from.to_string().parse().map_err(Failure::usage)?;
        let to = to.object(name_of(from.key()))?;
        let done = unless_stopped(self.copy(&from, &to)).await;
        let stopped = |signal| {
            Failure::stopped(
                signal,
                format!("{to} may exist; {from} is deleted only after its copy is complete"),
            )
        };
        session.say(done.map_err(stopped)??.text);
        Ok(())
    }

    async fn folder(&self, session: &Session) -> Result<(), Failure> {
        let (from, to) = (self.args.from.clone().into_folder(), self.args.to.clone().into_folder());
        check_apart(&from, &to)?;
        let lengths = folder_listing::lengths(&self.client, &from, &self.args.filter);
        let mut summary = Summary::default().measured_by(lengths);
        let objects = folder_listing::objects(&self.client, &from, self.args.filter.clone());
        let to = &to;
        let copy = |Listed { object, relative }: Listed| async move {
            if let Some(skipped) = Skip::folder_marker(&self.client, &object).await {
                return skipped;
            }
            let name = object.to_string();
            let copied = async {
                let from: S3Uri = name.parse().map_err(Failure::usage)?;
                self.copy(&from, &to.below(&relative)?).await
            };
            match copied.await {
                Ok(Done { text, bytes, is_loss: false }) => Outcome::Done(text, bytes),
                Ok(Done { text, bytes, is_loss: true }) => Outcome::Noted(text, bytes),
                Err(failure) => Outcome::Failed(name, failure),
            }
        };
        let done = unless_stopped(summary.run(session, objects, &self.engine, copy)).await;
        let (objects, bytes) = (Counted(summary.done, "object"), Counted(summary.bytes, "byte"));
        if summary.all() > 0 {
            session.say(format!("{} {objects} of {from} to {to} ({bytes}){summary}", self.verb()));
        }
        let unfinished = Unfinished::new(
            "the remaining objects are unchanged; rerun the command to continue",
            "to continue",
            this_command_line(),
        );
        unfinished.check(done)?;
        summary.some("object", &from)?;
        summary.result("object")
    }

    fn verb(&self) -> &'static str {
        match (self.args.dry_run, &self.source) {
            (true, Source::Kept { .. }) => "would copy",
            (true, Source::Deleted { .. }) => "would move",
            (false, Source::Kept { .. }) => "copied",
            (false, Source::Deleted { .. }) => "moved",
        }
    }

    /// Copies one object, and deletes the source of a move.
    async fn copy(&self, from: &S3Uri, to: &S3Uri) -> Result<Done, Failure> {
        let described =
            |bytes| format!("{} {from} to {to} ({})", self.verb(), Counted(bytes, "byte"));
        let version_id = match &self.source {
            Source::Kept { version_id } => version_id.as_deref(),
            Source::Deleted { .. } => None,
        };
        let mut head = self.client.head().uri(from);
        if let Some(version_id) = version_id {
            head = head.version_id(version_id);
        }
        let e_tag = match head.send().await {
            // No key of such an object is bound to a place, so a plain copy is as good.
            Ok(info) if info.envelope().is_some() => {
                let error = format!("{from} is an object of the S3 Encryption Client");
                let advice =
                    "copy it with any S3 tool, or migrate it with `sealwax reencrypt --to native`";
                return Err(Failure::new(Exit::Failed, error, advice));
            }
            Ok(info) if self.args.dry_run => {
                let bytes = info.plaintext_len();
                return Ok(Done { text: described(bytes), bytes, is_loss: false });
            }
            Ok(info) => info.e_tag,
            // A move that was interrupted may have left a sidecar: the next run deletes it.
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && matches!(self.source, Source::Deleted { .. })
                    && !self.args.dry_run =>
            {
                None
            }
            Err(error) => return Err(of_one(error, from)),
        };
        let stored = &self.args.stored;
        let copy = self.client.copy().source_uri(from).uri(to);
        let copy = copy.override_attributes(stored.attributes());
        let mut copy = stored
            .metadata()?
            .iter()
            .fold(copy, |copy, Pair { name, value }| copy.metadata(name, value));
        if let Some(keyring) = &self.under {
            copy = copy.keyring(Arc::clone(keyring));
        }
        if let Some(count) = self.args.at_least {
            copy = copy.wrap_policy(WrapPolicy::AtLeast(count.into()));
        }
        if let Some(version_id) = version_id {
            copy = copy.source_version_id(version_id);
        }
        if let Some(e_tag) = e_tag {
            copy = copy.source_if_match(e_tag);
        }
        if self.args.no_overwrite {
            self.check_absent(to).await?;
            copy = copy.if_none_match("*");
        }
        copy = self.args.accept_place.iter().fold(copy, |copy, place| copy.accept_place(place));
        let (copied, result) = match self.source {
            Source::Kept { .. } => (Copied::new(from, to, &copy.send().await?), Ok(())),
            Source::Deleted { unproven } => {
                let movement = copy.delete_source();
                let movement = if unproven { movement.allow_unproven() } else { movement };
                let half = movement.copy().await.map_err(|error| of_one(error, from))?;
                let mut copied = Copied::new(from, to, half.output());
                let result = half.delete_source().await;
                copied.source_deleted = result.is_ok();
                (copied, result.map(drop))
            }
        };
        let bytes = copied.bytes;
        let mut text = described(bytes);
        if let Some(losses) = &copied.losses {
            text.push_str(&format!("; {losses}"));
        }
        if self.under.is_some() {
            text.push_str(&format!("; keys: {}", copied.keys.join(", ")));
        }
        if self.args.json {
            print_json(&copied);
        }
        result?;
        Ok(Done { text, bytes, is_loss: copied.losses.is_some() })
    }

    /// Fails if the destination exists: some S3-compatible stores ignore this condition of a copy.
    async fn check_absent(&self, uri: &S3Uri) -> Result<(), Failure> {
        match self.client.s3().head_object().bucket(uri.bucket()).key(uri.key()).send().await {
            Ok(_) => {
                let advice = "omit --no-overwrite to replace it, or choose another destination";
                Err(Failure::new(Exit::Conflict, format!("{uri} already exists"), advice))
            }
            Err(_) => Ok(()),
        }
    }
}

/// Fails if a folder would be copied into itself, which would never end.
pub(super) fn check_apart(from: &Prefix, to: &Prefix) -> Result<(), Failure> {
    if from.bucket == to.bucket && to.key.starts_with(&from.key) {
        return Err(Failure::usage(format!("cannot copy {from} into itself: {to} is inside it")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_not_copied_into_itself() {
        let apart = |from: &str, to: &str| {
            let folder = |text: &str| text.parse::<Prefix>().expect("a prefix").into_folder();
            check_apart(&folder(from), &folder(to)).is_ok()
        };
        for (from, to, expected) in [
            ("s3://b/a", "s3://b/c", true),
            ("s3://b/a", "s3://b/ab", true),
            ("s3://b/a/c", "s3://b/a", true),
            ("s3://b", "s3://c/a", true),
            ("s3://b/a", "s3://b/a/", false),
            ("s3://b/a", "s3://b/a/c", false),
            ("s3://b", "s3://b/c", false),
        ] {
            assert_eq!(apart(from, to), expected, "{from} {to}");
        }
    }
}
