//! `sealwax uploads abort`.

use std::path::{Path, PathBuf};

use sealwax_s3::UnfinishedUpload;
use serde::Serialize;

use super::{
    args::UploadsAbortArgs,
    incomplete_uploads::{self, find, state_file_of},
};
use crate::{
    args::{Prefix, TimeSpan},
    console::print_json,
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    session::Session,
    state_directory,
    terminal_text::Counted,
};

/// Aborts incomplete multipart uploads.
pub(crate) async fn abort(session: &Session, args: UploadsAbortArgs) -> Result<(), Failure> {
    let UploadsAbortArgs { prefix, upload_id, state_file, older_than, dry_run, json } = args;
    let aborting = Aborting { session, dry_run, json };
    let done = unless_stopped(async {
        match (upload_id, state_file, older_than) {
            (Some(id), ..) => {
                check_is_key(&prefix)?;
                aborting.one(&prefix, &id, None).await
            }
            (None, Some(path), _) => {
                let id = id_in_state_file(&prefix, &path).await?;
                aborting.one(&prefix, &id, Some(&path)).await
            }
            (None, None, age) => aborting.older(&prefix, age).await,
        }
    })
    .await;
    done.map_err(|signal| {
        Failure::stopped(signal, "the listed uploads were aborted, the remaining ones were not")
    })?
}

/// Returns the id of the upload that the state file belongs to.
async fn id_in_state_file(prefix: &Prefix, path: &Path) -> Result<String, Failure> {
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
    Ok(upload.upload_id().to_owned())
}

/// An upload that was aborted, or would be. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Aborted {
    object: String,
    upload_id: String,
    /// `false` if the upload was completed or aborted before, or with --dry-run.
    aborted: bool,
    /// The state file that was deleted, or would be.
    state_file: Option<PathBuf>,
}

/// Aborts uploads, or says which it would abort.
struct Aborting<'a> {
    session: &'a Session,
    dry_run: bool,
    json: bool,
}

impl Aborting<'_> {
    /// Aborts an upload and deletes its state file.
    async fn one(
        &self,
        object: &Prefix,
        id: &str,
        state_file: Option<&Path>,
    ) -> Result<(), Failure> {
        let states = state_directory::all().await;
        let state_file =
            state_file.or_else(|| state_file_of(&states, &object.bucket, &object.key, id));
        let was_there = match self.dry_run {
            true => {
                let uploads = find(self.session, object, None).await?;
                uploads
                    .iter()
                    .any(|upload| (upload.key.as_str(), upload.id.as_str()) == (&object.key, id))
            }
            false => incomplete_uploads::abort(self.session, object, id).await?,
        };
        if !was_there && state_file.is_none() {
            let advice = "list incomplete uploads with `sealwax uploads ls`: this one was completed or aborted";
            return Err(Failure::new(
                Exit::NotFound,
                format!("no upload {id} to {object}"),
                advice,
            ));
        }
        if let Some(path) = state_file.filter(|_| !self.dry_run) {
            state_directory::remove(path)?;
        }
        self.tell(object, id, was_there, state_file);
        Ok(())
    }

    fn tell(&self, object: &Prefix, id: &str, was_there: bool, state_file: Option<&Path>) {
        if self.json {
            print_json(&Aborted {
                object: object.to_string(),
                upload_id: id.to_owned(),
                aborted: was_there && !self.dry_run,
                state_file: state_file.map(Path::to_owned),
            });
        }
        let upload = format!("upload {id} to {object}");
        self.session.say(match (self.dry_run, was_there, state_file) {
            (true, true, None) => format!("would abort {upload}"),
            (true, true, Some(_)) => format!("would abort {upload} and delete its state file"),
            (true, false, _) => format!("{upload} no longer exists; would delete its state file"),
            (false, true, None) => format!("aborted {upload}"),
            (false, true, Some(_)) => format!("aborted {upload} and deleted its state file"),
            (false, false, _) => format!("{upload} no longer exists; deleted its state file"),
        });
    }

    async fn older(&self, prefix: &Prefix, age: Option<TimeSpan>) -> Result<(), Failure> {
        let found = find(self.session, prefix, age).await?;
        let states = state_directory::all().await;
        let (mut aborted, mut failures) = (0, Vec::new());
        for upload in &found {
            let object = Prefix { bucket: prefix.bucket.clone(), key: upload.key.clone() };
            if self.dry_run {
                // It was listed just now.
                let state_file = state_file_of(&states, &object.bucket, &object.key, &upload.id);
                self.tell(&object, &upload.id, true, state_file);
                continue;
            }
            match self.one(&object, &upload.id, None).await {
                Ok(()) => aborted += 1,
                // Another process completed or aborted it meanwhile.
                Err(failure) if failure.exit() == Exit::NotFound => {}
                Err(failure) => failures.push(failure),
            }
        }
        self.session.say(match self.dry_run {
            true => format!("would abort {}", Counted(found.len() as u64, "upload")),
            false => format!("aborted {}", Counted(aborted, "upload")),
        });
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
}

fn check_is_key(prefix: &Prefix) -> Result<(), Failure> {
    if prefix.key.is_empty() {
        return Err(Failure::usage("--upload-id requires an object: s3://BUCKET/KEY"));
    }
    Ok(())
}
