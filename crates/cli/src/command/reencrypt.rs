//! `sealwax reencrypt`.

use std::sync::Arc;

use sealwax_s3::{ReencryptOutput, S3Uri, UnencryptedObjects, envelope::Keyring};

use crate::{
    args::ReencryptArgs,
    aws::Session,
    error::{Exit, Failure},
    interrupt::unless_stopped,
    s3ec::FormatArg,
    text::Counted,
};

/// Seals an object anew.
pub(super) async fn run(session: &Session, args: ReencryptArgs) -> Result<(), Failure> {
    let ReencryptArgs { uri, under, accept_place, reader, to, seal_unencrypted, s3ec } = args;
    let kms = Arc::new(session.kms_keyring(reader, &[], None).await?);
    let keyring = session.with_local(Arc::clone(&kms));
    let progress = session.progress(None);
    let to_wrap = (!under.is_empty()).then(|| Arc::new(session.keyring(under)));
    let new_keys: Option<Arc<dyn Keyring>> = match (&to_wrap, to) {
        (Some(keys), _) => Some(Arc::clone(keys) as Arc<dyn Keyring>),
        (None, FormatArg::Native) => {
            let info = session.client(&uri, session.keyring([])).head().uri(&uri).send().await?;
            let same = session.same_keys(info.keys(), &*keyring, &kms);
            Some(same.ok_or_else(|| none_may_be_used(&uri))?)
        }
        (None, _) => None,
    };

    let mut client = session.client_builder(&uri, keyring).s3ec(s3ec.settings_to_write(to, to_wrap, kms)?);
    if seal_unencrypted {
        client = client.unencrypted(UnencryptedObjects::PassThrough);
    }
    let client = client.build();
    let mut reencrypt = client.reencrypt().uri(&uri).to(to.to_write()).on_progress(progress.counter());
    if let Some(keys) = new_keys {
        reencrypt = reencrypt.keyring(keys);
    }
    if let Some(suffix) = s3ec.instruction_file_suffix {
        reencrypt = reencrypt.instruction_file_suffix(suffix);
    }
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

fn summary(uri: &S3Uri, output: &ReencryptOutput) -> String {
    let bytes = Counted(output.plaintext_len, "byte");
    match output.header() {
        Some(header) => format!("sealed {uri} anew ({bytes}, {})", Counted(header.keys().len() as u64, "key")),
        None => format!("sealed {uri} anew ({bytes}), as the S3 Encryption Client does"),
    }
}
