//! `sealwax put`.

use std::{collections::BTreeSet, path::Path};

use sealwax_s3::{PlaintextSource, Put, PutOutput, S3Uri, envelope::metadata};

use super::is_standard_stream;
use crate::{
    args::PutArgs,
    aws::Session,
    error::Failure,
    interrupt::unless_stopped,
    pair::{self, Pair},
    progress::Transfer,
    text::Counted,
};

/// Seals a file or standard input, and stores it.
pub(super) async fn run(session: &Session, args: PutArgs) -> Result<(), Failure> {
    let PutArgs { file, uri, keys, context, metadata, content_type, no_overwrite } = args;
    let context = pair::context(context)?;
    let client = session.client(&uri, session.keyring(keys));
    let progress = session.progress(transfer(&file).await);
    let mut put =
        client.put().uri(&uri).body(source(&file)).encryption_context(context).on_progress(progress.counter());
    put = with_metadata(put, metadata)?;
    if let Some(content_type) = content_type {
        check_header("the content type", "content-type", &content_type)?;
        put = put.content_type(content_type);
    }
    if no_overwrite {
        put = put.if_none_match("*");
    }

    let stopped = |signal| Failure::stopped(signal, format!("the upload to {uri} was given up"));
    let sent = unless_stopped(put.send()).await;
    drop(progress);
    // A second signal ends the wait for the abort of the upload.
    unless_stopped(client.settle()).await.map_err(stopped)?;
    let output = sent.map_err(stopped)??;
    session.say(summary(&file, &uri, &output));
    Ok(())
}

fn source(file: &Path) -> PlaintextSource {
    if is_standard_stream(file) { PlaintextSource::reader(tokio::io::stdin()) } else { PlaintextSource::file(file) }
}

async fn transfer(file: &Path) -> Transfer {
    if is_standard_stream(file) {
        return Transfer::Endless;
    }
    match tokio::fs::metadata(file).await {
        Ok(metadata) if metadata.is_file() => Transfer::Counted(metadata.len()),
        _ => Transfer::Endless,
    }
}

fn with_metadata(mut put: Put, pairs: Vec<Pair>) -> Result<Put, Failure> {
    let mut names = BTreeSet::new();
    for Pair { name, value } in pairs {
        if metadata::is_reserved(&name) {
            return Err(Failure::usage(format!("the metadata name {name:?} is reserved")));
        }
        // S3 does not tell upper case from lower.
        if !names.insert(name.to_ascii_lowercase()) {
            return Err(Failure::usage(format!("the metadata name {name:?} is given twice")));
        }
        check_header(&format!("the metadata {name:?}"), &name, &value)?;
        put = put.metadata(name, value);
    }
    Ok(put)
}

/// Refuses what is no HTTP header, and what S3 would give back otherwise than it got it.
fn check_header(what: &str, name: &str, value: &str) -> Result<(), Failure> {
    // RFC 9110, "token".
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_token) {
        return Err(Failure::usage(format!("{what} has a name that is not made of ASCII letters, digits and marks")));
    }
    if value.trim() != value || !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(Failure::usage(format!("{what} has a value that is not printable ASCII with no blank around it")));
    }
    Ok(())
}

fn summary(file: &Path, uri: &S3Uri, output: &PutOutput) -> String {
    let what = if is_standard_stream(file) { "standard input".into() } else { file.to_string_lossy() };
    let bytes = Counted(output.plaintext_len, "byte");
    let keys = Counted(output.header.keys().len() as u64, "key");
    format!("sealed {what} as {uri} ({bytes}, {keys})")
}
