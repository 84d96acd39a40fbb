//! `sealwax put`.

mod args;
mod bulk_put;
mod format;
mod put_request;
mod putter;
mod resumable_put;

use std::path::{Path, PathBuf};

use sealwax_s3::{PlaintextSource, S3Uri};

pub(crate) use self::args::PutArgs;
pub(super) use self::putter::{Expected, PutDone, PutSettings, Putter, changed_since};
use self::{
    format::Format,
    put_request::{destination, not_stored, with_stored},
    resumable_put::{ResumablePut, progress_text},
};
use crate::{
    args::{encryption_context, is_in_s3},
    console::is_standard_stream,
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    session::Session,
};

/// Encrypts and uploads a file, standard input or a folder.
pub(super) async fn run(session: &Session, args: PutArgs) -> Result<(), Failure> {
    if let Some(object) = args.files.iter().find(|file| is_in_s3(file)) {
        let error = format!("{} is in S3, and put reads local files", object.display());
        return Err(Failure::usage(error)
            .advise("copy inside S3 with `sealwax cp`, or download with `sealwax get`"));
    }
    session.check_bucket_named(&args.to.bucket)?;
    let is_dry_file = args.folders.dry_run && !is_standard_stream(&args.files[0]);
    if args.folders.recursive || args.folders.skip_unchanged || is_dry_file || args.files.len() > 1
    {
        return bulk_put::run(session, args).await;
    }
    let (file, uri) = (args.files[0].clone(), destination(&args)?);
    let format = Format::of(session, &args)?;
    let resume =
        args.resume.then(|| resumable(&file, &uri, args.state_file.clone())).transpose()?;
    let context = encryption_context(args.context.clone())?;
    let keyring = format.keyring(session, &args).await?;
    if args.folders.dry_run {
        session.say(format!("would seal standard input as {uri}"));
        return Ok(());
    }
    let client = format.client(session.client_builder(&uri, keyring));
    let progress = session.progress(len(&file).await);
    let mut put = client
        .put()
        .uri(&uri)
        .body(source(&file))
        .encryption_context(context)
        .on_progress(progress.counter());
    put = with_stored(put, &args.stored, &file, &uri)?;
    if args.no_overwrite {
        put = put.if_none_match("*");
    }

    if let Some(resume) = &resume {
        let (session, uri) = (session.clone(), uri.clone());
        put = put.state_file(resume.state_file());
        put = put.on_resume(move |upload| {
            session.say(format!("resuming the upload to {uri}: {}", progress_text(upload)));
        });
    }

    let sent = unless_stopped(format.written().send(put)).await;
    drop(progress);
    // A second signal ends the wait until the upload is aborted.
    let settled = unless_stopped(client.settle()).await;
    session.report_unclaimed(&client);
    match (settled.and(sent), resume) {
        (Ok(Ok(output)), _) => {
            if args.json {
                output.print(&file, &uri);
            }
            session.say(output.summary(&file, &uri));
            Ok(())
        }
        (Ok(Err(error)), Some(resume)) => Err(resume.failed(session, error).await),
        (Ok(Err(error)), None) => Err(not_stored(error, args.no_overwrite)),
        (Err(signal), Some(resume)) => Err(resume.stopped(session, &uri, signal).await),
        (Err(signal), None) => Err(Failure::stopped(signal, given_up(&uri))),
    }
}

fn given_up(uri: &S3Uri) -> String {
    format!("the upload to {uri} was aborted, unless it was already complete")
}

fn resumable(
    file: &Path,
    uri: &S3Uri,
    state_file: Option<PathBuf>,
) -> Result<ResumablePut, Failure> {
    if is_standard_stream(file) {
        let advice = "pass a file, or omit --resume";
        return Err(Failure::new(
            Exit::Usage,
            "cannot resume an upload of standard input: it cannot be read again",
            advice,
        ));
    }
    ResumablePut::new(file, uri, state_file)
}

fn source(file: &Path) -> PlaintextSource {
    if is_standard_stream(file) {
        PlaintextSource::blocking_reader(std::io::stdin())
    } else {
        PlaintextSource::file(file)
    }
}

/// Returns the length of a regular file.
async fn len(file: &Path) -> Option<u64> {
    if is_standard_stream(file) {
        return None;
    }
    tokio::fs::metadata(file)
        .await
        .ok()
        .filter(|metadata| metadata.is_file())
        .map(|metadata| metadata.len())
}
