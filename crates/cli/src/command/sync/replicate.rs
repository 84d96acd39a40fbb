//! From one place in S3 to another.

use std::sync::Arc;

use futures_util::Stream;
use sealwax_s3::{
    CopyObjectOutput, Error, ErrorKind, ListedObject, ObjectInfo, SealedClient, WrapPolicy,
    envelope::{CachingKeyring, Keyring},
};
use tokio::sync::Semaphore;

use super::{
    args::SyncArgs,
    pass::{Direction, Pass, Sides},
    record::Change,
    there::ObjectsThere,
};
use crate::{
    args::Prefix,
    bulk::{Outcome, Skip},
    command::{
        copy::check_apart,
        put::{Expected, changed_since},
    },
    comparison::{are_same, is_other, stored_at},
    failure::Failure,
    folder_listing::{self, Listed},
    session::Session,
    terminal_text::Counted,
};

/// Memory for bodies that pass through, in bytes, beside that of the uploads.
const BUDGET: usize = 128 << 20;
/// Maximum share of one object, in bytes.
const MAX_OF_ONE: u64 = 16 << 20;
/// Unit of the budget, in bytes.
const UNIT: u64 = 64 << 10;

/// Two prefixes, of which the second becomes equal to the first.
pub(super) struct Replication {
    from: Prefix,
    client: SealedClient,
    to: ObjectsThere,
    /// The keyring of `--under`.
    under: Option<Arc<dyn Keyring>>,
    /// `true` if one store has both, and copies the bodies.
    is_one_store: bool,
    budget: Semaphore,
}

impl Replication {
    pub(super) async fn new(
        session: &Session,
        args: &SyncArgs,
        from: &Prefix,
        to: &Prefix,
    ) -> Result<Self, Failure> {
        for (is_given, option) in [
            (args.pass_unencrypted, "--pass-unencrypted"),
            (!args.context.is_empty(), "--context"),
            (args.key_cache, "--key-cache"),
        ] {
            if is_given {
                return Err(Failure::usage(format!("{option} requires a folder as one side")));
            }
        }
        session.check_bucket_named(&to.bucket)?;
        let is_one_store = args.there.is_here();
        if is_one_store {
            check_apart(from, to)?;
            // Deletions at the destination would reach the source.
            check_apart(to, from)?;
        }
        let elsewhere = match is_one_store {
            true => session.clone(),
            false => session.elsewhere(&args.there).await?,
        };
        let reading = session.keyrings().reading(args.reader()?).await?;
        let client = session.client_of(&from.bucket, CachingKeyring::new(reading));
        // Another account's or provider's credentials may open nothing.
        let reading_there = match args.check {
            true => elsewhere.keyrings().reading(args.reader()?).await?,
            false => Arc::new(elsewhere.keyrings().empty()),
        };
        let there = elsewhere.client_of(&to.bucket, reading_there);
        let under = match args.under.is_empty() {
            true => None,
            false => {
                let keys = elsewhere.resolve_kms(&args.under).await?;
                Some(elsewhere.keyrings().writing(keys, args.at_least)?)
            }
        };
        Ok(Self {
            from: from.clone(),
            client,
            to: ObjectsThere::new(&elsewhere, to.clone(), there),
            under,
            is_one_store,
            budget: Semaphore::new(BUDGET / UNIT as usize),
        })
    }

    async fn copy(
        &self,
        pass: &Pass<'_>,
        Listed { object, relative }: Listed,
        there: Option<Listed>,
    ) -> Result<Outcome, Failure> {
        if let Some(skipped) = Skip::folder_marker(&object) {
            return Ok(skipped);
        }
        let (name, uri) = (object.to_string(), self.to.prefix.below(&relative)?);
        if let Some(there) = &there
            && self.is_unchanged(pass, (&object, &there.object)).await?
        {
            return Ok(Outcome::Unchanged(format!("skipped {name}: unchanged")));
        }
        let mut change = Change {
            action: Direction::Copy.action(),
            result: "planned",
            source: Some(name.clone()),
            destination: Some(uri.to_string()),
            ..Change::default()
        };
        if pass.args.dry_run {
            return Ok(pass.changed(format!("would copy {name} to {uri}"), &change));
        }
        let units = object.size.unwrap_or(MAX_OF_ONE).min(MAX_OF_ONE).div_ceil(UNIT).max(1);
        let _room = match self.is_one_store {
            true => None,
            false => Some(self.budget.acquire_many(units as u32).await.map_err(Failure::other)?),
        };
        let mut expected = self.to.expected(there.as_ref().map(|there| &there.object));
        let copied = loop {
            let copy = match self.is_one_store {
                true => self.client.copy(),
                false => self.client.copy_to(&self.to.client),
            };
            let mut copy = copy.source_bucket(&object.bucket).source_key(&object.key).uri(&uri);
            if let Some(keyring) = &self.under {
                copy = copy.keyring(Arc::clone(keyring));
            } else if let Some(count) = pass.args.at_least {
                copy = copy.wrap_policy(WrapPolicy::AtLeast(count.into()));
            }
            copy = match &expected {
                Expected::ETag(e_tag) => copy.if_match(e_tag),
                Expected::Absent | Expected::NoObject => copy.if_none_match("*"),
                Expected::Any => copy,
            };
            match copy.send().await {
                Ok(copied) => break copied,
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotSealed | ErrorKind::Shredded) =>
                {
                    return Skip::or_failed(&self.client, &object, error).await;
                }
                Err(error) => {
                    let failure = Failure::from(error);
                    if !self.to.refused_condition(pass.session, &failure, &expected) {
                        let is_conflict = failure.kind() == Some(ErrorKind::Conflict);
                        return Err(match is_conflict && expected != Expected::Any {
                            true => changed_since(failure, &uri),
                            false => failure,
                        });
                    }
                    expected = Expected::Any;
                }
            }
        };
        let bytes = copied.source.plaintext_len();
        let mut text = format!("copied {name} to {uri} ({})", Counted(bytes, "byte"));
        let losses = copied.lost_keys();
        if let Some(losses) = &losses {
            text.push_str(&format!("; {losses}"));
        }
        let CopyObjectOutput { e_tag, version_id, header, report, .. } = copied;
        change.result = "done";
        change.bytes = Some(bytes);
        (change.e_tag, change.version_id) = (e_tag, version_id);
        change.keys = header.keys().iter().map(|key| key.wrapping_key().to_owned()).collect();
        change.missing = report.missing;
        change.message = losses.clone();
        Ok(match pass.changed(text, &change) {
            Outcome::Done(text, bytes) if losses.is_some() => Outcome::Noted(text, bytes),
            outcome => outcome,
        })
    }

    /// `true` if the destination has the source's content already.
    ///
    /// By the listing: the same length and entity tag, stored there after it was stored here. If that
    /// is not so, by what metadata says of the content; or, if it is wanted, by the content itself.
    async fn is_unchanged(
        &self,
        pass: &Pass<'_>,
        (here, there): (&ListedObject, &ListedObject),
    ) -> Result<bool, Failure> {
        if here.size.is_none() || here.size != there.size {
            return Ok(false);
        }
        let compared = if pass.args.check {
            self.have_same_plaintext(here, there).await
        } else if stored_at(here) <= stored_at(there)
            && here.e_tag.is_some()
            && here.e_tag == there.e_tag
        {
            return Ok(true);
        } else {
            self.have_same_metadata(here, there).await
        };
        match compared {
            // The copy says what is wrong with the source.
            Err(error) if is_other(&error) => Ok(false),
            same => Ok(same?),
        }
    }

    async fn have_same_plaintext(
        &self,
        here: &ListedObject,
        there: &ListedObject,
    ) -> Result<bool, Error> {
        let get = |client: &SealedClient, object: &ListedObject| {
            client.get().bucket(&object.bucket).key(&object.key).send()
        };
        let there = get(&self.to.client, there).await?.into_stream();
        are_same(get(&self.client, here).await?.into_stream(), there).await
    }

    async fn have_same_metadata(
        &self,
        here: &ListedObject,
        there: &ListedObject,
    ) -> Result<bool, Error> {
        let head = |client: &SealedClient, object: &ListedObject| {
            client.head().bucket(&object.bucket).key(&object.key).send()
        };
        let there = head(&self.to.client, there).await?;
        Ok(is_same_content(&head(&self.client, here).await?, &there))
    }
}

fn is_same_content(one: &ObjectInfo, other: &ObjectInfo) -> bool {
    one.content_id().is_some()
        && one.content_id() == other.content_id()
        && one.metadata == other.metadata
}

impl Sides for Replication {
    type Source = Listed;
    type Destination = Listed;

    const DIRECTION: Direction = Direction::Copy;

    fn sources<'a>(
        &'a self,
        pass: &'a Pass<'_>,
    ) -> impl Stream<Item = Result<Listed, Failure>> + Send + 'a {
        folder_listing::objects(self.client.s3(), &self.from, pass.args.filter.clone())
    }

    fn destinations<'a>(
        &'a self,
        pass: &'a Pass<'_>,
    ) -> impl Stream<Item = Result<Listed, Failure>> + Send + 'a {
        self.to.objects(&pass.args.filter)
    }

    async fn transfer(&self, pass: &Pass<'_>, object: Listed, there: Option<Listed>) -> Outcome {
        let name = object.object.to_string();
        let done = self.copy(pass, object, there).await;
        done.unwrap_or_else(|failure| Outcome::Failed(name, failure))
    }

    async fn kept(&self, extra: &Listed) -> Result<Option<Skip>, Failure> {
        self.to.kept(&extra.object).await
    }

    async fn delete(&self, extra: &Listed) -> Result<(), Failure> {
        self.to.delete(&extra.object).await
    }

    fn name(&self, extra: &Listed) -> String {
        extra.object.to_string()
    }

    async fn settle(&self, session: &Session) -> Result<(), Failure> {
        self.to.settle(session).await?;
        session.report_unclaimed(&self.client);
        Ok(())
    }
}
