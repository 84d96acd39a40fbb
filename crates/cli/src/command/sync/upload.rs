//! From a folder to S3.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::Stream;
use tokio::task::spawn_blocking;

use super::{
    args::SyncArgs,
    pass::{Direction, Pass, Sides},
    record::Change,
    there::ObjectsThere,
};
use crate::{
    args::{Prefix, encryption_context},
    bulk::{Outcome, Skip},
    command::put::{Expected, PutDone, PutSettings, Putter},
    comparison::{ByListing, Comparison},
    failure::{Exit, Failure},
    folder_listing::Listed,
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

impl Upload {
    pub(super) async fn new(
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
        session.check_bucket_named(&to.bucket)?;
        let keys = session.resolve_kms(&args.keys).await?;
        let keyring = session.keyrings().writing(keys, args.at_least)?;
        let cached = args.cache.onto(&session.key_store(), Arc::clone(&keyring))?;
        let client = session.client_of(&to.bucket, cached);
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
                    ByListing::Unchanged => {
                        let look = self.putter.differences_of(&uri);
                        return Ok(pass
                            .unchanged_by_listing(Direction::Upload, (&path, &uri), look)
                            .await);
                    }
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
            let bytes = output.bytes;
            self.to.stored(bytes);
            let text = format!("sealed {path} as {uri} ({})", Counted(bytes, "byte"));
            let change = Change {
                action: Direction::Upload.action(),
                result: "done",
                source: Some(path),
                destination: Some(uri.to_string()),
                bytes: Some(bytes),
                version_id: output.version_id.clone(),
                e_tag: output.e_tag.clone(),
                keys: output.keys.clone(),
                missing: output.missing.clone(),
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
        self.to.objects(&pass.args.filter)
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

    async fn settle(&self, session: &Session, _: bool) -> Result<(), Failure> {
        let result = self.to.settle(None).await;
        self.putter.report_lacking(session);
        result
    }
}
