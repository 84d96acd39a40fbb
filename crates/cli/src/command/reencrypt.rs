//! `sealwax reencrypt`.

use sealwax_s3::{
    KmsKeyArn, KmsKeyring, PutOutput, S3Uri, SealedClient,
    envelope::{EncryptedDataKey, Keyring as _},
};

use crate::{args::ReencryptArgs, aws::Session, error::Failure, interrupt::unless_stopped, text::Counted};

/// Seals an object anew.
pub(super) async fn run(session: &Session, args: ReencryptArgs) -> Result<(), Failure> {
    let ReencryptArgs { uri, under, accept_place, reader } = args;
    let keyring = session.reading_keyring(reader).await?;
    let progress = session.progress(None);
    let under = if under.is_empty() {
        own_keys(&session.client(&uri, session.keyring([])), &uri, &keyring).await?
    } else {
        under
    };

    let client = session.client(&uri, keyring);
    let reencrypt = client.reencrypt().uri(&uri).keyring(session.keyring(under)).on_progress(progress.counter());
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

fn summary(uri: &S3Uri, output: &PutOutput) -> String {
    let bytes = Counted(output.plaintext_len, "byte");
    let keys = Counted(output.header.keys().len() as u64, "key");
    format!("sealed {uri} anew ({bytes}, {keys})")
}
