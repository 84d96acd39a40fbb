//! `sealwax reencrypt`.

use std::sync::Arc;

use sealwax_s3::{PutOutput, S3Uri, envelope::Keyring};

use crate::{
    args::ReencryptArgs,
    aws::Session,
    error::{Exit, Failure},
    interrupt::unless_stopped,
    text::Counted,
};

/// Seals an object anew.
pub(super) async fn run(session: &Session, args: ReencryptArgs) -> Result<(), Failure> {
    let ReencryptArgs { uri, under, accept_place, reader } = args;
    let keyring = session.reading_keyring(reader).await?;
    let progress = session.progress(None);
    let client = session.client(&uri, Arc::clone(&keyring));
    let under: Arc<dyn Keyring> = if under.is_empty() {
        let info = client.head().uri(&uri).send().await?;
        let same = session.same_keys(info.keys(), &*keyring, &session.keyring([]));
        same.ok_or_else(|| none_may_be_used(&uri))?
    } else {
        Arc::new(session.keyring(under))
    };

    let reencrypt = client.reencrypt().uri(&uri).keyring(under).on_progress(progress.counter());
    let reencrypt = accept_place.into_iter().fold(reencrypt, |reencrypt, place| reencrypt.accept_place(place));
    let stopped = |signal| Failure::stopped(signal, format!("{uri} is as it was, or sealed anew as a whole"));
    let done = unless_stopped(reencrypt.send()).await;
    drop(progress);
    unless_stopped(client.settle()).await.map_err(stopped)?;
    session.say(summary(&uri, &done.map_err(stopped)??));
    Ok(())
}

/// None of the object's keys can wrap a data key.
pub(super) fn none_may_be_used(uri: &S3Uri) -> Failure {
    let error = format!("none of the wrapping keys of {uri} may be used");
    Failure::new(Exit::Denied, error, "name those of the new object by --under, or say by --key which may be used")
}

fn summary(uri: &S3Uri, output: &PutOutput) -> String {
    let bytes = Counted(output.plaintext_len, "byte");
    let keys = Counted(output.header.keys().len() as u64, "key");
    format!("sealed {uri} anew ({bytes}, {keys})")
}
