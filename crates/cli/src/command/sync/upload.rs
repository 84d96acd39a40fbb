//! From a folder to S3.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::Stream;
use sealwax_s3::{
    ErrorKind, ListedObject, SealedClient, ServerClock, envelope::CachingKeyring,
    s3ec::INSTRUCTION_FILE_SUFFIX,
};
use tokio::task::spawn_blocking;

use super::{
    args::SyncArgs,
    pass::{Direction, Pass, Sides},
    record::Change,
};
use crate::{
    args::{Prefix, encryption_context},
    bulk::{Outcome, Skip},
    command::put::{Expected, PutDone, PutSettings, Putter, missing},
    comparison::{ByListing, Comparison, StoreTimes},
    failure::{Exit, Failure},
    folder_listing::{self, Listed},
    interrupt::unless_stopped,
    local_files::LocalFile,
    session::Session,
    terminal_text::Counted,
};

/// Most uploads of a file that changes each time before its object is stored.
const MAX_UPLOADS: usize = 3;

/// A folder and the prefix that becomes equal to it.
pub(super) struct Upload {
    from: PathBuf,
    to: ObjectsThere,
    putter: Putter,
}

/// The objects of a destination in S3.
pub(super) struct ObjectsThere {
    pub(super) prefix: Prefix,
    pub(super) client: SealedClient,
    /// Lists the objects, and reads the store's clock from the answers.
    pub(super) listing: aws_sdk_s3::Client,
    clock: ServerClock,
    /// Suffix of sidecars.
    sidecars: String,
    /// `true` once the store refused the condition of a write.
    has_no_conditions: AtomicBool,
}

impl Upload {
    pub(super) fn new(
        session: &Session,
        args: &SyncArgs,
        from: &Path,
        to: &Prefix,
    ) -> Result<Self, Failure> {
        match fs::metadata(from) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let failure = Failure::usage(format!("{} is not a folder", from.display()));
                return Err(failure.advise("store a single file with `sealwax put`"));
            }
            Err(error) => {
                return Err(Failure::io(&format!("cannot read {}", from.display()), error));
            }
        }
        if args.pass_unencrypted {
            return Err(Failure::usage("--pass-unencrypted requires a download"));
        }
        let keyring = session.keyrings().writing(args.keys.clone(), args.at_least)?;
        let client = match args.key_cache {
            true => session.client_of(&to.bucket, CachingKeyring::new(Arc::clone(&keyring))),
            false => session.client_of(&to.bucket, Arc::clone(&keyring)),
        };
        let settings =
            PutSettings { stored: args.stored.clone(), resume: false, dry_run: args.dry_run };
        let context = encryption_context(args.context.clone())?;
        let there = ObjectsThere::new(session, to.clone(), client.clone());
        let putter = Putter::new(client, keyring, context, settings);
        Ok(Self { from: from.to_owned(), to: there, putter })
    }

    async fn put(
        &self,
        pass: &Pass<'_>,
        file: LocalFile,
        object: Option<Listed>,
    ) -> Result<Outcome, Failure> {
        let (path, uri) = (file.path.display().to_string(), self.to.prefix.below(&file.relative)?);
        let unchanged = || Outcome::Unchanged(format!("skipped {path}: unchanged"));
        let mut comparison = match (&object, file.state) {
            (Some(_), _) if pass.args.check => Comparison::Content,
            (Some(there), Some(state)) => {
                match self.to.times().file_with_its_object(&state, &there.object) {
                    ByListing::Unchanged => return Ok(unchanged()),
                    ByListing::Differs => Comparison::None,
                    ByListing::Unknown => Comparison::Metadata,
                }
            }
            (Some(_), None) => Comparison::Metadata,
            (None, _) => Comparison::None,
        };
        let mut expected = self.to.expected(object.as_ref().map(|there| &there.object));
        for _ in 0..MAX_UPLOADS {
            let put = self.putter.put(file.clone(), &uri, comparison, expected.clone()).await;
            let (output, state) = match put {
                Err(failure) if self.to.refused_condition(pass.session, &failure, &expected) => {
                    expected = Expected::Any;
                    continue;
                }
                Err(failure) => return Err(failure),
                Ok(PutDone::Unchanged) => return Ok(unchanged()),
                Ok(PutDone::Planned(len)) => {
                    let change = Change {
                        action: Direction::Upload.action(),
                        result: "planned",
                        source: Some(path.clone()),
                        destination: Some(uri.to_string()),
                        bytes: Some(len),
                        ..Change::default()
                    };
                    return Ok(pass.changed(format!("would seal {path} as {uri}"), &change));
                }
                Ok(PutDone::Stored(output, state)) => (output, state),
            };
            let again = file.clone();
            let now = spawn_blocking(move || again.state_now()).await.map_err(Failure::other)?;
            // The next pass would take the file for older than its object. One that is gone is up to
            // the next pass.
            if now.is_ok_and(|now| now != state) {
                comparison = Comparison::None;
                expected = output.e_tag.clone().map_or(Expected::Any, Expected::ETag);
                continue;
            }
            let bytes = output.plaintext_len;
            let text = format!("sealed {path} as {uri} ({})", Counted(bytes, "byte"));
            let keys = output.header.keys().iter().map(|key| key.wrapping_key().to_owned());
            let change = Change {
                action: Direction::Upload.action(),
                result: "done",
                source: Some(path),
                destination: Some(uri.to_string()),
                bytes: Some(bytes),
                version_id: output.version_id.clone(),
                e_tag: output.e_tag.clone(),
                keys: keys.collect(),
                missing: missing(&output),
                message: None,
            };
            return Ok(pass.changed(text, &change));
        }
        let error = "it changes again and again while it is being uploaded";
        Err(Failure::new(Exit::Conflict, error, "rerun the command when no program writes it"))
    }
}

impl Sides for Upload {
    type Source = LocalFile;
    type Destination = Listed;

    const DIRECTION: Direction = Direction::Upload;

    fn sources<'a>(
        &'a self,
        pass: &'a Pass<'_>,
    ) -> impl Stream<Item = Result<LocalFile, Failure>> + Send + 'a {
        pass.files(&self.from, !pass.args.no_follow_symlinks)
    }

    fn destinations<'a>(
        &'a self,
        pass: &'a Pass<'_>,
    ) -> impl Stream<Item = Result<Listed, Failure>> + Send + 'a {
        let filter = pass.args.filter.clone();
        folder_listing::objects(&self.to.listing, &self.to.prefix, filter)
    }

    async fn transfer(&self, pass: &Pass<'_>, file: LocalFile, object: Option<Listed>) -> Outcome {
        let path = file.path.display().to_string();
        let done = self.put(pass, file, object).await;
        done.unwrap_or_else(|failure| Outcome::Failed(path, failure))
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
        let result = self.to.settle(session).await;
        self.putter.report_lacking(session);
        result
    }
}

impl ObjectsThere {
    pub(super) fn new(session: &Session, prefix: Prefix, client: SealedClient) -> Self {
        let clock = ServerClock::default();
        let config = session.s3().config().to_builder().interceptor(clock.clone()).build();
        Self {
            prefix,
            client,
            listing: aws_sdk_s3::Client::from_conf(config),
            clock,
            sidecars: session.sidecars().unwrap_or(".sealwax").to_owned(),
            has_no_conditions: AtomicBool::new(false),
        }
    }

    /// Returns the times of the listing, by the local clock.
    pub(super) fn times(&self) -> StoreTimes {
        StoreTimes { local_ahead: self.clock.local_ahead_secs().unwrap_or_default() }
    }

    /// Returns the state of the destination of a write, as it was listed.
    pub(super) fn expected(&self, object: Option<&ListedObject>) -> Expected {
        if self.has_no_conditions.load(Ordering::Relaxed) {
            return Expected::Any;
        }
        match object {
            None => Expected::Absent,
            Some(object) => quoted(object).map_or(Expected::Any, Expected::ETag),
        }
    }

    /// `true` if the store does not know the condition of a write, which is then made without.
    pub(super) fn refused_condition(
        &self,
        session: &Session,
        failure: &Failure,
        expected: &Expected,
    ) -> bool {
        if failure.kind() != Some(ErrorKind::Unsupported) || *expected == Expected::Any {
            return false;
        }
        if !self.has_no_conditions.swap(true, Ordering::Relaxed) {
            session.say(
                "warning: the store knows no conditional writes: what other programs store \
                 meanwhile is overwritten",
            );
        }
        true
    }

    /// Returns why an object that only the destination has is not to be deleted.
    pub(super) async fn kept(&self, object: &ListedObject) -> Result<Option<Skip>, Failure> {
        if object.is_folder_marker() || object.key.ends_with('/') {
            return Ok(Some(Skip::FolderMarker));
        }
        let key = &object.key;
        if !key.ends_with(&self.sidecars) && !key.ends_with(INSTRUCTION_FILE_SUFFIX) {
            return Ok(None);
        }
        match self.client.inspect().bucket(&object.bucket).key(key).send().await {
            Ok(inspected) => Ok(match inspected.kind {
                sealwax_s3::ObjectKind::Sidecar => Some(Skip::Sidecar),
                sealwax_s3::ObjectKind::InstructionFile => Some(Skip::InstructionFile),
                _ => None,
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an object that has not changed since it was listed.
    pub(super) async fn delete(&self, object: &ListedObject) -> Result<(), Failure> {
        let delete = || self.client.delete().bucket(&object.bucket).key(&object.key);
        let conditional = match quoted(object) {
            Some(e_tag) if !self.has_no_conditions.load(Ordering::Relaxed) => {
                delete().if_match(e_tag)
            }
            _ => delete(),
        };
        match conditional.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                delete().send().await?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until uploads that were given up are aborted, and reports those that may be left.
    pub(super) async fn settle(&self, session: &Session) -> Result<(), Failure> {
        let settled = unless_stopped(self.client.settle()).await;
        session.report_unclaimed(&self.client);
        settled.map_err(|signal| Failure::stopped(signal, "incomplete uploads may be left"))
    }
}

/// Returns the object's entity tag as a header has it.
fn quoted(object: &ListedObject) -> Option<String> {
    let e_tag = object.e_tag.as_deref()?.trim_matches('"');
    Some(format!("\"{e_tag}\""))
}
