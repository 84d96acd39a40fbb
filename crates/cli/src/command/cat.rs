//! `sealwax cat`.

use std::sync::Arc;

use super::get::to_stdout;
use crate::{
    args::CatArgs, aws::Session, byte_range::ByteRange, error::Failure, interrupt::unless_stopped,
    pair, progress::Progress,
};

/// Opens objects onto standard output.
pub(super) async fn run(session: &Session, args: CatArgs) -> Result<(), Failure> {
    let CatArgs { uris, range, context, version_id, reader, s3ec } = args;
    if version_id.is_some() && uris.len() > 1 {
        return Err(Failure::usage("--version-id is of one object"));
    }
    let context = pair::context(context)?;
    let keyring = session.reading_keyring(reader).await?;
    for uri in uris {
        let client =
            session.client_builder(&uri, Arc::clone(&keyring)).s3ec(s3ec.settings()?).build();
        let mut get = client.get().uri(&uri).encryption_context(context.clone());
        if let Some(version_id) = &version_id {
            get = get.version_id(version_id);
        }
        get = match range {
            None => get,
            Some(ByteRange::From(first, None)) => get.range(first..),
            Some(ByteRange::From(first, Some(last))) => get.range(first..=last),
            Some(ByteRange::Last(length)) => get.suffix(length),
        };
        let done = unless_stopped(to_stdout(get, &Progress::hidden(), false, Failure::from)).await;
        done.map_err(|signal| Failure::stopped(signal, format!("not all of {uri} was written")))??;
    }
    Ok(())
}
