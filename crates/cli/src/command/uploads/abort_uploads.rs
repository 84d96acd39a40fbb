//! `sealwax uploads abort`.

use std::path::Path;

use sealwax_s3::UnfinishedUpload;

use super::{
    args::UploadsAbortArgs,
    incomplete_uploads::{self, find, state_file_of},
};
use crate::{
    args::{Prefix, TimeSpan},
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    session::Session,
    state_directory,
    terminal_text::Counted,
};

/// Aborts incomplete multipart uploads.
pub(crate) async fn abort(session: &Session, args: UploadsAbortArgs) -> Result<(), Failure> {
    let UploadsAbortArgs { prefix, upload_id, state_file, older_than, dry_run } = args;
    let done = unless_stopped(async {
        match (upload_id, state_file, older_than) {
            (Some(id), ..) => {
                check_is_key(&prefix)?;
                abort_one(session, &prefix, &id, None).await
            }
            (None, Some(path), _) => abort_by_state_file(session, &prefix, &path).await,
            (None, None, age) => abort_older(session, &prefix, age, dry_run).await,
        }
    })
    .await;
    done.map_err(|signal| {
        Failure::stopped(signal, "the listed uploads were aborted, the remaining ones were not")
    })?
}

async fn abort_by_state_file(
    session: &Session,
    prefix: &Prefix,
    path: &Path,
) -> Result<(), Failure> {
    let upload = UnfinishedUpload::from_state_file(path).await;
    let upload =
        upload.map_err(|error| Failure::io(&format!("cannot read {}", path.display()), error))?;
    let Some(upload) = upload else {
        return Err(Failure::usage(format!("no state file {}", path.display())));
    };
    if (upload.bucket(), upload.key()) != (&prefix.bucket, &prefix.key) {
        let is = format!("s3://{}/{}", upload.bucket(), upload.key());
        return Err(Failure::usage(format!(
            "the state file belongs to an upload to {is}, not to {prefix}"
        )));
    }
    abort_one(session, prefix, upload.upload_id(), Some(path)).await
}

/// Aborts an upload and deletes its state file.
async fn abort_one(
    session: &Session,
    object: &Prefix,
    id: &str,
    state_file: Option<&Path>,
) -> Result<(), Failure> {
    let states = state_directory::all().await;
    let state_file = state_file.or_else(|| state_file_of(&states, &object.bucket, &object.key, id));
    let was_there = incomplete_uploads::abort(session, object, id).await?;
    if let Some(path) = state_file {
        state_directory::remove(path)?;
    }
    match (was_there, state_file) {
        (true, None) => session.say(format!("aborted upload {id} to {object}")),
        (true, Some(_)) => {
            session.say(format!("aborted upload {id} to {object} and deleted its state file"));
        }
        (false, Some(_)) => {
            session
                .say(format!("upload {id} to {object} no longer exists; deleted its state file"));
        }
        (false, None) => {
            let advice = "list incomplete uploads with `sealwax uploads ls`: this one was completed or aborted";
            return Err(Failure::new(
                Exit::NotFound,
                format!("no upload {id} to {object}"),
                advice,
            ));
        }
    }
    Ok(())
}

async fn abort_older(
    session: &Session,
    prefix: &Prefix,
    age: Option<TimeSpan>,
    dry_run: bool,
) -> Result<(), Failure> {
    let found = find(session, prefix, age).await?;
    let (mut aborted, mut failures) = (0, Vec::new());
    for upload in &found {
        let object = Prefix { bucket: prefix.bucket.clone(), key: upload.key.clone() };
        if dry_run {
            session.say(format!("would abort upload {} to {object}", upload.id));
            continue;
        }
        match abort_one(session, &object, &upload.id, None).await {
            Ok(()) => aborted += 1,
            // Another process completed or aborted it meanwhile.
            Err(failure) if failure.exit() == Exit::NotFound => {}
            Err(failure) => failures.push(failure),
        }
    }
    if !dry_run {
        session.say(format!("aborted {}", Counted(aborted, "upload")));
    }
    let failed = failures.len();
    failures.into_iter().next().map_or(Ok(()), |first| {
        let rest = if failed == 1 {
            String::new()
        } else {
            format!(" (and {} more failures)", failed - 1)
        };
        Err(first.and(&rest))
    })
}

fn check_is_key(prefix: &Prefix) -> Result<(), Failure> {
    if prefix.key.is_empty() {
        return Err(Failure::usage("--upload-id requires an object: s3://BUCKET/KEY"));
    }
    Ok(())
}
