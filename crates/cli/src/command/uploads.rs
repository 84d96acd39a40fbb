//! `sealwax uploads`.

mod abort_uploads;
mod args;
mod incomplete_uploads;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub(super) use self::incomplete_uploads::warn_of_incomplete;
pub(crate) use self::{abort_uploads::abort, args::UploadsCommand};
use self::{
    args::UploadsLsArgs,
    incomplete_uploads::{find, state_file_of},
};
use crate::{
    console::Lines, failure::Failure, session::Session, state_directory, terminal_text::Printable,
};

/// A listed upload. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Line {
    object: String,
    upload_id: String,
    /// As in RFC 3339.
    initiated: Option<String>,
    state_file: Option<PathBuf>,
}

/// Lists incomplete multipart uploads.
pub(super) async fn list(session: &Session, args: UploadsLsArgs) -> Result<(), Failure> {
    let UploadsLsArgs { prefix, older_than, json } = args;
    let states = state_directory::all().await;
    let uploads = find(session, &prefix, older_than).await?;
    if uploads.is_empty() {
        session.say(format!(
            "no incomplete uploads{} in {prefix}",
            if older_than.is_some() { " of this age" } else { "" }
        ));
    }
    let mut lines = Lines::new();
    for upload in uploads {
        let object = format!("s3://{}/{}", prefix.bucket, upload.key);
        let state_file =
            state_file_of(&states, &prefix.bucket, &upload.key, &upload.id).map(Path::to_owned);
        let line = Line { object, initiated: upload.initiated(), upload_id: upload.id, state_file };
        if json { lines.json(&line)? } else { lines.line(line.text())? }
    }
    lines.finish()
}

impl Line {
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
