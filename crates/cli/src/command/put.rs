//! `sealwax put`.

mod args;
mod bulk_put;
mod put_request;
mod putter;
mod resumable_put;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use sealwax_s3::{PlaintextSource, PutS3ecOutput, S3Uri, s3ec::S3ec};

pub(crate) use self::args::PutArgs;
pub(super) use self::{
    put_request::missing,
    putter::{Expected, PutDone, PutSettings, Putter, changed_since},
};
use self::{
    put_request::{destination, not_stored, print_stored, print_stored_s3ec, summary, with_stored},
    resumable_put::{ResumablePut, progress_text},
};
use crate::{
    args::{FormatArg, encryption_context, is_in_s3},
    console::is_standard_stream,
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    session::Session,
    terminal_text::Counted,
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
    let PutArgs { keys, context, at_least, json, no_overwrite, resume, state_file, stored, .. } =
        args;
    let (format, instruction_file, raw) = (args.format, args.instruction_file, args.raw);
    if format == FormatArg::Native && (instruction_file || !raw.is_empty()) {
        return Err(Failure::usage(
            "--instruction-file and raw keys require --format s3ec-v3 or s3ec-v2",
        ));
    }
    if format != FormatArg::Native && resume {
        return Err(Failure::usage("--resume requires --format native"));
    }
    if format != FormatArg::Native && session.keyrings().local().is_some() {
        return Err(Failure::usage(
            "a local key requires --format native: omit --local-key or --format",
        ));
    }
    let resume = resume.then(|| resumable(&file, &uri, state_file)).transpose()?;
    let context = encryption_context(context)?;
    let s3ec = raw.onto(S3ec::new().commitment_policy(format.policy()))?;
    if format != FormatArg::Native && keys.len() > 1 && raw.is_empty() {
        let error = "an object of the S3 Encryption Client has exactly one wrapping key";
        return Err(Failure::usage(error).advise("pass --key once"));
    }
    // A raw key wraps alone: keys of the settings are those of other objects.
    let keyring = match raw.is_empty() {
        false => Arc::new(session.keyrings().empty()),
        true => session.keyrings().writing(session.resolve_kms(&keys).await?, at_least)?,
    };
    if args.folders.dry_run {
        session.say(format!("would seal standard input as {uri}"));
        return Ok(());
    }
    let client = session.client_builder(&uri, keyring).s3ec(s3ec).build();
    let progress = session.progress(len(&file).await);
    let mut put = client
        .put()
        .uri(&uri)
        .body(source(&file))
        .encryption_context(context)
        .on_progress(progress.counter());
    put = with_stored(put, &stored, &file, &uri)?;
    if no_overwrite {
        put = put.if_none_match("*");
    }

    if format != FormatArg::Native {
        let put = if instruction_file { put.s3ec().instruction_file() } else { put.s3ec() };
        let sent = unless_stopped(put.send()).await;
        drop(progress);
        let settled = unless_stopped(client.settle()).await;
        session.report_unclaimed(&client);
        let stopped = |signal| Failure::stopped(signal, given_up(&uri));
        let output =
            settled.and(sent).map_err(stopped)?.map_err(|error| not_stored(error, no_overwrite))?;
        if json {
            print_stored_s3ec(&file, &uri, &output);
        }
        session.say(summary_of_s3ec(&file, &uri, &output));
        return Ok(());
    }

    if let Some(resume) = &resume {
        let (session, uri) = (session.clone(), uri.clone());
        put = put.state_file(resume.state_file());
        put = put.on_resume(move |upload| {
            session.say(format!("resuming the upload to {uri}: {}", progress_text(upload)));
        });
    }

    let sent = unless_stopped(put.send()).await;
    drop(progress);
    // A second signal ends the wait until the upload is aborted.
    let settled = unless_stopped(client.settle()).await;
    session.report_unclaimed(&client);
    match (settled.and(sent), resume) {
        (Ok(Ok(output)), _) => {
            if json {
                print_stored(&file, &uri, &output);
            }
            session.say(summary(&file, &uri, &output));
            Ok(())
        }
        (Ok(Err(error)), Some(resume)) => Err(resume.failed(session, error).await),
        (Ok(Err(error)), None) => Err(not_stored(error, no_overwrite)),
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

fn summary_of_s3ec(file: &Path, uri: &S3Uri, output: &PutS3ecOutput) -> String {
    let what =
        if is_standard_stream(file) { "standard input".into() } else { file.to_string_lossy() };
    let bytes = Counted(output.plaintext_len, "byte");
    format!(
        "sealed {what} as {uri} ({bytes}, {} of the S3 Encryption Client)",
        output.envelope.format()
    )
}
