//! `sealwax inspect`.

use std::io::{self, Write as _};

use sealwax_s3::s3ec::S3ec;

use crate::{
    args::{InspectArgs, LookArgs},
    aws::Session,
    error::Failure,
    report::Report,
};

/// Shows what is known of an object without any key.
pub(super) async fn run(session: &Session, args: InspectArgs) -> Result<(), Failure> {
    let InspectArgs { look: LookArgs { uri, version_id, json }, instruction_file_suffix } = args;
    let mut client = session.client_builder(&uri, session.keyring([]));
    if let Some(suffix) = instruction_file_suffix {
        client = client.s3ec(S3ec::new().instruction_file_suffix(suffix));
    }
    let client = client.build();
    let mut head = client.head().uri(&uri);
    if let Some(version_id) = version_id {
        head = head.version_id(version_id);
    }
    let report = Report::new(&uri, head.send().await?);
    let text = if json { format!("{}\n", report.json()) } else { report.to_string() };
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("cannot write to standard output", error))
        }
        _ => Ok(()),
    }
}
