//! `sealwax cp` and `sealwax mv`.

mod args;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sealwax_s3::{
    Error, ErrorKind, KmsKeyring, ObjectInfo, S3Uri, SealedClient,
    envelope::{EncryptedDataKey, Keyring},
};

use self::args::CopyArgs;
pub(crate) use self::args::{CpArgs, MvArgs};
use super::reencrypt::none_may_be_used;
use crate::{
    args::{Prefix, name_of},
    bulk::{Outcome, Summary},
    failure::{Exit, Failure, of_one},
    folder_listing::{self, Listed},
    interrupt::unless_stopped,
    session::Session,
    terminal_text::Counted,
};

/// Treatment of the source after its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Kept,
    Deleted,
}

/// Copies or moves objects.
pub(super) async fn run(session: &Session, args: CopyArgs, source: Source) -> Result<(), Failure> {
    let reading = session.keyrings().reading(args.reader.clone()).await?;
    let client = session.client_of(&args.from.bucket, Arc::clone(&reading));
    let under = match args.under.is_empty() {
        true => None,
        false => Some(session.keyrings().writing(args.under.clone(), None)?),
    };
    let keyrings = Keyrings {
        session: session.clone(),
        reading,
        under,
        shared: session.keyrings().empty(),
        known: Mutex::default(),
    };
    let copier = Copier { client, keyrings, args, source };
    match copier.args.recursive {
        true => copier.folder(session).await,
        false => copier.one(session).await,
    }
}

/// Copies objects with one client.
struct Copier {
    client: SealedClient,
    keyrings: Keyrings,
    args: CopyArgs,
    source: Source,
}

impl Copier {
    async fn one(&self, session: &Session) -> Result<(), Failure> {
        let CopyArgs { from, to, .. } = &self.args;
        if from.is_folder() {
            return Err(Failure::usage(format!("{from} is a folder: --recursive is required")));
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
        let (text, _) = done.map_err(stopped)??;
        session.say(text);
        Ok(())
    }

    async fn folder(&self, session: &Session) -> Result<(), Failure> {
        let (from, to) = (self.args.from.clone().into_folder(), self.args.to.clone().into_folder());
        check_apart(&from, &to)?;
        let mut summary = Summary::default();
        let objects = folder_listing::objects(self.client.s3(), &from, self.args.filter.clone());
        let to = &to;
        let copy = |Listed { object, relative }: Listed| async move {
            let name = object.to_string();
            let copied = async {
                let from: S3Uri = name.parse().map_err(Failure::usage)?;
                self.copy(&from, &to.below(&relative)?).await
            };
            match copied.await {
                Ok((text, bytes)) => Outcome::Done(text, bytes),
                Err(failure) => Outcome::Failed(name, failure),
            }
        };
        let done =
            unless_stopped(summary.run(session, objects, self.args.concurrency.into(), copy)).await;
        let (objects, bytes) = (Counted(summary.done, "object"), Counted(summary.bytes, "byte"));
        if summary.all() > 0 {
            session.say(format!("{} {objects} of {from} to {to} ({bytes}){summary}", self.verb()));
        }
        let stopped = |signal| {
            Failure::stopped(
                signal,
                "the remaining objects are unchanged; rerun the command to continue",
            )
        };
        done.map_err(stopped)??;
        summary.some("object", &from)?;
        summary.result("object")
    }

    fn verb(&self) -> &'static str {
        match (self.args.dry_run, self.source) {
            (true, Source::Kept) => "would copy",
            (true, Source::Deleted) => "would move",
            (false, Source::Kept) => "copied",
            (false, Source::Deleted) => "moved",
        }
    }

    /// Copies one object, and deletes the source of a move. Returns a message and the plaintext's
    /// length.
    async fn copy(&self, from: &S3Uri, to: &S3Uri) -> Result<(String, u64), Failure> {
        let info =
            self.client.head().uri(from).send().await.map_err(|error| of_one(error, from))?;
        let (bytes, keyring) = (info.plaintext_len(), self.keyrings.of(from, &info)?);
        let text = format!("{} {from} to {to} ({})", self.verb(), Counted(bytes, "byte"));
        if self.args.dry_run {
            return Ok((text, bytes));
        }
        let mut copy = self.client.copy().source_uri(from).uri(to).keyring(keyring);
        if let Some(e_tag) = &info.e_tag {
            copy = copy.source_if_match(e_tag);
        }
        if self.args.no_overwrite {
            self.check_absent(to).await?;
            copy = copy.if_none_match("*");
        }
        copy = self.args.accept_place.iter().fold(copy, |copy, place| copy.accept_place(place));
        copy.send().await?;
        if self.source == Source::Deleted {
            self.delete(from, &info).await.map_err(|error| {
                Failure::from(error)
                    .and(&format!("; it was copied to {to}, and the source still exists"))
            })?;
        }
        Ok((text, bytes))
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

    /// Deletes the copied source, unless another object has been stored there since.
    async fn delete(&self, from: &S3Uri, copied: &ObjectInfo) -> Result<(), Error> {
        let delete = self.client.delete().uri(from);
        let Some(e_tag) = &copied.e_tag else { return delete.send().await.map(drop) };
        match delete.clone().if_match(e_tag).send().await {
            Ok(_) => Ok(()),
            // Some stores don't support this condition. Another write between these two calls goes
            // unnoticed.
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                match self.client.head().uri(from).if_match(e_tag).send().await {
                    Ok(now) if now.e_tag == copied.e_tag => delete.send().await.map(drop),
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

/// Fails if a folder would be copied into itself, which would never end.
fn check_apart(from: &Prefix, to: &Prefix) -> Result<(), Failure> {
    if from.bucket == to.bucket && to.key.starts_with(&from.key) {
        return Err(Failure::usage(format!("cannot copy {from} into itself: {to} is inside it")));
    }
    Ok(())
}

/// Keyrings to wrap under: the one of `--under`, else one for each set of source keys.
struct Keyrings {
    session: Session,
    reading: Arc<dyn Keyring>,
    under: Option<Arc<dyn Keyring>>,
    shared: KmsKeyring,
    known: Mutex<HashMap<Vec<String>, Arc<dyn Keyring>>>,
}

impl Keyrings {
    fn of(&self, uri: &S3Uri, source: &ObjectInfo) -> Result<Arc<dyn Keyring>, Failure> {
        if let Some(under) = &self.under {
            return Ok(Arc::clone(under));
        }
        let names: Vec<_> =
            source.keys().iter().map(EncryptedDataKey::wrapping_key).map(str::to_owned).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keyring) = known.get(&names) {
            return Ok(Arc::clone(keyring));
        }
        let keyring =
            self.session.keyrings().same_keys(source.keys(), &*self.reading, &self.shared);
        let keyring = keyring.ok_or_else(|| none_may_be_used(uri))?;
        known.insert(names, Arc::clone(&keyring));
        Ok(keyring)
    }
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
