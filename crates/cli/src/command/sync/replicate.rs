//! From one place in S3 to another.

use std::sync::Arc;

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
    comparison::{Differences, are_same, has_keys_of, is_other, stored_at, tags_of},
    failure::Failure,
    folder_listing::{self, Listed},
    session::Session,
    state_directory::CopyStates,
    terminal_text::Counted,
};
use futures_util::Stream;
use sealwax_s3::{
    CopyObjectOutput, Error, ErrorKind, ListedObject, ObjectInfo, SealedClient, WrapPolicy,
    envelope::{CachingKeyring, Keyring},
};

/// Two prefixes, of which the second becomes equal to the first.
pub(super) struct Replication {
    from: Prefix,
    client: SealedClient,
    to: ObjectsThere,
    /// The keyring of `--under`.
    under: Option<Arc<dyn Keyring>>,
    /// `true` if one store has both, and copies the bodies.
    is_one_store: bool,
    /// State files of the uploads by which bodies pass through.
    states: Option<CopyStates>,
}

impl Replication {
    pub(super) async fn new(
        session: &Session,
        args: &SyncArgs,
        from: &Prefix,
        to: &Prefix,
    ) -> Result<Self, Failure> {
        for (is_given, option) in
            [(args.pass_unencrypted, "--pass-unencrypted"), (!args.context.is_empty(), "--context")]
        {
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
        let states = match is_one_store || args.dry_run {
            true => None,
            false => {
                let endpoint = elsewhere.s3_endpoint();
                let journal = args.journal.as_deref();
                Some(CopyStates::new(journal, endpoint.as_deref(), &to.bucket)?)
            }
        };
        let under = match args.under.is_empty() {
            true => None,
            false => {
                let keys = elsewhere.resolve_kms(&args.under).await?;
                let keyring = elsewhere.keyrings().writing(keys, args.at_least)?;
                Some(args.cache.onto(&elsewhere.key_store(), keyring)?)
            }
        };
        Ok(Self {
            from: from.clone(),
            client,
            to: ObjectsThere::new(&elsewhere, to.clone(), there),
            under,
            is_one_store,
            states,
        })
    }

    async fn copy(
        &self,
        pass: &Pass<'_>,
        Listed { object, relative }: Listed,
        there: Option<Listed>,
    ) -> Result<Outcome, Failure> {
        if let Some(skipped) = Skip::folder_marker(&self.client, &object).await {
            return Ok(skipped);
        }
        let (name, uri) = (object.to_string(), self.to.prefix.below(&relative)?);
        if let Some(there) = &there {
            let both = (&object, &there.object);
            if !pass.args.check && is_unchanged_by_listing(both) {
                let look = async { self.compare_metadata(both).await.ok() };
                return Ok(pass.unchanged_by_listing(Direction::Copy, (&name, &uri), look).await);
            }
            if self.is_unchanged(pass, both).await? {
                return Ok(Outcome::Unchanged(format!("skipped {name}: unchanged")));
            }
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
        let mut expected = self.to.expected(there.as_ref().map(|there| &there.object));
        let copied = loop {
            let copy = match self.is_one_store {
                true => self.client.copy(),
                false => self.client.copy_to(&self.to.client),
            };
            let mut copy = copy.source_bucket(&object.bucket).source_key(&object.key).uri(&uri);
            if let Some(states) = &self.states {
                copy = copy.state_file(states.path_for(uri.key()));
            }
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
        self.to.stored(bytes);
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

    /// `true` if the destination has the source's content already, by what metadata says of it; or, if
    /// it is wanted, by the content itself, with its attributes and wrapping keys.
    async fn is_unchanged(
        &self,
        pass: &Pass<'_>,
        both: (&ListedObject, &ListedObject),
    ) -> Result<bool, Failure> {
        let (here, there) = both;
        if here.size.is_none() || here.size != there.size {
            return Ok(false);
        }
        let compared = match pass.args.check {
            true => self.are_same_in_all(both).await,
            false => self.have_same_metadata(both).await,
        };
        match compared {
            // The copy says what is wrong with the source.
            Err(error) if is_other(&error) => Ok(false),
            same => Ok(same?),
        }
    }

    async fn are_same_in_all(
        &self,
        (here, there): (&ListedObject, &ListedObject),
    ) -> Result<bool, Error> {
        let get = |client: &SealedClient, object: &ListedObject| {
            client.get().bucket(&object.bucket).key(&object.key).send()
        };
        let (one, other) = (get(&self.client, here).await?, get(&self.to.client, there).await?);
        if !self.differences(one.info(), other.info()).is_empty() {
            return Ok(false);
        }
        let tags = |client, object: &ListedObject| {
            let (bucket, key) = (object.bucket.clone(), object.key.clone());
            async move { tags_of(client, (&bucket, &key)).await }
        };
        // A store without tags has none to compare.
        if let (Some(one), Some(other)) =
            (tags(&self.client, here).await, tags(&self.to.client, there).await)
            && one != other
        {
            return Ok(false);
        }
        are_same(one.into_stream(), other.into_stream()).await
    }

    async fn heads(
        &self,
        (here, there): (&ListedObject, &ListedObject),
    ) -> Result<(ObjectInfo, ObjectInfo), Error> {
        let head = |client: &SealedClient, object: &ListedObject| {
            client.head().bucket(&object.bucket).key(&object.key).send()
        };
        Ok((head(&self.client, here).await?, head(&self.to.client, there).await?))
    }

    async fn have_same_metadata(
        &self,
        both: (&ListedObject, &ListedObject),
    ) -> Result<bool, Error> {
        let (here, there) = self.heads(both).await?;
        Ok(is_same_content(&here, &there) && self.has_wanted_keys(&there))
    }

    async fn compare_metadata(
        &self,
        both: (&ListedObject, &ListedObject),
    ) -> Result<Differences, Error> {
        let (here, there) = self.heads(both).await?;
        Ok(self.differences(&here, &there))
    }

    /// `true` if the copy claims the wrapping keys of `--under`. Without that option, a source that was
    /// rewrapped has other keys than its copy.
    fn has_wanted_keys(&self, copy: &ObjectInfo) -> bool {
        self.under.as_ref().is_none_or(|keyring| has_keys_of(copy, &**keyring))
    }

    /// Returns in what a copy of the same content is not what this command would store.
    fn differences(&self, here: &ObjectInfo, there: &ObjectInfo) -> Differences {
        let headers = |info: &ObjectInfo| {
            let ObjectInfo { cache_control, content_disposition, content_encoding, .. } = info;
            let ObjectInfo { content_language, content_type, expires, .. } = info;
            let named = [cache_control, content_disposition, content_encoding];
            let others = [content_language, content_type, expires];
            [named, others].map(|headers| headers.map(Clone::clone))
        };
        let mut differences = Differences::default();
        differences.add(!self.has_wanted_keys(there), "wrapping keys");
        differences.add(headers(here) != headers(there), "content headers");
        differences.add(here.metadata != there.metadata, "metadata");
        differences
    }
}

/// `true` if the listings show that the destination has the source's content: the same length and
/// entity tag, stored there after it was stored here.
fn is_unchanged_by_listing((here, there): (&ListedObject, &ListedObject)) -> bool {
    here.size.is_some()
        && here.size == there.size
        && here.e_tag.is_some()
        && here.e_tag == there.e_tag
        && stored_at(here) <= stored_at(there)
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
        folder_listing::objects(&self.client, &self.from, pass.args.filter.clone())
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

    async fn settle(&self, session: &Session, is_whole: bool) -> Result<(), Failure> {
        self.to.settle(self.states.as_ref().filter(|_| is_whole)).await?;
        session.report_unclaimed(&self.client);
        Ok(())
    }
}
