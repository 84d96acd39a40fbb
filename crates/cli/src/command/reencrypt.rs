//! `sealwax reencrypt`.

use std::sync::Arc;

use sealwax_s3::{
    KmsKeyArn, KmsKeyring, ReencryptOutput, S3Uri, SealedClient, UnencryptedObjects,
    envelope::{EncryptedDataKey, Keyring as _},
};

use crate::{
    args::ReencryptArgs, aws::Session, error::Failure, interrupt::unless_stopped, s3ec::FormatArg, text::Counted,
};

/// Seals an object anew.
pub(super) async fn run(session: &Session, args: ReencryptArgs) -> Result<(), Failure> {
    let ReencryptArgs { uri, under, accept_place, reader, to, seal_unencrypted, s3ec } = args;
    let keyring = Arc::new(session.reading_keyring(reader).await?);
    let progress = session.progress(None);
    let under = if under.is_empty() && to == FormatArg::Native {
        own_keys(&session.client(&uri, session.keyring([])), &uri, &keyring).await?
    } else {
        under
    };

    let to_wrap = (!under.is_empty()).then(|| session.keyring(under.clone()));
    let s3ec_settings = s3ec.settings_to_write(to, to_wrap, Arc::clone(&keyring))?;
    let mut client = session.client_builder(&uri, keyring).s3ec(s3ec_settings);
    if seal_unencrypted {
        client = client.unencrypted(UnencryptedObjects::PassThrough);
    }
    let client = client.build();
    let mut reencrypt = client.reencrypt().uri(&uri).to(to.to_write()).on_progress(progress.counter());
    if !under.is_empty() {
        reencrypt = reencrypt.keyring(session.keyring(under));
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

/// The object's KMS keys, as far as they may be used: whoever can write to the bucket can name others there.
async fn own_keys(client: &SealedClient, uri: &S3Uri, keyring: &KmsKeyring) -> Result<Vec<KmsKeyArn>, Failure> {
    let info = client.head().uri(uri).send().await?;
    let accepted = info.keys().iter().filter(|key| keyring.accepts(key)).map(EncryptedDataKey::wrapping_key);
    let keys: Vec<KmsKeyArn> = accepted.filter_map(|key| key.parse().ok()).collect();
    if keys.is_empty() {
        return Err(Failure::usage(
            "none of the object's wrapping keys may be used: name those of the new object by --under",
        ));
    }
    Ok(keys)
}

fn summary(uri: &S3Uri, output: &ReencryptOutput) -> String {
    let bytes = Counted(output.plaintext_len, "byte");
    match output.header() {
        Some(header) => format!("sealed {uri} anew ({bytes}, {})", Counted(header.keys().len() as u64, "key")),
        None => format!("sealed {uri} anew ({bytes}), as the S3 Encryption Client does"),
    }
}
