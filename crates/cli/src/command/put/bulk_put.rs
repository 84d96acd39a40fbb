//! `sealwax put` of folders and of several files.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use futures_util::TryStreamExt as _;
use sealwax_s3::{
    ErrorKind, PlaintextSource, S3Uri, SealedClient,
    envelope::{EncryptedDataKey, EncryptionContext, Keyring, WrapContext},
};

use super::{
    args::PutArgs,
    put_request::{
        destination, is_a_folder, missing, not_stored, print_stored, summary, with_stored,
    },
};
use crate::{
    args::{FormatArg, encryption_context},
    bulk::{Outcome, Skip, Summary, engine},
    console::is_standard_stream,
    failure::{Failure, Unfinished},
    interrupt::unless_stopped,
    local_files::{self, Found, LocalFile, Unfit},
    mtime,
    session::Session,
    state_directory,
    terminal_text::{Counted, this_command_line_with},
};

/// Encrypts and uploads files under the prefix.
pub(super) async fn run(session: &Session, args: PutArgs) -> Result<(), Failure> {
    check(&args)?;
    let keyring = session.keyrings().writing(args.keys.clone(), args.at_least)?;
    let to = args.to.clone().into_folder();
    let putter = Arc::new(Putter {
        client: session.client_of(&to.bucket, Arc::clone(&keyring)),
        context: encryption_context(args.context.clone())?,
        keyring,
        args,
        lacking: Mutex::default(),
    });
    // One client, so that all files share one memory budget.
    let args = &putter.args;
    let mut seen = (args.files.len() > 1).then(HashSet::new);
    let filter = &args.folders.filter;
    let files = local_files::files(args.files.clone(), !args.no_follow_symlinks, filter.clone())
        .try_filter(|found: &Found| std::future::ready(found.is_meant(filter)));
    let files = files.and_then(|found: Found| {
        // Two files with the same name must not overwrite each other's object.
        let mut is_new =
            |file: &LocalFile| seen.as_mut().is_none_or(|seen| seen.insert(file.relative.clone()));
        std::future::ready(Ok(match found {
            Found::File(file) if !is_new(&file) => {
                let reason =
                    format!("another file has the same destination {}{}", to, file.relative);
                Found::Unfit(Unfit::of(file, reason))
            }
            found => found,
        }))
    });
    let is_single = args.files.len() == 1 && !args.folders.recursive;
    let put = |found: Found| {
        let (putter, to) = (Arc::clone(&putter), &to);
        async move {
            match found {
                Found::Link(unfit) => {
                    Outcome::Link(format!("skipped {}: {}", unfit.path.display(), unfit.reason))
                }
                Found::Incomplete(unfit) => Skip::IncompleteDownload.of(&unfit.path.display()),
                Found::Unfit(unfit) => {
                    Outcome::Failed(unfit.path.display().to_string(), Failure::other(unfit.reason))
                }
                Found::File(file) => {
                    let path = file.path.clone();
                    let put = async {
                        // A single file can have any destination.
                        let args = &putter.args;
                        match is_single {
                            true => Ok(putter.put(file, &destination(args)?).await?.noted()),
                            false => {
                                let uri = to.below(&file.relative)?;
                                putter.put(file, &uri).await
                            }
                        }
                    };
                    put.await.unwrap_or_else(|failure| {
                        Outcome::Failed(path.display().to_string(), failure)
                    })
                }
            }
        }
    };
    let mut counts = Summary::default();
    let done =
        unless_stopped(counts.run(session, files, &engine(args.folders.concurrency), put)).await;
    // A second signal ends the wait until the uploads are aborted.
    let settled = unless_stopped(putter.client.settle()).await;
    session.report_unclaimed(&putter.client);
    let verb = if args.folders.dry_run { "would seal" } else { "sealed" };
    let (files, bytes) = (Counted(counts.done, "file"), Counted(counts.bytes, "byte"));
    if counts.all() > 0 && !(is_single && counts.done == 1) {
        session.say(format!("{verb} {files} under {to} ({bytes}){counts}"));
    }
    for (key, count) in &*putter.lacking.lock().unwrap_or_else(PoisonError::into_inner) {
        session
            .say(format!("{count} of them lack {key}: add it later with `sealwax rewrap --add`"));
    }
    let unfinished = Unfinished::new(
        "the remaining files were not uploaded; rerun with --skip-unchanged to continue",
        "to continue",
        this_command_line_with("--skip-unchanged"),
    );
    unfinished.check(settled.and(done))?;
    counts.some("file", args.files[0].display())?;
    counts.result("file")
}

fn check(args: &PutArgs) -> Result<(), Failure> {
    if args.files.iter().any(|file| is_standard_stream(file)) {
        return Err(Failure::usage(
            "standard input cannot be combined with other files or --recursive",
        ));
    }
    if args.format != FormatArg::Native || args.instruction_file || !args.raw.is_empty() {
        return Err(Failure::usage("several files require --format native"));
    }
    if args.state_file.is_some() {
        return Err(Failure::usage(
            "--state-file requires a single file: omit it to keep state files in the state directory",
        ));
    }
    if let Some(folder) = args.files.iter().find(|file| file.is_dir() && !args.folders.recursive) {
        return Err(is_a_folder(folder));
    }
    if args.files.len() > 1 && !args.to.is_folder() {
        let failure =
            Failure::usage(format!("several files require a folder as destination: {}/", args.to));
        return Err(failure.advise("append a slash to the destination"));
    }
    Ok(())
}

/// Uploads files with one client.
struct Putter {
    client: SealedClient,
    keyring: Arc<dyn Keyring>,
    context: EncryptionContext,
    args: PutArgs,
    /// Objects that lack each of the wrapping keys.
    lacking: Mutex<BTreeMap<String, u64>>,
}

impl Putter {
    async fn put(&self, file: LocalFile, uri: &S3Uri) -> Result<Outcome, Failure> {
        let folders = &self.args.folders;
        let path = &file.path.clone();
        // All that follows is about this open file, whatever takes its name.
        let opened = tokio::task::spawn_blocking(move || {
            let file = file.open()?;
            Ok((file.metadata()?, file))
        });
        let (metadata, file) = opened
            .await
            .map_err(Failure::other)?
            .map_err(|error| Failure::io("cannot read the file", error))?;
        let modified = metadata.modified().ok();
        if folders.skip_unchanged && self.is_there(uri, metadata.len(), modified).await? {
            return Ok(Outcome::Unchanged(format!("skipped {}: unchanged", path.display())));
        }
        if folders.dry_run {
            return Ok(Outcome::Done(
                format!(
                    "would seal {} as {uri} ({})",
                    path.display(),
                    Counted(metadata.len(), "byte")
                ),
                metadata.len(),
            ));
        }
        let put = self
            .client
            .put()
            .uri(uri)
            .body(PlaintextSource::open_file(file, path))
            .encryption_context(self.context.clone());
        let mut put = with_stored(put, &self.args.stored, path, uri)?;
        let has_own = self.args.stored.metadata()?.iter().any(|pair| pair.name == mtime::NAME);
        if let Some(modified) = modified.filter(|_| !has_own).map(mtime::text) {
            put = put.metadata(mtime::NAME, modified);
        }
        if self.args.no_overwrite {
            put = put.if_none_match("*");
        }
        if self.args.resume {
            put = put.state_file(self.state_file(path, uri)?);
        }
        let output = put.send().await.map_err(|error| not_stored(error, self.args.no_overwrite))?;
        if self.args.json {
            print_stored(path, uri, &output);
        }
        let mut lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        for name in missing(&output) {
            *lacking.entry(name).or_default() += 1;
        }
        Ok(Outcome::Done(summary(path, uri, &output), output.plaintext_len))
    }

    fn state_file(&self, path: &Path, uri: &S3Uri) -> Result<PathBuf, Failure> {
        state_directory::path_for(path, uri)
    }

    /// `true` if metadata says that the object is identical to what this put would store.
    async fn is_there(
        &self,
        uri: &S3Uri,
        len: u64,
        modified: Option<SystemTime>,
    ) -> Result<bool, Failure> {
        let info = match self.client.head().uri(uri).send().await {
            Ok(info) => info,
            Err(error) => {
                return match error.kind() {
                    ErrorKind::NotFound
                    | ErrorKind::NotSealed
                    | ErrorKind::Shredded
                    | ErrorKind::Malformed
                    | ErrorKind::Truncated => Ok(false),
                    _ => Err(error.into()),
                };
            }
        };
        let names =
            |key: &EncryptedDataKey| (key.provider().to_owned(), key.wrapping_key().to_owned());
        let has: HashSet<_> = info.keys().iter().map(names).collect();
        let expected = self.keyring.expected_keys(&WrapContext::for_names());
        Ok(info.plaintext_len() == len
            && modified.is_some()
            && mtime::of(&info.metadata) == modified
            && *info.encryption_context() == self.context
            && expected.iter().map(names).all(|key| has.contains(&key)))
    }
}
