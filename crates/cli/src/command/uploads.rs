//! `sealwax uploads`.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use sealwax_s3::UnfinishedUpload;
use serde::Serialize;

use crate::{
    age::Age,
    args::{UploadsAbortArgs, UploadsLsArgs},
    aws::Session,
    error::{Exit, Failure},
    interrupt::unless_stopped,
    prefix::Prefix,
    state,
    text::{Counted, Printable},
    uploads::{self, Upload},
};

/// A line of the list. Its names are those of the JSON, and stay as they are.
#[derive(Serialize)]
struct Line {
    object: String,
    upload_id: String,
    /// As in RFC 3339.
    initiated: Option<String>,
    state_file: Option<PathBuf>,
}

/// Lists unfinished uploads.
pub(super) async fn list(session: &Session, args: UploadsLsArgs) -> Result<(), Failure> {
    let UploadsLsArgs { prefix, older_than, json } = args;
    let states = state::all().await;
    let mut text = String::new();
    for upload in found(session, &prefix, older_than).await? {
        let object = format!("s3://{}/{}", prefix.bucket, upload.key);
        let state_file =
            state_of(&states, &prefix.bucket, &upload.key, &upload.id).map(Path::to_owned);
        let line = Line { object, initiated: upload.initiated(), upload_id: upload.id, state_file };
        text.push_str(&if json { line.json() } else { line.text() });
        text.push('\n');
    }
    if text.is_empty() {
        session.say(format!(
            "no unfinished uploads{} in {prefix}",
            if older_than.is_some() { " so old" } else { "" }
        ));
    }
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("cannot write to standard output", error))
        }
        _ => Ok(()),
    }
}

impl Line {
    fn json(&self) -> String {
        serde_json::to_string(self).expect("strings only, and paths that were joined from text")
    }

    fn text(&self) -> String {
        let Self { object, upload_id, initiated, state_file } = self;
        let initiated = initiated.as_deref().unwrap_or("(unknown)");
        let mut text = format!("{initiated:<24}  {}  {}", Printable(object), Printable(upload_id));
        if let Some(path) = state_file {
            text.push_str(&format!("  (can be resumed: {})", Printable(&path.to_string_lossy())));
        }
        text
    }
}

/// Aborts unfinished uploads.
pub(super) async fn abort(session: &Session, args: UploadsAbortArgs) -> Result<(), Failure> {
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
        Failure::stopped(signal, "the uploads that were named are aborted, the others are not")
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
        return Err(Failure::usage(format!("there is no state file {}", path.display())));
    };
    if (upload.bucket(), upload.key()) != (&prefix.bucket, &prefix.key) {
        let is = format!("s3://{}/{}", upload.bucket(), upload.key());
        return Err(Failure::usage(format!(
            "the state file is of an upload to {is}, not to {prefix}"
        )));
    }
    abort_one(session, prefix, upload.upload_id(), Some(path)).await
}

/// Aborts the upload to this key with this id, and deletes its state file.
async fn abort_one(
    session: &Session,
    object: &Prefix,
    id: &str,
    state_file: Option<&Path>,
) -> Result<(), Failure> {
    let states = state::all().await;
    let state_file = state_file.or_else(|| state_of(&states, &object.bucket, &object.key, id));
    let was_there = match uploads::abort(&session.s3(), &object.bucket, &object.key, id).await {
        Ok(was_there) => was_there,
        Err(failed) => return Err(session.failure(failed).await),
    };
    if let Some(path) = state_file {
        state::remove(path)?;
    }
    match (was_there, state_file) {
        (true, None) => session.say(format!("aborted the upload {id} to {object}")),
        (true, Some(_)) => {
            session.say(format!("aborted the upload {id} to {object}, and deleted its state file"));
        }
        (false, Some(_)) => {
            session.say(format!("the upload {id} to {object} was gone; deleted its state file"));
        }
        (false, None) => {
            let advice =
                "it was completed or aborted; `sealwax uploads ls` shows those that are not";
            return Err(Failure::new(
                Exit::NotFound,
                format!("there is no upload {id} to {object}"),
                advice,
            ));
        }
    }
    Ok(())
}

async fn abort_older(
    session: &Session,
    prefix: &Prefix,
    age: Option<Age>,
    dry_run: bool,
) -> Result<(), Failure> {
    let found = found(session, prefix, age).await?;
    let (mut aborted, mut failures) = (0, Vec::new());
    for upload in &found {
        let object = Prefix { bucket: prefix.bucket.clone(), key: upload.key.clone() };
        if dry_run {
            session.say(format!("would abort the upload {} to {object}", upload.id));
            continue;
        }
        match abort_one(session, &object, &upload.id, None).await {
            Ok(()) => aborted += 1,
            // Somebody else was faster.
            Err(failure) if failure.exit() == Exit::NotFound => {}
            Err(failure) => failures.push(failure),
        }
    }
    if !dry_run {
        session.say(format!("aborted {}", Counted(aborted, "upload")));
    }
    let failed = failures.len();
    failures.into_iter().next().map_or(Ok(()), |first| {
        let rest =
            if failed == 1 { String::new() } else { format!(" (and {} more like it)", failed - 1) };
        Err(first.and(&rest))
    })
}

/// The unfinished uploads under `prefix` that are at least so old.
async fn found(
    session: &Session,
    prefix: &Prefix,
    age: Option<Age>,
) -> Result<Vec<Upload>, Failure> {
    let mut found = match uploads::list(&session.s3(), prefix).await {
        Ok(found) => found,
        Err(failed) => return Err(session.failure(failed).await),
    };
    if let Some(Age(age)) = age {
        // Before the clock began, there were no uploads.
        let limit = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        found.retain(|upload| upload.began_before(limit));
    }
    Ok(found)
}

fn check_is_key(prefix: &Prefix) -> Result<(), Failure> {
    if prefix.key.is_empty() {
        return Err(Failure::usage("--upload-id needs the key of the object: s3://BUCKET/KEY"));
    }
    Ok(())
}

fn state_of<'a>(
    states: &'a [(PathBuf, UnfinishedUpload)],
    bucket: &str,
    key: &str,
    id: &str,
) -> Option<&'a Path> {
    let is_its = |upload: &UnfinishedUpload| {
        (upload.bucket(), upload.key(), upload.upload_id()) == (bucket, key, id)
    };
    states.iter().find(|(_, upload)| is_its(upload)).map(|(path, _)| path.as_path())
}
