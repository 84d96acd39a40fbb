//! `sealwax rewrap`.

mod args;
mod bulk_rewrap;

use sealwax_s3::{KeyChanges, RewrapOutput, S3Uri, envelope::EncryptedDataKey};
use serde::Serialize;

pub(crate) use self::args::RewrapArgs;
use crate::{
    args::{Prefix, WrapKey},
    console::print_json,
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    session::Session,
};

/// Keys to wrap under.
struct NewKeys {
    add: Vec<WrapKey>,
    replace: Vec<WrapKey>,
}

/// Changes the wrapping keys of one object or of many.
pub(super) async fn run(session: &Session, args: RewrapArgs) -> Result<(), Failure> {
    if let Some(prefix) = &args.prefix {
        session.check_bucket_named(&prefix.bucket)?;
    }
    let session = &session.with_acls(args.acl.acl);
    let new = NewKeys {
        add: session.resolve(&args.add).await?,
        replace: session.resolve(&args.replace).await?,
    };
    if args.is_bulk() {
        return bulk_rewrap::run(session, args, &new).await;
    }
    let NewKeys { add, replace } = new;
    let RewrapArgs {
        prefix,
        refresh,
        to_sidecar,
        remove,
        accept_place,
        options,
        versions: _,
        bulk,
        mut reader,
        s3ec,
        acl: _,
        ..
    } = args;
    reader.besides_local = add.iter().chain(&replace).any(WrapKey::is_local);
    let uri = single_object(prefix.expect("required without a plan"))?;
    reader.source_region = session.source_region().await;
    let keyring = session.keyrings().reading(reader).await?;
    let client = session.client_builder(&uri, keyring).s3ec(s3ec.settings()?).build();
    let mut rewrap = client.rewrap().uri(&uri).key_storage(to_sidecar.into());
    if !replace.is_empty() {
        rewrap =
            rewrap.replace_keys(session.keyrings().of(&replace, session.keyrings().kms_builder())?);
    }
    if !add.is_empty() {
        rewrap = rewrap.add_keys(session.keyrings().of(&add, session.keyrings().kms_builder())?);
    }
    if refresh {
        rewrap = rewrap.refresh_keys();
    }
    for key in remove {
        rewrap = rewrap.remove_key(key.name());
    }
    rewrap = rewrap.changes(options.on(KeyChanges::new()));
    for place in accept_place {
        rewrap = rewrap.accept_place(place);
    }
    let done = unless_stopped(rewrap.send()).await;
    let stopped = |signal| {
        Failure::stopped(signal, format!("{uri} is either unchanged or completely rewrapped"))
    };
    let output = done.map_err(stopped)??;
    if bulk.json {
        print_json(&Rewrapped::new(&uri, &output));
    }
    session.say(summary(&uri, &output));
    if output.report.kept.is_empty() {
        return Ok(());
    }
    let kept = output.report.kept.join(", ");
    let error = format!("{uri} keeps {kept}: no other key could be shown to open it");
    let advice = "allow kms:Decrypt on one of its other keys, or pass --unproven to remove the old \
                  keys anyway";
    Err(Failure::new(Exit::Denied, error, advice))
}

/// Parses the single object.
fn single_object(prefix: Prefix) -> Result<S3Uri, Failure> {
    let named = prefix.to_string();
    named.parse().map_err(|error| {
        Failure::usage(error)
            .advise("name one object, or pass --recursive for all objects under the prefix")
    })
}

/// An object after its rewrap. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Rewrapped {
    object: String,
    /// `false` if it had exactly the wanted keys already.
    rewrapped: bool,
    version_id: Option<String>,
    e_tag: Option<String>,
    /// Address of the sidecar with the keys, if they are in one.
    sidecar: Option<String>,
    generation: u32,
    keys: Vec<String>,
    /// Keys that were to be removed and stay, because no other key could be shown to open it.
    kept: Vec<String>,
    /// Keys that were dropped, because they do not open it.
    disproved: Vec<String>,
}

impl Rewrapped {
    fn new(uri: &S3Uri, output: &RewrapOutput) -> Self {
        Self {
            object: uri.to_string(),
            rewrapped: output.rewrapped,
            version_id: output.version_id.clone(),
            e_tag: output.e_tag.clone(),
            sidecar: output.sidecar.as_ref().map(|key| format!("s3://{}/{key}", uri.bucket())),
            generation: output.generation(),
            keys: output.keys().iter().map(|key| key.wrapping_key().to_owned()).collect(),
            kept: output.report.kept.clone(),
            disproved: output.report.disproved.clone(),
        }
    }
}

fn summary(uri: &S3Uri, output: &RewrapOutput) -> String {
    let report = &output.report;
    let what = match (output.rewrapped, report.claimed.is_empty(), report.proven.is_empty()) {
        (true, ..) => "rewrapped",
        (false, false, _) => "claimed (--prove checks the keys):",
        (false, true, false) => "proven:",
        (false, true, true) => "unchanged",
    };
    let Some(header) = output.header() else {
        return format!("{what} {uri}");
    };
    let keys: Vec<_> = header.keys().iter().map(EncryptedDataKey::wrapping_key).collect();
    let place = output
        .sidecar
        .as_ref()
        .map(|key| format!(" in s3://{}/{key}", uri.bucket()))
        .unwrap_or_default();
    let mut text = format!(
        "{what} {uri}{place}: generation {}, keys: {}",
        header.generation(),
        keys.join(", ")
    );
    if !report.disproved.is_empty() {
        text.push_str(&format!(
            "; dropped keys that do not open it: {}",
            report.disproved.join(", ")
        ));
    }
    text
}
