//! `sealwax rewrap`.

use sealwax_s3::{RewrapOutcome, RewrapOutput, S3Uri, envelope::EncryptedDataKey};

use crate::{args::RewrapArgs, aws::Session, error::Failure, interrupt::unless_stopped};

/// Wraps an object's data key anew.
pub(super) async fn run(session: &Session, args: RewrapArgs) -> Result<(), Failure> {
    let RewrapArgs { uri, add, replace, refresh, to_sidecar, remove, accept_place, reader } = args;
    let keyring = session.reading_keyring(reader).await?;
    let mut rewrap = session.client(&uri, keyring).rewrap().uri(&uri).landing(to_sidecar.into());
    if !replace.is_empty() {
        rewrap = rewrap.replace_keys(session.keyring(replace));
    }
    if !add.is_empty() {
        rewrap = rewrap.add_keys(session.keyring(add));
    }
    if refresh {
        rewrap = rewrap.refresh_keys();
    }
    for key in remove {
        rewrap = rewrap.remove_key(key.as_str());
    }
    for place in accept_place {
        rewrap = rewrap.accept_place(place);
    }
    let done = unless_stopped(rewrap.send()).await;
    let stopped = |signal| Failure::stopped(signal, format!("{uri} is as it was, or rewrapped as a whole"));
    session.say(summary(&uri, &done.map_err(stopped)??));
    Ok(())
}

fn summary(uri: &S3Uri, output: &RewrapOutput) -> String {
    let what = match output.outcome {
        RewrapOutcome::Unchanged => "unchanged",
        _ => "rewrapped",
    };
    let header = &output.header;
    let keys: Vec<_> = header.keys().iter().map(EncryptedDataKey::wrapping_key).collect();
    let place = output.sidecar.as_ref().map(|key| format!(" in s3://{}/{key}", uri.bucket())).unwrap_or_default();
    format!("{what} {uri}{place}: generation {}, keys: {}", header.generation(), keys.join(", "))
}
