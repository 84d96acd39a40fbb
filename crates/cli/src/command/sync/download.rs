//! From S3 to a folder.

use std::path::{Path, PathBuf};

use futures_util::{Stream, future::Either, stream};
use sealwax_files::{Folder, RelativePath};
use sealwax_s3::{ServerClock, UnencryptedObjects, aws_sdk_s3, envelope::CachingKeyring};
use tokio::task::spawn_blocking;

use super::{
    args::SyncArgs,
    pass::{Direction, Pass, Sides},
    record::Change,
};
use crate::{
    args::{Prefix, encryption_context},
    bulk::{Outcome, Skip},
    command::get::{ExpectedFile, GetDone, Getter},
    comparison::{ByListing, Comparison, StoreTimes},
    failure::{Exit, Failure},
    folder_listing::{self, Listed},
    lister::Lister,
    local_files::LocalFile,
    session::Session,
    terminal_text::Counted,
};

/// A prefix and the folder that becomes equal to it.
pub(super) struct Download {
    from: Prefix,
    to: PathBuf,
    listing: aws_sdk_s3::Client,
    clock: ServerClock,
    getter: Getter,
}

impl Download {
    pub(super) async fn new(
        session: &Session,
        args: &SyncArgs,
        from: &Prefix,
        to: &Path,
    ) -> Result<Self, Failure> {
        if args.at_least.is_some() {
            return Err(Failure::usage("--at-least requires an upload"));
        }
        // Objects under one intermediate key cost one call.
        let keyring = CachingKeyring::new(session.keyrings().reading(args.reader()?).await?);
        let mut client =
            session.client_builder_of(&from.bucket, keyring).s3ec(args.s3ec.settings()?);
        if args.pass_unencrypted {
            client = client.unencrypted(UnencryptedObjects::PassThrough);
        }
        let context = encryption_context(args.context.clone())?;
        let getter = Getter::new(client.build(), context, to.to_owned(), args.dry_run);
        let clock = ServerClock::default();
        let config = session.s3().config().to_builder().interceptor(clock.clone()).build();
        let listing = aws_sdk_s3::Client::from_conf(config);
        Ok(Self { from: from.clone(), to: to.to_owned(), listing, clock, getter })
    }

    async fn get(
        &self,
        pass: &Pass<'_>,
        Listed { object, relative }: Listed,
        file: Option<LocalFile>,
    ) -> Result<Outcome, Failure> {
        if let Some(skipped) = Skip::sealed_folder_marker(&self.getter.client, &object).await {
            return Ok(skipped);
        }
        let path = self.getter.path(&relative)?.0.display().to_string();
        let unchanged = || Outcome::Unchanged(format!("skipped {path}: unchanged"));
        let state = file.and_then(|file| file.state);
        let times = StoreTimes { local_ahead: self.clock.local_ahead_secs().unwrap_or_default() };
        let comparison = match &state {
            Some(_) if pass.args.check => Comparison::Content,
            Some(state) => match times.object_with_its_file(&object, state) {
                ByListing::Unchanged => return Ok(unchanged()),
                ByListing::Differs => Comparison::None,
                ByListing::Unknown => Comparison::Metadata,
            },
            None => Comparison::None,
        };
        let expected = ExpectedFile::Found(state);
        let change = |result, bytes| Change {
            action: Direction::Download.action(),
            result,
            source: Some(object.to_string()),
            destination: Some(path.clone()),
            bytes,
            ..Change::default()
        };
        Ok(match self.getter.get(&object, &relative, comparison, expected).await? {
            GetDone::Unchanged => unchanged(),
            GetDone::Skipped(outcome) => outcome,
            GetDone::Planned(len) => {
                pass.changed(format!("would open {object} as {path}"), &change("planned", len))
            }
            GetDone::Opened(info) => {
                let bytes = info.plaintext_len();
                let text = format!("opened {object} as {path} ({})", Counted(bytes, "byte"));
                let change = Change {
                    version_id: info.version_id.clone(),
                    e_tag: info.e_tag.clone(),
                    ..change("done", Some(bytes))
                };
                pass.changed(text, &change)
            }
        })
    }
}

impl Sides for Download {
    type Source = Listed;
    type Destination = LocalFile;

    const DIRECTION: Direction = Direction::Download;

    fn sources<'a>(
        &'a self,
        pass: &'a Pass<'_>,
    ) -> impl Stream<Item = Result<Listed, Failure>> + Send + 'a {
        let lister = Lister::new(&self.listing, self.getter.client.key_store());
        folder_listing::objects(lister, &self.from, pass.args.filter.clone())
    }

    fn destinations<'a>(
        &'a self,
        pass: &'a Pass<'_>,
    ) -> impl Stream<Item = Result<LocalFile, Failure>> + Send + 'a {
        // A folder that is to be created has no files.
        match self.to.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Either::Left(stream::empty())
            }
            _ => Either::Right(pass.files(&self.to, false)),
        }
    }

    async fn transfer(&self, pass: &Pass<'_>, object: Listed, file: Option<LocalFile>) -> Outcome {
        let name = object.object.to_string();
        let done = self.get(pass, object, file).await;
        done.unwrap_or_else(|failure| Outcome::Failed(name, failure))
    }

    async fn kept(&self, _: &LocalFile) -> Result<Option<Skip>, Failure> {
        Ok(None)
    }

    async fn delete(&self, extra: &LocalFile) -> Result<(), Failure> {
        let (root, path, state) = (self.to.clone(), extra.path.clone(), extra.state);
        let deleted = spawn_blocking(move || {
            let inside = RelativePath::below(&root, &path);
            match (inside, state) {
                (Some(inside), Some(state)) => Folder::open(&root)?.remove_file(&inside, &state),
                _ => Ok(false),
            }
        });
        match deleted.await.map_err(Failure::other)? {
            Ok(true) => Ok(()),
            Ok(false) => {
                let advice = "another program wrote it: rerun the command to compare it again";
                Err(Failure::new(Exit::Conflict, "it changed since it was listed", advice))
            }
            Err(error) => Err(Failure::io("cannot delete it", error)),
        }
    }

    fn name(&self, extra: &LocalFile) -> String {
        extra.path.display().to_string()
    }

    async fn settle(&self, session: &Session, _: bool) -> Result<(), Failure> {
        session.report_leftovers(self.getter.leftovers_removed());
        Ok(())
    }
}
