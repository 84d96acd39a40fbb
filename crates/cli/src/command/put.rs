//! `sealwax put`.

use std::{collections::BTreeSet, path::Path};

use sealwax_s3::{PlaintextSource, Put, PutOutput, S3Uri};

use super::is_standard_stream;
use crate::{
    args::PutArgs,
    aws::Session,
    error::Failure,
    interrupt::unless_stopped,
    pair::{self, Pair},
    text::Counted,
};

/// Seals a file or standard input, and stores it.
pub(super) async fn run(session: &Session, args: PutArgs) -> Result<(), Failure> {
    let PutArgs { file, uri, keys, context, metadata, content_type, no_overwrite } = args;
    let context = pair::context(context)?;
    let client = session.client(&uri, session.keyring(keys));
    let progress = session.progress(len(&file).await);
    let mut put =
        client.put().uri(&uri).body(source(&file)).encryption_context(context).on_progress(progress.counter());
    put = with_metadata(put, metadata)?;
    if let Some(content_type) = content_type {
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
    if is_standard_stream(file) {
        PlaintextSource::blocking_reader(std::io::stdin())
    } else {
        PlaintextSource::file(file)
    }
}

/// The length of a file, if it is one.
async fn len(file: &Path) -> Option<u64> {
    if is_standard_stream(file) {
        return None;
    }
    tokio::fs::metadata(file).await.ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len())
}

fn with_metadata(mut put: Put, pairs: Vec<Pair>) -> Result<Put, Failure> {
    let mut names = BTreeSet::new();
    for Pair { name, value } in pairs {
        if !names.insert(name.clone()) {
            return Err(Failure::usage(format!("the metadata name {name:?} is given twice")));
        }
        put = put.metadata(name, value);
    }
    Ok(put)
}

fn summary(file: &Path, uri: &S3Uri, output: &PutOutput) -> String {
    let what = if is_standard_stream(file) { "standard input".into() } else { file.to_string_lossy() };
    let bytes = Counted(output.plaintext_len, "byte");
    let keys = Counted(output.header.keys().len() as u64, "key");
    format!("sealed {what} as {uri} ({bytes}, {keys})")
}
